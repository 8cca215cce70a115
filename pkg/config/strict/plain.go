package strict

import "math"

// Plain returns a copy of a value that was read from YAML or JSON, in the form that is the same for both: a whole number
// is an int where it fits one, a list []any, a mapping map[string]any. Other types stay as they are.
func Plain(value any) any {
	const exact = 1 << 53 // up to which a float holds every whole number
	switch v := value.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= exact {
			return int(v)
		}
	case int64:
		return int(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int(v)
		}
	case []string:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = one
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = Plain(one)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, one := range v {
			out[key] = Plain(one)
		}
		return out
	}
	return value
}

// PlainMap is Plain for a mapping; an empty one becomes nil.
func PlainMap(values map[string]any) map[string]any {
	if len(values) == 0 {
		return nil
	}
	out := make(map[string]any, len(values))
	for key, one := range values {
		out[key] = Plain(one)
	}
	return out
}

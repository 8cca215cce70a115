package profile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/config/strict"
)

// fallback is what counts where nothing is given.
func (p *Parameter) fallback() any {
	if p.Default != nil {
		return strict.Plain(p.Default)
	}
	switch p.Type {
	case TypeInteger:
		return 0
	case TypeBoolean:
		return false
	case TypeList:
		return []any{}
	case TypeObject:
		return map[string]any{}
	}
	return ""
}

// check returns a value in its plain form, or what is wrong with it.
func (p *Parameter) check(value any) (any, string) {
	value = strict.Plain(value)
	switch p.Type {
	case TypeString:
		if s, ok := value.(string); ok {
			return value, p.allowed(s)
		}
	case TypeInteger:
		if n, ok := value.(int); ok {
			return value, p.inRange(int64(n))
		}
	case TypeBoolean:
		if _, ok := value.(bool); ok {
			return value, ""
		}
	case TypeList:
		if items, ok := value.([]any); ok {
			return value, p.items(items)
		}
	case TypeObject:
		if _, ok := value.(map[string]any); ok {
			return value, ""
		}
	}
	return value, fmt.Sprintf("want %s, not %s", p.wanted(), show(value))
}

func (p *Parameter) items(items []any) string {
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return fmt.Sprintf("want %s, not one with %s in it", p.wanted(), show(item))
		}
		if message := p.allowed(s); message != "" {
			return message
		}
	}
	return ""
}

// allowed says what is wrong with a text; the default is never wrong.
func (p *Parameter) allowed(s string) string {
	if p.Type == TypeString && s == p.fallback() {
		return ""
	}
	if len(p.Enum) > 0 && !slices.Contains(p.Enum, s) {
		return fmt.Sprintf("%q is not one of %s", s, strings.Join(p.Enum, ", "))
	}
	if p.Pattern == "" {
		return ""
	}
	if pattern, err := regexp.Compile(`^(?:` + p.Pattern + `)$`); err != nil || !pattern.MatchString(s) {
		return fmt.Sprintf("%q does not match %s", s, p.Pattern)
	}
	return ""
}

func (p *Parameter) inRange(n int64) string {
	switch {
	case p.Minimum != nil && n < *p.Minimum:
		return fmt.Sprintf("%d is too small; the smallest is %d", n, *p.Minimum)
	case p.Maximum != nil && n > *p.Maximum:
		return fmt.Sprintf("%d is too large; the largest is %d", n, *p.Maximum)
	}
	return ""
}

// wanted says what a value of the type is, for people.
func (p *Parameter) wanted() string {
	switch p.Type {
	case TypeInteger:
		return "a whole number"
	case TypeBoolean:
		return "true or false"
	case TypeList:
		return "a list of texts"
	case TypeObject:
		return "a mapping"
	}
	return "text"
}

// read turns the text of an assignment into a value of the parameter's type; rest is the path inside an object.
func (p *Parameter) read(text, rest string) (any, string) {
	switch p.Type {
	case TypeInteger:
		if n, err := strconv.Atoi(text); err == nil {
			return n, ""
		}
	case TypeBoolean:
		if b, err := strconv.ParseBool(text); err == nil {
			return b, ""
		}
	case TypeList:
		if text == "" {
			return []any{}, ""
		}
		return strict.Plain(strings.Split(text, ",")), ""
	case TypeObject:
		return p.readObject(text, rest)
	default:
		return text, ""
	}
	return nil, fmt.Sprintf("want %s, not %q", p.wanted(), text)
}

func (p *Parameter) readObject(text, rest string) (any, string) {
	var value any
	tree := yaml.Node{}
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		return nil, fmt.Sprintf("it is no YAML: %s", strict.Cause(err))
	}
	if len(tree.Content) > 0 {
		if problems := strict.Decode(tree.Content[0], &value); len(problems) > 0 {
			return nil, problems[0].Message
		}
	}
	if rest != "" {
		out := map[string]any{}
		put(out, rest, value)
		return out, ""
	}
	if _, ok := value.(map[string]any); !ok {
		return nil, fmt.Sprintf("want %s in YAML, not %q", p.wanted(), text)
	}
	return value, ""
}

package profile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"helm.sh/helm/v4/pkg/strvals"

	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Values checks parameters, nested or with dots in their names, and returns them nested and complete: those that are not
// given, or null, have their defaults. Whole numbers are ints, lists []any. Everything that does not fit is AddonParameter,
// all at once. For a chart of the user's own, whose parameters are the chart's values, it returns what was given.
func (a *Addon) Values(given map[string]any) (map[string]any, error) {
	values, problems := a.values(given, "")
	if len(problems) > 0 {
		return nil, problems.Fault("cannot use the parameters of addon %s", a.Name)
	}
	return values, nil
}

// Set returns parameters with assignments, KEY=VALUE each, put over them. A value is read as the parameter's type wants it:
// a list has commas, an object is YAML, and a key may reach into an object. For a chart of the user's own, assignments are
// as Helm's --set has them. Values checks and completes the result. Errors are AddonParameter.
func (a *Addon) Set(given map[string]any, assignments []string) (map[string]any, error) {
	values, problems := a.set(given, assignments, "")
	if len(problems) > 0 {
		return nil, problems.Fault("cannot use the parameters of addon %s", a.Name)
	}
	return values, nil
}

// Merge returns a copy of a with b put over it, mapping by mapping; other values are replaced as a whole.
func Merge(a, b map[string]any) map[string]any {
	out := make(map[string]any, len(a)+len(b))
	for key, value := range a {
		out[key] = strict.Plain(value)
	}
	for key, value := range b {
		below, isMap := value.(map[string]any)
		if base, ok := out[key].(map[string]any); ok && isMap {
			out[key] = Merge(base, below)
			continue
		}
		out[key] = strict.Plain(value)
	}
	return out
}

// free reports whether any parameter is allowed: those of a chart of the user's own are the chart's values.
func (a *Addon) free() bool { return a.Own && a.Content.Helm != nil && len(a.Parameters) == 0 }

// values checks and completes; at is where the parameters are in a document, for the problems.
func (a *Addon) values(given map[string]any, at string) (map[string]any, strict.Problems) {
	if a.free() {
		return Merge(nil, given), nil
	}
	found, problems := a.flatten(given, at)
	out := map[string]any{}
	for _, p := range a.Parameters {
		value, ok := found[p.Name]
		if !ok {
			put(out, p.Name, p.fallback())
			continue
		}
		checked, message := p.check(value)
		if message != "" {
			problems.Add(fault.AddonParameter, dotted(at, p.Name), "%s", message)
		}
		put(out, p.Name, checked)
	}
	return out, problems
}

func (a *Addon) set(given map[string]any, assignments []string, at string) (map[string]any, strict.Problems) {
	problems := strict.Problems{}
	if a.free() {
		out := Merge(nil, given)
		for _, s := range assignments {
			if err := strvals.ParseInto(s, out); err != nil {
				problems.Add(fault.AddonParameter, dotted(at, s), "%s", err)
			}
		}
		return Merge(nil, out), problems
	}
	found, problems := a.flatten(given, at)
	for _, s := range assignments {
		key, text, ok := strings.Cut(s, "=")
		if !ok {
			problems.Add(fault.AddonParameter, dotted(at, key), "it has no value; write it as %s=VALUE", key)
			continue
		}
		p, rest := a.parameter(key)
		if p == nil {
			problems.Add(fault.AddonParameter, dotted(at, key), "%s", a.unknown(key))
			continue
		}
		value, message := p.read(text, rest)
		if message != "" {
			problems.Add(fault.AddonParameter, dotted(at, key), "%s", message)
			continue
		}
		if base, ok := found[p.Name].(map[string]any); ok && rest != "" {
			value = Merge(base, value.(map[string]any)) // what read gives for the inside of an object
		}
		found[p.Name] = value
	}
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		put(out, name, strict.Plain(found[name]))
	}
	return out, problems
}

// flatten finds the parameters in what was given, by their full names. Nulls say nothing.
func (a *Addon) flatten(given map[string]any, at string) (map[string]any, strict.Problems) {
	f := &flattener{Addon: a, at: at, found: map[string]any{}}
	f.walk("", given)
	return f.found, f.problems
}

type flattener struct {
	*Addon
	at       string
	found    map[string]any
	problems strict.Problems
}

func (f *flattener) walk(prefix string, given map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(given)) {
		full, value := prefix+key, given[key]
		if p, rest := f.parameter(full); p != nil {
			f.take(p, rest, full, value)
			continue
		}
		below, isMap := value.(map[string]any)
		switch {
		case !f.group(full):
			f.problems.Add(fault.AddonParameter, dotted(f.at, full), "%s", f.unknown(full))
		case isMap:
			f.walk(full+".", below)
		case value != nil:
			f.problems.Add(fault.AddonParameter, dotted(f.at, full), "want a mapping, not %s", show(value))
		}
	}
}

// take notes the value of a parameter, or of what is inside an object.
func (f *flattener) take(p *Parameter, rest, full string, value any) {
	if value == nil {
		return
	}
	if rest != "" {
		nested := map[string]any{}
		put(nested, rest, value)
		value = nested
	}
	before, again := f.found[p.Name]
	below, isMap := value.(map[string]any)
	base, wasMap := before.(map[string]any)
	switch {
	case !again:
		f.found[p.Name] = value
	case p.Type == TypeObject && isMap && wasMap:
		f.found[p.Name] = Merge(base, below)
	default:
		f.problems.Add(fault.AddonParameter, dotted(f.at, full), "it is given twice, nested and with dots")
	}
}

// parameter returns the parameter of a name; for a name inside an object it is the object, and rest what follows.
func (a *Addon) parameter(name string) (p *Parameter, rest string) {
	for i := range a.Parameters {
		p := &a.Parameters[i]
		if p.Name == name {
			return p, ""
		}
		if rest, ok := strings.CutPrefix(name, p.Name+"."); ok && p.Type == TypeObject {
			return p, rest
		}
	}
	return nil, ""
}

// group reports whether parameters are below a name.
func (a *Addon) group(name string) bool {
	return slices.ContainsFunc(a.Parameters, func(p Parameter) bool { return strings.HasPrefix(p.Name, name+".") })
}

// unknown says that there is no such parameter, and which ones there are.
func (a *Addon) unknown(name string) string {
	if len(a.Parameters) == 0 {
		return fmt.Sprintf("addon %s has no parameters", a.Name)
	}
	names, list := []string{}, []string{}
	for _, p := range a.Parameters {
		names, list = append(names, p.Name), append(list, p.Name+" ("+p.Type+")")
	}
	slices.Sort(list)
	near := didYouMean(name, names)
	if near == "" {
		near = "."
	}
	return fmt.Sprintf("addon %s has no such parameter%s It has %s", a.Name, near, strings.Join(list, ", "))
}

// put sets a value under a name whose dots nest.
func put(values map[string]any, name string, value any) {
	first, rest, nested := strings.Cut(name, ".")
	if !nested {
		values[first] = value
		return
	}
	below, ok := values[first].(map[string]any)
	if !ok {
		below = map[string]any{}
		values[first] = below
	}
	put(below, rest, value)
}

func dotted(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// show says what a value is, for people.
func show(value any) string {
	const longest = 40
	switch v := value.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	case string:
		if r := []rune(v); len(r) > longest {
			v = string(r[:longest]) + "…"
		}
		return strconv.Quote(v)
	}
	return fmt.Sprint(value)
}

func quoted(name string) string { return show(name) }

// Lookup returns a value of nested parameters by a name whose dots nest; nil where there is none.
func Lookup(values map[string]any, name string) any {
	first, rest, nested := strings.Cut(name, ".")
	if !nested {
		return values[first]
	}
	below, _ := values[first].(map[string]any)
	return Lookup(below, rest)
}

package strict

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Check compares a tree with the type that it is to be decoded into, a pointer, and returns everything that does not
// fit: unknown and repeated fields, and values of another type, each with its line and path.
func Check(root *yaml.Node, target any) Problems {
	c := NewChecker()
	c.check(root, reflect.TypeOf(target).Elem(), "")
	return c.Problems
}

// NewChecker returns one that has found nothing yet.
func NewChecker() *Checker {
	return &Checker{seen: map[visit]bool{}, simple: regexp.MustCompile(`^[A-Za-z0-9_-]+$`)}
}

type visit struct {
	node *yaml.Node
	typ  reflect.Type
}

// Checker collects the problems of a tree.
type Checker struct {
	Problems Problems
	// seen holds the anchors that were looked at: one that many aliases name is read once, so that neither a loop nor a
	// tree of aliases keeps the check busy.
	seen   map[visit]bool
	simple *regexp.Regexp
}

// Add notes a problem of a node.
func (c *Checker) Add(n *yaml.Node, path, format string, args ...any) {
	c.Problems = append(c.Problems, Problem{
		Code: fault.ConfigInvalid, Path: path, Line: n.Line, Message: fmt.Sprintf(format, args...),
	})
}

func (c *Checker) check(n *yaml.Node, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		if key := (visit{n.Alias, t}); !c.seen[key] {
			c.seen[key] = true
			c.check(n.Alias, t, path)
		}
		return
	}
	if IsNull(n) {
		return
	}
	switch t.Kind() { //nolint:exhaustive // the kinds that documents are made of; the rest are scalars
	case reflect.Struct:
		c.fields(n, t, path)
	case reflect.Slice:
		c.items(n, t, path)
	case reflect.Map:
		c.entries(n, t, path)
	case reflect.Interface:
		c.free(n, path)
	default:
		c.scalar(n, t, path)
	}
}

func (c *Checker) fields(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.MappingNode {
		c.Add(n, path, "want a mapping of fields, not %s", Describe(n))
		return
	}
	known := fieldsOf(t)
	c.Pairs(n, t, path, func(key, value *yaml.Node) {
		at := c.join(path, key.Value)
		if ft, ok := known[key.Value]; ok {
			c.check(value, ft, at)
			return
		}
		c.Add(key, at, "unknown field%s", Suggest(key.Value, known))
	})
}

func (c *Checker) entries(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.MappingNode {
		c.Add(n, path, "want a mapping of keys to values, not %s", Describe(n))
		return
	}
	c.Pairs(n, t, path, func(key, value *yaml.Node) { c.check(value, t.Elem(), c.join(path, key.Value)) })
}

// free looks at what may be anything: what JSON has no form for would not get to where it is meant for.
func (c *Checker) free(n *yaml.Node, path string) {
	anything := reflect.TypeFor[any]()
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i]; key.Kind == yaml.ScalarNode && key.ShortTag() != "!!str" && key.ShortTag() != "!!merge" {
				c.Add(key, c.join(path, key.Value), "want text as key; put it in quotes")
			}
		}
		c.Pairs(n, anything, path, func(key, value *yaml.Node) { c.check(value, anything, c.join(path, key.Value)) })
	case yaml.SequenceNode:
		for i, item := range n.Content {
			c.check(item, anything, fmt.Sprintf("%s[%d]", path, i))
		}
	case yaml.ScalarNode:
		switch tag, value := n.ShortTag(), strings.ToLower(n.Value); {
		case tag == "!!float" && (strings.HasSuffix(value, ".nan") || strings.HasSuffix(value, ".inf")):
			c.Add(n, path, "%s is no number that can be passed on", n.Value)
		case tag == "!!timestamp" || tag == "!!binary":
			c.Add(n, path, "want text, a number, true or false; put it in quotes")
		}
	case yaml.AliasNode, yaml.DocumentNode: // check follows the one, and nothing holds the other
	}
}

// Pairs calls each for every key of a mapping; a merge key stands for the fields of what it names.
func (c *Checker) Pairs(n *yaml.Node, t reflect.Type, path string, each func(key, value *yaml.Node)) {
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			c.merged(value, t, path)
		case key.Kind != yaml.ScalarNode:
			c.Add(key, path, "want a name as key, not %s", Describe(key))
		case lines[key.Value] > 0:
			c.Add(key, c.join(path, key.Value), "it is given twice; first on line %d", lines[key.Value])
		default:
			lines[key.Value] = key.Line
			each(key, value)
		}
	}
}

func (c *Checker) merged(value *yaml.Node, t reflect.Type, path string) {
	if value.Kind == yaml.SequenceNode {
		for _, one := range value.Content {
			c.check(one, t, path)
		}
		return
	}
	c.check(value, t, path)
}

func (c *Checker) items(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.SequenceNode {
		c.Add(n, path, "want a list, not %s", Describe(n))
		return
	}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		if IsNull(item) {
			c.Add(item, at, "the item is empty; fill it in or remove its dash")
			continue
		}
		c.check(item, t.Elem(), at)
	}
}

func (c *Checker) scalar(n *yaml.Node, t reflect.Type, path string) {
	// The decoder would cut the fraction off a number without a word.
	fraction := n.ShortTag() == "!!float" && t.Kind() != reflect.String
	if n.Kind != yaml.ScalarNode || fraction || n.Decode(reflect.New(t).Interface()) != nil {
		c.Add(n, path, "want %s, not %s", wanted(t), Describe(n))
		return
	}
	// kind's types refuse these two while they are decoded, without a path and only the first of them.
	switch value := n.Value; t {
	case reflect.TypeFor[kind.MountPropagation]():
		c.oneOf(n, path, value, "None", "HostToContainer", "Bidirectional")
	case reflect.TypeFor[kind.PortMappingProtocol]():
		c.oneOf(n, path, strings.ToUpper(value), "TCP", "UDP", "SCTP")
	}
}

func (c *Checker) oneOf(n *yaml.Node, path, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		c.Add(n, path, "%q is not one of %s", n.Value, strings.Join(allowed, ", "))
	}
}

// join appends a key to a path; one that is no plain name is put in brackets.
func (c *Checker) join(path, key string) string {
	switch {
	case !c.simple.MatchString(key):
		return fmt.Sprintf("%s[%q]", path, key)
	case path == "":
		return key
	}
	return path + "." + key
}

// fieldsOf lists a struct's fields by the names that they have in YAML.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && strings.Contains(options, "inline"):
			for k, v := range fieldsOf(f.Type) {
				out[k] = v
			}
		case name == "":
			out[strings.ToLower(f.Name)] = f.Type
		default:
			out[name] = f.Type
		}
	}
	return out
}

// IsNull reports whether a node is a null, written or left out.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func wanted(t reflect.Type) string {
	switch t.Kind() { //nolint:exhaustive // what is left is text
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	default:
		return "text"
	}
}

// Describe says what a node is, for people.
func Describe(n *yaml.Node) string {
	const longest = 40
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if r := []rune(n.Value); len(r) > longest {
			return fmt.Sprintf("%q", string(r[:longest])+"…")
		}
		return fmt.Sprintf("%q", n.Value)
	case yaml.AliasNode, yaml.DocumentNode:
		return "an alias"
	}
	return "nothing"
}

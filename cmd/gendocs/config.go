package main

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
)

func configPage(string) (page, error) {
	p := page{name: "config.md", title: "Configuration"}
	p.para("A cluster comes about from six places; a later one wins, field by field: defaults, the settings file, `COVE_*` " +
		"variables, the [profile](profiles/_index.md), the cluster document, flags that were set. Which profile that is can be said in " +
		"the settings, the document and by a flag; and `cni` of the settings wins over the profile's.")
	p.para("## The cluster document")
	p.para("`apiVersion: %s`, `kind: %s`. Below `cluster` it has the fields of kind's `%s` as they are; a document of kind's is accepted "+
		"without any change, but for [what cove refuses](../guides/kind-users.md#config-files). A field that is not in these tables is refused. `cove config schema` prints the same as JSON Schema, and "+
		"`cove config validate` checks a document.", v1alpha1.APIVersion, v1alpha1.KindCluster, v1alpha1.KindAPIVersion)
	if err := schemaTables(&p, v1alpha1.Schema()); err != nil {
		return p, err
	}
	if err := defaults(&p); err != nil {
		return p, err
	}
	versions := make([]string, 0, len(v1alpha1.KnownVersions()))
	for _, v := range v1alpha1.KnownVersions() {
		versions = append(versions, code(v))
	}
	p.para("## Kubernetes versions")
	p.para("Node images can be built for %s. Any other version runs from an image of its own: give `--image`, or `image`.", strings.Join(versions, " and "))
	settings(&p)
	return p, nil
}

// settings writes what the settings file and the variables can hold.
func settings(p *page) {
	p.para("## Settings")
	p.para("Settings stand for flags that you would give each time. The file is `cove/config.yaml` in `$XDG_CONFIG_HOME`, else in the system's " +
		"own folder for such files (`~/.config` on Linux). It has one `name: value` a line; a name that is not in this table is an error. " +
		"A setting counts for every command that has its flag.")
	var rows [][]string
	for _, k := range config.Keys() {
		rows = append(rows, []string{code(k.Name), code(k.Env), code("--" + k.Flag), cell(k.Meaning)})
	}
	p.table([]string{"Setting", "Variable", "Flag", "Meaning"}, rows)
}

// defaults writes the document that stands for no document.
func defaults(p *page) error {
	doc, err := config.Resolve(config.Input{})
	if err != nil {
		return fmt.Errorf("cannot make the default document: %w", err)
	}
	text := &strings.Builder{}
	enc := yaml.NewEncoder(text)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("cannot write the default document: %w", err)
	}
	p.para("## The default document")
	p.para("This is what no document at all stands for.")
	p.printf("```yaml\n%s```\n\n", text)
	return nil
}

// object is a definition of the schema, and where in a document such objects are.
type object struct {
	name  string
	paths []string
}

// schemaTables writes a table for each kind of object, in the order in which a reader of a document comes to them.
func schemaTables(p *page, schema []byte) error {
	root := yaml.Node{} // JSON is YAML, and this decoder keeps the order of fields
	if err := yaml.Unmarshal(schema, &root); err != nil || len(root.Content) == 0 {
		return fmt.Errorf("cannot read the schema: %w", err)
	}
	defs := field(root.Content[0], "$defs")
	objects := collect(defs, nil, refName(root.Content[0]), "")
	for _, o := range objects {
		def := field(defs, o.name)
		if def == nil {
			return fmt.Errorf("the schema refers to %s, which it has not", o.name)
		}
		title := "The document"
		if o.paths[0] != "" {
			title = code(o.paths[0])
		}
		p.para("### %s", title)
		if len(o.paths) > 1 {
			p.para("Also at %s.", code(strings.Join(o.paths[1:], "`, `")))
		}
		var rows [][]string
		required := field(def, "required")
		for name, schema := range fields(field(def, "properties")) {
			what := cell(text(schema, "description"))
			if has(required, name) {
				what = "**Required.** " + what
			}
			rows = append(rows, []string{code(name), typeOf(schema, objects), code(text(schema, "default")), what})
		}
		p.table([]string{"Field", "Type", "Default", "Meaning"}, rows)
	}
	return nil
}

// collect adds the object at path and those below it, each once, with all its paths.
func collect(defs *yaml.Node, objects []object, name, path string) []object {
	i := slices.IndexFunc(objects, func(o object) bool { return o.name == name })
	if i >= 0 {
		objects[i].paths = append(objects[i].paths, path)
	} else {
		objects = append(objects, object{name: name, paths: []string{path}})
	}
	for key, schema := range fields(field(field(defs, name), "properties")) {
		at := strings.TrimPrefix(path+"."+key, ".")
		if ref := refName(schema); ref != "" {
			objects = collect(defs, objects, ref, at)
		} else if ref := refName(field(schema, "items")); ref != "" {
			objects = collect(defs, objects, ref, at+"[]")
		} else if ref := refName(field(schema, "additionalProperties")); ref != "" {
			objects = collect(defs, objects, ref, at+".KEY")
		}
	}
	return objects
}

// typeOf writes what a field may hold.
func typeOf(schema *yaml.Node, objects []object) string {
	if ref := refName(schema); ref != "" {
		i := slices.IndexFunc(objects, func(o object) bool { return o.name == ref })
		return "[object](#" + anchor(objects[i].paths[0]) + ")"
	}
	if values := field(schema, "enum"); values != nil {
		var words []string
		for _, v := range values.Content {
			words = append(words, code(v.Value))
		}
		return strings.Join(words, ", ")
	}
	kind := text(schema, "type")
	if several := field(schema, "type"); several != nil && len(several.Content) > 0 {
		words := []string{}
		for _, v := range several.Content {
			words = append(words, v.Value)
		}
		return strings.Join(words, " or ")
	}
	switch kind {
	case "array":
		return "list: " + typeOf(field(schema, "items"), objects)
	case "object":
		return "map: string to " + typeOf(field(schema, "additionalProperties"), objects)
	case "integer":
		if low, high := text(schema, "minimum"), text(schema, "maximum"); low != "" {
			return kind + ", " + low + " to " + high
		}
	}
	return kind
}

// refName returns the name of the definition that a schema refers to, or nothing.
func refName(schema *yaml.Node) string {
	return strings.TrimPrefix(text(schema, "$ref"), "#/$defs/")
}

// fields goes through the fields of a mapping, in its order.
func fields(n *yaml.Node) func(yield func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// field returns a field of a mapping; nil where there is none.
func field(n *yaml.Node, name string) *yaml.Node {
	for key, value := range fields(n) {
		if key == name {
			return value
		}
	}
	return nil
}

// text returns a field's text, or nothing.
func text(n *yaml.Node, name string) string {
	if f := field(n, name); f != nil {
		return f.Value
	}
	return ""
}

// has reports whether a list has the word.
func has(list *yaml.Node, word string) bool {
	return list != nil && slices.ContainsFunc(list.Content, func(n *yaml.Node) bool { return n.Value == word })
}

// Package strict reads what people write as YAML or JSON: it finds unknown and repeated fields, values of another type and
// further documents, all of them at once, each with its line and path. It knows what is well-formed, never what is right.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Document parses data and returns the root of the only document in it, a mapping. Documents without any content, as a
// trailing `---` makes them, do not count. what ("a cluster document"), why there can be one only ("one makes a cluster")
// and the hint for an empty one are for the errors, which are ConfigInvalid.
func Document(data []byte, what, why, hint string) (*yaml.Node, error) {
	var root *yaml.Node
	for dec := yaml.NewDecoder(bytes.NewReader(spacesForTabs(data))); ; {
		doc := yaml.Node{}
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fault.New(fault.ConfigInvalid, "%s", Cause(err))
		}
		if len(doc.Content) == 0 || IsNull(doc.Content[0]) {
			continue
		}
		if root != nil {
			return nil, fault.New(fault.ConfigInvalid, "it holds several documents (the second one starts at line %d), and %s", doc.Content[0].Line, why)
		}
		root = doc.Content[0]
	}
	switch {
	case root == nil:
		return nil, fault.New(fault.ConfigInvalid, "it is empty").WithHint("%s", hint)
	case root.Kind != yaml.MappingNode:
		return nil, fault.New(fault.ConfigInvalid, "line %d: %s is a mapping of fields, not %s", root.Line, what, Describe(root))
	}
	return root, nil
}

// spacesForTabs makes JSON that is indented with tabs fit for a YAML parser. Within JSON a tab can only be white space,
// so lines and columns stay.
func spacesForTabs(data []byte) []byte {
	if !bytes.ContainsRune(data, '\t') || !json.Valid(data) {
		return data
	}
	return bytes.ReplaceAll(data, []byte{'\t'}, []byte{' '})
}

// Decode checks a tree against the type of target, a pointer, and decodes it there. Nothing is decoded where there are
// problems.
func Decode(root *yaml.Node, target any) Problems {
	problems := Check(root, target)
	if len(problems) > 0 {
		return problems
	}
	if err := root.Decode(target); err != nil {
		problems.Invalid("", "%s", Cause(err))
	}
	return problems
}

// Cause returns what the YAML parser says, on one line.
func Cause(err error) string {
	if many := (*yaml.TypeError)(nil); errors.As(err, &many) {
		return strings.Join(many.Errors, "; ")
	}
	return strings.TrimPrefix(err.Error(), "yaml: ")
}

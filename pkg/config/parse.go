package config

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// MaxDocumentSize is how large a document may be, in bytes. It is far beyond what anybody writes, and bounds what a
// mistaken file costs.
const MaxDocumentSize = 1 << 20

// Parse reads one cluster document, cove's or kind's, as YAML or JSON. It is strict: a field that the types lack, a
// second document and a value of the wrong type are errors, all of them reported at once, with line and path. It fills in
// and judges nothing (Default and Validate do), but for the name of a kind document, which becomes the cluster's.
// source names the document in errors: a file's path, or "stdin". Errors are ConfigInvalid.
func Parse(r io.Reader, source string) (v1alpha1.Cluster, error) {
	none := v1alpha1.Cluster{}
	data, err := io.ReadAll(io.LimitReader(r, MaxDocumentSize+1))
	if err != nil {
		return none, fault.Wrap(fault.FileUnwritable, err, "cannot read %s", source)
	}
	if len(data) > MaxDocumentSize {
		return none, fault.New(fault.ConfigInvalid, "cannot read %s: it is larger than 1 MiB, so it is no cluster document", source)
	}
	root, err := strict.Document(data, "a cluster document", "one makes a cluster", "`cove config defaults` prints a document to start from")
	if err != nil {
		return none, fault.Wrap(fault.ConfigInvalid, err, "cannot read %s", source)
	}
	meta := metaOf(root)
	if problems := meta.check(); len(problems) > 0 {
		return none, problems.Fault("cannot read %s", source)
	}
	doc, problems := decode(root, meta.apiVersion.value == v1alpha1.KindAPIVersion)
	if len(problems) > 0 {
		return none, problems.Fault("cannot read %s", source)
	}
	return doc, nil
}

// meta is what a document says of itself.
type meta struct{ apiVersion, kind field }

type field struct {
	value string
	line  int
	found bool
}

func metaOf(root *yaml.Node) meta {
	m := meta{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		f := field{value: root.Content[i+1].Value, line: root.Content[i].Line, found: true}
		switch root.Content[i].Value {
		case "apiVersion":
			m.apiVersion = f
		case "kind":
			m.kind = f
		}
	}
	return m
}

func (m meta) check() Problems {
	const cure = "write apiVersion: " + v1alpha1.APIVersion + ", or " + v1alpha1.KindAPIVersion + " for a document of kind's"
	problems := Problems{}
	switch v := m.apiVersion; {
	case !v.found || v.value == "":
		problems.Invalid("apiVersion", "it is missing; %s", cure)
	case v.value != v1alpha1.APIVersion && v.value != v1alpha1.KindAPIVersion:
		problems.Invalid("apiVersion", "%q is not one that cove reads; %s", v.value, cure)
		problems[0].Line = v.line
	}
	switch k := m.kind; {
	case !k.found || k.value == "":
		problems.Invalid("kind", "it is missing; write kind: %s", v1alpha1.KindCluster)
	case k.value != v1alpha1.KindCluster:
		problems.Invalid("kind", "%q is not one that cove reads; write kind: %s", k.value, v1alpha1.KindCluster)
		problems[len(problems)-1].Line = k.line
	}
	return problems
}

// decode turns the tree into a cluster. Everything that people get wrong is found by the check of the tree, which sees
// it all; the decoder stops at the first.
func decode(root *yaml.Node, fromKind bool) (v1alpha1.Cluster, Problems) {
	doc, target := v1alpha1.Cluster{}, any(nil)
	if fromKind {
		target = &doc.Cluster
	} else {
		target = &doc
	}
	problems := strict.Decode(root, target)
	if !fromKind {
		problems = append(problems, noNodes(root)...)
	}
	if len(problems) > 0 {
		return doc, problems
	}
	doc.FromKind = fromKind
	problems = lift(&doc)
	return doc, problems
}

// noNodes finds items of cove's list of nodes that say that there are none of them: once decoded, they are as those that leave it open.
func noNodes(root *yaml.Node) Problems {
	list := struct {
		Nodes []struct{ Count yaml.Node }
	}{}
	problems := Problems{}
	if root.Decode(&list) != nil { // the check of the tree says what is wrong
		return problems
	}
	for i, n := range list.Nodes {
		number := 0
		if n.Count.IsZero() || strict.IsNull(&n.Count) || n.Count.Decode(&number) != nil || number != 0 {
			continue
		}
		problems.Invalid(itemPath("nodes", i)+".count", "0 is no number of nodes; leave the item out")
		problems[len(problems)-1].Line = n.Count.Line
	}
	return problems
}

// lift moves what kind's document says of itself to where cove's has it, so that there is one place for it.
func lift(doc *v1alpha1.Cluster) Problems {
	problems, nested := Problems{}, &doc.Cluster
	if !doc.FromKind {
		if v := nested.APIVersion; v != "" && v != v1alpha1.KindAPIVersion {
			problems.Invalid("cluster.apiVersion", "%q is not one that cove reads; write %s, or leave it out", v, v1alpha1.KindAPIVersion)
		}
		if k := nested.Kind; k != "" && k != v1alpha1.KindCluster {
			problems.Invalid("cluster.kind", "%q is not one that cove reads; write %s, or leave it out", k, v1alpha1.KindCluster)
		}
		if nested.Name != "" && doc.Name != "" && nested.Name != doc.Name {
			problems.Invalid("cluster.name", "it is %q, but name is %q; leave out cluster.name", nested.Name, doc.Name)
		}
	}
	if doc.Name == "" {
		doc.Name = nested.Name
	}
	plain(doc)
	nested.TypeMeta, nested.Name = kind.TypeMeta{}, ""
	doc.APIVersion, doc.Kind = v1alpha1.APIVersion, v1alpha1.KindCluster
	return problems
}

// plain gives what is cove's the one form that it has when it is read back: nothing is empty but not nil, and a
// whole number is one, however it is written.
func plain(doc *v1alpha1.Cluster) {
	if len(doc.NodeSpecs) == 0 {
		doc.NodeSpecs = nil
	}
	if len(doc.CertificateAuthorities) == 0 {
		doc.CertificateAuthorities = nil
	}
	if len(doc.Registries.Mirrors) == 0 {
		doc.Registries.Mirrors = nil
	}
	if doc.Proxy != nil && len(doc.Proxy.NoProxy) == 0 {
		doc.Proxy.NoProxy = nil
	}
	if len(doc.Addons) == 0 {
		doc.Addons = nil
	}
	for i := range doc.Addons {
		a := &doc.Addons[i]
		a.Parameters = strict.PlainMap(a.Parameters)
		if a.Helm != nil {
			a.Helm.Values = strict.PlainMap(a.Helm.Values)
		}
	}
}

// Marshal writes a document as YAML that Parse reads back to the same. Fields that are empty are left out, so that what
// was not filled in by Default stays short.
func Marshal(doc v1alpha1.Cluster) ([]byte, error) {
	lifted := doc.DeepCopy()
	if problems := lift(lifted); len(problems) > 0 {
		return nil, problems.Fault("cannot write the cluster document")
	}
	// By way of JSON, which is YAML too: the YAML encoder's own choice of style for text cannot always be read back.
	flat, err := json.Marshal(lifted)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot write the cluster document")
	}
	tree := yaml.Node{}
	if err := yaml.Unmarshal(flat, &tree); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot write the cluster document")
	}
	restyle(&tree)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&tree); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot write the cluster document")
	}
	if err := enc.Close(); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot write the cluster document")
	}
	return b.Bytes(), nil
}

// restyle makes a tree that was JSON look as people write YAML. Text stays in quotes where the encoder would write
// something else than it was given: it knows no block that starts with white space or ends with an empty line, and takes
// << for a merge.
func restyle(n *yaml.Node) {
	odd := n.Value != strings.TrimLeft(n.Value, " \t\r\n") || strings.HasSuffix(n.Value, "\n\n") || n.Value == "<<"
	if n.Kind != yaml.ScalarNode || !odd {
		n.Style = 0
	}
	for _, child := range n.Content {
		restyle(child)
	}
}

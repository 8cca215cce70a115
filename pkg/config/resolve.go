package config

import (
	"path/filepath"
	"slices"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Overrides are the values of a cluster document that can be given without one, by flags or by settings. What is empty or
// nil says nothing.
type Overrides struct {
	Name              string
	Workers           *int
	ControlPlanes     *int
	Image             string
	KubernetesVersion string
}

// Input is what a cluster is made of.
type Input struct {
	// Document is the one that was given; nil where none was.
	Document *v1alpha1.Cluster
	// Settings come from the settings file and COVE_* variables: they fill in what Document leaves open.
	Settings Overrides
	// Flags were set on the command line: they win over Document.
	Flags Overrides
	// Dir is what a relative hostPath is relative to: as with kind, the directory that the command runs in. Without it
	// such a path is an error.
	Dir string
}

// Resolve joins what was given to one document, fills in the defaults and checks everything. Errors are ConfigInvalid,
// ConfigUnsupported or VersionUnknown, and hold all Problems.
func Resolve(in Input) (v1alpha1.Cluster, error) {
	doc := &v1alpha1.Cluster{}
	if in.Document != nil {
		doc = in.Document.DeepCopy()
	}
	if err := in.Flags.check("--workers", "--control-planes").fault("cannot use the command line"); err != nil {
		return v1alpha1.Cluster{}, err
	}
	if err := in.Settings.check("workers", "control-planes").fault("cannot use the settings"); err != nil {
		return v1alpha1.Cluster{}, err
	}
	fill(doc, in.Settings, in.Flags)
	override(doc, in.Flags)
	absolute(doc, in.Dir)
	Default(doc)
	if err := check(doc).fault("cannot use the cluster document"); err != nil {
		return v1alpha1.Cluster{}, err
	}
	return *doc, nil
}

// check judges the numbers of nodes, which a document does not show any more once it has been resized.
func (o Overrides) check(workers, controlPlanes string) Problems {
	problems := Problems{}
	if o.Workers != nil && *o.Workers < 0 {
		problems.invalid(workers, "%d is no number of nodes", *o.Workers)
	}
	switch n := o.ControlPlanes; {
	case n == nil || *n == 1:
	case *n < 1:
		problems.invalid(controlPlanes, "%d is too few; a cluster has one control plane", *n)
	default:
		problems.add(fault.ConfigUnsupported, controlPlanes, "more than one control plane is not supported yet; leave it at 1")
	}
	return problems
}

// fill gives a document what it leaves open. Image and version belong together: who names one of them, in the document
// or by a flag, has made the choice.
func fill(doc *v1alpha1.Cluster, settings, flags Overrides) {
	if doc.Name == "" && doc.Cluster.Name == "" {
		doc.Name = settings.Name
	}
	if len(doc.Cluster.Nodes) == 0 {
		resize(doc, kind.ControlPlaneRole, settings.ControlPlanes)
		resize(doc, kind.WorkerRole, settings.Workers)
	}
	ownImage := slices.ContainsFunc(doc.Cluster.Nodes, func(n kind.Node) bool { return n.Image != "" })
	if doc.Image == "" && doc.KubernetesVersion == "" && !ownImage && flags.Image == "" && flags.KubernetesVersion == "" {
		doc.Image, doc.KubernetesVersion = settings.Image, settings.KubernetesVersion
	}
}

func override(doc *v1alpha1.Cluster, flags Overrides) {
	if flags.Name != "" {
		doc.Name = flags.Name
	}
	if flags.Image != "" {
		// As kind has it: the flag goes for all nodes.
		doc.Image = flags.Image
		for i := range doc.Cluster.Nodes {
			doc.Cluster.Nodes[i].Image = ""
		}
	}
	if flags.KubernetesVersion != "" {
		doc.KubernetesVersion = flags.KubernetesVersion
	}
	resize(doc, kind.ControlPlaneRole, flags.ControlPlanes)
	resize(doc, kind.WorkerRole, flags.Workers)
}

// resize makes the document have n nodes of a role: the last ones go, plain ones are added at the end. Nil and negative
// numbers say nothing.
func resize(doc *v1alpha1.Cluster, role kind.NodeRole, n *int) {
	if n == nil || *n < 0 {
		return
	}
	nodes := doc.Cluster.Nodes
	if len(nodes) == 0 {
		nodes = []kind.Node{{Role: kind.ControlPlaneRole}}
	}
	have := 0
	nodes = slices.DeleteFunc(nodes, func(node kind.Node) bool {
		if node.Role == role || node.Role == "" && role == kind.ControlPlaneRole {
			have++
			return have > *n
		}
		return false
	})
	for ; have < *n; have++ {
		nodes = append(nodes, kind.Node{Role: role})
	}
	doc.Cluster.Nodes = nodes
}

func absolute(doc *v1alpha1.Cluster, dir string) {
	for i := range doc.Cluster.Nodes {
		for j := range doc.Cluster.Nodes[i].ExtraMounts {
			m := &doc.Cluster.Nodes[i].ExtraMounts[j]
			if dir != "" && m.HostPath != "" && !isAbsolute(m.HostPath) {
				m.HostPath = filepath.Join(dir, m.HostPath)
			}
		}
	}
}

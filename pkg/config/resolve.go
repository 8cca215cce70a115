package config

import (
	"path/filepath"
	"slices"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// Overrides are the values of a cluster document that can be given without one, by flags or by settings. What is empty or
// nil says nothing.
type Overrides struct {
	Name              string
	Workers           *int
	ControlPlanes     *int
	Image             string
	KubernetesVersion string
	// Profile is a profile's name, or the path of its file; a relative one starts at Input.Dir.
	Profile string
	// CNI is the addon for the pod network, or none.
	CNI string
	// Addons are added to what profile and document have; relative paths start at Input.Dir.
	Addons []v1alpha1.Addon
	// Parameters are KEY=VALUE by the addon that they are for.
	Parameters map[string][]string
	// Ports are added to those of the first control plane, Mounts to those of every node.
	Ports  []kind.PortMapping
	Mounts []kind.Mount
}

// Input is what a cluster is made of.
type Input struct {
	// Document is the one that was given; nil where none was.
	Document *v1alpha1.Cluster
	// DocumentDir is where relative paths of the document's profile and addons start. Without it, Dir is.
	DocumentDir string
	// Settings come from the settings file and COVE_* variables: they fill in what Document and the profile leave open.
	Settings Overrides
	// Flags were set on the command line: they win over Document.
	Flags Overrides
	// Dir is what a relative hostPath is relative to: as with kind, the directory that the command runs in. Without it
	// such a path is an error.
	Dir string
	// Catalogue has the profiles and the addons. With the zero value there are none, and what is said of them stays as it
	// is.
	Catalogue profile.Catalogue
}

// Resolve joins what was given to one document, fills in the defaults and checks everything. The document then names its
// profile, its pod network, and all its addons in the order in which they are applied, with all their parameters; those of
// the profile that were left out follow as disabled, so that the document resolves to itself. Errors are ConfigInvalid,
// ConfigUnsupported or VersionUnknown, or where they are about addons alone, AddonUnknown, AddonParameter, AddonRequires,
// AddonConflict or AddonUnfit, and hold all Problems; and ProfileUnknown, or what is wrong with the profile.
func Resolve(in Input) (v1alpha1.Cluster, error) {
	doc := &v1alpha1.Cluster{}
	if in.Document != nil {
		doc = in.Document.DeepCopy()
	}
	if err := in.Flags.check("--workers", "--control-planes").Fault("cannot use the command line"); err != nil {
		return v1alpha1.Cluster{}, err
	}
	if err := in.Settings.check("workers", "control-planes").Fault("cannot use the settings"); err != nil {
		return v1alpha1.Cluster{}, err
	}
	r := resolver{Input: in, doc: doc}
	if err := r.useProfile(); err != nil {
		return v1alpha1.Cluster{}, err
	}
	fill(doc, in.Settings, in.Flags)
	override(doc, in.Flags)
	absolute(doc, in.Dir)
	set := r.addons()
	Default(doc)
	problems := check(doc)
	problems = append(problems, r.problems...)
	if len(problems) == 0 {
		problems = r.finish(set)
	}
	if err := problems.Fault("cannot use the cluster document"); err != nil {
		return v1alpha1.Cluster{}, err
	}
	return *doc, nil
}

// check judges the numbers of nodes, which a document does not show any more once it has been resized.
func (o Overrides) check(workers, controlPlanes string) Problems {
	problems := Problems{}
	if o.Workers != nil && *o.Workers < 0 {
		problems.Invalid(workers, "%d is no number of nodes", *o.Workers)
	}
	switch n := o.ControlPlanes; {
	case n == nil || *n == 1:
	case *n < 1:
		problems.Invalid(controlPlanes, "%d is too few; a cluster has one control plane", *n)
	default:
		problems.Add(fault.ConfigUnsupported, controlPlanes, "more than one control plane is not supported yet; leave it at 1")
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
	if !choosesImage(doc, flags) {
		doc.Image, doc.KubernetesVersion = settings.Image, settings.KubernetesVersion
	}
}

// choosesImage reports whether document or flags name an image or a version.
func choosesImage(doc *v1alpha1.Cluster, flags Overrides) bool {
	return doc.Image != "" || doc.KubernetesVersion != "" || flags.Image != "" || flags.KubernetesVersion != "" ||
		slices.ContainsFunc(doc.Cluster.Nodes, func(n kind.Node) bool { return n.Image != "" })
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
	publish(doc, flags)
}

// publish adds what flags say of ports and mounts. Where the document has no control plane, it is refused later.
func publish(doc *v1alpha1.Cluster, flags Overrides) {
	if len(flags.Ports)+len(flags.Mounts) == 0 {
		return
	}
	if len(doc.Cluster.Nodes) == 0 {
		doc.Cluster.Nodes = []kind.Node{{Role: kind.ControlPlaneRole}}
	}
	for i := range doc.Cluster.Nodes {
		n := &doc.Cluster.Nodes[i]
		n.ExtraMounts = append(n.ExtraMounts, flags.Mounts...)
	}
	if first := firstControlPlane(doc.Cluster.Nodes); first >= 0 {
		n := &doc.Cluster.Nodes[first]
		n.ExtraPortMappings = append(n.ExtraPortMappings, flags.Ports...)
	}
}

// firstControlPlane returns the index of the first control plane, -1 where there is none.
func firstControlPlane(nodes []kind.Node) int {
	return slices.IndexFunc(nodes, func(n kind.Node) bool { return n.Role == kind.ControlPlaneRole || n.Role == "" })
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

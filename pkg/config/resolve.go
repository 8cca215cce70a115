package config

import (
	"slices"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
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
	// CPUs and Memory are the size of every node, as NodeSpec has them. Flags win over what nodes have of their own, settings
	// do not.
	CPUs, Memory string
}

// Input is what a cluster is made of.
type Input struct {
	// Document is the one that was given; nil where none was.
	Document *v1alpha1.Cluster
	// Current is the document that the cluster follows, where there is one. A Document that has all of it, changed or not, does
	// without its profile, and addons that are as they are in Current need not be found, and are not judged.
	Current *v1alpha1.Cluster
	// DocumentDir is where relative paths of the document's profile, addons and certificates start. Without it, Dir is.
	DocumentDir string
	// Settings come from the settings file and COVE_* variables: they fill in what Document and the profile leave open.
	Settings Overrides
	// Flags were set on the command line: they win over Document.
	Flags Overrides
	// Dir is what a relative hostPath is relative to: as with kind, the directory that the command runs in. Without it
	// such a path is an error.
	Dir string
	// Environ returns the value of a variable of the command's environment, for the proxy of a document that names none; nil
	// is an empty environment.
	Environ func(name string) string
	// Warn is called with what of the environment is left out, and why. Path is the variable. It may be nil.
	Warn func(Problem)
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
	if err := in.Flags.check("--").Fault("cannot use the command line"); err != nil {
		return v1alpha1.Cluster{}, err
	}
	if err := in.Settings.check("").Fault("cannot use the settings"); err != nil {
		return v1alpha1.Cluster{}, err
	}
	r := resolver{Input: in, doc: doc}
	if err := r.useProfile(); err != nil {
		return v1alpha1.Cluster{}, err
	}
	r.items = itemsOf(doc)
	r.fill()
	r.override()
	absolute(r.items, in.Dir)
	r.environProxy()
	r.inline()
	set := r.addons()
	r.items = defaults(doc, r.items)
	problems := check(doc, r.items)
	problems = append(problems, r.problems...)
	if len(problems) == 0 {
		problems = r.finish(set)
	}
	store(doc, r.items)
	if err := problems.Fault("cannot use the cluster document"); err != nil {
		return v1alpha1.Cluster{}, err
	}
	return *doc, nil
}

// check judges what a document does not show any more once it has been changed by it: the numbers of nodes and their sizes.
// dashes are what the names begin with.
func (o Overrides) check(dashes string) Problems {
	problems := Problems{}
	if n := o.Workers; n != nil && *n < 0 {
		problems.Invalid(dashes+"workers", "%d is no number of nodes", *n)
	} else if n != nil && *n > maxWorkers {
		problems.Invalid(dashes+"workers", "%d are too many; a cluster has up to %d workers", *n, maxWorkers)
	}
	if n := o.ControlPlanes; n != nil {
		if problem := wrongNumber(*n); problem != "" {
			problems.Invalid(dashes+"control-planes", "%s", problem)
		}
	}
	checkSize(&problems, dashes, "a control plane", o.CPUs, o.Memory, minControlPlane())
	return problems
}

// fill gives a document what it leaves open. Image and version belong together: who names one of them, in the document
// or by a flag, has made the choice.
func (r *resolver) fill() {
	doc, settings, path := r.doc, r.Settings, nodesPath(r.doc)
	if doc.Name == "" && doc.Cluster.Name == "" {
		r.rename(settings.Name)
	}
	if len(r.items) == 0 {
		r.items = resize(r.items, kind.ControlPlaneRole, settings.ControlPlanes, path)
		r.items = resize(r.items, kind.WorkerRole, settings.Workers, path)
	}
	if !choosesImage(doc, r.Flags) {
		doc.Image, doc.KubernetesVersion = settings.Image, settings.KubernetesVersion
	}
}

// choosesImage reports whether document or flags name an image or a version.
func choosesImage(doc *v1alpha1.Cluster, flags Overrides) bool {
	return doc.Image != "" || doc.KubernetesVersion != "" || flags.Image != "" || flags.KubernetesVersion != "" ||
		slices.ContainsFunc(itemsOf(doc), func(n item) bool { return n.Image != "" })
}

func (r *resolver) override() {
	doc, flags, path := r.doc, r.Flags, nodesPath(r.doc)
	r.rename(flags.Name)
	if flags.Image != "" {
		// As kind has it: the flag goes for all nodes.
		doc.Image = flags.Image
		for i := range r.items {
			r.items[i].Image = ""
		}
	}
	if flags.KubernetesVersion != "" {
		doc.KubernetesVersion = flags.KubernetesVersion
	}
	r.items = resize(r.items, kind.ControlPlaneRole, flags.ControlPlanes, path)
	r.items = resize(r.items, kind.WorkerRole, flags.Workers, path)
	r.items = publish(r.items, flags, path)
	r.items = size(r.items, r.Settings, flags, path)
}

// rename gives the cluster another name, if it is one. Full names of nodes begin with the old one.
func (r *resolver) rename(name string) {
	if name == "" {
		return
	}
	for i := range r.items {
		r.items[i].Name = r.doc.ShortName(r.items[i].Name)
	}
	r.doc.Name = name
}

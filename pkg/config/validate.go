package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/profile"
)

// Validate checks a whole document and returns everything that is wrong with it as one error: ConfigInvalid, or
// ConfigUnsupported where all it has is fields that this version of cove does not honour, or VersionUnknown. What the
// document leaves open counts as Default would fill it in.
func Validate(doc v1alpha1.Cluster) error {
	full := doc.DeepCopy()
	return check(full, defaults(full, itemsOf(full))).Fault("cannot use the cluster document")
}

// check finds all problems of a complete document, which has these nodes.
func check(doc *v1alpha1.Cluster, items []item) Problems {
	v := newValidator(doc, items)
	v.name()
	v.version()
	v.addons()
	v.nodes()
	v.ports()
	v.networking()
	v.trust()
	v.components()
	v.patches()
	return v.problems
}

type validator struct {
	problems Problems
	doc      *v1alpha1.Cluster
	items    []item
	prefix   string // of the paths of what is kind's
}

func newValidator(doc *v1alpha1.Cluster, items []item) *validator {
	v := &validator{doc: doc, items: items, prefix: "cluster."}
	if doc.FromKind {
		v.prefix = ""
	}
	return v
}

// in returns the path of a field of kind's document.
func (v *validator) in(format string, args ...any) string {
	return v.prefix + fmt.Sprintf(format, args...)
}

func (v *validator) name() {
	name := v.doc.Name
	switch {
	case len(content.IsDNS1123Label(name)) > 0:
		v.problems.Invalid("name", "%q cannot be part of a host name; use lower-case letters, digits and hyphens, and start and end with a letter or digit", name)
	case len(name) > v1alpha1.MaxNameLength:
		v.problems.Invalid("name", "%q is %d characters long; use up to %d, the names of the nodes are longer by some", name, len(name), v1alpha1.MaxNameLength)
	}
}

// addons checks what can be checked without a catalogue.
func (v *validator) addons() {
	v.problems = append(v.problems, profile.CheckAddons(v.doc.Addons)...)
	if cni := v.doc.CNI; cni != "" && len(content.IsDNS1123Label(cni)) > 0 {
		v.problems.Invalid("cni", "%q is no name of an addon", cni)
	}
}

func (v *validator) version() {
	full, problem := checkVersion(v.doc.KubernetesVersion)
	if problem != nil {
		v.problems.Add(problem.Code, "kubernetesVersion", "%s: %s", strconv.Quote(full), problem.Message)
		return
	}
	first := firstControlPlane(v.items)
	for i, n := range v.items {
		path, image := n.path+".image", n.Image
		if image == "" {
			path, image = "image", v.doc.Image
		}
		said := slices.ContainsFunc(v.problems, func(p Problem) bool { return p.Path == path })
		if problem := imageProblem(image, full, n.Role, i == first); problem != "" && !said {
			v.problems.Invalid(path, "%s", problem)
		}
	}
}

// components checks what goes to the Kubernetes components as flags, where a comma or an equals sign would start
// something else.
func (v *validator) components() {
	gate := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
	for _, name := range slices.Sorted(maps.Keys(v.doc.Cluster.FeatureGates)) {
		if !gate.MatchString(name) {
			v.problems.Invalid(v.in("featureGates[%q]", name), "it is no name of a feature gate, which has letters and digits only")
		}
	}
	api := regexp.MustCompile(`^[a-z0-9]([a-z0-9./-]*[a-z0-9])?$`)
	for _, name := range slices.Sorted(maps.Keys(v.doc.Cluster.RuntimeConfig)) {
		path, value := v.in("runtimeConfig[%q]", name), v.doc.Cluster.RuntimeConfig[name]
		if !api.MatchString(name) {
			v.problems.Invalid(path, "it is no name of an API; write it as batch/v1 or api/all")
		}
		if _, err := strconv.ParseBool(value); err != nil {
			v.problems.Invalid(path, "%q is neither \"true\" nor \"false\"", value)
		}
	}
}

// Warnings returns what a valid document asks for and yet will change nothing, as kind takes it without a word: patches of
// an apiVersion that cove does not write. People should see them before the cluster is made.
func Warnings(doc v1alpha1.Cluster) Problems {
	full := doc.DeepCopy()
	v := newValidator(full, defaults(full, itemsOf(full)))
	v.idlePatches()
	return v.problems
}

package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/config/strict"
)

// patchable returns the objects of kubeadm's configuration that patches can change, with the apiVersion that cove writes
// them in.
func patchable() map[string]string {
	return map[string]string{
		"ClusterConfiguration":   "kubeadm.k8s.io/v1beta4",
		"InitConfiguration":      "kubeadm.k8s.io/v1beta4",
		"JoinConfiguration":      "kubeadm.k8s.io/v1beta4",
		"KubeletConfiguration":   "kubelet.config.k8s.io/v1beta1",
		"KubeProxyConfiguration": "kubeproxy.config.k8s.io/v1alpha1",
	}
}

// patchTarget is the object that a patch is for. An apiVersion, if there is one, must match for the patch to apply.
type patchTarget struct{ Kind, APIVersion string }

func (v *validator) patches() {
	c := v.doc.Cluster
	v.kubeadmPatches(v.in("kubeadmConfigPatches"), c.KubeadmConfigPatches)
	v.jsonPatches(v.in("kubeadmConfigPatchesJSON6902"), c.KubeadmConfigPatchesJSON6902)
	for _, n := range v.items {
		v.kubeadmPatches(n.path+".kubeadmConfigPatches", n.KubeadmConfigPatches)
		v.jsonPatches(n.path+".kubeadmConfigPatchesJSON6902", n.KubeadmConfigPatchesJSON6902)
	}
	for i, patch := range c.ContainerdConfigPatches {
		path := v.in("containerdConfigPatches[%d]", i)
		if strings.TrimSpace(patch) == "" {
			v.problems.Invalid(path, "it is empty; remove it")
			continue
		}
		if err := toml.Unmarshal([]byte(patch), &map[string]any{}); err != nil {
			v.problems.Invalid(path, "it is no TOML: %s", tomlCause(err))
		}
	}
	for i, patch := range c.ContainerdConfigPatchesJSON6902 {
		v.operations(v.in("containerdConfigPatchesJSON6902[%d]", i), patch)
	}
}

func tomlCause(err error) string {
	if at := (*toml.DecodeError)(nil); errors.As(err, &at) {
		row, _ := at.Position()
		return fmt.Sprintf("line %d: %s", row, strings.TrimPrefix(at.Error(), "toml: "))
	}
	return strings.TrimPrefix(err.Error(), "toml: ")
}

func (v *validator) kubeadmPatches(path string, patches []string) {
	for i, patch := range patches {
		at := fmt.Sprintf("%s[%d]", path, i)
		targets, err := patchTargets(patch)
		switch {
		case err != nil:
			v.problems.Invalid(at, "it is no YAML mapping: %s", strict.Cause(err))
		case len(targets) == 0:
			v.problems.Invalid(at, "it is empty; remove it")
		}
		for _, t := range targets {
			v.patchKind(at+": kind", t.Kind)
		}
	}
}

// patchTargets reads what the documents of a merge patch are for; kind takes several in one string.
func patchTargets(patch string) ([]patchTarget, error) {
	out := []patchTarget{}
	for dec := yaml.NewDecoder(strings.NewReader(patch)); ; {
		n := yaml.Node{}
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(n.Content) == 0 || strict.IsNull(n.Content[0]) {
			continue
		}
		// The whole patch is decoded, so that a field that is given twice, or a loop of aliases, is found here.
		fields := map[string]any{}
		if err := n.Decode(&fields); err != nil {
			return nil, err
		}
		t := patchTarget{}
		t.Kind, _ = fields["kind"].(string)
		t.APIVersion, _ = fields["apiVersion"].(string)
		out = append(out, t)
	}
}

func (v *validator) patchKind(path, name string) {
	known := slices.Sorted(maps.Keys(patchable()))
	switch {
	case slices.Contains(known, name):
	case name == "":
		v.problems.Invalid(path, "it is missing; name one of %s", strings.Join(known, ", "))
	default:
		v.problems.Invalid(path, "%q is not one of %s", name, strings.Join(known, ", "))
	}
}

// operation is one of a JSON patch. https://www.rfc-editor.org/rfc/rfc6902#section-4
type operation struct {
	Op    string  `yaml:"op"`
	Path  *string `yaml:"path"`
	From  *string `yaml:"from"`
	Value any     `yaml:"value"`
}

func (v *validator) jsonPatches(path string, patches []kind.PatchJSON6902) {
	for i, p := range patches {
		at := fmt.Sprintf("%s[%d]", path, i)
		v.patchKind(at+".kind", p.Kind)
		if p.Group != "" && p.Version == "" {
			v.problems.Invalid(at+".version", "it is missing, but group is %q; give both, or neither", p.Group)
		}
		v.operations(at+".patch", p.Patch)
	}
}

func (v *validator) operations(path, patch string) {
	root, ops := yaml.Node{}, []operation{}
	switch err := yaml.Unmarshal([]byte(patch), &root); {
	case err != nil:
		v.problems.Invalid(path, "it is no YAML: %s", strict.Cause(err))
		return
	case len(root.Content) == 0 || strict.IsNull(root.Content[0]):
		v.problems.Invalid(path, "it is empty; remove it")
		return
	}
	problems := strict.Check(root.Content[0], &ops)
	for _, p := range problems {
		v.problems.Invalid(path, "%s", p)
	}
	if len(problems) > 0 {
		return
	}
	if err := root.Decode(&ops); err != nil {
		v.problems.Invalid(path, "it is no list of operations: %s", strict.Cause(err))
		return
	}
	for j, op := range ops {
		if cause := op.problem(); cause != "" {
			v.problems.Invalid(path, "[%d]: %s", j, cause)
		}
	}
}

func (o operation) problem() string {
	switch o.Op {
	case "add", "remove", "replace", "test":
	case "move", "copy":
		if !isPointer(o.From) {
			return "from must be a path that starts with a slash"
		}
	default:
		return fmt.Sprintf("op %q is not one of add, remove, replace, move, copy, test", o.Op)
	}
	if !isPointer(o.Path) {
		return "path must be one that starts with a slash"
	}
	return ""
}

func isPointer(s *string) bool { return s != nil && (*s == "" || strings.HasPrefix(*s, "/")) }

// idlePatches warns of patches for an apiVersion that cove does not write: they match nothing, by kind's own rule. It says
// nothing of those that stand beside one for the same object that does match: such pairs are written on purpose.
func (v *validator) idlePatches() {
	c := v.doc.Cluster
	v.idle(v.in("kubeadmConfigPatches"), v.in("kubeadmConfigPatchesJSON6902"), c.KubeadmConfigPatches, c.KubeadmConfigPatchesJSON6902)
	for _, n := range v.items {
		v.idle(n.path+".kubeadmConfigPatches", n.path+".kubeadmConfigPatchesJSON6902", n.KubeadmConfigPatches, n.KubeadmConfigPatchesJSON6902)
	}
}

func (v *validator) idle(mergePath, jsonPath string, merge []string, jsons []kind.PatchJSON6902) {
	type sighting struct {
		path string
		patchTarget
	}
	seen, matched, objects := []sighting{}, map[string]bool{}, patchable()
	note := func(path string, t patchTarget) {
		// v1beta3 is what many files of kind's have; it is turned into what cove writes.
		if t.APIVersion == "" || t.APIVersion == objects[t.Kind] || t.APIVersion == "kubeadm.k8s.io/v1beta3" {
			matched[t.Kind] = true
			return
		}
		seen = append(seen, sighting{path, t})
	}
	for i, patch := range merge {
		targets, err := patchTargets(patch)
		if err != nil {
			continue // Validate reports it
		}
		for _, t := range targets {
			note(fmt.Sprintf("%s[%d]", mergePath, i), t)
		}
	}
	for i, p := range jsons {
		api := p.Version
		if p.Group != "" {
			api = p.Group + "/" + p.Version
		}
		note(fmt.Sprintf("%s[%d]", jsonPath, i), patchTarget{p.Kind, api})
	}
	for _, s := range seen {
		if !matched[s.Kind] {
			v.problems.Invalid(s.path, "it changes nothing: it is for %s of %s, which cove writes as %s; leave out the version",
				s.Kind, s.APIVersion, objects[s.Kind])
		}
	}
}

package addon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
)

// InUse lists what others would lose with the addon: objects of the kinds that it brought, and objects in the namespaces
// that it made. It is AddonNotInstalled where the addon is not on the cluster.
func (m *Manager) InUse(ctx context.Context, name string) ([]kube.Ref, error) {
	in, err := m.mustLookup(ctx, name)
	if err != nil {
		return nil, err
	}
	members, err := m.members(ctx, in)
	if err != nil {
		return nil, err
	}
	crds, namespaces := map[schema.GroupKind]bool{}, map[string]bool{}
	for _, o := range members {
		switch o.GetKind() {
		case "CustomResourceDefinition":
			group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
			crds[schema.GroupKind{Group: group, Kind: kind}] = true
		case "Namespace":
			namespaces[o.GetName()] = true
		}
	}
	kinds := slices.Collect(func(yield func(schema.GroupKind) bool) {
		for k := range crds {
			if !yield(k) {
				return
			}
		}
	})
	all, err := m.API.List(ctx, append(kinds, userKinds()...), "!"+labelPartOf)
	if err != nil {
		return nil, err
	}
	var used []kube.Ref
	for _, o := range all {
		own := crds[o.GroupVersionKind().GroupKind()]
		if (own || namespaces[o.GetNamespace()]) && !automatic(o) {
			used = append(used, kube.RefOf(o))
		}
	}
	slices.SortFunc(used, func(a, b kube.Ref) int { return strings.Compare(a.String(), b.String()) })
	return used, nil
}

// userKinds are the kinds that people put into namespaces.
func userKinds() []schema.GroupKind {
	return []schema.GroupKind{
		{Kind: "Pod"}, {Kind: "Service"}, {Kind: "ConfigMap"}, {Kind: "Secret"}, {Kind: "PersistentVolumeClaim"},
		{Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "StatefulSet"}, {Group: "apps", Kind: "DaemonSet"},
		{Group: "batch", Kind: "Job"}, {Group: "batch", Kind: "CronJob"}, {Group: "networking.k8s.io", Kind: "Ingress"},
	}
}

// automatic reports whether Kubernetes or a controller made the object.
func automatic(o *unstructured.Unstructured) bool {
	return len(o.GetOwnerReferences()) > 0 || o.GetKind() == "ConfigMap" && o.GetName() == "kube-root-ca.crt"
}

// shown is how many objects an error lists.
const shown = 5

// Remove takes the addon off the cluster: everything that is part of its set, and nothing else. Without force it refuses
// (AddonInUse) where others would lose something: see InUse. It may be called again after it was cut off. Where
// something does not go in time, the error (AddonFailed) says what, and what holds it.
func (m *Manager) Remove(ctx context.Context, name string, force bool, rep *event.Reporter) error {
	in, err := m.mustLookup(ctx, name)
	if err != nil {
		return err
	}
	if !force {
		used, err := m.InUse(ctx, name)
		if err != nil {
			return err
		}
		if len(used) > 0 {
			return inUse(name, used)
		}
	}
	if err := m.writeParent(ctx, in, StateRemoving); err != nil {
		return err
	}
	members, err := m.members(ctx, in)
	if err != nil {
		return err
	}
	if err := m.deleteInOrder(ctx, members, rep); err != nil {
		return fault.Wrap(fault.AddonFailed, err, "cannot remove addon %s", name)
	}
	parent, err := in.parent()
	if err != nil {
		return err
	}
	return m.API.Delete(ctx, []*unstructured.Unstructured{parent}, nil)
}

func inUse(name string, used []kube.Ref) error {
	names := make([]string, 0, shown+1)
	for i, r := range used {
		if i == shown {
			names = append(names, fmt.Sprintf("%d more", len(used)-shown))
			break
		}
		names = append(names, r.String())
	}
	return fault.New(fault.AddonInUse, "addon %s is in use: %s would go with it", name, strings.Join(names, ", "))
}

func (m *Manager) mustLookup(ctx context.Context, name string) (*installed, error) {
	in, err := m.lookup(ctx, name)
	if err == nil && in == nil {
		err = fault.New(fault.AddonNotInstalled, "addon %s is not on the cluster", name)
	}
	return in, err
}

// deleteInOrder removes objects so that nothing is left without the controller that must clear it away: objects of
// other kinds than Kubernetes' own first, then what runs and serves, then definitions of kinds, then namespaces.
func (m *Manager) deleteInOrder(ctx context.Context, objs []*unstructured.Unstructured, rep *event.Reporter) error {
	var waves [4][]*unstructured.Unstructured
	for _, o := range objs {
		w := 1
		_, builtIn := kube.Namespaced(o.GroupVersionKind())
		switch {
		case !builtIn:
			w = 0
		case o.GetKind() == "CustomResourceDefinition":
			w = 2
		case o.GetKind() == "Namespace":
			w = 3
		}
		waves[w] = append(waves[w], o)
	}
	for _, wave := range waves {
		if len(wave) == 0 {
			continue
		}
		if err := m.API.Delete(ctx, wave, func(s string) { rep.Waiting("%s", s) }); err != nil {
			return err
		}
	}
	return nil
}

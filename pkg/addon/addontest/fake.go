// Package addontest has an API server's objects in memory, for tests of what works on addons, and the suite that it and a
// real one both pass. Nothing of it is linked into the released program.
package addontest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
)

// API is a cluster's objects in memory. The zero value is empty. It knows of no kinds: whatever is applied is there.
type API struct {
	// Fail lets calls fail, by their name ("Apply") or their name and an object's ("Apply deployment mine/web").
	Fail map[string]error
	// Late says what objects lack to be ready, by their reference's text; others are ready at once.
	Late map[string]string

	mu      sync.Mutex
	objects map[string]*unstructured.Unstructured
	owned   map[string]map[string]any // what was applied last, by the same keys
	made    int
	deleted []string
}

func key(gvk schema.GroupVersionKind, namespace, name string) string {
	return gvk.GroupKind().String() + " " + namespace + "/" + name
}

func keyOf(o *unstructured.Unstructured) string {
	return key(o.GroupVersionKind(), o.GetNamespace(), o.GetName())
}

func keyOfRef(r kube.Ref) string {
	return key(schema.FromAPIVersionAndKind(r.APIVersion, r.Kind), r.Namespace, r.Name)
}

func (a *API) fail(call string, o fmt.Stringer) error {
	if err := a.Fail[call]; err != nil {
		return err
	}
	if o == nil {
		return nil
	}
	return a.Fail[call+" "+o.String()]
}

// Names returns the references of the objects that are there, ordered.
func (a *API) Names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, o := range a.objects {
		names = append(names, kube.RefOf(o).String())
	}
	slices.Sort(names)
	return names
}

// Deleted returns the references of the objects that were deleted, in that order.
func (a *API) Deleted() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.deleted)
}

// Change changes an object as someone else would: none of it becomes cove's.
func (a *API) Change(r kube.Ref, change func(o *unstructured.Unstructured)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a.objects[keyOfRef(r)])
}

// Add puts an object there as someone else would.
func (a *API) Add(o *unstructured.Unstructured) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.put(o.DeepCopy())
}

func (a *API) put(o *unstructured.Unstructured) *unstructured.Unstructured {
	if a.objects == nil {
		a.objects, a.owned = map[string]*unstructured.Unstructured{}, map[string]map[string]any{}
	}
	if o.GetUID() == "" {
		a.made++
		o.SetUID(types.UID(fmt.Sprintf("uid-%d", a.made)))
	}
	a.objects[keyOf(o)] = o
	return o.DeepCopy()
}

// Apply merges the objects into what is there, as a server does for one field manager.
func (a *API) Apply(_ context.Context, objs []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*unstructured.Unstructured
	for _, o := range objs {
		if err := a.fail("Apply", kube.RefOf(o)); err != nil {
			return nil, err
		}
		out = append(out, a.put(a.merged(o)))
		a.owned[keyOf(o)] = o.DeepCopy().Object
	}
	return out, nil
}

// merged is what comes of applying an object.
func (a *API) merged(o *unstructured.Unstructured) *unstructured.Unstructured {
	live := map[string]any{}
	if there := a.objects[keyOf(o)]; there != nil {
		live = there.DeepCopy().Object
		drop(live, a.owned[keyOf(o)], o.Object)
	}
	merge(live, o.DeepCopy().Object)
	return &unstructured.Unstructured{Object: live}
}

// drop removes what was applied before and is not any more.
func drop(live, before, now map[string]any) {
	for k, old := range before {
		next, still := now[k]
		if !still {
			delete(live, k)
			continue
		}
		liveMap, ok1 := live[k].(map[string]any)
		oldMap, ok2 := old.(map[string]any)
		nextMap, ok3 := next.(map[string]any)
		if ok1 && ok2 && ok3 {
			drop(liveMap, oldMap, nextMap)
		}
	}
}

func merge(into, from map[string]any) {
	for k, v := range from {
		m, isMap := v.(map[string]any)
		have, hasMap := into[k].(map[string]any)
		if isMap && hasMap {
			merge(have, m)
			continue
		}
		into[k] = v
	}
}

// DryRun returns what would come of applying the object.
func (a *API) DryRun(_ context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.fail("DryRun", kube.RefOf(o)); err != nil {
		return nil, err
	}
	return a.merged(o), nil
}

// Get returns an object; nil where there is none.
func (a *API) Get(_ context.Context, r kube.Ref) (*unstructured.Unstructured, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.fail("Get", r); err != nil {
		return nil, err
	}
	if o := a.objects[keyOfRef(r)]; o != nil {
		return o.DeepCopy(), nil
	}
	return nil, nil //nolint:nilnil // as the real one
}

// Create makes an object unless there is one.
func (a *API) Create(_ context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.fail("Create", kube.RefOf(o)); err != nil {
		return nil, false, err
	}
	if there := a.objects[keyOf(o)]; there != nil {
		return there.DeepCopy(), false, nil
	}
	return a.put(o.DeepCopy()), true, nil
}

// List returns the objects of the kinds that the label selector chooses.
func (a *API) List(_ context.Context, kinds []schema.GroupKind, selector string) ([]*unstructured.Unstructured, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.fail("List", nil); err != nil {
		return nil, err
	}
	chosen, err := labels.Parse(selector)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, k := range kinds {
		for _, name := range slices.Sorted(maps.Keys(a.objects)) {
			o := a.objects[name]
			if o.GroupVersionKind().GroupKind() == k && chosen.Matches(labels.Set(o.GetLabels())) {
				out = append(out, o.DeepCopy())
			}
		}
	}
	return out, nil
}

// Delete deletes the objects, and with a namespace all that is in it, with a definition all of its kind.
func (a *API) Delete(_ context.Context, objs []*unstructured.Unstructured, _ func(string)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range objs {
		r := kube.RefOf(o)
		if err := a.fail("Delete", r); err != nil {
			return err
		}
		if a.objects[keyOf(o)] == nil {
			continue
		}
		a.deleted = append(a.deleted, r.String())
		delete(a.objects, keyOf(o))
		delete(a.owned, keyOf(o))
		maps.DeleteFunc(a.objects, func(_ string, other *unstructured.Unstructured) bool { return goesWith(other, o) })
	}
	return nil
}

// goesWith reports whether an object cannot stay when another one goes.
func goesWith(o, gone *unstructured.Unstructured) bool {
	switch gone.GetKind() {
	case "Namespace":
		return o.GetNamespace() == gone.GetName()
	case "CustomResourceDefinition":
		group, _, _ := unstructured.NestedString(gone.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(gone.Object, "spec", "names", "kind")
		return o.GroupVersionKind().GroupKind() == schema.GroupKind{Group: group, Kind: kind}
	}
	return false
}

// WaitReady fails where an object is not there, or late.
func (a *API) WaitReady(ctx context.Context, refs []kube.Ref, report func(string)) error {
	if err := a.fail("WaitReady", nil); err != nil {
		return err
	}
	lacks, err := a.Lacks(ctx, refs)
	if err != nil {
		return err
	}
	for _, r := range refs {
		if report != nil {
			report(r.String())
		}
		if lacks[r] != "" {
			return fault.New(fault.AddonFailed, "not everything became ready in time: %s: %s", r, lacks[r])
		}
	}
	return nil
}

// Lacks says what the objects lack.
func (a *API) Lacks(_ context.Context, refs []kube.Ref) (map[kube.Ref]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.fail("Lacks", nil); err != nil {
		return nil, err
	}
	out := map[kube.Ref]string{}
	for _, r := range refs {
		switch {
		case a.Late[r.String()] != "":
			out[r] = a.Late[r.String()]
		case a.objects[keyOfRef(r)] == nil && !strings.Contains(r.Kind, "APIService"): // which others make
			out[r] = "does not exist"
		}
	}
	return out, nil
}

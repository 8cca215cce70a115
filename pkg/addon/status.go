package addon

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/kube"
)

// Health is how an addon is.
type Health string

// The healths.
const (
	Healthy     Health = "healthy"
	Progressing Health = "progressing" // on its way
	Failed      Health = "failed"      // it does not get there by itself, as far as can be told
	Interrupted Health = "interrupted" // a run was cut off: the next one mends it
)

// Status is what there is to say of an addon on a cluster.
type Status struct {
	Record
	Health   Health   `json:"health"`
	Problems []string `json:"problems,omitempty"` // why it is not healthy, with what its pods say
	Drift    []string `json:"drift,omitempty"`    // what someone changed since: "deployment x/y: spec.replicas"
}

// Status returns how the addons are that are named, or all that are on the cluster, ordered by name, and what has
// drifted. AddonNotInstalled where a named one is not there.
func (m *Manager) Status(ctx context.Context, names ...string) ([]Status, error) {
	return m.each(ctx, names, func(ctx context.Context, in *installed) (Status, error) {
		s, err := m.health(ctx, in)
		if err != nil || in.State != StateApplied {
			return s, err
		}
		s.Drift, err = m.drift(ctx, in)
		return s, err
	})
}

// Health is Status without the search for drift, which asks the server about every object.
func (m *Manager) Health(ctx context.Context, names ...string) ([]Status, error) {
	return m.each(ctx, names, m.health)
}

func (m *Manager) each(ctx context.Context, names []string, fn func(context.Context, *installed) (Status, error)) ([]Status, error) {
	var all []*installed
	var err error
	if len(names) == 0 {
		if all, err = m.installed(ctx); err != nil {
			return nil, err
		}
	}
	for _, n := range names {
		in, err := m.mustLookup(ctx, n)
		if err != nil {
			return nil, err
		}
		all = append(all, in)
	}
	out := make([]Status, len(all))
	group, ctx := errgroup.WithContext(ctx)
	for i, in := range all {
		group.Go(func() (err error) { out[i], err = fn(ctx, in); return })
	}
	return out, group.Wait()
}

// health looks at the objects that may take their time, or not get there.
func (m *Manager) health(ctx context.Context, in *installed) (Status, error) {
	s := Status{Record: in.Record, Health: Healthy}
	if in.State != StateApplied {
		s.Health, s.Problems = Interrupted, []string{"the run that was " + string(in.State) + " it did not end"}
		return s, nil
	}
	refs := slices.Clone(in.Ready)
	for _, o := range in.objs {
		refs = append(refs, kube.RefOf(o))
	}
	lacks, err := m.API.Lacks(ctx, refs)
	if err != nil {
		return s, err
	}
	for _, r := range refs {
		lack := lacks[r]
		if lack == "" {
			continue
		}
		s.Problems = append(s.Problems, r.String()+": "+lack)
		if s.Health != Failed {
			s.Health = Progressing
		}
		if serious(lack) {
			s.Health = Failed
		}
	}
	return s, nil
}

// serious tells what does not pass by itself from what does: the words are those of kstatus and of the kubelet.
func serious(lack string) bool {
	return slices.ContainsFunc([]string{
		"does not exist", "deadline exceeded", "again and again", "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
		"CreateContainerConfigError", "CreateContainerError", "ended with status", "not scheduled",
	}, func(word string) bool { return strings.Contains(lack, word) })
}

// drift compares what was applied with what is there: the server itself says what applying again would change.
func (m *Manager) drift(ctx context.Context, in *installed) ([]string, error) {
	found := make([][]string, len(in.objs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(driftParallel)
	for i, o := range labelled(in.objs, in.Name) {
		group.Go(func() (err error) { found[i], err = m.driftOf(ctx, in, o); return })
	}
	err := group.Wait()
	return slices.Concat(found...), err
}

const driftParallel = 16

func (m *Manager) driftOf(ctx context.Context, in *installed, o *unstructured.Unstructured) ([]string, error) {
	ref := kube.RefOf(o)
	live, err := m.API.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return []string{ref.String() + ": it was removed"}, nil
	}
	if slices.Contains(in.Generated, o.GetNamespace()+"/"+o.GetName()) { // its values are its own
		return nil, nil
	}
	would, err := m.API.DryRun(ctx, o)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, path := range differences(essence(live), essence(would), "") {
		out = append(out, ref.String()+": "+path)
	}
	return out, nil
}

// essence is an object without what the server writes by itself.
func essence(o *unstructured.Unstructured) map[string]any {
	c := o.DeepCopy()
	for _, f := range []string{"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"} {
		unstructured.RemoveNestedField(c.Object, "metadata", f)
	}
	delete(c.Object, "status")
	return c.Object
}

// differences returns the paths at which two values differ.
func differences(a, b any, path string) []string {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	am, aIsMap := a.(map[string]any)
	bm, bIsMap := b.(map[string]any)
	as, aIsList := a.([]any)
	bs, bIsList := b.([]any)
	var out []string
	switch {
	case aIsMap && bIsMap:
		keys := map[string]bool{}
		for k := range am {
			keys[k] = true
		}
		for k := range bm {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			out = append(out, differences(am[k], bm[k], strings.TrimPrefix(path+"."+k, "."))...)
		}
	case aIsList && bIsList && len(as) == len(bs):
		for i := range as {
			out = append(out, differences(as[i], bs[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
	default:
		return []string{path}
	}
	return out
}

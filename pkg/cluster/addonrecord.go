package cluster

import (
	"context"
	"slices"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/profile"
)

// lock locks the cluster for a run on its addons. One that is half-way to another version is refused: the addons of the node image change
// with it.
func (t *AddonTarget) lock(ctx context.Context, d Deps, o AddonOptions) (unlock func(), err error) {
	unlock, err = lock(ctx, d.StateDir, t.lockName(), o.LockTimeout)
	if err != nil || t.Foreign() {
		return unlock, err
	}
	f, err := lookup(ctx, d.Engine, t.Name) // what another run has recorded since counts
	if err == nil {
		t.record, err = readCreated(ctx, d.Engine, f)
	}
	if half := t.record.Upgrading; err == nil && half != "" {
		err = cutOff(t.Name, half)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// enabled records addons that the cluster has now, so that its document names them.
func (t *AddonTarget) enabled(ctx context.Context, d Deps, addons []addon.Instance) error {
	return t.rewrite(ctx, d, func(list []v1alpha1.Addon) []v1alpha1.Addon {
		for _, a := range addons {
			entry := a.Addon.Entry
			entry.Name, entry.Parameters = a.Name(), a.Parameters
			i := slices.IndexFunc(list, func(l v1alpha1.Addon) bool { return l.Name == a.Name() && !l.Disabled })
			if i >= 0 {
				list[i] = entry
				continue
			}
			list = slices.DeleteFunc(list, func(l v1alpha1.Addon) bool { return l.Name == a.Name() })
			// What is disabled stands at the end.
			end := slices.IndexFunc(list, func(l v1alpha1.Addon) bool { return l.Disabled })
			if end < 0 {
				end = len(list)
			}
			list = slices.Insert(list, end, entry)
		}
		return list
	})
}

// disabled records that the cluster has these addons no more. Those that its profile has are named as left out.
func (t *AddonTarget) disabled(ctx context.Context, d Deps, cat profile.Catalogue, names []string) error {
	return t.rewrite(ctx, d, func(list []v1alpha1.Addon) []v1alpha1.Addon {
		list = slices.DeleteFunc(list, func(l v1alpha1.Addon) bool { return slices.Contains(names, l.Name) })
		p, err := cat.Resolve(t.record.Document.Profile)
		if err != nil { // the profile is not here: nothing would bring them back
			return list
		}
		for _, a := range p.Addons {
			if slices.Contains(names, a.Name) {
				list = append(list, v1alpha1.Addon{Name: a.Name, Disabled: true})
			}
		}
		return list
	})
}

// Recorded reports whether the cluster's document names the addon, be it there or not: a run that was cut off may have removed it alone.
func (t *AddonTarget) Recorded(name string) bool {
	return t.record.Document != nil && slices.ContainsFunc(t.record.Document.Addons, func(a v1alpha1.Addon) bool { return a.Name == name && !a.Disabled })
}

// rewrite changes the addons of the recorded document. A cluster that cove did not make has none.
func (t *AddonTarget) rewrite(ctx context.Context, d Deps, change func([]v1alpha1.Addon) []v1alpha1.Addon) error {
	if t.Foreign() || t.record.Document == nil {
		return nil
	}
	f, err := lookup(ctx, d.Engine, t.Name) // what another run has recorded since counts
	if err != nil {
		return err
	}
	next, err := readCreated(ctx, d.Engine, f)
	if err != nil {
		return err
	}
	doc := next.Document.DeepCopy()
	doc.Addons = change(doc.Addons)
	next.Document, next.Run = doc, d.Emitter.Run()
	var names []string
	for _, n := range t.nodes {
		if n.Role == engine.RoleControlPlane && next.has(n.Name) {
			names = append(names, n.Name)
		}
	}
	if err := next.write(ctx, d.Engine, names); err != nil {
		return err
	}
	t.record = next
	return nil
}

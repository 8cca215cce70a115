package cluster

import (
	"context"
	"maps"
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

// enabling records, before any of it is done, that the cluster's document has these addons: whoever goes on where the run is cut off finds
// them there. It returns what takes that back for those which the run has not begun to apply.
func (t *AddonTarget) enabling(ctx context.Context, d Deps, addons []addon.Instance) (back func(context.Context) error, err error) {
	had, wanted := t.entries(), map[string]v1alpha1.Addon{}
	for _, a := range addons {
		entry := a.Addon.Entry
		entry.Name, entry.Parameters = a.Name(), a.Parameters
		wanted[a.Name()] = entry
	}
	names := slices.Sorted(maps.Keys(wanted))
	err = t.rewrite(ctx, d, func(next *created) {
		for _, a := range addons { // in their order
			next.Document.Addons = withAddon(next.Document.Addons, wanted[a.Name()])
		}
		next.unsettle(names, Add)
	})
	return func(ctx context.Context) error {
		return t.takeBack(ctx, d, names, had, func(r addon.Record) bool {
			return r.State != addon.StateApplied || sameJSON(r.Parameters, wanted[r.Name].Parameters)
		})
	}, err
}

// disabling records, before any of it is done, that the cluster's document has these addons no more. Those that its profile has are named
// as left out. It returns what takes that back for those which the run has not begun to remove.
func (t *AddonTarget) disabling(ctx context.Context, d Deps, cat profile.Catalogue, names []string) (back func(context.Context) error, err error) {
	had := t.entries()
	err = t.rewrite(ctx, d, func(next *created) {
		next.Document.Addons = withoutAddons(next.Document, cat, names)
		next.unsettle(names, Remove)
	})
	return func(ctx context.Context) error {
		return t.takeBack(ctx, d, names, had, func(r addon.Record) bool { return r.State != addon.StateApplied })
	}, err
}

// settled records that a run on these addons has come to its end.
func (t *AddonTarget) settled(ctx context.Context, d Deps, names []string) error {
	return t.rewrite(ctx, d, func(next *created) { next.unsettle(names, "") })
}

// takeBack puts what the document said of addons into it again, but for those that the run on them has begun with. Where the cluster cannot
// be asked which those are, what is recorded stays.
func (t *AddonTarget) takeBack(ctx context.Context, d Deps, names []string, had map[string]v1alpha1.Addon, begun func(addon.Record) bool) error {
	if t.Foreign() {
		return nil
	}
	records, err := t.Manager.Installed(ctx)
	if err != nil {
		return err
	}
	untouched := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(records, func(r addon.Record) bool { return r.Name == name && begun(r) })
	})
	return t.rewrite(ctx, d, func(next *created) {
		list := slices.DeleteFunc(next.Document.Addons, func(a v1alpha1.Addon) bool { return slices.Contains(untouched, a.Name) })
		for _, name := range untouched {
			if entry, was := had[name]; was {
				list = withAddon(list, entry)
			}
		}
		next.Document.Addons = list
		next.unsettle(untouched, "")
	})
}

// entries returns what the document says of addons, by name.
func (t *AddonTarget) entries() map[string]v1alpha1.Addon {
	out := map[string]v1alpha1.Addon{}
	if t.record.Document != nil {
		for _, a := range t.record.Document.Addons {
			out[a.Name] = a
		}
	}
	return out
}

// withAddon returns the list with this entry in the place of that of its name; what is disabled stands at the end.
func withAddon(list []v1alpha1.Addon, entry v1alpha1.Addon) []v1alpha1.Addon {
	if i := slices.IndexFunc(list, func(l v1alpha1.Addon) bool { return l.Name == entry.Name && l.Disabled == entry.Disabled }); i >= 0 {
		list[i] = entry
		return list
	}
	list = slices.DeleteFunc(list, func(l v1alpha1.Addon) bool { return l.Name == entry.Name })
	end := slices.IndexFunc(list, func(l v1alpha1.Addon) bool { return l.Disabled })
	if end < 0 || entry.Disabled {
		end = len(list)
	}
	return slices.Insert(list, end, entry)
}

// withoutAddons returns the document's addons without these. Those that its profile has are named as left out.
func withoutAddons(doc *v1alpha1.Cluster, cat profile.Catalogue, names []string) []v1alpha1.Addon {
	list := slices.DeleteFunc(slices.Clone(doc.Addons), func(l v1alpha1.Addon) bool { return slices.Contains(names, l.Name) })
	p, err := cat.Resolve(doc.Profile)
	if err != nil { // the profile is not here: nothing would bring them back
		return list
	}
	for _, a := range p.Addons {
		if slices.Contains(names, a.Name) {
			list = append(list, v1alpha1.Addon{Name: a.Name, Disabled: true})
		}
	}
	return list
}

// Recorded reports whether the cluster's document names the addon, be it there or not: a run that was cut off may have removed it alone.
func (t *AddonTarget) Recorded(name string) bool {
	return t.record.Document != nil && slices.ContainsFunc(t.record.Document.Addons, func(a v1alpha1.Addon) bool { return a.Name == name && !a.Disabled })
}

// rewrite changes the record and its document. A cluster that cove did not make has none.
func (t *AddonTarget) rewrite(ctx context.Context, d Deps, change func(next *created)) error {
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
	next.Document, next.Run = next.Document.DeepCopy(), d.Emitter.Run()
	change(&next)
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

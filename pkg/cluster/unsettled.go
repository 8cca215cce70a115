package cluster

import (
	"context"
	"maps"
	"slices"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// unsettled is what runs were about to change in Kubernetes that did not come to their end: it may be as it was, or as it was to become.
// The next run that brings the cluster to a document settles it, whatever that document is.
type unsettled struct {
	// Addons were being applied (Add) or taken off (Remove).
	Addons map[string]Op `json:"addons,omitempty"`
	// Labels are keys, and Taints taints, that were being set or taken away, by node.
	Labels map[string][]string         `json:"labels,omitempty"`
	Taints map[string][]v1alpha1.Taint `json:"taints,omitempty"`
}

// IsZero reports whether nothing is.
func (u unsettled) IsZero() bool { return len(u.Addons)+len(u.Labels)+len(u.Taints) == 0 }

// and returns what is unsettled when another run begins that has more to change.
func (u unsettled) and(more unsettled) unsettled {
	out := unsettled{Addons: map[string]Op{}, Labels: map[string][]string{}, Taints: map[string][]v1alpha1.Taint{}}
	for _, one := range []unsettled{u, more} {
		maps.Copy(out.Addons, one.Addons)
		for node, keys := range one.Labels {
			out.Labels[node] = union(out.Labels[node], keys)
		}
		for node, taints := range one.Taints {
			out.Taints[node] = union(out.Taints[node], taints)
		}
	}
	return out
}

// unsettle notes that runs are busy with these addons; without an op, that they have come to their end.
func (c *created) unsettle(names []string, op Op) {
	c.Unsettled = c.Unsettled.and(unsettled{})
	for _, name := range names {
		if c.Unsettled.Addons[name] = op; op == "" {
			delete(c.Unsettled.Addons, name)
		}
	}
}

func union[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// unsettles returns what the steps of the difference leave in doubt when they are cut off.
func (d *delta) unsettles() unsettled {
	u := unsettled{Addons: map[string]Op{}, Labels: map[string][]string{}, Taints: map[string][]v1alpha1.Taint{}}
	for _, name := range d.enable {
		u.Addons[name] = Add
	}
	for _, name := range d.disable {
		u.Addons[name] = Remove
	}
	for _, r := range d.relabel {
		if len(r.labels) > 0 {
			u.Labels[r.node] = slices.Sorted(maps.Keys(r.labels))
		}
		if taints := union(r.add, r.remove); len(taints) > 0 {
			u.Taints[r.node] = taints
		}
	}
	return u
}

// planUnsettled records what the next steps change in Kubernetes before they do: a run that is cut off leaves no other trace of it.
func (d *delta) planUnsettled(stage stageFunc) {
	if len(d.relabel)+len(d.enable)+len(d.disable) == 0 {
		return
	}
	stage("record", step{"record/begin", "Record what is to change in Kubernetes", func(ctx context.Context, rc *Context) error {
		next := rc.record
		next.Unsettled = next.Unsettled.and(d.unsettles())
		return rc.writeRecord(ctx, next)
	}})
}

// whyUnsettled is the detail of what must be set once more.
const whyUnsettled = "a run that was cut off was changing it"

// settle adds to what is to change of a node what earlier runs have left in doubt.
func (u unsettled) settle(want v1alpha1.Node, r *relabel) (lines []string) {
	for _, key := range u.Labels[want.Name] {
		if _, changes := r.labels[key]; changes {
			continue
		}
		value, has := want.Labels[key]
		if r.labels[key] = nil; has {
			r.labels[key] = &value
			lines = append(lines, "+ label "+key+"="+value)
		} else {
			lines = append(lines, "- label "+key)
		}
	}
	for _, t := range u.Taints[want.Name] {
		switch {
		case slices.Contains(r.add, t), slices.Contains(r.remove, t):
		case slices.Contains(want.Taints, t):
			r.add, lines = append(r.add, t), append(lines, "+ taint "+taintText(t))
		default:
			r.remove, lines = append(r.remove, t), append(lines, "- taint "+taintText(t))
		}
	}
	if len(lines) > 0 {
		lines = append(lines, whyUnsettled)
	}
	return lines
}

// settleAddons takes off the addons that neither the record nor the document has, and that runs were busy with.
func (d *delta) settleAddons(recorded map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(d.was.record.Unsettled.Addons)) {
		wanted := slices.ContainsFunc(d.doc.Addons, func(a v1alpha1.Addon) bool { return a.Name == name && !a.Disabled })
		if wanted || recorded[name] {
			continue
		}
		d.disable = append(d.disable, name)
		gone := d.note(Remove, "addon "+name, "what is left of a run that was cut off")
		if d.was.record.Unsettled.Addons[name] == Add { // it may have been in use since; who takes one off has said so
			gone.Destroys = whyAddonGone
		}
	}
}

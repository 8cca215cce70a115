package cluster

import (
	"context"
	"slices"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/profile"
)

// PlanEnable returns the plan by which EnableAddons would put the addons onto this cluster, checked and in order. It only
// looks. Errors are AddonUnfit, AddonConflict, AddonRequires and AddonParameter.
func (t *AddonTarget) PlanEnable(ctx context.Context, cat profile.Catalogue, addons []addon.Instance, o AddonOptions) (Plan, error) {
	addons, err := t.order(ctx, cat, addons)
	if err != nil {
		return Plan{}, err
	}
	for _, a := range addons {
		if err := t.fits(a); err != nil {
			return Plan{}, err
		}
	}
	return PlanEnable(t.Name, addons, t.Foreign(), o), nil
}

// CheckDisable looks at what it means to take addons off the cluster. It returns them in the order in which that is done,
// what requires another one before that one, and what others would lose. AddonRequires where an addon that stays needs
// one of them, AddonNotInstalled where one is not there.
func (t *AddonTarget) CheckDisable(ctx context.Context, cat profile.Catalogue, names []string) (ordered []string, used []kube.Ref, err error) {
	if err := t.needed(ctx, cat, names); err != nil {
		return nil, nil, err
	}
	for _, n := range names {
		more, err := t.Manager.InUse(ctx, n)
		if err != nil {
			return nil, nil, err
		}
		used = append(used, more...)
	}
	return removalOrder(cat, names), used, nil
}

// removalOrder puts what requires an addon before that addon; the rest stays as it is given.
func removalOrder(cat profile.Catalogue, names []string) []string {
	var ordered []string
	var visit func(name string)
	visit = func(name string) {
		if slices.Contains(ordered, name) {
			return
		}
		for _, other := range names {
			a, err := cat.Addon(other)
			if err == nil && other != name && slices.Contains(a.Requires.Addons, name) {
				visit(other)
			}
		}
		ordered = append(ordered, name)
	}
	for _, n := range names {
		visit(n)
	}
	return ordered
}

package profile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Order returns addons in the order in which they are applied: what is required comes before what requires it, the pod
// network as early as it can, and the rest by name. It adds nothing: a required addon that is missing is AddonRequires.
// Two that provide the same are AddonConflict, and those that require each other ConfigInvalid.
func Order(addons []*Addon) ([]*Addon, error) {
	if problems := relations(addons, func(name string) string { return "addon " + name }); len(problems) > 0 {
		return nil, problems.Fault("cannot put the addons together")
	}
	left := slices.Clone(addons)
	slices.SortStableFunc(left, func(a, b *Addon) int {
		if x, y := a.networks(), b.networks(); x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	out, done := make([]*Addon, 0, len(left)), map[string]bool{}
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(a *Addon) bool {
			return !slices.ContainsFunc(a.Requires.Addons, func(name string) bool { return !done[name] })
		})
		if next < 0 {
			return nil, fault.New(fault.ConfigInvalid, "cannot put the addons together: they require each other: %s", loop(left))
		}
		out, done[left[next].Name] = append(out, left[next]), true
		left = slices.Delete(left, next, next+1)
	}
	return out, nil
}

// loop names a way round among addons that wait for each other.
func loop(left []*Addon) string {
	byName := map[string]*Addon{}
	for _, a := range left {
		byName[a.Name] = a
	}
	way, at := []string{}, left[0]
	for !slices.Contains(way, at.Name) {
		way = append(way, at.Name)
		for _, name := range at.Requires.Addons {
			if byName[name] != nil {
				at = byName[name]
				break
			}
		}
	}
	way = way[slices.Index(way, at.Name):]
	return strings.Join(append(way, at.Name), " → ")
}

// relations finds what is wrong between addons; path says where each of them is from.
func relations(addons []*Addon, path func(name string) string) strict.Problems {
	problems, there, providers := strict.Problems{}, map[string]bool{}, map[string][]string{}
	for _, a := range addons {
		there[a.Name] = true
		for _, capability := range a.Provides {
			providers[capability] = append(providers[capability], a.Name)
		}
	}
	for _, a := range addons {
		for _, name := range a.Requires.Addons {
			if !there[name] {
				problems.Add(fault.AddonRequires, path(a.Name), "%s requires addon %s, which is not there; enable %s too", a.Name, name, name)
			}
		}
	}
	for _, capability := range slices.Sorted(maps.Keys(providers)) {
		names := providers[capability]
		if len(names) < 2 {
			continue
		}
		cure := "leave one of them out"
		if capability == ProvidesCNI {
			cure = fmt.Sprintf("choose one with cni: %s", names[len(names)-1])
		}
		problems.Add(fault.AddonConflict, path(names[len(names)-1]), "%s provide %s, which a cluster has one of; %s",
			strings.Join(names[:len(names)-1], ", ")+" and "+names[len(names)-1], capability, cure)
	}
	return problems
}

// networks reports whether the addon provides the pod network.
func (a *Addon) networks() bool { return slices.Contains(a.Provides, ProvidesCNI) }

// Fits checks whether the addon is for a version of Kubernetes, given in full. If not, the error is AddonUnfit.
func (a *Addon) Fits(kubernetesVersion string) error {
	if a.Requires.Kubernetes == "" {
		return nil
	}
	allowed, err := semver.NewConstraint(a.Requires.Kubernetes)
	if err != nil {
		return fault.Wrap(fault.ConfigInvalid, err, "cannot read which versions of Kubernetes addon %s is for (%q)", a.Name, a.Requires.Kubernetes)
	}
	v, err := semver.NewVersion(kubernetesVersion)
	if err != nil {
		return fault.New(fault.ConfigInvalid, "cannot tell whether addon %s fits: %q is no version of Kubernetes", a.Name, kubernetesVersion)
	}
	// A pre-release counts as its release: that is what it has the APIs of.
	if !allowed.Check(semver.New(v.Major(), v.Minor(), v.Patch(), "", "")) {
		return fault.New(fault.AddonUnfit, "addon %s is for Kubernetes %s, not for %s", a.Name, a.Requires.Kubernetes, kubernetesVersion)
	}
	return nil
}

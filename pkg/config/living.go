package config

import (
	"slices"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/profile"
)

// settled reports whether the document is the one that a cluster follows, changed or not: as `cove config get` prints it, it has
// all that a profile can say. The profile's part in it is done then. It may have changed since, or its file may be gone.
func (r *resolver) settled(name string) bool {
	return r.Current != nil && r.Flags.Profile == "" && name == r.Current.Profile && leavesNothingOpen(r.doc)
}

// leavesNothingOpen reports whether a document has what Resolve fills in from a profile, or by default.
func leavesNothingOpen(doc *v1alpha1.Cluster) bool {
	net := doc.Cluster.Networking
	said := []string{
		doc.KubernetesVersion, doc.CNI, string(net.IPFamily), net.APIServerAddress, net.PodSubnet, net.ServiceSubnet, string(net.KubeProxyMode),
	}
	return !slices.Contains(said, "") && len(doc.NodeSpecs)+len(doc.Cluster.Nodes) > 0 &&
		(doc.CNI == profile.NoCNI || slices.ContainsFunc(doc.Addons, named(doc.CNI)))
}

// there are the addons that the cluster has now.
func (r *resolver) there() []v1alpha1.Addon {
	if r.Current == nil {
		return nil
	}
	return r.Current.Addons
}

// leftOut returns the addons that the profile has and the cluster has not. They stay said, so that the document resolves to itself.
func (r *resolver) leftOut(set profile.Set, said []v1alpha1.Addon) []v1alpha1.Addon {
	var out []v1alpha1.Addon
	if !r.isSettled {
		for _, name := range set.Left {
			if slices.ContainsFunc(r.profile.Addons, named(name)) {
				out = append(out, v1alpha1.Addon{Name: name, Disabled: true})
			}
		}
		return out
	}
	p, err := r.Catalogue.Resolve(r.doc.Profile)
	if err != nil {
		p = profile.Profile{} // it is not here: nothing would bring back what is left out from now on
	}
	for _, a := range said {
		if a.Disabled && !slices.ContainsFunc(set.Addons, named(a.Name)) &&
			(profile.Has(r.there(), a) || slices.ContainsFunc(p.Addons, named(a.Name))) {
			out = append(out, a)
		}
	}
	return out
}

// named matches the addon of a name.
func named(name string) func(v1alpha1.Addon) bool {
	return func(a v1alpha1.Addon) bool { return a.Name == name }
}

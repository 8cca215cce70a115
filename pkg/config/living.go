package config

import (
	"fmt"
	"slices"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config/strict"
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

// unpublish takes out the port that an addon of the cluster has had published, where its parameter says another one now, or none.
func (r *resolver) unpublish(addon string, h profile.HostPort, port int) {
	i := slices.IndexFunc(r.there(), named(addon))
	first := firstControlPlane(r.items)
	if !r.isSettled || i < 0 || first < 0 {
		return
	}
	was := number(strict.PlainMap(r.there()[i].Parameters), h.Parameter)
	if was == 0 || was == port {
		return
	}
	r.items = single(r.items, first)
	node := &r.items[first]
	node.ExtraPortMappings = slices.DeleteFunc(node.ExtraPortMappings, func(m kind.PortMapping) bool { return m == mapping(h, was) })
}

// FollowPorts has the parameters of addons follow the ports of the first control plane, where doc publishes them otherwise than the
// cluster does now. Resolve would publish them as the parameters say.
func FollowPorts(c profile.Catalogue, doc *v1alpha1.Cluster, current v1alpha1.Cluster) error {
	before, after := firstPorts(current), firstPorts(*doc)
	for i, entry := range doc.Addons {
		if entry.Disabled {
			continue
		}
		opened, err := c.Open(entry, "")
		if err != nil {
			continue // it is not here, and stays as it is
		}
		for _, h := range opened.HostPorts {
			port, left := number(strict.PlainMap(entry.Parameters), h.Parameter), hostPorts(after, h)
			if port == 0 || !slices.Contains(hostPorts(before, h), port) || slices.Contains(left, port) {
				continue
			}
			value := fmt.Sprintf("%s=%d", h.Parameter, append(left, 0)[0])
			if entry.Parameters, err = opened.Set(entry.Parameters, []string{value}); err != nil {
				return err
			}
			doc.Addons[i] = entry
		}
	}
	return nil
}

// firstPorts returns the ports that the first control plane publishes.
func firstPorts(doc v1alpha1.Cluster) []kind.PortMapping {
	for _, n := range doc.Nodes() {
		if n.Role == string(kind.ControlPlaneRole) {
			return n.ExtraPortMappings
		}
	}
	return nil
}

// named matches the addon of a name.
func named(name string) func(v1alpha1.Addon) bool {
	return func(a v1alpha1.Addon) bool { return a.Name == name }
}

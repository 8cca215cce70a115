package cluster

import (
	"net/netip"
	"strings"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// A cluster's families are those of its pod subnets, and the first one is the main one: it is that of the API, of the addresses by which
// Kubernetes knows nodes first, and of Services that ask for none. A cluster of IPv6 alone still has a network with IPv4 too,
// because engines want it, but nothing of Kubernetes uses it.

// prefixes reads subnets with commas between.
func prefixes(field, list string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for part := range strings.SplitSeq(list, ",") {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot read networking.%s", field)
		}
		all = append(all, p)
	}
	return all, nil
}

// podSubnets returns the document's pod subnets, the one of the main family first.
func podSubnets(doc v1alpha1.Cluster) ([]netip.Prefix, error) {
	return prefixes("podSubnet", doc.Cluster.Networking.PodSubnet)
}

// podCIDRs returns a node's share of each pod subnet.
func podCIDRs(doc v1alpha1.Cluster, share int) ([]netip.Prefix, error) {
	subnets, err := podSubnets(doc)
	if err != nil {
		return nil, err
	}
	shares := make([]netip.Prefix, len(subnets))
	for i, s := range subnets {
		shares[i] = podCIDR(s, share)
	}
	return shares, nil
}

// wantsIPv6 reports whether one of the cluster's families is IPv6, onlyIPv6 whether it is the only one.
func wantsIPv6(doc v1alpha1.Cluster) bool {
	return strings.Contains(doc.Cluster.Networking.PodSubnet, ":")
}

func onlyIPv6(doc v1alpha1.Cluster) bool {
	return wantsIPv6(doc) && !strings.Contains(doc.Cluster.Networking.PodSubnet, ".")
}

// nodeSubnets returns the ranges of the network that the cluster's nodes have addresses of, the main family's first.
func nodeSubnets(doc v1alpha1.Cluster, network engine.Network) []netip.Prefix {
	pods, err := podSubnets(doc)
	if err != nil { // a document that config has not checked, of a version before there were families
		return []netip.Prefix{network.Subnet}
	}
	var subnets []netip.Prefix
	for _, p := range pods {
		if p.Addr().Is4() {
			subnets = append(subnets, network.Subnet)
		} else {
			subnets = append(subnets, network.Subnet6)
		}
	}
	return subnets
}

// addressesAt returns the n-th address of every one of the subnets.
func addressesAt(subnets []netip.Prefix, n int) []netip.Addr {
	addrs := make([]netip.Addr, len(subnets))
	for i, s := range subnets {
		addrs[i] = addressAt(s, n)
	}
	return addrs
}

// joined writes what there is of each family, with commas between.
func joined[T interface{ String() string }](parts []T) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}

// placed puts a container at the host-th address of the cluster's network: of both families where the network has both, because an
// engine gives every container one of its own choice otherwise.
func placed(spec engine.NodeSpec, network engine.Network, host int) engine.NodeSpec {
	spec.Network, spec.IP = network.Name, addressAt(network.Subnet, host)
	if network.Subnet6.IsValid() {
		spec.IP6 = addressAt(network.Subnet6, host)
	}
	return spec
}

// mainIP returns the address by which the cluster knows a container; zero where it has none now.
func mainIP(doc v1alpha1.Cluster, n engine.Node) netip.Addr {
	if onlyIPv6(doc) {
		return n.IP6
	}
	return n.IP
}

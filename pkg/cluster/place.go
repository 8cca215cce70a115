package cluster

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// labelPlace holds a node's place on its container and its volumes: a container may be replaced or lost, and what is made
// from the volumes again must have the address and the pods' range that are written down there.
const labelPlace = "cove.dev/place"

// Places in the cluster's subnet. The engine's gateway has the first address; a node's address never changes.
const (
	balancerPlace     = 5
	firstControlPlane = 10
	firstWorker       = 20
	lastWorker        = firstPool - 1
)

// place is where a node is in the cluster's address ranges, as numbers, so that a plan needs no network.
type place struct {
	host  int // its addresses are the host-th of the cluster's subnets
	share int // its pods' ranges are the share-th /24 of the IPv4 pod subnet, the share-th /64 of the IPv6 one
}

// String writes the place as labels have it.
func (p place) String() string { return fmt.Sprintf("%d/%d", p.host, p.share) }

// parsePlace reads what String wrote.
func parsePlace(s string) (place, bool) {
	var p place
	n, err := fmt.Sscanf(s, "%d/%d", &p.host, &p.share)
	return p, err == nil && n == 2 && p.host > 0 && p.share >= 0
}

// assignPlaces gives every node that has none in taken the lowest free place, in the order given, and returns the places of
// all. What taken has beyond the nodes stays taken. The first node of a new cluster gets the pods' first range, which is what
// the controller manager gives the first node that it sees.
func assignPlaces(nodes []v1alpha1.Node, taken map[string]place) (map[string]place, error) {
	hosts, shares := map[int]bool{}, map[int]bool{}
	places := map[string]place{}
	for name, p := range taken {
		hosts[p.host], shares[p.share], places[name] = true, true, p
	}
	for _, n := range nodes {
		if _, has := places[n.Name]; has {
			continue
		}
		first, last := firstWorker, lastWorker
		if n.Role == engine.RoleControlPlane {
			first, last = firstControlPlane, firstWorker-1
		}
		p := place{host: lowestFree(hosts, first), share: lowestFree(shares, 0)}
		if p.host > last {
			return nil, fault.New(fault.ConfigUnsupported, "node %s: there are addresses for %d nodes of role %s, and all are taken", n.Name, last-first+1, n.Role)
		}
		hosts[p.host], shares[p.share], places[n.Name] = true, true, p
	}
	return places, nil
}

func lowestFree(taken map[int]bool, from int) int {
	for taken[from] {
		from++
	}
	return from
}

// addressAt returns the n-th address of the subnet.
func addressAt(subnet netip.Prefix, n int) netip.Addr {
	raw := subnet.Masked().Addr().AsSlice()
	addTo(raw, n)
	a, _ := netip.AddrFromSlice(raw) // of the length that it had
	return a
}

// addTo adds n to the number that the bytes are, the first of them the highest.
func addTo(raw []byte, n int) {
	for i := len(raw) - 1; i >= 0 && n > 0; i-- {
		n += int(raw[i])
		raw[i] = byte(n & 0xff)
		n >>= 8
	}
}

// The sizes of a node's shares of the pod subnets: the controller manager's defaults, --node-cidr-mask-size-ipv4 and -ipv6.
const (
	podCIDRBits  = 24
	podCIDRBits6 = 64
)

// podCIDR returns a share of a pod subnet.
func podCIDR(subnet netip.Prefix, share int) netip.Prefix {
	bits := podCIDRBits
	if subnet.Addr().Is6() {
		bits = podCIDRBits6
	}
	raw := subnet.Masked().Addr().AsSlice()
	addTo(raw[:bits/8], share)
	a, _ := netip.AddrFromSlice(raw) // of the length that it had
	return netip.PrefixFrom(a, bits)
}

// nodeIPs returns the addresses of a node, the main family's first.
func (rc *Context) nodeIPs(node string) []netip.Addr {
	return addressesAt(nodeSubnets(rc.Doc, rc.network), rc.places[node].host)
}

// nodeIP returns the address of a node of the main family.
func (rc *Context) nodeIP(node string) netip.Addr { return rc.nodeIPs(node)[0] }

// endpoints returns the addresses behind endpointName, the main family's first: the load balancer's, or where there is none the only
// control plane's.
func (rc *Context) endpoints() []netip.Addr {
	return addressesAt(nodeSubnets(rc.Doc, rc.network), endpointPlace(rc.balanced))
}

// endpoint returns the address behind endpointName by which everybody comes.
func (rc *Context) endpoint() netip.Addr { return rc.endpoints()[0] }

// endpointPlace is the place of the way to the API.
func endpointPlace(balanced bool) int {
	if balanced {
		return balancerPlace
	}
	return firstControlPlane
}

// controlPlanes returns the names of the nodes that are control planes, ordered.
func controlPlanes(nodes []v1alpha1.Node) []string {
	var names []string
	for _, n := range nodes {
		if n.Role == engine.RoleControlPlane {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return names
}

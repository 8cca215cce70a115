package cluster

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// labelDocument holds the cluster's document, as JSON, on its network: what was asked for is kept with what is there,
// so that another machine that uses the same engine knows as much.
const labelDocument = "cove.dev/document"

// Places in the cluster's subnet. The engine's gateway has the first address; a node's address never changes.
const (
	firstControlPlane = 10
	firstWorker       = 20
)

func createNetwork(ctx context.Context, rc *Context) error {
	doc, err := json.Marshal(rc.Doc)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot write the cluster's document")
	}
	rc.network, err = rc.Engine.CreateNetwork(ctx, engine.NetworkSpec{
		Name: networkName(rc.Name()), Cluster: rc.Name(), Run: rc.Emitter.Run(),
		Labels: map[string]string{labelDocument: string(doc)},
		Avoid:  clusterSubnets(rc.Doc),
	})
	return fault.Wrap(fault.EngineFailed, err, "cannot create network %s", networkName(rc.Name()))
}

// clusterSubnets returns the ranges of pods and services, which the nodes' own network must not be in.
func clusterSubnets(doc v1alpha1.Cluster) []netip.Prefix {
	var all []netip.Prefix
	for _, list := range []string{doc.Cluster.Networking.PodSubnet, doc.Cluster.Networking.ServiceSubnet} {
		for part := range strings.SplitSeq(list, ",") {
			if p, err := netip.ParsePrefix(part); err == nil { // config has checked them
				all = append(all, p)
			}
		}
	}
	return all
}

// removeNetwork removes the run's network; another run's, or a user's, of the same name stays.
func removeNetwork(ctx context.Context, rc *Context) error {
	networks, err := rc.Engine.Networks(ctx, engine.Selector{Cluster: rc.Name(), Run: rc.Emitter.Run()})
	if err != nil {
		return err
	}
	for _, n := range networks {
		if err := rc.Engine.RemoveNetwork(ctx, n.Name); err != nil {
			return err
		}
	}
	return nil
}

// nodeIP returns the address of the node at index i of the document's nodes.
func nodeIP(subnet netip.Prefix, nodes []v1alpha1.Node, i int) netip.Addr {
	place := firstControlPlane
	if nodes[i].Role != engine.RoleControlPlane {
		place = firstWorker
	}
	for _, n := range nodes[:i] {
		if n.Role == nodes[i].Role {
			place++
		}
	}
	return addressAt(subnet, place)
}

// addressAt returns the n-th address of the subnet.
func addressAt(subnet netip.Prefix, n int) netip.Addr {
	a := subnet.Masked().Addr().As4()
	v := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	v += uint32(n)                                                                       //nolint:gosec // a place in a subnet, checked against its size by config
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}) //nolint:gosec // the low byte
}

// podCIDRBits is the size of a node's share of the pod subnet: the controller manager's default for IPv4.
const podCIDRBits = 24

// podCIDR returns the share of the pod subnet of the node at index i. The first share goes to the control plane, which
// is what the controller manager gives the first node that it sees.
func podCIDR(subnet netip.Prefix, i int) netip.Prefix {
	return netip.PrefixFrom(addressAt(subnet, i<<(32-podCIDRBits)), podCIDRBits)
}

// endpointIP is the address behind endpointName.
func endpointIP(subnet netip.Prefix) netip.Addr { return addressAt(subnet, firstControlPlane) }

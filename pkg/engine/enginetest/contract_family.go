package enginetest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// contractFamilies: a network with IPv6 has a local /64 that no other one has, and a node on it the address of each family that it
// was made with, whenever it runs.
func contractFamilies(t *testing.T, f fixture) {
	t.Helper()
	withSix := func(suffix string) engine.Network {
		t.Helper()
		n, err := f.e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: f.name(suffix), Cluster: f.cluster, Run: "run-" + f.cluster, IPv6: true})
		wantNoError(t, err, "CreateNetwork")
		return n
	}
	a, b, plain := withSix("a"), withSix("b"), f.network(t, "c", netip.Prefix{})
	local := netip.MustParsePrefix("fd00::/8")
	for _, n := range []engine.Network{a, b} {
		if n.Subnet6.Bits() != 64 || !local.Contains(n.Subnet6.Addr()) || !n.Subnet6.Contains(n.Gateway6) || !n.Subnet.Contains(n.Gateway) {
			t.Errorf("network %+v", n)
		}
	}
	want(t, a.Subnet6.Overlaps(b.Subnet6), false, "that two IPv6 subnets overlap")
	want(t, plain.Subnet6.IsValid(), false, "that a network of IPv4 has an IPv6 subnet")
	_, err := f.e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: f.name("d"), Cluster: f.cluster, IPv6: true, Subnet6: a.Subnet6})
	wantCode(t, err, fault.NetworkTaken, "a second network of the IPv6 subnet")
	wantNoError(t, f.e.RemoveNetwork(t.Context(), b.Name), "RemoveNetwork")
	again, err := f.e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: b.Name, Cluster: f.cluster, Run: b.Run, IPv6: true, Subnet: b.Subnet, Subnet6: b.Subnet6})
	wantNoError(t, err, "CreateNetwork with both subnets")
	want(t, again.Subnet6, b.Subnet6, "Subnet6")
	list, err := f.e.Networks(t.Context(), engine.Selector{Cluster: f.cluster})
	wantNoError(t, err, "Networks")
	want(t, list[0].Subnet6, a.Subnet6, "Subnet6 in the list")

	spec := f.spec("a")
	spec.Network, spec.IP, spec.IP6 = a.Name, a.Gateway.Next().Next(), a.Gateway6.Next().Next()
	name := f.start(t, spec)
	has := func() {
		t.Helper()
		n := f.node(t, name)
		want(t, n.IP, spec.IP, "IP")
		want(t, n.IP6, spec.IP6, "IP6")
	}
	has()
	wantNoError(t, f.e.StopNode(t.Context(), name, 10*time.Second), "StopNode")
	want(t, f.node(t, name).IP6.IsValid(), false, "that it has an IPv6 address")
	wantNoError(t, f.e.StartNode(t.Context(), name), "StartNode")
	has()

	other := f.spec("b")
	other.Network, other.IP6 = a.Name, spec.IP6
	f.create(t, other)
	wantCode(t, f.e.StartNode(t.Context(), other.Name), fault.NetworkTaken, "a second node of the address")
}

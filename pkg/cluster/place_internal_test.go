package cluster

import (
	"net/netip"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

func TestAssignPlaces(t *testing.T) {
	node := func(name, role string) v1alpha1.Node { return v1alpha1.Node{Name: name, Role: role} }
	cp, w := "control-plane", "worker"
	tests := []struct {
		name  string
		nodes []v1alpha1.Node
		taken map[string]place
		want  map[string]place
	}{
		{"a new cluster", []v1alpha1.Node{node("c", cp), node("w1", w), node("w2", w)}, nil,
			map[string]place{"c": {10, 0}, "w1": {20, 1}, "w2": {21, 2}}},
		{"who has a place keeps it", []v1alpha1.Node{node("c", cp), node("c2", cp), node("w2", w)}, map[string]place{"c": {10, 0}, "w2": {21, 2}},
			map[string]place{"c": {10, 0}, "c2": {11, 1}, "w2": {21, 2}}},
		{"what was left is used again", []v1alpha1.Node{node("w3", w)}, map[string]place{"c": {10, 0}, "w2": {21, 2}},
			map[string]place{"c": {10, 0}, "w2": {21, 2}, "w3": {20, 1}}},
		{"what is there and not wanted stays taken", []v1alpha1.Node{node("new", cp)}, map[string]place{"old": {10, 0}},
			map[string]place{"old": {10, 0}, "new": {11, 1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := assignPlaces(tt.nodes, tt.taken)
			if err != nil || len(got) != len(tt.want) {
				t.Fatalf("got %v, %v; want %v", got, err, tt.want)
			}
			for name, p := range tt.want {
				if got[name] != p {
					t.Errorf("%s: got %v, want %v", name, got[name], p)
				}
			}
		})
	}
	full := make([]v1alpha1.Node, 11)
	for i := range full {
		full[i] = node(string(rune('a'+i)), cp)
	}
	if _, err := assignPlaces(full, nil); !fault.Is(err, fault.ConfigUnsupported) {
		t.Errorf("eleven control planes: %v", err)
	}
}

func TestPlaceIsReadBack(t *testing.T) {
	for _, p := range []place{{10, 0}, {199, 188}} {
		if got, ok := parsePlace(p.String()); !ok || got != p {
			t.Errorf("%v: got %v, %v", p, got, ok)
		}
	}
	for _, s := range []string{"", "10", "x/1", "0/0", "10/-1"} {
		if got, ok := parsePlace(s); ok {
			t.Errorf("%q: got %v", s, got)
		}
	}
}

func TestAddressAt(t *testing.T) {
	for _, tt := range []struct {
		subnet string
		n      int
		want   string
	}{
		{"172.18.0.0/16", 10, "172.18.0.10"},
		{"10.89.3.128/25", 100, "10.89.3.228"},
		{"172.18.0.0/16", 300, "172.18.1.44"},
		{"fd00:1::/64", 20, "fd00:1::14"},
		{"fd00:1::/64", 70000, "fd00:1::1:1170"},
	} {
		if got := addressAt(netip.MustParsePrefix(tt.subnet), tt.n); got.String() != tt.want {
			t.Errorf("%s, %d: got %s, want %s", tt.subnet, tt.n, got, tt.want)
		}
	}
}

// The shares are those that the controller manager would give out.
func TestPodCIDR(t *testing.T) {
	for _, tt := range []struct {
		subnet string
		share  int
		want   string
	}{
		{"10.244.0.0/16", 0, "10.244.0.0/24"},
		{"10.244.0.0/16", 200, "10.244.200.0/24"},
		{"10.0.0.0/8", 300, "10.1.44.0/24"},
		{"fd00:10:244::/56", 0, "fd00:10:244::/64"},
		{"fd00:10:244::/56", 255, "fd00:10:244:ff::/64"},
		{"fd00:10:244::/48", 256, "fd00:10:244:100::/64"},
	} {
		if got := podCIDR(netip.MustParsePrefix(tt.subnet), tt.share); got.String() != tt.want {
			t.Errorf("%s, %d: got %s, want %s", tt.subnet, tt.share, got, tt.want)
		}
	}
}

// Addresses for Services are of every family of the cluster, and never those of a node.
func TestPools(t *testing.T) {
	network := engine.Network{Subnet: netip.MustParsePrefix("172.18.0.0/24"), Subnet6: netip.MustParsePrefix("fd12::/64")}
	const four, six = "172.18.0.200-172.18.0.250", "fd12::c8-fd12::fa"
	for pods, want := range map[string]string{
		"10.244.0.0/16": four, "fd00:10:244::/56": six, "10.244.0.0/16,fd00:10:244::/56": four + "," + six,
	} {
		var doc v1alpha1.Cluster
		doc.Cluster.Networking.PodSubnet = pods
		doc.SetNodes([]v1alpha1.Node{{Name: "dev-control-plane", Role: engine.RoleControlPlane}})
		if got := factsOf(doc, network).Pool; got != want {
			t.Errorf("pods %s: got %s, want %s", pods, got, want)
		}
	}
	if got := pool(netip.MustParsePrefix("172.18.0.0/28")); got != "172.18.0.12-172.18.0.14" {
		t.Errorf("a small network: got %s", got)
	}
}

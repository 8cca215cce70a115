package cluster_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// ofFamily is a cluster of one worker whose family is another one.
func ofFamily(t *testing.T, family kind.ClusterIPFamily) v1alpha1.Cluster {
	t.Helper()
	doc := document(t, "dev", 1)
	n := &doc.Cluster.Networking
	n.IPFamily, n.PodSubnet, n.ServiceSubnet, n.APIServerAddress = family, "", "", ""
	config.Default(&doc)
	return doc
}

// In a cluster with IPv6, every container has a fixed address of each family that its network has, and Kubernetes gets those of the
// cluster's families: nodes, the way to the API, the shares of the pod subnets.
func TestFamilies(t *testing.T) {
	for family, want := range map[kind.ClusterIPFamily]struct {
		endpoint string   // which of the load balancer's addresses the nodes know
		ranges   []string // of the worker's pods
		routes   []string
		ip       string // of the worker, as status tells
		told     bool   // that pods have IPv6 alone
		networks int
	}{
		"ipv4": {"4", []string{"10.244.1.0/24"}, []string{"0.0.0.0/0"}, "4", false, 1},
		"ipv6": {"6", []string{"fd00:10:244:1::/64"}, []string{"::/0"}, "6", true, 1},
		"dual": {"4", []string{"10.244.1.0/24", "fd00:10:244:1::/64"}, []string{"0.0.0.0/0", "::/0"}, "4", false, 2},
	} {
		t.Run(string(family), func(t *testing.T) {
			s := newSetup(t)
			if err := s.create(t.Context(), ofFamily(t, family), cluster.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			networks, err := s.Engine.Networks(t.Context(), engine.Selector{})
			if err != nil || len(networks) != 1 {
				t.Fatalf("networks %v, %v", networks, err)
			}
			network := networks[0]
			if got := network.Subnet6.IsValid(); got != (family != "ipv4") {
				t.Errorf("network %+v", network)
			}
			at := func(subnet netip.Prefix, last string) string {
				if !subnet.IsValid() {
					return "invalid IP"
				}
				return strings.TrimSuffix(strings.TrimSuffix(subnet.Addr().String(), "0"), "::") + last
			}
			four := func(n int) string { return at(network.Subnet, fmt.Sprint(n)) }
			six := func(n int) string { return at(network.Subnet6, fmt.Sprintf("::%x", n)) }
			for name, place := range map[string]int{"dev-external-load-balancer": 5, "dev-control-plane": 10, "dev-worker": 20} {
				n, err := s.Engine.Node(t.Context(), name)
				if err != nil || n.IP.String() != four(place) || n.IP6.String() != six(place) {
					t.Errorf("%s has %s and %s, %v; want %s and %s", name, n.IP, n.IP6, err, four(place), six(place))
				}
			}
			main := map[string]func(int) string{"4": four, "6": six}
			hosts, err := s.Engine.ReadFile(t.Context(), "dev-worker", "/etc/hosts")
			if line := main[want.endpoint](5) + "\tdev-endpoint\n"; err != nil || !strings.Contains(string(hosts), line) {
				t.Errorf("no line %q, %v:\n%s", line, err, hosts)
			}
			ranges, routes := cniRanges(t, s, "dev-worker")
			if !slices.Equal(ranges, want.ranges) || !slices.Equal(routes, want.routes) {
				t.Errorf("pods of the worker have ranges %v and routes %v, want %v and %v", ranges, routes, want.ranges, want.routes)
			}
			status, err := cluster.GetStatus(t.Context(), s.deps, "dev")
			if err != nil || len(strings.Split(status.Network, ",")) != want.networks {
				t.Errorf("status: network %s, %v", status.Network, err)
			}
			if ip := status.Nodes[1].IP; ip != main[want.ip](20) {
				t.Errorf("status: %s has %s, want %s", status.Nodes[1].Name, ip, main[want.ip](20))
			}
			access, err := cluster.AccessTo(t.Context(), s.Engine, "dev")
			if err != nil || access.Inside.String() != main[want.ip](10) {
				t.Errorf("the API is at %s inside, %v; want %s", access.Inside, err, main[want.ip](10))
			}
			kubeadm, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", "/kind/kubeadm.conf")
			for _, line := range []string{"advertiseAddress: " + main[want.ip](10) + "\n", "  - " + main[want.endpoint](5) + "\n"} {
				if err != nil || !strings.Contains(string(kubeadm), line) {
					t.Errorf("kubeadm's configuration lacks %q, %v:\n%s", line, err, kubeadm)
				}
			}
			balancer, err := s.Engine.ReadFile(t.Context(), "dev-external-load-balancer", "/etc/cove/haproxy.cfg")
			server := "  server dev-control-plane " + netip.AddrPortFrom(netip.MustParseAddr(main[want.endpoint](10)), 6443).String() + "\n"
			if v6 := strings.Contains(string(balancer), "bind :::6443 v4v6\n"); err != nil || v6 != (family != "ipv4") || !strings.Contains(string(balancer), server) {
				t.Errorf("the load balancer's configuration, %v:\n%s", err, balancer)
			}
			env, err := engine.Output(t.Context(), s.Engine, "dev-worker", "env")
			if told := strings.Contains(env, "COVE_NODE_FAMILY=ipv6"); err != nil || told != want.told {
				t.Errorf("the node is told that pods have IPv6 alone: %t, want %t: %q, %v", told, want.told, env, err)
			}
		})
	}
}

// cniRanges reads what the pod network of a node is configured with.
func cniRanges(t *testing.T, s *setup, node string) (ranges, routes []string) {
	t.Helper()
	data, err := s.Engine.ReadFile(t.Context(), node, "/etc/cni/net.d/10-cove.conflist")
	if err != nil {
		t.Fatal(err)
	}
	var conf struct {
		Plugins []struct {
			IPAM struct {
				Ranges [][]struct{ Subnet string }
				Routes []struct{ Dst string }
			}
		}
	}
	if err := json.Unmarshal(data, &conf); err != nil {
		t.Fatal(err)
	}
	for _, set := range conf.Plugins[0].IPAM.Ranges {
		ranges = append(ranges, set[0].Subnet)
	}
	for _, r := range conf.Plugins[0].IPAM.Routes {
		routes = append(routes, r.Dst)
	}
	return ranges, routes
}

// The family is one of those things that a living cluster keeps.
func TestFamilyStays(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), ofFamily(t, "dual"), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := s.apply(t.Context(), ofFamily(t, "ipv6"))
	if !fault.Is(err, fault.ConfigUnsupported) || !strings.Contains(err.Error(), "cluster.networking.ipFamily, cluster.networking.podSubnet") {
		t.Errorf("got %v", err)
	}
}

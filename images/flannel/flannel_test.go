package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestSettings(t *testing.T) {
	s, err := settingsFrom(env(map[string]string{"NODE_NAME": "n", "POD_SUBNET": "10.244.0.0/16,fd00:10:244::/56"}))
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.network()
	if err != nil {
		t.Fatal(err)
	}
	if n.BackendType != "host-gw" || !n.EnableNFTables || !n.EnableIPv4 || !n.EnableIPv6 || n.Network.String() != "10.244.0.0/16" || n.IPv6Network.String() != "fd00:10:244::/56" {
		t.Errorf("network %+v", n)
	}
	s, err = settingsFrom(env(map[string]string{"NODE_NAME": "n", "POD_SUBNET": "fd00:10:244::/56", "BACKEND": "vxlan"}))
	if err != nil {
		t.Fatal(err)
	}
	if n, err = s.network(); err != nil || n.BackendType != "vxlan" || n.EnableIPv4 || !n.EnableIPv6 {
		t.Errorf("network %+v, %v", n, err)
	}
	for name, values := range map[string]map[string]string{
		"NODE_NAME": {"POD_SUBNET": "10.244.0.0/16"}, "POD_SUBNET": {"NODE_NAME": "n"},
	} {
		if _, err := settingsFrom(env(values)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestWriteNetworkIsTheDocument(t *testing.T) {
	s := settings{Node: "n", Backend: "host-gw", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	file, err := s.writeNetwork(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(data), `"Network":"10.0.0.0/8"`) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestConflist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "10-cove.conflist")
	v4, v6 := netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:10:244:1::/64")
	if err := writeConflist(path, []netip.Prefix{v4, v6}, 1450); err != nil {
		t.Fatal(err)
	}
	var got struct {
		CNIVersion string `json:"cniVersion"`
		Plugins    []struct {
			Type string
			MTU  int
			IPAM struct {
				Ranges [][]struct{ Subnet string }
				Routes []struct{ Dst string }
			}
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	p := got.Plugins[0]
	if len(got.Plugins) != 2 || p.Type != "ptp" || got.Plugins[1].Type != "portmap" || p.MTU != 1450 {
		t.Errorf("plugins %+v", got.Plugins)
	}
	if p.IPAM.Ranges[0][0].Subnet != v4.String() || p.IPAM.Ranges[1][0].Subnet != v6.String() || p.IPAM.Routes[0].Dst != "0.0.0.0/0" || p.IPAM.Routes[1].Dst != "::/0" {
		t.Errorf("addresses %+v", p.IPAM)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// containerd loads a configuration anew when its file changes: one that says the same is not touched, however it is written.
func TestConflistIsLeftWhenItIsRight(t *testing.T) {
	path := filepath.Join(t.TempDir(), "10-cove.conflist")
	ranges := []netip.Prefix{netip.MustParsePrefix("10.244.0.0/24")}
	compact, err := json.Marshal(conflistFor(ranges, 1500))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, compact, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Unix(1000, 0)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	touched := func() bool {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return !info.ModTime().Equal(long)
	}
	if err := writeConflist(path, ranges, 1500); err != nil || touched() {
		t.Errorf("the same: touched %t, %v", touched(), err)
	}
	if err := writeConflist(path, ranges, 1400); err != nil || !touched() {
		t.Errorf("another MTU: touched %t, %v", touched(), err)
	}
}

func TestWriteConflistNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "10-cove.conflist")
	if err := writeConflist(path, nil, 1500); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("err = %v", err)
	}
}

func TestPodMTU(t *testing.T) {
	for backend, want := range map[string]int{"host-gw": 1500, "vxlan": 1430} {
		if got := podMTU(backend, 1500); got != want {
			t.Errorf("%s: %d", backend, got)
		}
	}
}

func apiNode(name, cidr string, cidrs ...string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: cidrs},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "172.18.0.2"},
			{Type: corev1.NodeInternalIP, Address: "172.18.0.3"}, {Type: corev1.NodeInternalIP, Address: "fc00::2"},
		}},
	}
}

func TestNodeFrom(t *testing.T) {
	got, err := nodeFrom(apiNode("n", "10.244.0.0/24", "10.244.0.0/24", "fd00::/64"))
	want := node{IPv4: "172.18.0.2", IPv6: "fc00::2", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/24"), netip.MustParsePrefix("fd00::/64")}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = nodeFrom(apiNode("n", "10.244.0.0/24")); err != nil || len(got.PodCIDRs) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	bare := apiNode("n", "10.244.0.0/24")
	bare.Status.Addresses = nil
	if _, err = nodeFrom(bare); err == nil {
		t.Error("a node without an address is taken")
	}
	if _, err = nodeFrom(apiNode("n", "rubbish")); err == nil {
		t.Error("rubbish is taken for addresses")
	}
}

// The node may be there before the controller manager has given it addresses.
func TestWaitForNode(t *testing.T) {
	client := fake.NewClientset(apiNode("n", ""))
	done := make(chan node, 1)
	failed := make(chan error, 1)
	go func() {
		n, err := waitForNode(t.Context(), client, "n")
		failed <- err
		done <- n
	}()
	updated := apiNode("n", "10.244.7.0/24")
	ticker := time.NewTicker(10 * time.Millisecond) // until the watch is there, an update is not seen
	defer ticker.Stop()
	for {
		select {
		case err := <-failed:
			if n := <-done; err != nil || len(n.PodCIDRs) != 1 || n.PodCIDRs[0].String() != "10.244.7.0/24" {
				t.Errorf("%+v, %v", n, err)
			}
			return
		case <-ticker.C:
			if _, err := client.CoreV1().Nodes().Update(t.Context(), updated, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A node of IPv6 alone has no address of IPv4 that a backend could compare with another one.
func TestLinkOf(t *testing.T) {
	for name, tt := range map[string]struct {
		node    node
		subnets string
		want    [4]string // the interface's addresses, and those that others know
	}{
		"ipv4": {node{IPv4: "127.0.0.1"}, "10.244.0.0/16", [4]string{"127.0.0.1", "<nil>", "127.0.0.1", "<nil>"}},
		"ipv6": {node{IPv6: "::1"}, "fd00:10:244::/56", [4]string{"<nil>", "::1", "<nil>", "::1"}},
		"both": {node{IPv4: "127.0.0.1", IPv6: "::1"}, "10.244.0.0/16,fd00:10:244::/56", [4]string{"127.0.0.1", "::1", "127.0.0.1", "::1"}},
	} {
		s, err := settingsFrom(env(map[string]string{"NODE_NAME": "n", "POD_SUBNET": tt.subnets}))
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.network()
		if err != nil {
			t.Fatal(err)
		}
		link, err := linkOf(tt.node, n)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := [4]string{link.IfaceAddr.String(), link.IfaceV6Addr.String(), link.ExtAddr.String(), link.ExtV6Addr.String()}; got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

func TestReachAPI(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	if err := reachAPI(t.Context(), ""); err != nil || os.Getenv("KUBERNETES_SERVICE_HOST") != "10.96.0.1" {
		t.Errorf("no endpoint: %v", err)
	}
	if err := reachAPI(t.Context(), "does-not-resolve.invalid:6443"); err != nil || os.Getenv("KUBERNETES_SERVICE_HOST") != "10.96.0.1" {
		t.Errorf("an endpoint that does not resolve: %v", err)
	}
	if err := reachAPI(t.Context(), "127.0.0.1:6443"); err != nil || os.Getenv("KUBERNETES_SERVICE_HOST") != "127.0.0.1" || os.Getenv("KUBERNETES_SERVICE_PORT") != "6443" {
		t.Errorf("an endpoint: %v", err)
	}
	if err := reachAPI(t.Context(), "no-port"); err == nil {
		t.Error("an endpoint without a port is taken")
	}
}

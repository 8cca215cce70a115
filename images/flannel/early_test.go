package main

import (
	"net"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestAnnounce(t *testing.T) {
	for name, tt := range map[string]struct {
		cidrs []string
		want  map[string]string
	}{
		"ipv4": {[]string{"10.244.1.0/24"}, map[string]string{"public-ip": "172.18.0.2"}},
		"ipv6": {[]string{"fd00:1::/64"}, map[string]string{"public-ip": "0.0.0.0", "public-ipv6": "fc00::2", "backend-v6-data": "null"}},
		"both": {[]string{"10.244.1.0/24", "fd00:1::/64"}, map[string]string{"public-ip": "172.18.0.2", "public-ipv6": "fc00::2", "backend-v6-data": "null"}},
	} {
		api := apiNode("n", tt.cidrs[0], tt.cidrs...)
		client := fake.NewClientset(api)
		self, err := nodeFrom(api)
		if err != nil {
			t.Fatal(err)
		}
		if err := announce(t.Context(), client, "n", self); err != nil {
			t.Fatal(err)
		}
		got, err := client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		tt.want["kube-subnet-manager"], tt.want["backend-type"], tt.want["backend-data"] = "true", "host-gw", "null"
		for key, value := range tt.want {
			if said := got.Annotations["flannel.alpha.coreos.com/"+key]; said != value {
				t.Errorf("%s: %s is %q, want %q", name, key, said, value)
			}
		}
		if len(got.Annotations) != len(tt.want) {
			t.Errorf("%s: %v", name, got.Annotations)
		}
	}
}

// What a node cannot be reached by has no route: the node itself, one without pods or addresses, one that is not on the link.
func TestRoutesTo(t *testing.T) {
	far := apiNode("far", "10.244.9.0/24")
	far.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.244.0.7"}}
	bare := apiNode("bare", "10.244.8.0/24")
	bare.Status.Addresses = nil
	nodes := []corev1.Node{
		*apiNode("self", "10.244.0.0/24"), *apiNode("other", "10.244.1.0/24", "10.244.1.0/24", "fd00:1::/64"), *far, *bare, *apiNode("new", ""),
	}
	onLink := prefixes([]net.Addr{
		&net.IPNet{IP: net.IPv4(172, 18, 0, 9), Mask: net.CIDRMask(24, 32)}, &net.IPNet{IP: net.ParseIP("fc00::9"), Mask: net.CIDRMask(64, 128)},
	})
	var got []string
	for _, r := range routesTo(nodes, "self", 7, onLink) {
		if r.LinkIndex != 7 {
			t.Errorf("over link %d", r.LinkIndex)
		}
		got = append(got, r.Dst.String()+" via "+r.Gw.String())
	}
	if len(got) != 2 || got[0] != "10.244.1.0/24 via 172.18.0.2" || got[1] != "fd00:1::/64 via fc00::2" {
		t.Errorf("got %q", got)
	}
}

func TestOwnLease(t *testing.T) {
	l, err := ownLease(node{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.3.0/24"), netip.MustParsePrefix("fd00:3::/64")}})
	if err != nil || l.Subnet.String() != "10.244.3.0/24" || l.IPv6Subnet.String() != "fd00:3::/64" {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := ownLease(node{}); err == nil {
		t.Error("a node without pod addresses masquerades")
	}
}

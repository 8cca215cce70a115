package cni

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func TestMasquerade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "10-cove.conflist")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	network := netip.MustParsePrefix("172.18.0.10/24")
	if rules, err := Masquerade(path, network); err != nil || rules != "" {
		t.Errorf("no file: %q, %v", rules, err)
	}
	write(`{"plugins": [{"type": "ptp", "ipam": {"ranges": [[{"subnet": "10.244.3.0/24"}], [{"subnet": "fd00::/64"}]]}}, {"type": "portmap"}]}`)
	const want = `add table ip cove-pods
flush table ip cove-pods
add chain ip cove-pods postrouting { type nat hook postrouting priority 100; }
add rule ip cove-pods postrouting ip saddr 10.244.3.0/24 ip daddr 172.18.0.0/24 masquerade
`
	if rules, err := Masquerade(path, network); err != nil || rules != want {
		t.Errorf("got\n%s, %v; want\n%s", rules, err, want)
	}
	const wantSix = `add table ip6 cove-pods
flush table ip6 cove-pods
add chain ip6 cove-pods postrouting { type nat hook postrouting priority 100; }
add rule ip6 cove-pods postrouting ip6 saddr fd00::/64 ip6 daddr fd12::/64 masquerade
`
	if rules, err := Masquerade(path, netip.MustParsePrefix("fd12::a/64")); err != nil || rules != wantSix {
		t.Errorf("got\n%s, %v; want\n%s", rules, err, wantSix)
	}
	write(`{"plugins": [{"type": "calico"}]}`)
	if rules, err := Masquerade(path, network); err != nil || rules != "" {
		t.Errorf("no subnets: %q, %v", rules, err)
	}
	write(`{`)
	if _, err := Masquerade(path, network); err == nil {
		t.Error("no JSON is no error")
	}
}

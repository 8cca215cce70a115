package cluster

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func TestBalancerConfig(t *testing.T) {
	one := map[string]netip.Addr{"dev-control-plane": netip.MustParseAddr("172.18.0.10")}
	three := map[string]netip.Addr{
		"dev-control-plane3": netip.MustParseAddr("172.18.0.12"), "dev-control-plane": netip.MustParseAddr("172.18.0.10"), "dev-control-plane2": netip.MustParseAddr("172.18.0.11"),
	}
	for name, tt := range map[string]struct {
		servers map[string]netip.Addr
		v6      bool
	}{
		"one": {one, false}, "three": {three, false}, "six": {map[string]netip.Addr{"dev-control-plane": netip.MustParseAddr("fd00::10")}, true},
	} {
		got, err := balancerConfig("dev", tt.servers, tt.v6)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "haproxy", name+".cfg")
		if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
			if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %v, got\n%s", file, err, got)
		}
	}
}

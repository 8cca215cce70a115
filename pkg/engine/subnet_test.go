package engine

import (
	"net/netip"
	"testing"
)

func TestFreeSubnet(t *testing.T) {
	for _, c := range []struct {
		name  string
		avoid []string
		want  string
	}{
		{"nothing taken", nil, "172.18.0.0/24"},
		{"its neighbour", []string{"172.18.0.0/24"}, "172.18.1.0/24"},
		{"part of it", []string{"172.18.0.128/25", "172.18.1.7/32"}, "172.18.2.0/24"},
		{"one of docker's own pools", []string{"172.18.0.0/16"}, "172.19.0.0/24"},
		{"in any order", []string{"172.18.1.0/24", "172.18.0.0/24"}, "172.18.2.0/24"},
		{"all of the first range", []string{"172.16.0.0/12"}, "10.200.0.0/24"},
		{"the office has 10/8", []string{"172.16.0.0/12", "10.0.0.0/8"}, "192.168.0.0/24"},
		{"pods at 10.244", []string{"172.16.0.0/12", "10.192.0.0/11", "10.224.0.0/12", "10.240.0.0/14"}, "10.245.0.0/24"},
		{"the end of a range", []string{"172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/17", "192.168.128.0/18", "192.168.192.0/18"}, "invalid Prefix"},
		{"everything", []string{"0.0.0.0/0"}, "invalid Prefix"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var avoid []netip.Prefix
			for _, a := range c.avoid {
				avoid = append(avoid, netip.MustParsePrefix(a))
			}
			if got := FreeSubnet(avoid).String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestFreeSubnet6(t *testing.T) {
	local := netip.MustParsePrefix("fd00::/8")
	half := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/9")}
	seen := map[netip.Prefix]bool{}
	for range 200 {
		got := FreeSubnet6(half)
		if got.Bits() != 64 || !local.Overlaps(got) || got != got.Masked() || half[1].Overlaps(got) || seen[got] {
			t.Fatalf("got %s, after %d others", got, len(seen))
		}
		if raw := got.Addr().As16(); raw[6] != 0 || raw[7] != 0 {
			t.Errorf("%s is not the first subnet of its site", got)
		}
		seen[got] = true
	}
	if got := FreeSubnet6([]netip.Prefix{local}); got.IsValid() {
		t.Errorf("got %s where nothing is free", got)
	}
}

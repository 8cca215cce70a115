package resolv

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

const engines = "# by the engine\nnameserver 127.0.0.11\nsearch corp.example\noptions ndots:0 edns0\n"

func TestUpstreams(t *testing.T) {
	own := addrs("172.18.0.2", "fd00::2")
	for name, c := range map[string]struct {
		text string
		last Record
		want []netip.Addr
	}{
		"engine's":            {engines, Record{}, addrs("127.0.0.11")},
		"loopback and others": {"nameserver 127.0.0.53\nnameserver 9.9.9.9\n", Record{}, addrs("127.0.0.53", "9.9.9.9")},
		"reachable":           {"nameserver 9.9.9.9\n", Record{}, nil},
		"none":                {"search x\n", Record{}, nil},
		"already ours":        {"nameserver 172.18.0.2\n", Record{own, addrs("127.0.0.53")}, addrs("127.0.0.53")},
		"ours, no record":     {"nameserver fd00::2\n", Record{}, addrs("127.0.0.11")},
		"ours, another then": {
			"nameserver 172.18.0.9\n", Record{addrs("172.18.0.9"), addrs("127.0.0.53")}, addrs("127.0.0.53"),
		},
		"engine wrote it anew": {engines, Record{own, addrs("127.0.0.53")}, addrs("127.0.0.11")},
	} {
		if got := Upstreams(c.text, own, c.last); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestRewriteInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte(engines), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Rewrite(path, With(string(text), addrs("10.0.0.2"))); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		want := "nameserver 10.0.0.2\n# by the engine\nsearch corp.example\noptions ndots:0 edns0\n"
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v", got, err)
		}
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) {
		t.Error("it is another file now", err)
	}
	if Rewrite(filepath.Join(t.TempDir(), "none"), "x") == nil {
		t.Error("a file that is not there was rewritten")
	}
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "resolv.json")
	if r := LoadRecord(path); r.Own != nil || r.Upstreams != nil {
		t.Errorf("got %v", r)
	}
	want := Record{addrs("10.0.0.2"), addrs("127.0.0.11")}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	if got := LoadRecord(path); !slices.Equal(got.Own, want.Own) || !slices.Equal(got.Upstreams, want.Upstreams) {
		t.Errorf("got %v", got)
	}
}

func TestFromHosts(t *testing.T) {
	const hosts = `127.0.0.1	localhost dev
::1	localhost ip6-localhost
# 10.9.9.9 dev
172.18.0.2	dev-control-plane dev # the second network comes later
172.19.0.7	dev
fe80::1 dev
fd00::2	DEV
`
	if got := FromHosts(hosts, "dev"); !slices.Equal(got, addrs("172.18.0.2", "fd00::2")) {
		t.Errorf("got %v", got)
	}
	if got := FromHosts(hosts, "other"); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestOfFamily(t *testing.T) {
	both := addrs("172.18.0.2", "fd00::2")
	if got := OfFamily(both, ""); !slices.Equal(got, both) {
		t.Errorf("both families: got %v", got)
	}
	if got := OfFamily(both, "ipv6"); !slices.Equal(got, both[1:]) {
		t.Errorf("IPv6 alone: got %v", got)
	}
	if got := OfFamily(both[:1], "ipv6"); len(got) > 0 {
		t.Errorf("IPv6 where there is none: got %v", got)
	}
}

func TestDefaultInterface(t *testing.T) {
	const routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth1\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n" +
		"eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
	if got := DefaultInterface(routes); got != "eth0" {
		t.Errorf("got %q", got)
	}
	if got := DefaultInterface(""); got != "" {
		t.Errorf("got %q", got)
	}
}

package docker

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/system"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

var update = flag.Bool("update", false, "write the goldens")

// TestBodyGolden: what the engine is asked for, for each kind of engine.
func TestBodyGolden(t *testing.T) {
	spec := engine.NodeSpec{
		Name: "dev-control-plane", Cluster: "dev", Role: engine.RoleControlPlane, Run: "r1", Image: "cove/node:v1.36.3",
		Entrypoint: []string{"/bin/init", "--first"},
		Labels:     map[string]string{"example.com/x": "y"}, Network: "dev", IP: netip.MustParseAddr("172.18.0.2"),
		Hosts:   map[string]netip.Addr{"b": netip.MustParseAddr("172.18.0.4"), "a": netip.MustParseAddr("172.18.0.3")},
		Volumes: []engine.VolumeMount{{Name: "dev-control-plane-var", Target: "/var"}},
		Mounts: []engine.Mount{
			{Source: "/src", Target: "/dst"},
			{Source: "/a", Target: "/b", ReadOnly: true, Propagation: "rslave", SELinuxRelabel: true},
			{Source: `C:\data`, Target: "/c", ReadOnly: true, Propagation: "rshared"},
		},
		Ports: []engine.Port{
			{HostIP: "127.0.0.1", HostPort: 6443, ContainerPort: 6443}, {ContainerPort: 53, Protocol: "UDP"},
			{HostIP: "::1", HostPort: 6443, ContainerPort: 6443, Protocol: "tcp"},
		},
		Env: map[string]string{"B": "2", "A": "1"}, NanoCPUs: 1_500_000_000, Memory: 2 << 30,
	}
	for name, c := range map[string]struct {
		sys          system.Info
		restricted   bool
		noModules    bool
		unprivileged bool
		six          bool
	}{
		"privileged":   {sys: system.Info{LoggingDriver: "json-file", SwapLimit: true, NCPU: 2}},
		"unprivileged": {sys: system.Info{LoggingDriver: "local", SwapLimit: true, SecurityOptions: []string{"name=userns"}}, restricted: true, unprivileged: true},
		"both":         {sys: system.Info{LoggingDriver: "json-file", SwapLimit: true, NCPU: 2}, six: true},
		"balancer":     {sys: system.Info{LoggingDriver: "json-file", SwapLimit: true, NCPU: 2}, six: true, unprivileged: true},
		"restricted":   {sys: system.Info{LoggingDriver: "journald", SecurityOptions: []string{"name=seccomp,profile=default", "name=selinux"}}, restricted: true, noModules: true},
		"remapped":     {sys: system.Info{LoggingDriver: "none", SecurityOptions: []string{"name=userns"}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{}
			e.restricted.Store(c.restricted)
			e.noModules.Store(c.noModules)
			spec := spec
			spec.Unprivileged = c.unprivileged
			if c.six {
				spec.IP6 = netip.MustParseAddr("fd12::a")
			}
			b, err := e.newBody(spec, &c.sys)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(map[string]any{"config": b.config, "host": b.host, "net": b.net}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			file := filepath.Join("testdata", "body-"+name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs; got\n%s", file, got)
			}
		})
	}
}

func TestBodyRefuses(t *testing.T) {
	for _, spec := range []engine.NodeSpec{
		{Ports: []engine.Port{{HostPort: 80}}},
		{Ports: []engine.Port{{ContainerPort: 80, Protocol: "icmp"}}},
		{Mounts: []engine.Mount{{Source: "/a:b", Target: "/c", SELinuxRelabel: true}}},
		{NanoCPUs: 2_000_000_001},
	} {
		spec.Name = "dev-a"
		if _, err := (&Engine{}).newBody(spec, &system.Info{NCPU: 2}); !fault.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), "dev-a") {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}

// TestMounts: what was asked for is what is read back.
func TestMounts(t *testing.T) {
	spec := engine.NodeSpec{
		Volumes: []engine.VolumeMount{{Name: "v", Target: "/var"}},
		Mounts: []engine.Mount{
			{Source: "/src", Target: "/dst"},
			{Source: "/a", Target: "/b", ReadOnly: true},
			{Source: "/a", Target: "/c", Propagation: "rshared", SELinuxRelabel: true},
			{Source: `C:\data`, Target: "/d", ReadOnly: true, Propagation: "rslave"},
			{Source: "/x:y", Target: "/e"},
		},
	}
	b, err := (&Engine{}).newBody(spec, &system.Info{})
	if err != nil {
		t.Fatal(err)
	}
	if got := bindsOf(b.host); !slices.Equal(got, spec.Mounts) {
		t.Errorf("got %+v; want %+v", got, spec.Mounts)
	}
}

// TestSwapLimit: swap is limited where there is a limit of memory and the host can.
func TestSwapLimit(t *testing.T) {
	for _, c := range []struct {
		memory         int64
		accounts, lies bool
		want           int64
	}{
		{0, true, false, 0}, {0, false, false, 0}, {64, true, false, 64}, {64, false, false, -1}, {64, true, true, -1},
	} {
		e := &Engine{}
		e.noSwap.Store(c.lies)
		if got := e.swapLimit(c.memory, &system.Info{SwapLimit: c.accounts}); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

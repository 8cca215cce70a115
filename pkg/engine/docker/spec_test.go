package docker

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
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
		sys        system.Info
		restricted bool
		noModules  bool
	}{
		"privileged": {sys: system.Info{LoggingDriver: "json-file"}},
		"restricted": {sys: system.Info{LoggingDriver: "journald", SecurityOptions: []string{"name=seccomp,profile=default", "name=selinux"}}, restricted: true, noModules: true},
		"remapped":   {sys: system.Info{LoggingDriver: "none", SecurityOptions: []string{"name=userns"}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{}
			e.restricted.Store(c.restricted)
			e.noModules.Store(c.noModules)
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
	} {
		spec.Name = "dev-a"
		if _, err := (&Engine{}).newBody(spec, &system.Info{}); !fault.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), "dev-a") {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}

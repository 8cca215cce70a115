//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStandIn runs the script with what kind writes for Envoy, and wants haproxy to be called with these servers.
func TestStandIn(t *testing.T) {
	for _, tool := range []string{"bash", "awk"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("lds.yaml", "resources:\n- address:\n    socket_address:\n      address: 0.0.0.0\n      port_value: 6443\n")
	cds := "resources:\n- load_assignment:\n    endpoints:\n    - lb_endpoints:\n"
	for _, node := range []string{"x-control-plane", "x-control-plane2"} {
		cds += "      - endpoint:\n          address:\n            socket_address:\n              address: " + node + "\n              port_value: 6443\n"
	}
	write("cds.yaml", cds)
	write("haproxy", "#!/bin/bash\ncat \"$3\"\n")
	write("envoy", strings.ReplaceAll(standIn, "/home/envoy", dir))
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "envoy"), "-c", "envoy.yaml")
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, servers, _ := strings.Cut(string(out), "fall 2\n")
	const want = `  server x-control-plane x-control-plane:6443 check check-ssl verify none on-marked-down shutdown-sessions
  server x-control-plane-unchecked x-control-plane:6443 backup
  server x-control-plane2 x-control-plane2:6443 check check-ssl verify none on-marked-down shutdown-sessions
  server x-control-plane2-unchecked x-control-plane2:6443 backup
`
	if servers != want {
		t.Errorf("the servers are\n%s\nwant\n%s", servers, want)
	}
}

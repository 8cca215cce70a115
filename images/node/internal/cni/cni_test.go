package cni

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const conf = `{"cniVersion": "0.4.0", "name": "cove", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {"type": "host-local"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}`

func TestFitMTU(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.conflist")
	if changed, err := FitMTU(path, 1400); changed || err != nil {
		t.Errorf("no file: %v, %v", changed, err)
	}
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := FitMTU(path, 1500); changed || err != nil {
		t.Errorf("the same: %v, %v", changed, err)
	}
	if changed, err := FitMTU(path, 1400); !changed || err != nil {
		t.Errorf("another: %v, %v", changed, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"mtu": 1400`, `"type": "ptp"`, `"ipMasq": false`, `"portMappings": true`, `"cniVersion": "0.4.0"`, `"host-local"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("lost %s:\n%s", want, data)
		}
	}
	if strings.Count(string(data), "mtu") != 1 {
		t.Errorf("a plugin without links got an MTU:\n%s", data)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FitMTU(path, 1400); err == nil {
		t.Error("a broken file is taken")
	}
}

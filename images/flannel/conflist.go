package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"

	"k8s.io/klog/v2"
)

// conflistFor is the CNI configuration of a node: ptp gives a pod a link of its own to the node, host-local an address of
// the node's ranges, portmap its host ports. Masquerading is the traffic rules' affair, not the plugin's.
func conflistFor(ranges []netip.Prefix, mtu int) map[string]any {
	var sets, routes []any
	for _, r := range ranges {
		sets = append(sets, []any{map[string]any{"subnet": r.String()}})
		if r.Addr().Is4() {
			routes = append(routes, map[string]any{"dst": "0.0.0.0/0"})
		} else {
			routes = append(routes, map[string]any{"dst": "::/0"})
		}
	}
	return map[string]any{
		"cniVersion": "0.4.0",
		"name":       "cove",
		"plugins": []any{
			map[string]any{
				"type":   "ptp",
				"ipMasq": false,
				"ipam":   map[string]any{"type": "host-local", "ranges": sets, "routes": routes},
				"mtu":    mtu,
			},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}
}

// writeConflist puts the configuration at path, whole or not at all. A file that says the same already stays untouched:
// containerd would load it again.
func writeConflist(path string, ranges []netip.Prefix, mtu int) error {
	data, err := json.MarshalIndent(conflistFor(ranges, mtu), "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if old, err := os.ReadFile(path); err == nil && sameJSON(old, data) { //nolint:gosec // the file is where containerd looks for it
		klog.InfoS("The CNI configuration is right already", "file", path)
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".cove-*") // a name that containerd does not take for a configuration
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // does nothing once it is renamed
	defer f.Close()
	if _, err := f.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	klog.InfoS("The CNI configuration is written", "file", path)
	return nil
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// podMTU is the largest packet of a pod: the node's, less what the backend wraps around it.
func podMTU(backend string, link int) int {
	if backend == "vxlan" {
		return link - 70 // the outer headers with IPv6, the larger ones
	}
	return link
}

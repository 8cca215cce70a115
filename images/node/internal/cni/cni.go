// Package cni fits the pod network's configuration, which is written before the node has a network, to that network.
package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// FitMTU gives the links of the configuration at path the MTU, where they have another one: a pod's packets are not to be
// larger than what its node can send. It reports whether it changed the file; none is no error. It writes in place, so it
// must be called before anybody reads the file.
func FitMTU(path string, mtu int) (bool, error) {
	data, err := os.ReadFile(path) //nolint:gosec // of a name that the code has
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var conf struct {
		CNIVersion string           `json:"cniVersion"`
		Name       string           `json:"name"`
		Plugins    []map[string]any `json:"plugins"`
	}
	if err := json.Unmarshal(data, &conf); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	changed := false
	for _, p := range conf.Plugins {
		if now, has := p["mtu"].(float64); has && int(now) != mtu {
			p["mtu"], changed = mtu, true
		}
	}
	if !changed {
		return false, nil
	}
	if data, err = json.MarshalIndent(conf, "", "  "); err != nil {
		return false, err
	}
	return true, os.WriteFile(path, append(data, '\n'), 0o644) //nolint:gosec // everybody may read it
}

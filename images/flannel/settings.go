package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/flannel-io/flannel/pkg/subnet"
)

// settings are what the pod's environment says.
type settings struct {
	Node    string // NODE_NAME
	Subnets []netip.Prefix
	Backend string // BACKEND: "host-gw" (the default) or "vxlan"
}

// settingsFrom reads NODE_NAME, POD_SUBNET (one or two, with a comma) and BACKEND.
func settingsFrom(env func(string) string) (settings, error) {
	s := settings{Node: env("NODE_NAME"), Backend: env("BACKEND")}
	if s.Node == "" {
		return s, fmt.Errorf("NODE_NAME is not set")
	}
	if s.Backend == "" {
		s.Backend = "host-gw"
	}
	for _, text := range strings.Split(env("POD_SUBNET"), ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return s, fmt.Errorf("cannot read POD_SUBNET: %w", err)
		}
		s.Subnets = append(s.Subnets, p.Masked())
	}
	return s, nil
}

// document is flannel's own configuration, as JSON.
func (s settings) document() ([]byte, error) {
	d := map[string]any{"EnableIPv4": false, "EnableNFTables": true, "Backend": map[string]any{"Type": s.Backend}}
	for _, p := range s.Subnets {
		if p.Addr().Is4() {
			d["EnableIPv4"], d["Network"] = true, p.String()
		} else {
			d["EnableIPv6"], d["IPv6Network"] = true, p.String()
		}
	}
	return json.Marshal(d)
}

// network is flannel's own configuration, as its libraries want it.
func (s settings) network() (*subnet.Config, error) {
	d, err := s.document()
	if err != nil {
		return nil, err
	}
	c, err := subnet.ParseConfig(string(d))
	if err != nil {
		return nil, fmt.Errorf("cannot use POD_SUBNET: %w", err)
	}
	return c, nil
}

// writeNetwork writes flannel's own configuration to a file, which is how its libraries take it.
func (s settings) writeNetwork(dir string) (string, error) {
	d, err := s.document()
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "net-conf-*.json")
	if err != nil {
		return "", fmt.Errorf("cannot keep the network's configuration: %w", err)
	}
	defer f.Close()
	if _, err := f.Write(d); err != nil {
		return "", fmt.Errorf("cannot keep the network's configuration: %w", err)
	}
	return f.Name(), f.Close()
}

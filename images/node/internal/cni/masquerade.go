package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
)

// Masquerade returns rules for nft that let pods of the configuration at path speak to what is on the node's own network and knows
// no way to pods, such as the load balancer before the API: in the node's name. flannel does the same as soon as it runs; a pod whose
// first packets come before that would wait for an answer until it gives up. No file, and one without subnets, give no rules.
func Masquerade(path string, network netip.Prefix) (string, error) {
	data, err := os.ReadFile(path) //nolint:gosec // of a name that the code has
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var conf struct {
		Plugins []struct {
			IPAM struct {
				Ranges [][]struct {
					Subnet netip.Prefix `json:"subnet"`
				} `json:"ranges"`
			} `json:"ipam"`
		} `json:"plugins"`
	}
	if err := json.Unmarshal(data, &conf); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	family := "ip"
	if network.Addr().Is6() {
		family = "ip6"
	}
	var rules strings.Builder
	for _, p := range conf.Plugins {
		for _, set := range p.IPAM.Ranges {
			for _, r := range set {
				if r.Subnet.IsValid() && r.Subnet.Addr().Is4() == network.Addr().Is4() {
					fmt.Fprintf(&rules, "add rule %[1]s cove-pods postrouting %[1]s saddr %[2]s %[1]s daddr %[3]s masquerade\n", family, r.Subnet, network.Masked())
				}
			}
		}
	}
	if rules.Len() == 0 {
		return "", nil
	}
	return fmt.Sprintf("add table %s cove-pods\nflush table %[1]s cove-pods\nadd chain %[1]s cove-pods postrouting { type nat hook postrouting priority 100; }\n", family) + rules.String(), nil
}

package addon_test

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/profile"
	"github.com/cove-k8s/cove/profiles"
)

// Simulated nodes have the last share of each pod subnet, so that they take none that a real node is to have.
func TestKwokRanges(t *testing.T) {
	a, err := profile.Open(profiles.FS()).Addon("kwok")
	if err != nil {
		t.Fatal(err)
	}
	values, err := a.Values(map[string]any{"nodes": 2})
	if err != nil {
		t.Fatal(err)
	}
	for subnet, want := range map[string][]string{
		"10.244.0.0/16":                     {"10.244.255.0/24"},
		"10.0.16.0/20":                      {"10.0.31.0/24"},
		"10.1.2.0/24":                       nil,
		"fd00:10:244::/56":                  {"fd00:10:244:ff::/64"},
		"fd01::/48":                         {"fd01:0:0:ffff::/64"},
		"fd01:2:3:4540::/60":                {"fd01:2:3:454f::/64"},
		"fd01:2:3:4540:0:0:0:0/60":          {"fd01:2:3:454f::/64"},
		"fd01:2:3:4::/64":                   nil,
		"10.244.0.0/16,fd00:10:244::/56":    {"10.244.255.0/24", "fd00:10:244:ff::/64"},
		"10.244.0.0/16,fd00:10:244:ab::/63": {"10.244.255.0/24", "fd00:10:244:ab::/64"},
	} {
		m := addon.Manager{Facts: facts()}
		m.Facts.PodSubnet = subnet
		objs, err := m.Render(t.Context(), addon.Instance{Addon: a, Parameters: values}, nil)
		if err != nil {
			t.Errorf("%s: %v", subnet, err)
			continue
		}
		nodes := 0
		for _, o := range objs {
			if o.GetKind() != "Node" {
				continue
			}
			nodes++
			first, _, _ := unstructured.NestedString(o.Object, "spec", "podCIDR")
			all, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "podCIDRs")
			if len(want) == 1 {
				all = append(all, first) // the API server makes the list
			}
			if !slices.Equal(all, want) || len(want) > 0 && first != want[0] {
				t.Errorf("%s: got %s and %q, want %q", subnet, first, all, want)
			}
		}
		if nodes != 2 {
			t.Errorf("%s: %d nodes", subnet, nodes)
		}
	}
}

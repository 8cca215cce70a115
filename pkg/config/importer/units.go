package importer

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// parseBytes reads a size as docker does, whose units are powers of 1024: 512m, 1.5g, 2GiB, 1024.
func parseBytes(s string) (int64, bool) {
	m := regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([bkmgt]?)(?:i?b)?$`).FindStringSubmatch(strings.ToLower(strings.TrimSpace(s)))
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	n *= math.Pow(1024, float64(strings.Index("bkmgt", either(m[2], "b"))))
	return int64(n), err == nil && n >= 1 && n < 1<<62
}

// atLeast returns a size in bytes as Kubernetes writes it, and what is to be said where it is below what a node needs.
func atLeast(bytes int64, controlPlane bool) (size, problem string) {
	least := int64(128 << 20)
	if controlPlane {
		least = 512 << 20
	}
	if bytes < least {
		problem = fmt.Sprintf("it is less than a node needs here; it is %s now", quantity(least))
	}
	return quantity(max(bytes, least)), problem
}

func quantity(bytes int64) string { return resource.NewQuantity(bytes, resource.BinarySI).String() }

// isLoopback reports whether a host is the one that asks.
func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() || addr.IsUnspecified()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// sortAddons orders them by name.
func sortAddons(addons []v1alpha1.Addon) {
	slices.SortFunc(addons, func(a, b v1alpha1.Addon) int { return strings.Compare(a.Name, b.Name) })
}

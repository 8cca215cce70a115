package resolv

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// NodeAddresses are the node's own addresses, at most one of each family, IPv4 first: what /etc/hosts has for the
// container's own name (the engine writes it there), else those of the interface with the default route.
func NodeAddresses() []netip.Addr {
	hostname, _ := os.Hostname()
	if text, err := os.ReadFile("/etc/hosts"); err == nil {
		if found := FromHosts(string(text), hostname); len(found) > 0 {
			return found
		}
	}
	routes, _ := os.ReadFile("/proc/net/route")
	iface, err := net.InterfaceByName(DefaultInterface(string(routes)))
	if err != nil {
		return nil
	}
	addrs, err := iface.Addrs()
	if err != nil {
		return nil
	}
	var all []netip.Addr
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, prefix.Addr())
		}
	}
	return onePerFamily(all)
}

// FromHosts are the addresses for hostname in the text of a hosts file.
func FromHosts(text, hostname string) []netip.Addr {
	var found []netip.Addr
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		for i := 1; i < len(fields); i++ {
			if a, err := netip.ParseAddr(fields[0]); err == nil && strings.EqualFold(fields[i], hostname) {
				found = append(found, a)
			}
		}
	}
	return onePerFamily(found)
}

// DefaultInterface is the interface of the first default route in the text of /proc/net/route; "" when there is none.
func DefaultInterface(text string) string {
	for _, line := range strings.Split(text, "\n") {
		if f := strings.Fields(line); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			return f[0]
		}
	}
	return ""
}

// OfFamily are those of the addresses that pods can reach: all, or where family is "ipv6" those of IPv6, for the container then has an
// address of IPv4 that pods have no way to.
func OfFamily(addrs []netip.Addr, family string) []netip.Addr {
	if family != "ipv6" {
		return addrs
	}
	return slices.DeleteFunc(slices.Clone(addrs), netip.Addr.Is4)
}

func onePerFamily(addrs []netip.Addr) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		switch {
		case !a.IsGlobalUnicast():
		case a.Is4() && v4 == nil:
			v4 = []netip.Addr{a}
		case a.Is6() && v6 == nil:
			v6 = []netip.Addr{a}
		}
	}
	return append(v4, v6...)
}

package docker

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"net/netip"
	"os"
	"strings"
)

// hostRoutes returns the IPv4 networks that this host has routes to, where it is the engine's host: a VPN's network or
// the office's must not be hidden by a cluster's. Where they cannot be known there are none.
func (e *Engine) hostRoutes() []netip.Prefix {
	if e.endpoint.socket() == "" {
		return nil
	}
	data, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil
	}
	return parseRoutes(string(data))
}

// parseRoutes reads /proc/net/route: addresses and masks are hexadecimal, in the machine's byte order. Default routes
// are left out.
func parseRoutes(table string) []netip.Prefix {
	var routes []netip.Prefix
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		address, err := hex.DecodeString(fields[1])
		if err != nil || len(address) != 4 {
			continue
		}
		mask, err := hex.DecodeString(fields[7])
		if err != nil || len(mask) != 4 {
			continue
		}
		ones := bits.OnesCount32(binary.BigEndian.Uint32(mask))
		if ones == 0 {
			continue
		}
		var native [4]byte
		binary.NativeEndian.PutUint32(native[:], binary.BigEndian.Uint32(address))
		routes = append(routes, netip.PrefixFrom(netip.AddrFrom4(native), ones).Masked())
	}
	return routes
}

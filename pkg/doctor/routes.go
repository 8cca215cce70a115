package doctor

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
)

// takenSubnets returns what clusters and the host's routes take.
func takenSubnets(ctx context.Context, h *host) ([]netip.Prefix, error) {
	networks, err := h.Engine.Networks(ctx, engine.Selector{})
	if err != nil {
		return nil, err
	}
	var taken []netip.Prefix
	for _, n := range networks {
		if n.Subnet.IsValid() {
			taken = append(taken, n.Subnet)
		}
	}
	if !h.local {
		return taken, nil
	}
	// A host without IPv4 has no such file, and no routes that matter.
	if data, err := fs.ReadFile(h.FS, "proc/net/route"); err == nil {
		taken = append(taken, parseRoutes(string(data))...)
	}
	return taken, nil
}

// parseRoutes reads /proc/net/route, but for default routes: addresses and masks are hexadecimal, in the machine's byte
// order (proc(5)).
func parseRoutes(table string) []netip.Prefix {
	var routes []netip.Prefix
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		address, err1 := hex.DecodeString(fields[1])
		mask, err2 := hex.DecodeString(fields[7])
		if err1 != nil || err2 != nil || len(address) != 4 || len(mask) != 4 {
			continue // the heading
		}
		ones := bits.OnesCount32(binary.BigEndian.Uint32(mask))
		if ones == 0 {
			continue
		}
		var a [4]byte
		binary.NativeEndian.PutUint32(a[:], binary.BigEndian.Uint32(address))
		routes = append(routes, netip.PrefixFrom(netip.AddrFrom4(a), ones))
	}
	return routes
}

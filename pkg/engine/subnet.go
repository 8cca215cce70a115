package engine

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
)

// FreeSubnet returns the first private IPv4 /24 that overlaps none of avoid; the zero prefix where there is none. It
// begins where Docker's own pools do, and never returns what Kubernetes' tools use for pods and services by default.
func FreeSubnet(avoid []netip.Prefix) netip.Prefix {
	avoid = append(slices.Clone(avoid),
		netip.MustParsePrefix("10.96.0.0/12"),  // services of kubeadm and kind
		netip.MustParsePrefix("10.244.0.0/16"), // pods of kind and flannel
	)
	for _, r := range []struct{ from, to netip.Addr }{
		{netip.AddrFrom4([4]byte{172, 18}), netip.AddrFrom4([4]byte{172, 31, 255})},
		{netip.AddrFrom4([4]byte{10, 200}), netip.AddrFrom4([4]byte{10, 255, 255})},
		{netip.AddrFrom4([4]byte{192, 168}), netip.AddrFrom4([4]byte{192, 168, 255})},
	} {
		for at := r.from; at.Compare(r.to) <= 0; {
			candidate := netip.PrefixFrom(at, 24)
			i := slices.IndexFunc(avoid, candidate.Overlaps)
			if i < 0 {
				return candidate
			}
			at = after(candidate, avoid[i])
		}
	}
	return netip.Prefix{}
}

// after returns the first address behind the larger of two IPv4 prefixes that overlap; the last address there is where
// nothing comes behind.
func after(a, b netip.Prefix) netip.Addr {
	bits := min(a.Bits(), b.Bits())
	quad := netip.PrefixFrom(a.Addr(), bits).Masked().Addr().As4()
	at := min(uint64(binary.BigEndian.Uint32(quad[:]))+1<<(32-bits), math.MaxUint32)
	binary.BigEndian.PutUint32(quad[:], uint32(at))
	return netip.AddrFrom4(quad)
}

// FreeSubnet6 returns a /64 of unique local addresses (RFC 4193) that overlaps none of avoid. Its 40 bits of global ID are
// random, so that clusters of engines that know nothing of each other differ, too; the zero prefix where avoid has nearly all
// there is.
func FreeSubnet6(avoid []netip.Prefix) netip.Prefix {
	const tries = 100
	for range tries {
		raw := [16]byte{0xfd}
		_, _ = rand.Read(raw[1:6]) // never fails
		subnet := netip.PrefixFrom(netip.AddrFrom16(raw), 64)
		if !slices.ContainsFunc(avoid, subnet.Overlaps) {
			return subnet
		}
	}
	return netip.Prefix{}
}

package initd

import (
	"context"
	"net"
	"net/netip"

	"cove.dev/images/node/internal/cni"
)

// masquerade lets pods speak to the node's own network from their first packet on.
func (n *node) masquerade(ctx context.Context) {
	network, ok := linkNetwork(nodeLink)
	if !ok {
		return // fitCNI has said that there is no such link
	}
	rules, err := cni.Masquerade(cniConf, network)
	if err != nil {
		n.log.Printf("cni: %v", err)
	}
	if rules == "" {
		return
	}
	if out, err := n.run(ctx, command{argv: []string{"nft", rules}}); err != nil {
		n.log.Printf("cni: pods may wait for the load balancer until flannel runs: %v: %s", err, out)
	}
}

// linkNetwork returns the first address of a link with its network.
func linkNetwork(name string) (netip.Prefix, bool) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Prefix{}, false
	}
	addresses, err := link.Addrs()
	if err != nil {
		return netip.Prefix{}, false
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

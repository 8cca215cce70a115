package initd

import (
	"context"
	"net"
	"net/netip"

	"cove.dev/images/node/internal/cni"
)

// masquerade lets pods speak to the node's own network from their first packet on.
func (n *node) masquerade(ctx context.Context) {
	for _, network := range linkNetworks(nodeLink) { // none: fitCNI has said that there is no such link
		rules, err := cni.Masquerade(cniConf, network)
		if err != nil {
			n.log.Printf("cni: %v", err)
		}
		if rules == "" {
			continue
		}
		if out, err := n.run(ctx, command{argv: []string{"nft", rules}}); err != nil {
			n.log.Printf("cni: pods may wait for the load balancer until flannel runs: %v: %s", err, out)
		}
	}
}

// linkNetworks returns the first address of each family of a link, with its network.
func linkNetworks(name string) []netip.Prefix {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	addresses, err := link.Addrs()
	if err != nil {
		return nil
	}
	var four, six []netip.Prefix
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		switch {
		case err != nil || p.Addr().IsLinkLocalUnicast():
		case p.Addr().Is4() && four == nil:
			four = []netip.Prefix{p}
		case p.Addr().Is6() && six == nil:
			six = []netip.Prefix{p}
		}
	}
	return append(four, six...)
}

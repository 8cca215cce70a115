package cluster

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/cove-k8s/cove/pkg/engine"
)

// dialer returns how cove itself reaches a cluster's API: by the published port where the engine is on this machine,
// and through the engine where it is not, or where the port is not to be reached from here.
func dialer(e engine.Access, info engine.Info, gateway engine.Node) func(context.Context, string, string) (net.Conn, error) {
	inside := net.JoinHostPort("127.0.0.1", strconv.Itoa(apiServerPort))
	published := publishedAPI(gateway)
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		if info.Host == "" && published.IsValid() {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, published.String())
			if err == nil || ctx.Err() != nil {
				return conn, err
			}
		}
		return e.Dial(ctx, gateway.Name, network, inside)
	}
}

// publishedAPI returns where the API server's port is published, as seen on the engine's host. The address that stands
// for all of the host's is turned into the loopback one, which is among them.
func publishedAPI(gateway engine.Node) netip.AddrPort {
	p, ok := publishedPort(gateway)
	if !ok {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddr(p.HostIP)
	switch {
	case err != nil || a == netip.IPv4Unspecified():
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case a == netip.IPv6Unspecified():
		a = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(a, p.HostPort)
}

// publishedEverywhere reports whether the API server's port is published on all addresses of the engine's host.
func publishedEverywhere(gateway engine.Node) bool {
	p, ok := publishedPort(gateway)
	a, err := netip.ParseAddr(p.HostIP)
	return ok && (err != nil || a.IsUnspecified())
}

// publishedPort returns how the API server's port is published.
func publishedPort(gateway engine.Node) (engine.Port, bool) {
	i := slices.IndexFunc(gateway.Ports, func(p engine.Port) bool { return p.ContainerPort == apiServerPort && p.HostPort != 0 })
	if i < 0 {
		return engine.Port{}, false
	}
	return gateway.Ports[i], true
}

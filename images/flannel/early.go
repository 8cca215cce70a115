package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/flannel-io/flannel/pkg/backend"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/lease"
	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

// flannel's library looks once a second whether it knows the nodes, and so begins a second late. With routes over a link that all nodes share
// there is nothing to wait for: this node's part can be said, and the routes to the others made, as flannel will find them.
const hostGateway = "host-gw"

// announce says on this node's object what flannel will: the others then make their routes to its pods. Values are those of flannel's
// AcquireLease for host-gw, which writes no others.
func announce(ctx context.Context, client kubernetes.Interface, name string, n node) error {
	said := map[string]string{
		annotation + "/kube-subnet-manager": "true",
		annotation + "/backend-type":        hostGateway,
		annotation + "/backend-data":        "null",
		annotation + "/public-ip":           "0.0.0.0",
	}
	for _, p := range n.PodCIDRs {
		if p.Addr().Is4() {
			said[annotation+"/public-ip"] = n.IPv4
		} else {
			said[annotation+"/public-ipv6"], said[annotation+"/backend-v6-data"] = n.IPv6, "null"
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": said}})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// routesTo returns the ways to the pods of the nodes that are there, but for the node of that name, over a link with these addresses. Nodes
// that are not on it, such as those that kwok only plays, have none.
func routesTo(nodes []corev1.Node, self string, link int, onLink []netip.Prefix) []netlink.Route {
	var routes []netlink.Route
	for i := range nodes {
		if nodes[i].Name == self {
			continue
		}
		other, err := nodeFrom(&nodes[i])
		if err != nil { // it has no address or no pods yet: flannel will see it when it has
			continue
		}
		for _, pods := range other.PodCIDRs {
			gateway := other.IPv6
			if pods.Addr().Is4() {
				gateway = other.IPv4
			}
			at, err := netip.ParseAddr(gateway)
			if err == nil && slices.ContainsFunc(onLink, func(p netip.Prefix) bool { return p.Contains(at) }) {
				routes = append(routes, netlink.Route{Dst: ipNet(pods), Gw: at.AsSlice(), LinkIndex: link})
			}
		}
	}
	return routes
}

// beginEarly does what can be done before flannel knows the nodes. What fails is no error: flannel does all of it again.
func beginEarly(ctx context.Context, client kubernetes.Interface, s settings, n node, link *backend.ExternalInterface) {
	if s.Backend != hostGateway {
		return
	}
	if err := announce(ctx, client, s.Node, n); err != nil {
		klog.InfoS("Cannot announce the node early", "err", err)
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		klog.InfoS("Cannot make routes early", "err", err)
		return
	}
	addrs, err := link.Iface.Addrs()
	if err != nil {
		klog.InfoS("Cannot make routes early", "err", err)
		return
	}
	for _, route := range routesTo(nodes.Items, s.Node, link.Iface.Index, prefixes(addrs)) {
		if err := netlink.RouteReplace(&route); err != nil {
			klog.InfoS("Cannot make a route early", "to", route.Dst, "err", err)
		}
	}
}

// ownLease is the node's share of the pod subnets, in flannel's words.
func ownLease(n node) (*lease.Lease, error) {
	l := &lease.Lease{}
	for _, p := range n.PodCIDRs {
		if p.Addr().Is4() {
			l.EnableIPv4, l.Subnet = true, ip.FromIPNet(ipNet(p))
		} else {
			l.EnableIPv6, l.IPv6Subnet = true, ip.FromIP6Net(ipNet(p))
		}
	}
	if !l.EnableIPv4 && !l.EnableIPv6 {
		return nil, fmt.Errorf("cannot masquerade: the node has no pod addresses")
	}
	return l, nil
}

// prefixes are the subnets that an interface's addresses are in.
func prefixes(addrs []net.Addr) []netip.Prefix {
	var list []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Masked())
		}
	}
	return list
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

package main

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// node is what the network needs to know of its own node.
type node struct {
	IPv4, IPv6 string // its addresses; "" where it has none of the family
	PodCIDRs   []netip.Prefix
}

// waitForNode returns the node of that name once the controller manager has given it pod addresses.
func waitForNode(ctx context.Context, client kubernetes.Interface, name string) (node, error) {
	selector := fields.OneTermEqualSelector("metadata.name", name).String()
	nodes := client.CoreV1().Nodes()
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return nodes.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return nodes.Watch(ctx, o)
		},
	}
	event, err := watchtools.UntilWithSync(ctx, lw, &corev1.Node{}, nil, func(e watch.Event) (bool, error) {
		n, ok := e.Object.(*corev1.Node)
		return ok && e.Type != watch.Deleted && n.Spec.PodCIDR != "", nil
	})
	if err != nil {
		return node{}, fmt.Errorf("cannot wait for the pod addresses of node %s: %w", name, err)
	}
	n, ok := event.Object.(*corev1.Node)
	if !ok {
		return node{}, fmt.Errorf("cannot read node %s: it came as %T", name, event.Object)
	}
	return nodeFrom(n)
}

// nodeFrom reads the addresses of an API object.
func nodeFrom(n *corev1.Node) (node, error) {
	var r node
	for _, a := range n.Status.Addresses {
		ip, err := netip.ParseAddr(a.Address)
		switch {
		case err != nil || a.Type != corev1.NodeInternalIP:
		case ip.Is4() && r.IPv4 == "":
			r.IPv4 = a.Address
		case ip.Is6() && r.IPv6 == "":
			r.IPv6 = a.Address
		}
	}
	if r.IPv4 == "" && r.IPv6 == "" {
		return r, fmt.Errorf("cannot use node %s: it has no internal address", n.Name)
	}
	cidrs := n.Spec.PodCIDRs
	if len(cidrs) == 0 {
		cidrs = []string{n.Spec.PodCIDR}
	}
	for _, c := range cidrs {
		p, err := netip.ParsePrefix(c)
		if err != nil {
			return r, fmt.Errorf("cannot read the pod addresses of node %s: %w", n.Name, err)
		}
		r.PodCIDRs = append(r.PodCIDRs, p)
	}
	return r, nil
}

// Command flannel is the cluster's pod network: it gives the node its CNI configuration, routes to the other nodes' pods
// and masquerades what leaves the cluster, with flannel's own libraries. It assigns no addresses: the controller manager does.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/hostgw" // registers host-gw: routes, for nodes that share a link
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"  // registers vxlan: tunnels, for nodes that do not
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/nftables"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

const (
	conflist   = "/etc/cni/net.d/10-cove.conflist"
	annotation = "flannel.alpha.coreos.com" // the prefix that flannel itself uses
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		klog.ErrorS(err, "cannot set up the pod network")
		klog.Flush()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	settings, err := settingsFrom(os.Getenv)
	if err != nil {
		return err
	}
	if err := reachAPI(ctx, os.Getenv("CONTROL_PLANE_ENDPOINT")); err != nil {
		return err
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("cannot reach the API server: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("cannot make a client of the API server: %w", err)
	}
	node, err := waitForNode(ctx, client, settings.Node)
	if err != nil {
		return err
	}
	network, err := settings.network()
	if err != nil {
		return err
	}
	link, err := linkOf(node, network)
	if err != nil {
		return err
	}
	// Pods start as soon as this file is there: before anything that other nodes have a part in.
	if err := writeConflist(conflist, node.PodCIDRs, podMTU(settings.Backend, link.Iface.MTU)); err != nil {
		return err
	}
	beginEarly(ctx, client, settings, node, link)
	if err := masquerade(ctx, network, node); err != nil {
		return err
	}
	return serve(ctx, settings, network, link)
}

// reachAPI lets the client talk to endpoint (host:port) rather than to the service's address, which does not answer before
// kube-proxy has run. An endpoint that does not resolve here is passed over.
func reachAPI(ctx context.Context, endpoint string) error {
	if endpoint == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return fmt.Errorf("cannot use CONTROL_PLANE_ENDPOINT: %w", err)
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		klog.InfoS("The control plane's endpoint does not resolve, the service's address is used", "err", err)
		return nil
	}
	return errors.Join(os.Setenv("KUBERNETES_SERVICE_HOST", host), os.Setenv("KUBERNETES_SERVICE_PORT", port))
}

// linkOf returns the interface that has the node's own address.
func linkOf(node node, network *subnet.Config) (*backend.ExternalInterface, error) {
	families, err := ipmatch.GetIPFamily(network.EnableIPv4, network.EnableIPv6)
	if err != nil {
		return nil, fmt.Errorf("cannot tell the address families: %w", err)
	}
	name := node.IPv4
	if name == "" {
		name = node.IPv6
	}
	link, err := ipmatch.LookupExtIface(name, "", "", families, ipmatch.PublicIPOpts{PublicIP: node.IPv4, PublicIPv6: node.IPv6})
	if err != nil {
		return nil, fmt.Errorf("cannot find the interface of %s: %w", name, err)
	}
	if !network.EnableIPv4 {
		link.IfaceAddr = nil // or it is taken for an address of IPv4 behind a NAT, which host-gw refuses
	}
	return link, nil
}

// masquerade lets pods out of the cluster by the node's own addresses.
func masquerade(ctx context.Context, network *subnet.Config, n node) error {
	own, err := ownLease(n)
	if err != nil {
		return err
	}
	rules := &nftables.NFTablesManager{}
	if err := rules.Init(ctx); err != nil {
		return fmt.Errorf("cannot make the nftables tables: %w", err)
	}
	err = rules.SetupAndEnsureMasqRules(ctx, network.Network, own.Subnet, network.Network,
		network.IPv6Network, own.IPv6Subnet, network.IPv6Network, own, 0, false)
	if err != nil {
		return fmt.Errorf("cannot masquerade: %w", err)
	}
	rules.SetupAndEnsureForwardRules(ctx, network.Network, network.IPv6Network, 0)
	klog.InfoS("The pod network is up", "subnets", n.PodCIDRs)
	return nil
}

// serve keeps routes right until ctx ends.
func serve(ctx context.Context, s settings, network *subnet.Config, link *backend.ExternalInterface) error {
	file, err := s.writeNetwork(os.TempDir())
	if err != nil {
		return err
	}
	manager, err := kube.NewSubnetManager(ctx, "", "", annotation, file, false)
	if err != nil {
		return fmt.Errorf("cannot watch the nodes: %w", err)
	}
	made, err := backend.NewManager(ctx, manager, link).GetBackend(s.Backend)
	if err != nil {
		return fmt.Errorf("cannot start backend %s: %w", s.Backend, err)
	}
	var wg sync.WaitGroup
	routes, err := made.RegisterNetwork(ctx, &wg, network)
	if err != nil {
		return fmt.Errorf("cannot register the node: %w", err)
	}
	klog.InfoS("Routes follow the nodes", "backend", s.Backend)
	routes.Run(ctx)
	wg.Wait()
	return nil
}

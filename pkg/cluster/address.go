package cluster

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeadm"
)

// The address by which the API is published may change while a cluster lives, as the host's does: it is the load balancer's, which can be
// replaced, and API servers read their certificates anew when these change.

// apiSANs are the names and addresses that the API servers' certificates are good for, beside those that kubeadm gives them.
func apiSANs(rc *Context) []string {
	net := rc.Doc.Cluster.Networking
	sans := []string{"localhost", "127.0.0.1", endpointName(rc.Name())}
	for _, a := range rc.endpoints() {
		sans = append(sans, a.String())
	}
	if wantsIPv6(rc.Doc) {
		sans = append(sans, "::1")
	}
	for _, a := range []string{net.APIServerAddress, rc.engineInfo().Host} {
		if a != "" && a != "0.0.0.0" && a != "::" && !slices.Contains(sans, a) {
			sans = append(sans, a)
		}
	}
	return sans
}

// extendCertificates is the step that makes the certificates of the API servers that there are good for the document's address.
func extendCertificates(ctx context.Context, rc *Context) error {
	var ips []netip.Addr
	for _, s := range apiSANs(rc) {
		if ip, err := netip.ParseAddr(s); err == nil {
			ips = append(ips, ip)
		}
	}
	const path = pkiDir + "apiserver.crt"
	var count atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range controlPlanes(rc.record.nodes()) {
		group.Go(func() error {
			old, err := rc.Engine.ReadFile(ctx, name, path)
			if fault.Is(err, fault.NodeNotFound) {
				return nil // it will be made anew, with the address
			}
			if err != nil {
				return fault.Wrap(fault.ClusterIncomplete, err, "cannot read %s of %s", path, name)
			}
			changed, err := rc.ca.Extend(old, ips)
			if err != nil || changed == nil {
				return fault.Wrap(fault.Internal, err, "cannot add %s to the API server's certificate", rc.Doc.Cluster.Networking.APIServerAddress)
			}
			count.Add(1)
			return rc.Engine.PutFiles(ctx, name, []engine.File{{Path: path, Mode: 0o644, Data: changed}})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if count.Load() == 0 {
		return event.Skip("they have it")
	}
	return nil
}

// keepSANs is the step that makes the certificates of later API servers good for it.
func keepSANs(ctx context.Context, rc *Context) error {
	return patchKubeadm(ctx, rc, func(conf []byte) ([]byte, error) { return kubeadm.AddCertSANs(conf, apiSANs(rc)) })
}

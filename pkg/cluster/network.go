package cluster

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// labelDocument holds the cluster's document, as JSON, on its network: what was asked for is kept with what is there,
// so that another machine that uses the same engine knows as much.
const labelDocument = "cove.dev/document"

// createNetwork makes the cluster's network: with the subnets that rc.network has, where there was one, else with free ones.
func createNetwork(ctx context.Context, rc *Context) error {
	doc, err := json.Marshal(rc.Doc)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot write the cluster's document")
	}
	made, err := rc.Engine.CreateNetwork(ctx, engine.NetworkSpec{
		Name: networkName(rc.Name()), Cluster: rc.Name(), Run: rc.Emitter.Run(),
		Labels: map[string]string{labelDocument: string(doc)},
		Subnet: rc.network.Subnet, Subnet6: rc.network.Subnet6, Avoid: clusterSubnets(rc.Doc), IPv6: wantsIPv6(rc.Doc),
	})
	if err != nil {
		return fault.Wrap(fault.EngineFailed, err, "cannot create network %s", networkName(rc.Name()))
	}
	rc.network = made
	return nil
}

// renewNetwork makes a network that is gone again. An engine starts no container whose network is not the one that it was made
// for, also where another one has its name by now: they go first, so that a run that is cut off here leaves none of them.
func renewNetwork(ctx context.Context, rc *Context) error {
	f, err := find(ctx, rc.Engine, rc.Name())
	if err != nil {
		return err
	}
	for _, n := range f.containers() {
		if err := rc.Engine.RemoveNode(ctx, n.Name); err != nil {
			return err
		}
	}
	subnet := joined(nodeSubnets(rc.Doc, rc.network))
	err = createNetwork(ctx, rc)
	if fault.Is(err, fault.NetworkTaken) {
		return fault.New(fault.NetworkTaken, "%v", err).
			WithHint("the addresses of cluster %q are those of %s: remove the network that has them now, and run `cove apply %s` again", rc.Name(), subnet, rc.Name())
	}
	return err
}

// findNetwork finds the cluster's network. Where it is gone, as after `docker network prune`, it takes what it was from the record; one
// that an older cove wrote does not say it, but an API server's manifest has the address that it is at.
func (o *observed) findNetwork(ctx context.Context, e engine.Access) error {
	if len(o.networks) > 0 {
		o.network = o.networks[0]
		return nil
	}
	o.pruned = true
	o.network = engine.Network{Name: networkName(o.name), Cluster: o.name, Subnet: o.record.Subnet, Subnet6: o.record.Subnet6}
	if o.network.Subnet.IsValid() {
		return nil
	}
	for _, cp := range o.controlPlanes() {
		at := advertised(ctx, e, cp.Name)
		if !at.Is4() || wantsIPv6(*o.record.Document) {
			continue
		}
		subnet := netip.PrefixFrom(at, subnetBits).Masked()
		if addressAt(subnet, o.places[cp.Name].host) == at {
			o.network.Subnet = subnet
			return nil
		}
	}
	return fault.New(fault.ClusterIncomplete, "the network of cluster %q is gone, and nothing tells which subnet it had", o.name).
		WithHint("it cannot be brought back; `cove delete %s` removes it with its data", o.name)
}

// subnetBits is the size of the subnets that engines pick for cove.
const subnetBits = 24

// advertised returns the address at which a control plane's API server says that it is; zero where it cannot be read.
func advertised(ctx context.Context, e engine.Access, node string) netip.Addr {
	data, err := e.ReadFile(ctx, node, "/etc/kubernetes/manifests/kube-apiserver.yaml")
	if err != nil {
		return netip.Addr{}
	}
	_, rest, _ := strings.Cut(string(data), "--advertise-address=")
	line, _, _ := strings.Cut(rest, "\n")
	at, _ := netip.ParseAddr(strings.TrimSpace(line)) // zero where there is none
	return at
}

// clusterSubnets returns the ranges of pods and services, which the nodes' own network must not be in.
func clusterSubnets(doc v1alpha1.Cluster) []netip.Prefix {
	var all []netip.Prefix
	for _, list := range []string{doc.Cluster.Networking.PodSubnet, doc.Cluster.Networking.ServiceSubnet} {
		for part := range strings.SplitSeq(list, ",") {
			if p, err := netip.ParsePrefix(part); err == nil { // config has checked them
				all = append(all, p)
			}
		}
	}
	return all
}

// removeNetwork removes the run's network; another run's, or a user's, of the same name stays.
func removeNetwork(ctx context.Context, rc *Context) error {
	networks, err := rc.Engine.Networks(ctx, engine.Selector{Cluster: rc.Name(), Run: rc.Emitter.Run()})
	if err != nil {
		return err
	}
	for _, n := range networks {
		if err := rc.Engine.RemoveNetwork(ctx, n.Name); err != nil {
			return err
		}
	}
	return nil
}

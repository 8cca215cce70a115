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

func createNetwork(ctx context.Context, rc *Context) error {
	doc, err := json.Marshal(rc.Doc)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot write the cluster's document")
	}
	rc.network, err = rc.Engine.CreateNetwork(ctx, engine.NetworkSpec{
		Name: networkName(rc.Name()), Cluster: rc.Name(), Run: rc.Emitter.Run(),
		Labels: map[string]string{labelDocument: string(doc)},
		Avoid:  clusterSubnets(rc.Doc), IPv6: wantsIPv6(rc.Doc),
	})
	return fault.Wrap(fault.EngineFailed, err, "cannot create network %s", networkName(rc.Name()))
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

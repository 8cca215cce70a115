package clustertest

import (
	"bytes"
	"context"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
)

// cluster returns the cluster, of these nodes, that has the API's CA, and whether a control plane of it runs.
func (a *fakeAPI) cluster(ctx context.Context, all []engine.Node) (name string, up bool) {
	for _, n := range all {
		ca, err := a.world.Engine.ReadFile(ctx, n.Name, caFile)
		if err == nil && bytes.Equal(ca, a.ca) {
			up = up || n.State == engine.StateRunning
			name = n.Cluster
		}
	}
	return name, up
}

// Nodes returns the nodes whose containers run, all of them Ready.
func (a *fakeAPI) Nodes(ctx context.Context) ([]kube.NodeInfo, error) {
	if err := a.wait(ctx, "Nodes"); err != nil {
		return nil, err
	}
	all, err := a.world.Engine.Nodes(ctx, engine.Selector{})
	if err != nil {
		return nil, err
	}
	name, up := a.cluster(ctx, all)
	if name != "" && !up {
		return nil, fault.New(fault.APITimeout, "connection refused")
	}
	var nodes []kube.NodeInfo
	for _, n := range all {
		if n.Cluster == name && name != "" && n.Role != engine.RoleLoadBalancer {
			running := n.State == engine.StateRunning && !a.world.held(ctx, n.Name) && !a.world.CutOff[n.Name]
			info := kube.NodeInfo{Name: n.Name, KubeletVersion: Version, IP: n.IP.String(), Ready: running, PodCIDR: a.ahead(n.Name)}
			if !running {
				info.Reason = "NodeStatusUnknown: Kubelet stopped posting node status."
			}
			a.world.mu.Lock()
			info.Cordoned = a.world.Cordoned[n.Name]
			_, info.Unschedulable = a.world.Cordoned[n.Name]
			a.world.mu.Unlock()
			nodes = append(nodes, info)
		}
	}
	return nodes, nil
}

package clustertest

import (
	"bytes"
	"context"
	"maps"
	"slices"

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

// label gives a Node labels, and takes away those without a value.
func (a *fakeAPI) label(node string, labels map[string]*string) {
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	if a.world.labels == nil {
		a.world.labels = map[string]map[string]string{}
	}
	if a.world.labels[node] == nil {
		a.world.labels[node] = map[string]string{}
	}
	for key, value := range labels {
		delete(a.world.labels[node], key)
		if value != nil {
			a.world.labels[node][key] = *value
		}
	}
}

// Labels are those that the API has given a node's object; its kubelet's are not among them.
func (w *World) Labels(node string) map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.labels[node])
}

// taint gives a Node taints, and takes away others: one of a key and an effect is there once.
func (a *fakeAPI) taint(node string, add, remove []kube.Taint) {
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	if a.world.taints == nil {
		a.world.taints = map[string][]kube.Taint{}
	}
	list := slices.DeleteFunc(a.world.taints[node], func(t kube.Taint) bool {
		return slices.ContainsFunc(slices.Concat(add, remove), func(o kube.Taint) bool { return o.Key == t.Key && o.Effect == t.Effect })
	})
	a.world.taints[node] = append(list, add...)
}

// Taints are those that the API has given a node's object.
func (w *World) Taints(node string) []kube.Taint {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.taints[node])
}

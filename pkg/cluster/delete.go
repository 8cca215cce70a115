package cluster

import (
	"context"
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeconfig"
)

// PlanDelete returns the plan that removes the cluster: first the context, so that nobody is led to what goes away.
func PlanDelete(name string) Plan {
	return Plan{Cluster: name, Stages: []Stage{
		{Name: "kubeconfig", Steps: []Step{step{"kubeconfig", "Remove context " + ContextName(name) + " from the kubeconfig", removeKubeconfig}}},
		{Name: "remove", Steps: []Step{step{"remove", "Remove nodes, volumes and network of " + name, removeAll}}},
	}}
}

func removeAll(ctx context.Context, rc *Context) error {
	f, err := find(ctx, rc.Engine, rc.Name())
	if err != nil {
		return err
	}
	reporter(ctx).Waiting("%d nodes, %d volumes", len(f.nodes), len(f.volumes))
	return removeFound(ctx, rc.Deps, f)
}

// DeleteOptions is how to delete a cluster.
type DeleteOptions struct {
	// LockTimeout is how long to wait for another run that works on the cluster; 0 does not wait.
	LockTimeout time.Duration
}

// Delete removes the cluster and its context. No such cluster is ClusterNotFound, unless a context of its was left over,
// which is removed then. It can be run again after it was cut off.
func Delete(ctx context.Context, d Deps, name string, o DeleteOptions) error {
	unlock, err := lock(ctx, d.StateDir, name, o.LockTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := find(ctx, d.Engine, name)
	if err != nil {
		return err
	}
	if f.empty() {
		removed, err := kubeconfig.Remove(ctx, d.Kubeconfig, ContextName(name))
		if err != nil || len(removed) > 0 {
			return err
		}
		return fault.New(fault.ClusterNotFound, "no cluster is called %q", name)
	}
	rc := &Context{Deps: d}
	rc.Doc.Name = name
	return Runner{Retain: true}.Run(ctx, PlanDelete(name), rc)
}

package cluster

import (
	"context"
	"errors"
	"slices"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// undoJoin takes a node that joined out again, where the run failed before it was recorded. Its container is stopped before its object
// goes, because its kubelet would register anew. Control planes leave one after the other: etcd changes one member at a time. A node
// that cannot be taken out keeps its container and its data: it may have a vote in etcd, and the next run removes it.
func (d *delta) undoJoin(n v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		if rc.record.has(n.Name) || rc.kube == nil {
			return nil
		}
		err := d.unjoin(ctx, rc, n)
		if err != nil {
			rc.keep(n.Name)
		}
		return err
	}
}

func (d *delta) unjoin(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	if n.Role != engine.RoleControlPlane {
		if err := stopAtOnce(ctx, rc, n.Name); err != nil && !event.IsSkip(err) {
			return err
		}
		return rc.kube.DeleteNodeObject(ctx, n.Name)
	}
	d.leaving.Lock()
	defer d.leaving.Unlock()
	past := updateBalancer(ctx, rc, controlPlanes(rc.record.nodes()))
	if err := d.takeOut(n.Name)(ctx, rc); err != nil && !event.IsSkip(err) {
		return errors.Join(past, err)
	}
	return errors.Join(past, rc.kube.DeleteNodeObject(ctx, n.Name))
}

// clearStale removes what Kubernetes and etcd still have of a node of that name, before it joins.
func (d *delta) clearStale(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	if err := rc.kube.DeleteNodeObject(ctx, n.Name); err != nil {
		return err
	}
	if n.Role != engine.RoleControlPlane {
		return nil
	}
	return d.leaveEtcd(n.Name)(ctx, rc)
}

// endJoin ends the kubeadm that a run which was cut off has left at work in a node: an engine does not end what it was asked to run.
// Nobody makes a voter of the node's learner then, and no learner comes into the place of one that is taken out.
func endJoin(ctx context.Context, rc *Context, node string) error {
	n, err := rc.Engine.Node(ctx, node)
	if fault.Is(err, fault.NodeNotFound) || err == nil && n.State != engine.StateRunning {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = engine.Output(ctx, rc.Engine, node, "pkill", "-KILL", "-x", "kubeadm")
	if exit := (*engine.ExitError)(nil); errors.As(err, &exit) { // none runs
		return nil
	}
	return err
}

// takeOut returns what ends a control plane that was joining: who has a vote leaves etcd before its container is stopped, because of
// two voters both must be there for it; who has none yet is stopped first, so that it gets none meanwhile.
func (d *delta) takeOut(node string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		if err := endJoin(ctx, rc, node); err != nil {
			return err
		}
		votes := false
		err := viaOthers(ctx, rc, node, func(via string) error {
			members, err := etcdMembersOf(ctx, rc, via, node)
			votes = slices.ContainsFunc(members, func(m etcdMember) bool { return !m.IsLearner })
			return err
		})
		if err == nil && votes {
			err = d.leaveEtcd(node)(ctx, rc)
		}
		if err != nil {
			return err
		}
		if err := d.stopLeaving(node)(ctx, rc); !event.IsSkip(err) {
			return err
		}
		return d.leaveEtcd(node)(ctx, rc)
	}
}

// stopLeaving returns the step that stops a control plane that has left etcd; it may be gone already. Where a run that was cut off has
// left it joining, it may have come into etcd again by then, as a learner, and etcd takes in one learner at a time.
func (d *delta) stopLeaving(name string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		if err := stopAtOnce(ctx, rc, name); err != nil {
			return err
		}
		return d.leaveEtcd(name)(ctx, rc)
	}
}

// stopAtOnceStep returns the step that ends a node that is to go.
func stopAtOnceStep(name string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error { return stopAtOnce(ctx, rc, name) }
}

// stopAtOnce ends a node that is to go; it may be gone already.
func stopAtOnce(ctx context.Context, rc *Context, name string) error {
	err := rc.Engine.StopNode(ctx, name, 0)
	if fault.Is(err, fault.NodeNotFound) {
		return event.Skip("its container is gone")
	}
	return err
}

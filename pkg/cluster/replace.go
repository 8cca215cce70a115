package cluster

import (
	"context"
	"maps"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// replacement gives a node another container, with a way back: the old one has to go first, because the name, the address and
// the ports are its own, and only then can it turn out that the new one cannot be.
type replacement struct {
	d    *delta
	node v1alpha1.Node // as it is to be
	back bool          // it is: what fails later is no fault of it
}

// step is the step that replaces the container.
func (r *replacement) step() Step {
	return undoableStep{step{"replace/" + r.node.Name, "Replace the container of " + r.node.Name, replaceContainer(r.node)}, r.undo}
}

// ready is the step that waits until the node is back; from then on it keeps its container.
func (r *replacement) ready() Step {
	return step{"ready/" + r.node.Name, r.node.Name + " is back", func(ctx context.Context, rc *Context) error {
		err := waitBack([]string{r.node.Name})(ctx, rc)
		r.back = err == nil
		return err
	}}
}

// undo makes and starts the container that the node had. One that the run has not taken away is only started.
func (r *replacement) undo(ctx context.Context, rc *Context) error {
	if r.back {
		return event.Skip("it is back")
	}
	name := r.node.Name
	c, err := rc.Engine.Node(ctx, name)
	switch {
	case err == nil && c.Run != rc.Emitter.Run() && neverRan(c):
		return event.Skip("it did not run before")
	case err == nil && c.Run != rc.Emitter.Run():
		return wake(ctx, rc.Engine, name)
	case err != nil && !fault.Is(err, fault.NodeNotFound):
		return err
	}
	was := r.d.madeAs(name)
	old, err := r.d.before(ctx, rc, was)
	if err != nil {
		return err
	}
	return replaceContainer(was)(ctx, old)
}

// madeAs returns what the container of a node was made from before the run; one that never ran may be what a failed run wanted, and then
// the record counts.
func (d *delta) madeAs(name string) v1alpha1.Node {
	spec, known := d.was.specs[name]
	if c, there := d.was.node(name); there && known && !neverRan(c) {
		return spec
	}
	for _, n := range d.was.record.nodes() {
		if n.Name == name {
			return n
		}
	}
	return spec
}

// before returns what steps share, as it was before the run: the document that the cluster follows, and the node's image.
func (d *delta) before(ctx context.Context, rc *Context, n v1alpha1.Node) (*Context, error) {
	old := d.was.context(rc.Deps, *rc.record.Document)
	old.record, old.ca, old.sharedKeys, old.kubeadmAddons = rc.record, rc.ca, rc.sharedKeys, rc.kubeadmAddons
	maps.Copy(old.places, rc.places)
	ref := n.Image
	if c, there := d.was.node(n.Name); there && !neverRan(c) {
		ref = c.Image
	}
	if ref == "" { // its container was gone before: the cluster's image is as good as any
		old.images[n.Name] = rc.images[n.Name]
		return old, nil
	}
	img, err := rc.Engine.Image(ctx, ref)
	if err != nil {
		return nil, err
	}
	old.images[n.Name], err = newNodeImage(ref, img)
	return old, err
}

// undoBalancer makes the load balancer as it was, where the run has taken it away and has none that runs in its place.
func (d *delta) undoBalancer(ctx context.Context, rc *Context) error {
	b, err := rc.Engine.Node(ctx, balancerName(rc.Name()))
	switch {
	case err == nil && (b.State == engine.StateRunning || b.Run != rc.Emitter.Run()):
		return event.Skip("it is there")
	case err != nil && !fault.Is(err, fault.NodeNotFound):
		return err
	}
	old := d.was.context(rc.Deps, *rc.record.Document)
	old.record, old.ca = rc.record, rc.ca
	if old.balancerImage == "" {
		old.balancerImage = rc.balancerImage
	}
	return replaceBalancer(ctx, old)
}

// fitsHost refuses nodes that are to have more than the engine's host: the engine would refuse their containers, or they would tell
// Kubernetes of what is not there.
func fitsHost(info engine.Info, nodes []v1alpha1.Node) error {
	for _, n := range nodes {
		if info.CPUs > 0 && n.NanoCPUs > int64(info.CPUs)*1e9 {
			return fault.New(fault.ConfigInvalid, "cannot make node %s: cpus is %s, and the engine's host has %d", n.Name, cores(n.NanoCPUs), info.CPUs).
				WithHint("give the node no more CPUs than the host has")
		}
		if info.MemoryBytes > 0 && n.Memory > info.MemoryBytes {
			return fault.New(fault.ConfigInvalid, "cannot make node %s: memory is %s, and the engine's host has %s", n.Name, size(n.Memory), size(info.MemoryBytes>>20<<20)).
				WithHint("give the node no more memory than the host has")
		}
	}
	return nil
}

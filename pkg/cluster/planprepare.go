package cluster

import (
	"context"
	"slices"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
)

// prepareSteps get the images that will be needed, before anything is touched.
func (d *delta) prepareSteps(rc *Context) []Step {
	var steps []Step
	if len(d.add) > 0 {
		steps = append(steps, step{"host", "Check the engine's host", d.checkHost})
	}
	if len(d.touched()) > 0 || d.balancer {
		steps = append(steps, step{"image", "Get the node image" + imageTitle(d.doc), d.ensureImages})
	}
	for _, a := range withImages(rc.Addons) {
		if len(d.add) > 0 || slices.Contains(d.enable, a.Name()) {
			steps = append(steps, step{"images/" + a.Name(), "Get the images of " + a.Name(), ensureAddonImages(a)})
		}
	}
	return steps
}

// checkHost fails before anything is made where the host has no room for the new nodes: a limit would show as a node that does not join.
func (d *delta) checkHost(ctx context.Context, rc *Context) error {
	more := len(d.add)
	for _, n := range slices.Concat(d.leftoverNodes(), d.lost) { // what runs of them now makes room
		if c, there := d.was.node(n.Name); there && c.State == engine.StateRunning {
			more--
		}
	}
	if rc.Preflight == nil || more <= 0 {
		return nil
	}
	return rc.Preflight(ctx, rc.engineInfo(), more, reporter(ctx))
}

// ensureImages gets the images of the nodes that get a container.
func (d *delta) ensureImages(ctx context.Context, rc *Context) error {
	if err := ensureNodeImages(ctx, rc, d.withImages(rc)); err != nil {
		return err
	}
	if err := checkConfigs(ctx, rc, slices.Concat(d.upgrade, d.add)); err != nil {
		return err
	}
	if err := d.fitting(rc); err != nil {
		return err
	}
	return ensureBalancerImage(ctx, rc)
}

// ensureBalancerImage chooses the image of a load balancer that is to be made.
func ensureBalancerImage(ctx context.Context, rc *Context) error {
	balancer := rc.balancerImage
	if rc.balanced && balancer == "" { // its container is gone: any of cove's own images will do
		for _, img := range rc.images {
			if img.native() {
				balancer = img.ref
			}
		}
	}
	if rc.balanced && balancer == "" {
		img, err := rc.EnsureImage(ctx, rc.Engine, reporter(ctx), "", rc.Doc.KubernetesVersion)
		if err != nil {
			return err
		}
		balancer = firstName(img)
	}
	rc.balancerImage = balancer
	return nil
}

// withImages returns the nodes that get a container. Those for which no image is asked get the one that their old container has, or that
// others of their role have: what cove would choose today may be of another layout than the cluster, and than the node's volumes.
func (d *delta) withImages(rc *Context) []v1alpha1.Node {
	nodes := d.touched()
	if len(d.upgrade) > 0 { // to another image
		return nodes
	}
	for i, n := range nodes {
		if n.Image == "" {
			nodes[i].Image = d.chosenImage(rc, n)
		}
	}
	return nodes
}

// chosenImage returns the image that cove chose before for such a node; empty where no container tells.
func (d *delta) chosenImage(rc *Context, n v1alpha1.Node) string {
	image, likeness := "", 0
	for _, c := range d.was.nodes {
		spec, known := d.was.specs[c.Name]
		if !known || spec.Image != "" || isReader(c) || !d.was.record.has(c.Name) {
			continue
		}
		like := 1
		if c.Role == n.Role {
			like = 2
		}
		if c.Name == n.Name {
			like = 3
		}
		if like > likeness {
			image, likeness = rc.images[c.Name].ref, like
		}
	}
	return image
}

package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// What a cluster consists of is what its record says: a container that somebody removed by hand is not there to be looked at.

// Why a container is made again.
const (
	whyGone        = "its container is gone"
	whyNetworkGone = "its network is gone"
	whyDead        = "its container is dead"
	whyNeverRan    = "its container never ran"
	whyCutOff      = "its container is cut off from its network"
)

// whyKeptDown says of a container that runs why it is touched: a stop was cut off before it could end it.
const whyKeptDown = "it would not come back with the engine → it will"

// stateGone is the state of a node on record that has no container.
const stateGone engine.State = "gone"

// gone returns the nodes on record that have no container of their own.
func (f found) gone(record created) []v1alpha1.Node {
	return slices.DeleteFunc(record.nodes(), func(n v1alpha1.Node) bool {
		c, there := f.node(n.Name)
		return there && !isReader(c)
	})
}

// broken says why a container must be made anew, empty where it need not: starting it would not help. Who was cut off from the
// cluster's network, and whoever got another address on it, is not found by the others.
func (f found) broken(record created, n engine.Node) string {
	switch {
	case n.State == engine.StateDead:
		return whyDead
	case n.State == engine.StateCreated: // by a run that was cut off: what it boots with may not be in it
		return whyNeverRan
	case f.cutOff(record, n):
		return whyCutOff
	}
	return ""
}

// cutOff reports whether a container is not at its place on the cluster's network.
func (f found) cutOff(record created, n engine.Node) bool {
	host := balancerPlace
	if n.Role != engine.RoleLoadBalancer {
		p, known := parsePlace(n.Labels[labelPlace])
		if !known || !record.has(n.Name) {
			return false
		}
		host = p.host
	}
	if len(f.networks) == 0 {
		return false
	}
	network := f.networks[0]
	i := slices.IndexFunc(n.Networks, func(a engine.Attachment) bool { return a.Network == network.Name })
	if i < 0 {
		return true
	}
	at := n.Networks[i]
	return n.State == engine.StateRunning && (at.IP != addressAt(network.Subnet, host) ||
		network.Subnet6.IsValid() && at.IP6 != addressAt(network.Subnet6, host))
}

// keeps reports whether a node's volumes are all there.
func (f found) keeps(node string) bool {
	count := 0
	for _, v := range f.volumes {
		if v.Node == node {
			count++
		}
	}
	return count >= len(volumes(node))
}

// losses says what is gone of what the record has, and what brings it back.
func (f found) losses(record created) []string {
	var out []string
	for _, n := range f.gone(record) {
		if f.keeps(n.Name) {
			out = append(out, fmt.Sprintf("node %s: %s: %s", n.Name, whyGone, madeAgain(f.name)))
			continue
		}
		out = append(out, fmt.Sprintf("node %s: its container and its data are gone: `%s` makes it anew", n.Name, replaceCommand(f.name, n.Name)))
	}
	if record.Balanced && f.balancer == nil {
		out = append(out, fmt.Sprintf("the load balancer: %s: %s", whyGone, madeAgain(f.name)))
	}
	return out
}

func madeAgain(cluster string) string { return "`cove start " + cluster + "` makes it again" }

func replaceCommand(cluster, node string) string {
	return "cove node replace " + node + " --name " + cluster
}

// remade returns the nodes among these containers that need a new one before they can run.
func (o observed) remade(chosen []engine.Node) ([]v1alpha1.Node, error) {
	var nodes []v1alpha1.Node
	for _, n := range o.record.nodes() {
		i := slices.IndexFunc(chosen, func(c engine.Node) bool { return c.Name == n.Name })
		if i < 0 || chosen[i].State != stateGone && o.broken(o.record, chosen[i]) == "" {
			continue
		}
		if !o.whole(n.Name) { // what came up in its place would be another node
			return nil, fault.New(fault.ClusterIncomplete, "node %s has lost its data", n.Name).
				WithHint("make it anew with `%s`", replaceCommand(o.name, n.Name))
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// balancerLost reports whether the load balancer needs a new container.
func (o observed) balancerLost() bool {
	return o.record.Balanced && (o.balancer == nil || o.broken(o.record, *o.balancer) != "")
}

// imagesAgain returns the step that gets the images of what is made again: those that others like them have, where there are any.
func (o observed) imagesAgain(nodes []v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		var missing []v1alpha1.Node
		for _, n := range nodes {
			if !o.sameImage(ctx, rc, n) {
				missing = append(missing, n)
			}
		}
		if err := ensureNodeImages(ctx, rc, missing); err != nil {
			return err
		}
		return ensureBalancerImage(ctx, rc)
	}
}

// sameImage gives a node the image of its container, or of another node's that is to have the same one, if the engine still has it.
func (o observed) sameImage(ctx context.Context, rc *Context, n v1alpha1.Node) bool {
	for _, like := range append([]v1alpha1.Node{n}, o.record.nodes()...) {
		img, known := rc.images[like.Name]
		if !known || like.Image != n.Image {
			continue
		}
		if _, err := rc.Engine.Image(ctx, img.ref); err == nil {
			rc.images[n.Name] = img
			return true
		}
	}
	return false
}

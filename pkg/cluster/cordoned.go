package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
)

// cordonedLook bounds the look for nodes that cove has cordoned: an API that does not answer is no reason not to go on.
const cordonedLook = 5 * time.Second

// cordonedNodes returns the nodes that Kubernetes has and that cove has cordoned; none where its API cannot be asked.
func cordonedNodes(ctx context.Context, deps Deps, was observed) []string {
	running := slices.ContainsFunc(was.controlPlanes(), func(n engine.Node) bool { return n.State == engine.StateRunning })
	if gateway, ok := was.gateway(); !ok || !running || gateway.State != engine.StateRunning || was.record.Upgrading != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cordonedLook)
	defer cancel()
	a, err := access(ctx, deps.Engine, was.info, was.found)
	if err != nil {
		return nil
	}
	client, err := deps.Connect(a.Options())
	if err != nil {
		return nil
	}
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, n := range nodes {
		if n.Cordoned {
			names = append(names, n.Name)
		}
	}
	return names
}

// cordoned notes the nodes that a run which was cut off was draining, and that stay. An upgrade uncordons its own.
func (d *delta) cordoned() {
	for _, n := range nodesOf(d.doc) {
		if slices.Contains(d.was.cordoned, n.Name) && d.stays(n.Name) {
			d.uncordon = append(d.uncordon, n.Name)
			d.note(Modify, objectOf(n), "takes pods again")
		}
	}
}

// stays reports whether the node's object stays what it is.
func (d *delta) stays(name string) bool {
	named := func(n v1alpha1.Node) bool { return n.Name == name }
	return d.was.record.has(name) && !slices.ContainsFunc(d.lost, named) && !slices.ContainsFunc(d.upgrade, named)
}

// planUncordon lets pods onto those nodes again.
func (d *delta) planUncordon(stage stageFunc) {
	var steps []Step
	for _, name := range d.uncordon {
		steps = append(steps, step{"uncordon/" + name, "Let pods onto " + name + " again", func(ctx context.Context, rc *Context) error {
			return rc.kube.Cordon(ctx, name, false)
		}})
	}
	stage("uncordon", steps...)
}

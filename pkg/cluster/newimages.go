package cluster

import (
	"context"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
)

// Pods of DaemonSets are on a node as soon as its kubelet is. One that misses an image looks again ten seconds later at the earliest, so a
// new node has the images of these before it joins; the others are loaded beside.

// loadNewNodes loads the images of all addons into the nodes that join: where they are not, the kubelet would have to pull them.
func (d *delta) loadNewNodes(ctx context.Context, rc *Context) error {
	images := map[string]string{}
	for _, p := range rc.progress {
		maps.Copy(images, p.from)
	}
	if len(images) == 0 {
		close(d.daemonsLoaded)
		return event.Skip("there are none to load")
	}
	first, err := daemonImages(ctx, rc.kube, images)
	if err != nil {
		return err
	}
	if len(first) == 0 {
		close(d.daemonsLoaded)
	}
	var nodes []engine.Node
	for _, n := range d.add {
		container, err := rc.Engine.Node(ctx, n.Name)
		if err != nil {
			return err
		}
		nodes = append(nodes, container)
	}
	if err := waitContainerd(ctx, rc.Engine, nodes); err != nil {
		return err
	}
	if len(first) > 0 {
		err := rc.LoadImages(ctx, rc.Engine, nodes, first, reporter(ctx))
		if err != nil && !event.IsSkip(err) {
			return err
		}
		close(d.daemonsLoaded)
		maps.DeleteFunc(images, func(ref, _ string) bool { return first[ref] != "" })
		if len(images) == 0 {
			return err
		}
	}
	err = rc.LoadImages(ctx, rc.Engine, nodes, images, reporter(ctx))
	if len(first) > 0 && event.IsSkip(err) {
		return nil
	}
	return err
}

// daemonImages returns those of the images that a DaemonSet of the cluster runs.
func daemonImages(ctx context.Context, api Kube, images map[string]string) (map[string]string, error) {
	sets, err := api.List(ctx, []schema.GroupKind{{Group: "apps", Kind: "DaemonSet"}}, "")
	if err != nil {
		return nil, err
	}
	used := map[string]string{}
	for _, set := range sets {
		for _, ref := range podImages(set) {
			if from := images[ref]; from != "" {
				used[ref] = from
			}
		}
	}
	return used, nil
}

// podImages returns the images of a workload's pods.
func podImages(workload *unstructured.Unstructured) []string {
	var refs []string
	for _, field := range []string{"initContainers", "containers"} {
		list, _, _ := unstructured.NestedSlice(workload.Object, "spec", "template", "spec", field)
		for _, c := range list {
			if container, ok := c.(map[string]any); ok {
				ref, _ := container["image"].(string)
				refs = append(refs, ref)
			}
		}
	}
	return refs
}

// joinLoaded returns the step that joins a new node once it has the images that its first pods want.
func (d *delta) joinLoaded(n v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		if err := d.clearStale(ctx, rc, n); err != nil {
			return err
		}
		reporter(ctx).Waiting("the images of DaemonSets")
		if err := await(ctx, d.daemonsLoaded); err != nil {
			return err
		}
		return joinNode(n)(ctx, rc)
	}
}

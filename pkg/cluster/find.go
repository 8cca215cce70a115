package cluster

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// found is what the engine has of a cluster.
type found struct {
	name     string
	nodes    []engine.Node
	balancer *engine.Node // the load balancer before the API, which is no node of Kubernetes'
	networks []engine.Network
	volumes  []engine.Volume
}

func (f found) empty() bool { return len(f.containers())+len(f.networks)+len(f.volumes) == 0 }

// containers returns the containers of nodes and load balancer.
func (f found) containers() []engine.Node {
	if f.balancer == nil {
		return f.nodes
	}
	return append(slices.Clone(f.nodes), *f.balancer)
}

// add takes in a container.
func (f *found) add(n engine.Node) {
	if n.Role == engine.RoleLoadBalancer {
		f.balancer = &n
		return
	}
	f.nodes = append(f.nodes, n)
}

// node returns the container of a node.
func (f found) node(name string) (engine.Node, bool) {
	i := slices.IndexFunc(f.nodes, func(n engine.Node) bool { return n.Name == name })
	if i < 0 {
		return engine.Node{}, false
	}
	return f.nodes[i], true
}

// gateway returns the container that the API is published by: the load balancer, or the control plane of a cluster that has none.
// Without it nobody reaches the API, though control planes may run.
func (f found) gateway() (engine.Node, bool) {
	if f.balancer != nil {
		return *f.balancer, true
	}
	for _, n := range f.controlPlanes() {
		if _, publishes := publishedPort(n); publishes {
			return n, true
		}
	}
	return engine.Node{}, false
}

// newest returns when the newest of the cluster's containers and networks was made.
func (f found) newest() time.Time {
	var t time.Time
	for _, n := range f.containers() {
		if n.Created.After(t) {
			t = n.Created
		}
	}
	for _, n := range f.networks {
		if n.Created.After(t) {
			t = n.Created
		}
	}
	return t
}

// madeHere reports whether a run of this machine made the cluster: the run's log is here.
func (f found) madeHere(stateDir string) bool {
	for _, run := range f.runs() {
		if _, err := os.Stat(filepath.Join(stateDir, "runs", run+".ndjson")); err == nil {
			return true
		}
	}
	return false
}

// runs returns the IDs of the runs that made the cluster's parts, each once.
func (f found) runs() []string {
	seen := map[string]bool{}
	for _, n := range f.containers() {
		seen[n.Run] = true
	}
	for _, n := range f.networks {
		seen[n.Run] = true
	}
	for _, v := range f.volumes {
		seen[v.Run] = true
	}
	delete(seen, "")
	return slices.Sorted(maps.Keys(seen))
}

// controlPlanes returns the cluster's control planes, those that run first.
func (f found) controlPlanes() []engine.Node {
	var running, others []engine.Node
	for _, n := range f.nodes {
		switch {
		case n.Role != engine.RoleControlPlane:
		case n.State == engine.StateRunning:
			running = append(running, n)
		default:
			others = append(others, n)
		}
	}
	return append(running, others...)
}

// controlPlane returns the first control plane that runs, else the first one.
func (f found) controlPlane() (engine.Node, bool) {
	all := f.controlPlanes()
	if len(all) == 0 {
		return engine.Node{}, false
	}
	return all[0], true
}

// document returns the document that is stored with the cluster.
func (f found) document() (v1alpha1.Cluster, error) {
	var doc v1alpha1.Cluster
	for _, n := range f.networks {
		if text := n.Labels[labelDocument]; text != "" {
			return doc, json.Unmarshal([]byte(text), &doc)
		}
	}
	return doc, fault.New(fault.ClusterIncomplete, "cluster %q has no document", f.name)
}

// remove removes containers first, all together, then their volumes, then the network.
func (f found) remove(ctx context.Context, e engine.Engine) error {
	group, groupCtx := errgroup.WithContext(ctx)
	for _, n := range f.containers() {
		group.Go(func() error { return e.RemoveNode(groupCtx, n.Name) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	group, groupCtx = errgroup.WithContext(ctx)
	for _, v := range f.volumes {
		group.Go(func() error { return e.RemoveVolume(groupCtx, v.Name) })
	}
	for _, n := range f.networks {
		group.Go(func() error { return e.RemoveNetwork(groupCtx, n.Name) })
	}
	return group.Wait()
}

// find looks up all that the engine has of the cluster; of all clusters where the name is empty.
func find(ctx context.Context, e engine.Engine, name string) (found, error) {
	f := found{name: name}
	sel := engine.Selector{Cluster: name}
	group, ctx := errgroup.WithContext(ctx)
	var containers []engine.Node
	group.Go(func() (err error) { containers, err = e.Nodes(ctx, sel); return })
	group.Go(func() (err error) { f.networks, err = e.Networks(ctx, sel); return })
	group.Go(func() (err error) { f.volumes, err = e.Volumes(ctx, sel); return })
	err := group.Wait()
	if name == "" { // of many clusters: byName sorts them
		f.nodes = containers
		return f, err
	}
	for _, n := range containers {
		f.add(n)
	}
	return f, err
}

// byName splits what was found of all clusters, ordered by name.
func (f found) byName() []found {
	clusters := map[string]*found{}
	of := func(name string) *found {
		if clusters[name] == nil {
			clusters[name] = &found{name: name}
		}
		return clusters[name]
	}
	for _, n := range f.nodes {
		of(n.Cluster).add(n)
	}
	for _, n := range f.networks {
		c := of(n.Cluster)
		c.networks = append(c.networks, n)
	}
	for _, v := range f.volumes {
		c := of(v.Cluster)
		c.volumes = append(c.volumes, v)
	}
	all := make([]found, 0, len(clusters))
	for _, c := range clusters {
		all = append(all, *c)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all
}

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
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
	networks []engine.Network
	volumes  []engine.Volume
}

func (f found) empty() bool { return len(f.nodes)+len(f.networks)+len(f.volumes) == 0 }

// newest returns when the newest of the cluster's containers was made.
func (f found) newest() time.Time {
	var t time.Time
	for _, n := range f.nodes {
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
	for _, n := range f.nodes {
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

// controlPlane returns the cluster's first control plane.
func (f found) controlPlane() (engine.Node, bool) {
	for _, n := range f.nodes {
		if n.Role == engine.RoleControlPlane {
			return n, true
		}
	}
	return engine.Node{}, false
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
	for _, n := range f.nodes {
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
	group.Go(func() (err error) { f.nodes, err = e.Nodes(ctx, sel); return })
	group.Go(func() (err error) { f.networks, err = e.Networks(ctx, sel); return })
	group.Go(func() (err error) { f.volumes, err = e.Volumes(ctx, sel); return })
	return f, group.Wait()
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
		c := of(n.Cluster)
		c.nodes = append(c.nodes, n)
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

// readCreated returns the record that a complete cluster has.
func readCreated(ctx context.Context, e engine.Engine, f found) (created, error) {
	var c created
	cp, ok := f.controlPlane()
	if !ok {
		return c, fs.ErrNotExist
	}
	data, err := e.ReadFile(ctx, cp.Name, createdFile)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(data, &c)
}

// isComplete reports whether a run has made the cluster to its end.
func isComplete(ctx context.Context, e engine.Engine, f found) (bool, error) {
	_, err := readCreated(ctx, e, f)
	if errors.Is(err, fs.ErrNotExist) || fault.Is(err, fault.NodeNotFound) {
		return false, nil
	}
	return err == nil, err
}

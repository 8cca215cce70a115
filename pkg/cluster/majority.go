package cluster

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// etcd answers, and takes in or lets go a member, while more than half of its members do. What follows keeps to that.

// majority refuses what cannot go well, before anything is touched: too few of etcd's members can be brought to run.
func (d *delta) majority() error {
	members := controlPlanes(d.was.record.nodes())
	var gone []string
	for _, name := range members {
		if !d.canRun(name) {
			gone = append(gone, name)
		}
	}
	if 2*(len(members)-len(gone)) > len(members) {
		return nil
	}
	err := fault.New(fault.ClusterIncomplete, "etcd of cluster %q has no majority: %s of its %d control planes cannot run", d.doc.Name, strings.Join(gone, ", "), len(members))
	if !slices.ContainsFunc(gone, d.was.whole) {
		return err.WithHint("restore the data of one of them, if there is a copy; else `cove delete %s`, and make it anew", d.doc.Name)
	}
	return err.WithHint("bring those back first that have their data: `cove config get %s > FILE`, and `cove apply --config FILE`", d.doc.Name)
}

// canRun reports whether a control plane's etcd runs, or will when the API is asked for.
func (d *delta) canRun(name string) bool {
	if !d.was.whole(name) {
		return false
	}
	named := func(n v1alpha1.Node) bool { return n.Name == name }
	if !slices.ContainsFunc(d.lost, named) && !slices.ContainsFunc(d.remove, named) {
		return true // it gets a container if it has none
	}
	container, there := d.was.node(name)
	return there && !neverRan(container)
}

// voters returns the control planes that do not run and are to go, and without which etcd may have no majority: those that are
// recorded where the others are not enough, and what a run that was cut off has left.
func (d *delta) voters() []string {
	leaving := slices.Concat(d.lost, d.remove)
	staying := 0
	for _, name := range controlPlanes(d.was.record.nodes()) {
		container, _ := d.was.node(name)
		if container.State == engine.StateRunning || !slices.ContainsFunc(leaving, func(n v1alpha1.Node) bool { return n.Name == name }) {
			staying++
		}
	}
	if 2*staying > len(controlPlanes(d.was.record.nodes())) {
		leaving = nil
	}
	var names []string
	for _, name := range controlPlanes(slices.Concat(leaving, d.leftoverNodes())) {
		container, there := d.was.node(name)
		if there && !neverRan(container) && container.State != engine.StateRunning {
			names = append(names, name)
		}
	}
	return names
}

// deadFirst orders nodes that are to go: who does not run is missed by nobody, and the members that are left are a majority of fewer.
func (d *delta) deadFirst(nodes []v1alpha1.Node) []v1alpha1.Node {
	runs := func(n v1alpha1.Node) int {
		if container, _ := d.was.node(n.Name); container.State == engine.StateRunning {
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(nodes), func(a, b v1alpha1.Node) int { return cmp.Compare(runs(a), runs(b)) })
}

// electsLeaders reports whether the leaders of a control plane are elected, as its manifest says.
func electsLeaders(ctx context.Context, e engine.Access, was observed) (bool, error) {
	for _, cp := range was.controlPlanes() {
		if !was.record.has(cp.Name) {
			continue
		}
		for _, pod := range electing() {
			data, err := e.ReadFile(ctx, cp.Name, "/etc/kubernetes/manifests/"+pod+".yaml")
			if errors.Is(err, fs.ErrNotExist) { // whoever needs it will tell
				continue
			}
			if err != nil || strings.Contains(string(data), leaderFlag+"true") {
				return err == nil, err
			}
		}
		return false, nil
	}
	return false, nil
}

// election notes where a control plane that stands alone waits for elections, unless the document's patches want that.
func (d *delta) election(want []v1alpha1.Node) {
	patched := strings.Contains(strings.Join(d.doc.Cluster.KubeadmConfigPatches, ""), "leader-elect")
	for _, p := range d.doc.Cluster.KubeadmConfigPatchesJSON6902 {
		patched = patched || strings.Contains(p.Patch, "leader-elect")
	}
	if len(controlPlanes(want)) != 1 || !d.was.elects || patched {
		return
	}
	d.elect = true
	if len(controlPlanes(d.remove)) == 0 {
		d.note(Modify, objectOf(want[0]), "leads without an election")
	}
}

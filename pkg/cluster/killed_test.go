package cluster_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/event"
)

// mark begins the keys of the labels and taints of these tests.
const mark = "cove.test/"

// killedAt does what a run does that is killed at the nth moment: when a step has just come to its end, or when the API is about to be asked
// for something. It reports whether there was such a moment.
func (s *setup) killedAt(t *testing.T, n int, do func(ctx context.Context, s *setup) error) bool {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var moment atomic.Int64
	next := func() {
		if moment.Add(1) == int64(n) {
			s.Kill()
			cancel(errors.New("killed"))
		}
	}
	s.OnCall = func(string) { next() }
	s.log.on = func(e event.Event) {
		if e.Type == event.StepFinished && e.Status != event.Undone {
			next()
		}
	}
	err := do(ctx, s)
	s.OnCall, s.log.on = nil, nil
	s.Revive()
	if moment.Load() < int64(n) && err != nil {
		t.Errorf("a run that nobody killed: %v", err)
	}
	return moment.Load() >= int64(n)
}

// marked wants the nodes to have the marks of the document, and no others.
func (s *setup) marked(t *testing.T, doc v1alpha1.Cluster) {
	t.Helper()
	for _, n := range doc.Nodes() {
		want, got := map[string]string{}, s.Labels(n.Name)
		for k, v := range n.Labels {
			want[k] = v
		}
		maps.DeleteFunc(got, func(k, _ string) bool { return !strings.HasPrefix(k, mark) })
		if !maps.Equal(got, want) {
			t.Errorf("%s has labels %v, want %v", n.Name, got, want)
		}
		var taints []v1alpha1.Taint
		for _, k := range s.Taints(n.Name) {
			if strings.HasPrefix(k.Key, mark) {
				taints = append(taints, v1alpha1.Taint{Key: k.Key, Value: k.Value, Effect: k.Effect})
			}
		}
		if !slices.Equal(taints, n.Taints) {
			t.Errorf("%s has taints %v, want %v", n.Name, taints, n.Taints)
		}
	}
}

// furnished wants the cluster to have the addons of the document, and no others.
func (s *setup) furnished(t *testing.T, doc v1alpha1.Cluster) {
	t.Helper()
	var want, got []string
	for _, a := range doc.Addons {
		if !a.Disabled {
			want = append(want, a.Name)
		}
	}
	target, err := cluster.OpenAddons(t.Context(), s.run(), doc.Name)
	if err != nil {
		t.Error(err)
		return
	}
	records, err := target.Manager.Installed(t.Context())
	for _, r := range records {
		if r.State != addon.StateApplied {
			t.Errorf("addon %s is %s", r.Name, r.State)
		}
		got = append(got, r.Name)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) || err != nil {
		t.Errorf("the cluster has addons %v, want %v: %v", got, want, err)
	}
}

// published wants the API to be published on the address of the document.
func (s *setup) published(t *testing.T, doc v1alpha1.Cluster) {
	t.Helper()
	b, err := s.Engine.Node(t.Context(), doc.Name+"-external-load-balancer")
	if want := doc.Cluster.Networking.APIServerAddress; err != nil || len(b.Ports) != 1 || b.Ports[0].HostIP != want {
		t.Errorf("the API is published at %v, want %s: %v", b.Ports, want, err)
	}
}

// killedRun is what is killed, and which documents the next apply is to reach all the same.
type killedRun struct {
	from  v1alpha1.Cluster
	do    func(ctx context.Context, s *setup) error
	reach []v1alpha1.Cluster
	// old: the cluster is of the old version.
	old bool
	// before, if set, comes first, and is not killed.
	before func(ctx context.Context, s *setup) error
}

func applying(doc v1alpha1.Cluster) func(context.Context, *setup) error {
	return func(ctx context.Context, s *setup) error { _, err := s.apply(ctx, doc); return err }
}

// onAddons works on the addons of the cluster.
func onAddons(do func(ctx context.Context, s *setup, at *cluster.AddonTarget) error) func(context.Context, *setup) error {
	return func(ctx context.Context, s *setup) error {
		at, err := cluster.OpenAddons(ctx, s.run(), "dev")
		if err != nil {
			return err
		}
		return do(ctx, s, at)
	}
}

// powering does something to all containers of the cluster.
func powering(do func(context.Context, cluster.Deps, string, cluster.PowerOptions) error) func(context.Context, *setup) error {
	return func(ctx context.Context, s *setup) error { return do(ctx, s.run(), "dev", cluster.PowerOptions{}) }
}

// labelledAs gives the worker these marks.
func labelledAs(doc v1alpha1.Cluster, labels map[string]string, taints ...v1alpha1.Taint) v1alpha1.Cluster {
	return changed(doc, "dev-worker", func(n *v1alpha1.Node) { n.Labels, n.Taints = labels, taints })
}

// killedRuns are those of all kinds of operations.
func killedRuns(t *testing.T) map[string]killedRun {
	t.Helper()
	small, big := document(t, "dev", 1), resized(t, document(t, "dev", 0), 3, 2)
	taint := func(value string) v1alpha1.Taint {
		return v1alpha1.Taint{Key: mark + "for", Value: value, Effect: "NoSchedule"}
	}
	red := labelledAs(small, map[string]string{mark + "disk": "ssd", mark + "rack": "1"}, taint("red"))
	blue := labelledAs(small, map[string]string{mark + "disk": "hdd", mark + "zone": "a"}, taint("blue"), v1alpha1.Taint{Key: mark + "new", Effect: "NoExecute"})
	here, everywhere := *small.DeepCopy(), *small.DeepCopy()
	everywhere.Cluster.Networking.APIServerAddress = "0.0.0.0"
	wide := changed(small, "dev-worker", publishing(8080))
	furnished := ofProfile(t, "dev", "dev", 1)
	bare := *furnished.DeepCopy()
	bare.Addons = slices.DeleteFunc(bare.Addons, func(a v1alpha1.Addon) bool { return a.Name == "metallb" || a.Name == "metrics-server" })
	both := func(docs ...v1alpha1.Cluster) []v1alpha1.Cluster { return docs }
	return map[string]killedRun{
		"relabel":      {from: red, do: applying(blue), reach: both(red, blue)},
		"address":      {from: here, do: applying(everywhere), reach: both(here, everywhere)},
		"grow":         {from: small, do: applying(big), reach: both(small, big)},
		"shrink":       {from: big, do: applying(small), reach: both(big, small)},
		"replace":      {from: small, do: applying(wide), reach: both(small, wide)},
		"add addons":   {from: bare, do: applying(furnished), reach: both(bare, furnished)},
		"drop addons":  {from: furnished, do: applying(bare), reach: both(bare, furnished)},
		"upgrade":      {from: of(oldVersion, small), do: applying(of(clustertest.Version, small)), reach: both(of(clustertest.Version, small)), old: true},
		"stop":         {from: big, do: powering(cluster.Stop), reach: both(big)},
		"restart":      {from: big, do: powering(cluster.Restart), reach: both(big)},
		"start":        {from: big, do: powering(cluster.Start), reach: both(big), before: powering(cluster.Stop)},
		"resume":       {from: big, do: powering(cluster.Resume), reach: both(big), before: powering(cluster.Pause)},
		"pause":        {from: big, do: powering(cluster.Pause), reach: both(big)},
		"replace node": {from: big, do: func(_ context.Context, s *setup) error { return replaceNodes("dev-control-plane2")(s) }, reach: both(big)},
		"enable": {from: bare, do: onAddons(func(ctx context.Context, s *setup, at *cluster.AddonTarget) error {
			return cluster.EnableAddons(ctx, s.run(), at, catalogue(), pick(instances(t, furnished), "metallb", "metrics-server"), cluster.AddonOptions{})
		}), reach: both(bare, furnished)},
		"disable": {from: furnished, do: onAddons(func(ctx context.Context, s *setup, at *cluster.AddonTarget) error {
			return cluster.DisableAddons(ctx, s.run(), at, catalogue(), []string{"metallb", "metrics-server"}, true, cluster.AddonOptions{})
		}), reach: both(bare, furnished)},
	}
}

func pick(list []addon.Instance, names ...string) []addon.Instance {
	return slices.DeleteFunc(list, func(a addon.Instance) bool { return !slices.Contains(names, a.Name()) })
}

// A run of any kind that is killed after any of its steps, or before anything that it asks of Kubernetes: the next apply reaches its
// document, be that the one that the run was after or the one that the cluster had before.
func TestEveryRunKilledEverywhere(t *testing.T) {
	for name, run := range killedRuns(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, reach := range run.reach {
				n := 1
				for ; run.killed(t, n, reach); n++ {
					if t.Failed() {
						t.Fatalf("moment %d, document %d", n, i)
					}
				}
				if n < 4 {
					t.Errorf("only %d moments", n)
				}
			}
		})
	}
}

// killed kills the run at the nth moment, and has the next apply reach the document. It is false where there is no such moment.
func (run killedRun) killed(t *testing.T, n int, reach v1alpha1.Cluster) bool {
	t.Helper()
	s, first := newSetup(t), withoutMarks(run.from)
	if run.old {
		s = newUpgrade(t, first)
	} else if err := s.create(t.Context(), first, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.apply(t.Context(), run.from); err != nil { // the API has the marks, and no kubelet
		t.Fatal(err)
	}
	if run.before != nil {
		if err := run.before(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if !s.killedAt(t, n, run.do) {
		return false
	}
	if diff, err := s.apply(t.Context(), reach); err != nil {
		t.Fatalf("moment %d: %s\n%v", n, diff, err)
	}
	s.follows(t, reach)
	s.marked(t, reach)
	s.furnished(t, reach)
	s.published(t, reach)
	return true
}

func withoutMarks(doc v1alpha1.Cluster) v1alpha1.Cluster {
	out := *doc.DeepCopy()
	nodes := out.Nodes()
	for i := range nodes {
		nodes[i].Labels, nodes[i].Taints = nil, nil
	}
	out.SetNodes(nodes)
	return out
}

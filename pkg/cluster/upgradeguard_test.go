package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// ids are the containers of a cluster, by node.
func (s *setup) ids(t *testing.T) map[string]string {
	t.Helper()
	nodes, err := s.Engine.Nodes(t.Context(), engine.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, n := range nodes {
		ids[n.Name] = n.ID
	}
	return ids
}

// upgrading returns the version that the record says an upgrade is on its way to.
func (s *setup) upgrading(t *testing.T) string {
	t.Helper()
	status, err := cluster.GetStatus(t.Context(), s.deps, "dev")
	if err != nil {
		t.Fatal(err)
	}
	return status.Upgrading
}

// lose takes a node's container, and with volumes its data.
func (s *setup) lose(t *testing.T, node string, data bool) {
	t.Helper()
	if err := s.Engine.RemoveNode(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"-var", "-kubernetes"} {
		if !data {
			continue
		}
		if err := s.Engine.RemoveVolume(t.Context(), node+v); err != nil {
			t.Fatal(err)
		}
	}
}

// pinned returns the document with an image of its own for a node.
func pinned(doc v1alpha1.Cluster, node, image string) v1alpha1.Cluster {
	out := *doc.DeepCopy()
	nodes := out.Nodes()
	for i := range nodes {
		if nodes[i].Name == node {
			nodes[i].Image = image
		}
	}
	out.SetNodes(nodes)
	return out
}

// What cannot come to its end is refused while the cluster is what it was, and nothing keeps it from going on as that.
func TestUpgradeRefusedUntouched(t *testing.T) {
	doc, several := document(t, "dev", 1), resized(t, document(t, "dev", 0), 3, 1)
	for name, tt := range map[string]struct {
		was, want  v1alpha1.Cluster
		before     func(t *testing.T, s *setup)
		code       fault.Code
		says, hint string
	}{
		"a lost control plane": {several, several, func(t *testing.T, s *setup) { t.Helper(); s.lose(t, "dev-control-plane2", true) },
			fault.ClusterNotRunning, "the data of control plane dev-control-plane2 is lost", "cove node replace dev-control-plane2 --name dev"},
		"a control plane without a container": {several, several, func(t *testing.T, s *setup) { t.Helper(); s.lose(t, "dev-control-plane2", false) },
			fault.ClusterNotRunning, "dev-control-plane2 has no container", "cove apply dev"},
		"a control plane that is cut off": {several, several, func(_ *testing.T, s *setup) { s.CutOff = map[string]bool{"dev-control-plane3": true} },
			fault.NotReady, "cannot replace control plane dev-control-plane: ", "cove status dev"},
		"pods that do not go": {doc, doc, func(_ *testing.T, s *setup) {
			s.Fail["Drain"] = fault.New(fault.DrainFailed, "a pod stays")
			s.Cordoned["dev-control-plane"] = true // as such a drain leaves it
		},
			fault.DrainFailed, "a pod stays", ""},
		"a worker too far behind": {pinned(doc, "dev-worker", "old:latest"), pinned(doc, "dev-worker", "old:latest"), nil,
			fault.ConfigUnsupported, "old:latest has Kubernetes v1.32.4", "name a newer one"},
		"a worker too far behind, without a container": {pinned(doc, "dev-worker", "old:latest"), pinned(doc, "dev-worker", "old:latest"),
			func(t *testing.T, s *setup) { t.Helper(); s.lose(t, "dev-worker", false) },
			fault.ConfigUnsupported, "old:latest has Kubernetes v1.32.4", "name a newer one"},
		"an image of another version": {doc, pinned(doc, "dev-worker", "old:latest"), nil,
			fault.ConfigInvalid, "image old:latest of node dev-worker has Kubernetes v1.32.4, and not v1.36.3", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newUpgrade(t, tt.was)
			if tt.before != nil {
				tt.before(t, s)
			}
			before := s.ids(t)
			o := s.applyOptions()
			o.Timeout, o.DrainTimeout = 5*time.Second, time.Millisecond
			_, _, err := cluster.Apply(t.Context(), s.run(), "dev", func(*v1alpha1.Cluster) (v1alpha1.Cluster, error) { return of(clustertest.Version, tt.want), nil }, o)
			if !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(fault.ReportOf(err).Hint, tt.hint) {
				t.Errorf("got %v, hint %s", err, fault.ReportOf(err).Hint)
			}
			if after := s.ids(t); !maps.Equal(after, before) {
				t.Errorf("containers before %v\nafter %v", before, after)
			}
			if half := s.upgrading(t); half != "" || len(s.Cordoned) > 0 {
				t.Errorf("on its way to %q, cordoned %v", half, s.Cordoned)
			}
			clear(s.Fail)
			clear(s.CutOff)
			if diff, err := s.apply(t.Context(), of(oldVersion, tt.was)); err != nil {
				t.Errorf("the cluster cannot go on as it was: %s, %v", diff, err)
			}
		})
	}
}

// What stands still is brought up first, and what is gone is made anew.
func TestUpgradeOfWhatDoesNotRun(t *testing.T) {
	const balancer = "dev-external-load-balancer"
	stop := func(ctx context.Context, s *setup, node string) error { return s.Engine.StopNode(ctx, node, 0) }
	pause := func(ctx context.Context, s *setup, node string) error { return s.Engine.PauseNode(ctx, node) }
	gone := func(ctx context.Context, s *setup, node string) error { return s.Engine.RemoveNode(ctx, node) }
	for name, tt := range map[string]struct {
		do    func(context.Context, *setup, string) error
		nodes []string
	}{
		"a worker is gone":        {gone, []string{"dev-worker"}},
		"a worker is stopped":     {stop, []string{"dev-worker"}},
		"a worker is paused":      {pause, []string{"dev-worker"}},
		"no load balancer":        {gone, []string{balancer}},
		"the balancer is stopped": {stop, []string{balancer}},
		"the balancer is paused":  {pause, []string{balancer}},
		"the lead is stopped":     {stop, []string{"dev-control-plane"}},
		"the lead is paused":      {pause, []string{"dev-control-plane"}},
		"all is stopped":          {stop, nil},
		"all is paused":           {pause, nil},
	} {
		for _, size := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s of %d", name, size), func(t *testing.T) {
				doc := resized(t, document(t, "dev", 0), size, 1)
				s := newUpgrade(t, doc)
				nodes := tt.nodes
				if nodes == nil {
					nodes = append(nodes, balancer)
					for _, n := range doc.Nodes() {
						nodes = append(nodes, n.Name)
					}
				}
				for _, n := range nodes {
					if err := tt.do(t.Context(), s, n); err != nil {
						t.Fatal(err)
					}
				}
				if diff, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
					t.Fatal(diff, err)
				}
				s.runsNew(t, doc)
				s.follows(t, of(clustertest.Version, doc))
			})
		}
	}
}

// A worker that keeps its own image comes back with that.
func TestUpgradeRevivesWhatStaysBehind(t *testing.T) {
	doc := pinned(document(t, "dev", 1), "dev-worker", "cove-node:"+oldVersion)
	s := newUpgrade(t, doc)
	s.lose(t, "dev-worker", false)
	if diff, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
		t.Fatal(diff, err)
	}
	if n, err := s.Engine.Node(t.Context(), "dev-worker"); err != nil || n.Image != "cove-node:"+oldVersion || n.State != engine.StateRunning {
		t.Errorf("worker %+v, %v", n, err)
	}
	s.follows(t, of(clustertest.Version, doc))
}

// A control plane that dies between two others is waited for: the next one stays untouched, and the same upgrade goes on when it is back.
func TestUpgradeWaitsForControlPlanes(t *testing.T) {
	doc := resized(t, document(t, "dev", 0), 3, 0)
	s := newUpgrade(t, doc)
	before := s.ids(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dead, looks := false, 0
	s.OnCall = func(name string) {
		switch {
		case name == "Apply" && !dead:
			dead = true
			if err := s.Engine.Crash("dev-control-plane3", 137, "killed"); err != nil {
				t.Error(err)
			}
		case name == "Nodes" && dead:
			if looks++; looks == 4 {
				cancel()
			}
		case name == "Drain" && dead && ctx.Err() == nil:
			t.Error("a control plane was drained while another one was dead")
		}
	}
	if _, err := s.apply(ctx, of(clustertest.Version, doc)); err == nil {
		t.Fatal("it went well")
	}
	s.OnCall = nil
	if after := s.ids(t); after["dev-control-plane"] == before["dev-control-plane"] || after["dev-control-plane2"] != before["dev-control-plane2"] {
		t.Errorf("before %v\nafter %v", before, after)
	}
	if diff, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
		t.Fatal(diff, err)
	}
	s.runsNew(t, doc)
	s.follows(t, of(clustertest.Version, doc))
}

// A control plane whose data is lost half-way is made anew at the end: nothing else may be done to the cluster by then.
func TestUpgradeHalfWayWithALostControlPlane(t *testing.T) {
	doc := resized(t, document(t, "dev", 0), 3, 0)
	s := newUpgrade(t, doc)
	s.Fail["Cordon"] = fault.New(fault.NotReady, "injected")
	if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); !fault.Is(err, fault.NotReady) {
		t.Fatalf("got %v", err)
	}
	delete(s.Fail, "Cordon")
	s.lose(t, "dev-control-plane3", true)
	if diff, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
		t.Fatal(diff, err)
	}
	s.runsNew(t, doc)
	s.follows(t, of(clustertest.Version, doc))
}

// The kubelets of control planes that have joined keep what a join has told them.
func TestUpgradeKeepsRegistrations(t *testing.T) {
	doc := resized(t, document(t, "dev", 0), 2, 0)
	doc.Cluster.KubeadmConfigPatches = []string{"kind: JoinConfiguration\nnodeRegistration:\n  kubeletExtraArgs:\n  - name: max-pods\n    value: \"77\"\n"}
	s := newUpgrade(t, doc)
	if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]bool{"dev-control-plane": false, "dev-control-plane2": true} {
		conf, err := s.Engine.ReadFile(t.Context(), node, "/kind/kubeadm.conf")
		if err != nil || strings.Contains(string(conf), "max-pods") != want || !strings.Contains(string(conf), "kubernetesVersion: v1.36.3") {
			t.Errorf("%s: %v\n%s", node, err, conf)
		}
	}
}

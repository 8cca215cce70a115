package cluster_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// operationsOfCreate returns what a good create asks of the engine.
func operationsOfCreate(t *testing.T) []string {
	t.Helper()
	s := newSetup(t)
	if err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return s.Engine.Operations()
}

// killed leaves what a create leaves that was killed at the nth operation, with the log of its run.
func (s *setup) killed(t *testing.T, n int) {
	t.Helper()
	s.Engine.FailAt(n, errors.New("killed"))
	d := s.run()
	if _, err := cluster.Create(t.Context(), d, document(t, "dev", 1), instances(t, document(t, "dev", 1)), cluster.CreateOptions{Retain: true}); err == nil {
		t.Fatalf("operation %d does not matter", n)
	}
	runs := filepath.Join(s.deps.StateDir, "runs")
	if err := errors.Join(os.MkdirAll(runs, 0o700), os.WriteFile(filepath.Join(runs, d.Emitter.Run()+".ndjson"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// Whatever a killed create has left, a delete removes, and so does the next create.
func TestKilledAtEveryOperation(t *testing.T) {
	operations := operationsOfCreate(t)
	for i, operation := range operations {
		t.Run(operation, func(t *testing.T) {
			s := newSetup(t)
			s.killed(t, i+1)
			if err := cluster.Delete(t.Context(), s.run(), "dev", cluster.DeleteOptions{}); err != nil && !fault.Is(err, fault.ClusterNotFound) {
				t.Errorf("delete: %v", err)
			}
			s.nothingLeft(t)

			s = newSetup(t)
			s.killed(t, i+1)
			// From the record on the cluster is complete, and stays.
			err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{})
			if err != nil && (!fault.Is(err, fault.ClusterExists) || i < len(operations)-2) {
				t.Fatalf("create: %v", err)
			}
			status, err := cluster.GetStatus(t.Context(), s.deps, "dev")
			if err != nil || !status.Usable || len(status.Nodes) != 2 {
				t.Errorf("after it: %+v, %v", status, err)
			}
			if err := cluster.Delete(t.Context(), s.run(), "dev", cluster.DeleteOptions{}); err != nil {
				t.Errorf("delete: %v", err)
			}
			s.nothingLeft(t)
		})
	}
}

// An engine finishes what a killed run asked of it, and lists a container only then: a delete takes that too.
func TestDeleteTakesWhatIsMadeLate(t *testing.T) {
	n := 1 + slices.Index(operationsOfCreate(t), "CreateNode dev-worker")
	s := newSetup(t)
	s.killed(t, n)
	late := engine.NodeSpec{Name: "dev-worker", Cluster: "dev", Role: engine.RoleWorker, Image: nodeImage, Volumes: []engine.VolumeMount{{Name: "dev-worker", Target: "/var"}}}
	made := make(chan error, 1)
	s.Engine.On("RemoveNetwork cove-dev", func() { // the containers have been looked for and removed
		_, err := s.Engine.CreateNode(t.Context(), late)
		made <- err
	})
	if err := cluster.Delete(t.Context(), s.run(), "dev", cluster.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	select {
	case err := <-made:
		if err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatal("no network was removed")
	}
	s.nothingLeft(t)
}

// A delete that is cut off can be run again.
func TestDeleteFailingAtEveryOperation(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	first := len(s.Engine.Operations())
	if err := cluster.Delete(t.Context(), s.run(), "dev", cluster.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for n := first + 1; n <= len(s.Engine.Operations()); n++ {
		s := newSetup(t)
		if err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		s.Engine.FailAt(n, fault.New(fault.EngineFailed, "injected"))
		if err := cluster.Delete(t.Context(), s.run(), "dev", cluster.DeleteOptions{}); !fault.Is(err, fault.EngineFailed) {
			t.Errorf("operation %d: %v", n, err)
		}
		if err := cluster.Delete(t.Context(), s.run(), "dev", cluster.DeleteOptions{}); err != nil {
			t.Errorf("operation %d, again: %v", n, err)
		}
		s.nothingLeft(t)
	}
}

// While a run works on a cluster, no other one of this machine does.
func TestBusy(t *testing.T) {
	s := newSetup(t)
	var during []error
	s.OnCall = func(name string) {
		if name == "WaitNodesReady" {
			ctx := context.Background()
			_, err := cluster.Create(ctx, s.run(), document(t, "dev", 0), instances(t, document(t, "dev", 0)), cluster.CreateOptions{})
			during = append(during, err, cluster.Delete(ctx, s.run(), "dev", cluster.DeleteOptions{}))
		}
	}
	if err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(during) != 2 || !fault.Is(during[0], fault.ClusterBusy) || !fault.Is(during[1], fault.ClusterBusy) {
		t.Errorf("meanwhile: %v", during)
	}
	if err := cluster.Delete(t.Context(), s.run(), "dev", cluster.DeleteOptions{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// The evidence of a failed run is of what it made itself.
func TestNoEvidenceOfOthers(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{}); !fault.Is(err, fault.ClusterExists) {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(s.deps.StateDir, "evidence", "*")); len(found) > 0 {
		t.Errorf("evidence %v", found)
	}
}

// A step that another one's failure has cut off has not failed itself.
func TestCutOffStepsAreCancelled(t *testing.T) {
	s := newSetup(t)
	s.OnExec = func(_ string, cmd engine.Command) (bool, error) {
		return strings.HasPrefix(strings.Join(cmd.Args, " "), "kubeadm init --config"), &engine.ExitError{Code: 1}
	}
	s.Fail["WaitAPI"] = &clustertest.HangError{} // until the others end
	if err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{}); !fault.Is(err, fault.KubeadmInit) {
		t.Fatalf("got %v", err)
	}
	i := slices.IndexFunc(s.log.events, func(e event.Event) bool { return e.Type == event.StepFinished && e.Step == "api" })
	if i < 0 || s.log.events[i].Error == nil || s.log.events[i].Error.Code != fault.Interrupted {
		t.Errorf("events: %+v", s.log.events)
	}
}

func TestStates(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	want := func(state cluster.State, usable bool, problems ...string) {
		t.Helper()
		got, err := cluster.GetStatus(t.Context(), s.deps, "dev")
		if err != nil || got.State != state || got.Usable != usable || len(got.Problems) != len(problems) {
			t.Errorf("want %s, got %+v, %v", state, got, err)
			return
		}
		for i, p := range problems {
			if !strings.Contains(got.Problems[i], p) {
				t.Errorf("problem %q lacks %q", got.Problems[i], p)
			}
		}
	}
	want(cluster.Running, true)
	s.Fail["Nodes"] = errors.New("connection refused")
	want(cluster.Running, false, "the API server does not answer: connection refused")
	delete(s.Fail, "Nodes")
	if err := s.Engine.Crash("dev-worker", 137, "killed"); err != nil {
		t.Fatal(err)
	}
	want(cluster.Degraded, false, "node dev-worker is exited (status 137)", "node dev-worker is not Ready")
	if err := s.Engine.StopNode(t.Context(), "dev-control-plane", time.Second); err != nil {
		t.Fatal(err)
	}
	want(cluster.Stopped, false, "dev-control-plane", "dev-worker")
	if _, err := cluster.GetStatus(t.Context(), s.deps, "nosuch"); !fault.Is(err, fault.ClusterNotFound) {
		t.Errorf("got %v", err)
	}
}

// The sizes that the document gives are those that are shown; without one there is none.
func TestStatusHasSizes(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 1)
	nodes := doc.Nodes()
	nodes[1].NanoCPUs, nodes[1].Memory = 1_500_000_000, 2<<30
	doc.SetNodes(nodes)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := cluster.GetStatus(t.Context(), s.deps, "dev")
	if err != nil || len(got.Nodes) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i, want := range [][2]string{{"", ""}, {"1.5", "2Gi"}} {
		if n := got.Nodes[i]; n.CPUs != want[0] || n.Memory != want[1] {
			t.Errorf("%s has %q, %q, want %q", n.Name, n.CPUs, n.Memory, want)
		}
	}
}

func TestNodeOf(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), document(t, "dev", 2), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]string{"": "dev-control-plane", "worker2": "dev-worker2", "dev-worker": "dev-worker", "control-plane": "dev-control-plane"} {
		if got, err := cluster.NodeOf(t.Context(), s.Engine, "dev", node); err != nil || got.Name != want {
			t.Errorf("%q: got %s, %v", node, got.Name, err)
		}
	}
	if _, err := cluster.NodeOf(t.Context(), s.Engine, "dev", "worker3"); !fault.Is(err, fault.NodeNotFound) {
		t.Errorf("got %v", err)
	}
}

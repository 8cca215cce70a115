package cluster_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// A run that is killed while it drains leaves a node cordoned; whoever wants the node to stay gets it back.
func TestApplyUncordonsWhatStays(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 2)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Fail["Drain"], s.Fail["Cordon"] = fault.New(fault.DrainFailed, "killed"), fault.New(fault.APITimeout, "killed")
	if _, err := s.apply(t.Context(), resized(t, doc, 1, 1)); !fault.Is(err, fault.DrainFailed) {
		t.Errorf("got %v", err)
	}
	clear(s.Fail)
	diff, err := s.apply(t.Context(), doc)
	if want := "~ worker dev-worker2: takes pods again"; err != nil || diff != want || len(s.Cordoned) > 0 {
		t.Errorf("got %q, %v; cordoned: %v", diff, err, s.Cordoned)
	}
	s.follows(t, doc)
}

// A run is killed at every call of the API while it removes an addon; the next one gets to the end.
func TestApplyRemovesAddonsFromEveryCall(t *testing.T) {
	doc := ofProfile(t, "dev", "dev", 0)
	next := *doc.DeepCopy()
	next.Addons = slices.DeleteFunc(next.Addons, func(a v1alpha1.Addon) bool { return a.Name == "metallb" })
	for n := 1; ; n++ {
		s := newSetup(t)
		if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		calls, before := 0, len(s.Engine.Operations())
		s.OnCall = func(string) {
			if calls++; calls == n {
				s.Engine.FailFrom(before+1, fault.New(fault.EngineUnreachable, "killed"))
				s.kill(true)
			}
		}
		_, err := s.apply(t.Context(), next)
		s.OnCall = nil
		s.Engine.Heal()
		s.kill(false)
		if _, again := s.apply(t.Context(), next); again != nil {
			t.Errorf("killed at call %d (%v): %v", n, err, again)
		}
		s.follows(t, next)
		if err == nil {
			return
		}
	}
}

// kill lets all calls of the API fail that a change makes, or none.
func (s *setup) kill(dead bool) {
	for _, call := range []string{"Get", "List", "Delete", "Apply", "DryRun", "Create"} {
		if dead {
			s.Fail[call] = fault.New(fault.APITimeout, "killed")
		} else {
			delete(s.Fail, call)
		}
	}
}

// An addon that a run which was cut off has removed is on record. It does not keep the next run from going on, and leaves the record.
func TestAddonGoneAndOnRecord(t *testing.T) {
	doc := ofProfile(t, "dev", "dev", 0)
	next := *doc.DeepCopy()
	next.Addons = slices.DeleteFunc(next.Addons, func(a v1alpha1.Addon) bool { return a.Name == "metallb" })
	for name, again := range map[string]func(*setup, *cluster.AddonTarget) error{
		"apply": func(s *setup, _ *cluster.AddonTarget) error { _, err := s.apply(t.Context(), next); return err },
		"disable": func(s *setup, at *cluster.AddonTarget) error {
			return cluster.DisableAddons(t.Context(), s.run(), at, catalogue(), []string{"metallb"}, false, cluster.AddonOptions{})
		},
	} {
		s := newSetup(t)
		if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		open := func() *cluster.AddonTarget {
			target, err := cluster.OpenAddons(t.Context(), s.run(), "dev")
			if err != nil {
				t.Fatal(err)
			}
			return target
		}
		at := open()
		if err := at.Manager.Remove(t.Context(), "metallb", true, nil); err != nil || !at.Recorded("metallb") {
			t.Fatal(err)
		}
		if err := again(s, at); err != nil || open().Recorded("metallb") {
			t.Errorf("%s: on record: %v, %v", name, open().Recorded("metallb"), err)
		}
	}
}

// The hints of a failed change are those for a cluster that lives, and a node that does not join leaves what tells why.
func TestChangeThatFails(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 0)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	asked := 0
	s.deps.Preflight = func(_ context.Context, _ engine.Info, nodes int, _ *event.Reporter) error { asked = nodes; return nil }
	s.OnExec = func(_ string, cmd engine.Command) (bool, error) {
		joins := strings.HasPrefix(strings.Join(cmd.Args, " "), "kubeadm join")
		if joins {
			return true, &engine.ExitError{Code: 1}
		}
		return false, nil
	}
	s.Engine.FailOn("RemoveNode dev-worker", fault.EngineFailed, "injected")
	if _, err := s.apply(t.Context(), resized(t, doc, 1, 1)); !fault.Is(err, fault.KubeadmJoin) || strings.Contains(fault.ReportOf(err).Hint, "--retain") {
		t.Errorf("got %v", err)
	}
	if asked != 1 {
		t.Errorf("the host was checked for %d nodes", asked)
	}
	var said string
	for _, e := range s.log.events {
		if e.Type == event.Warning {
			said += e.Message + ": " + e.Hint + "\n"
		}
	}
	if !strings.Contains(said, "the evidence is in ") || !strings.Contains(said, "run the same command again") || strings.Contains(said, "cove delete") {
		t.Errorf("it said\n%s", said)
	}
	s.Engine.Heal()
	before := len(s.Engine.Operations())
	s.deps.Preflight = func(context.Context, engine.Info, int, *event.Reporter) error {
		return fault.New(fault.HostLimit, "injected")
	}
	if _, err := s.apply(t.Context(), resized(t, doc, 1, 2)); !fault.Is(err, fault.HostLimit) {
		t.Errorf("got %v", err)
	}
	for _, o := range s.Engine.Operations()[before:] {
		if strings.HasPrefix(o, "CreateNode") {
			t.Errorf("did %s", o)
		}
	}
}

// A node that is made anew needs no more room than it has.
func TestRoomOfANodeThatIsMadeAnew(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 1)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.deps.Preflight = func(context.Context, engine.Info, int, *event.Reporter) error {
		return fault.New(fault.HostLimit, "injected")
	}
	o := s.applyOptions()
	o.Again = []string{"dev-worker"}
	same := func(*v1alpha1.Cluster) (v1alpha1.Cluster, error) { return doc, nil }
	if _, _, err := cluster.Apply(t.Context(), s.run(), "dev", same, o); err != nil {
		t.Errorf("got %v", err)
	}
}

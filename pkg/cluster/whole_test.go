package cluster_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/fault"
)

const balancer = "dev-external-load-balancer"

// harms are what somebody can do to containers by hand, by the problem that status names.
func harms(t *testing.T, s *setup) map[string]func(name string) error {
	t.Helper()
	at := func(name string) netip.Addr {
		n, err := s.Engine.Node(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return n.IP
	}
	return map[string]func(string) error{
		"its container is gone":                      func(name string) error { return s.Engine.RemoveNode(t.Context(), name) },
		"its container is dead":                      s.Engine.Break,
		"its container is cut off from its network":  func(name string) error { return s.Engine.Attach(name, "", netip.Addr{}) },
		"its container is cut off from its network ": func(name string) error { return s.Engine.Attach(name, "cove-dev", at(name).Prev()) },
		"its container is cut off from its network, and stopped": func(name string) error {
			if err := s.Engine.Attach(name, "", netip.Addr{}); err != nil {
				return err
			}
			return s.Engine.StopNode(t.Context(), name, 0)
		},
	}
}

// What somebody has removed or cut off by hand is said, and start and apply make it again as it was.
func TestLostContainersComeBack(t *testing.T) {
	doc := resized(t, document(t, "dev", 1), 3, 1)
	cures := map[string]func(s *setup, name string) error{
		"start": func(s *setup, _ string) error {
			return cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{})
		},
		"node start": func(s *setup, name string) error {
			return cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{Nodes: []string{name}})
		},
		"apply": func(s *setup, _ string) error { _, err := s.apply(t.Context(), doc); return err },
	}
	for _, name := range []string{"dev-worker", "dev-control-plane", balancer} {
		for why := range harms(t, newSetup(t)) {
			for cure, do := range cures {
				if cure == "node start" && name == balancer && why == "its container is gone" {
					continue // who is gone and no node has no name
				}
				t.Run(strings.Join([]string{cure, name, why}, "/"), func(t *testing.T) {
					s := newSetup(t)
					if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
						t.Fatal(err)
					}
					before, _ := s.Engine.Node(t.Context(), name)
					access, _ := cluster.AccessTo(t.Context(), s.Engine, "dev")
					if err := harms(t, s)[why](name); err != nil {
						t.Fatal(err)
					}
					problem, _, _ := strings.Cut(strings.TrimSpace(why), ",")
					s.says(t, name, problem, access.Context.Server)
					if err := do(s, name); err != nil {
						t.Fatal(err)
					}
					after, err := s.Engine.Node(t.Context(), name)
					if err != nil || after.ID == before.ID || after.IP != before.IP || fmt.Sprint(after.Ports) != fmt.Sprint(before.Ports) {
						t.Errorf("it was %+v, is %+v, %v", before, after, err)
					}
					s.follows(t, doc)
				})
			}
		}
	}
}

// says fails where status or list do not name the problem of a node or the load balancer, or the way to the API is lost with it.
func (s *setup) says(t *testing.T, name, problem, server string) {
	t.Helper()
	status, err := cluster.GetStatus(t.Context(), s.deps, "dev")
	want := fmt.Sprintf("node %s: %s: `cove start dev` makes it again", name, problem)
	if name == balancer {
		want = fmt.Sprintf("the load balancer: %s: `cove start dev` makes it again", problem)
	}
	if err != nil || status.Usable || status.State != cluster.Degraded || !slices.Contains(status.Problems, want) {
		t.Errorf("status: %s, usable %v, %q, %v; want %q", status.State, status.Usable, status.Problems, err, want)
	}
	list, err := cluster.List(t.Context(), s.Engine)
	if err != nil || len(list) != 1 || list[0].State != cluster.Degraded || list[0].API != server {
		t.Errorf("list: %+v, %v; the API was at %s", list, err, server)
	}
	a, err := cluster.AccessTo(t.Context(), s.Engine, "dev")
	if err != nil || a.Context.Server != server {
		t.Errorf("the way to the API is %q, %v; it was %q", a.Context.Server, err, server)
	}
}

// A node without its data is not made again by a start: it would be another one under its name.
func TestStartMakesNothingOfLostData(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Engine.RemoveNode(t.Context(), "dev-worker"); err != nil {
		t.Fatal(err)
	}
	if err := s.Engine.RemoveVolume(t.Context(), "dev-worker-var"); err != nil {
		t.Fatal(err)
	}
	err := cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{})
	const hint = "cove node replace dev-worker --name dev"
	if !fault.Is(err, fault.ClusterIncomplete) || !strings.Contains(fault.ReportOf(err).Hint, hint) {
		t.Errorf("start: %v", err)
	}
	status, err := cluster.GetStatus(t.Context(), s.deps, "dev")
	if err != nil || len(status.Problems) == 0 || !strings.Contains(status.Problems[0], hint) {
		t.Errorf("status: %q, %v", status.Problems, err)
	}
}

// A stop leaves out what is gone, and so does a pause.
func TestStopWithoutAContainer(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Engine.RemoveNode(t.Context(), "dev-worker"); err != nil {
		t.Fatal(err)
	}
	for _, do := range []func(context.Context, cluster.Deps, string, cluster.PowerOptions) error{cluster.Pause, cluster.Resume, cluster.Stop} {
		if err := do(t.Context(), s.run(), "dev", cluster.PowerOptions{}); err != nil {
			t.Error(err)
		}
	}
	err := cluster.Pause(t.Context(), s.run(), "dev", cluster.PowerOptions{Nodes: []string{"worker"}})
	if !fault.Is(err, fault.ClusterNotRunning) {
		t.Errorf("a pause of what is gone: %v", err)
	}
}

// One control plane of several that is paused does not pause the cluster.
func TestOnePausedControlPlane(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), resized(t, document(t, "dev", 0), 3, 0), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Engine.PauseNode(t.Context(), "dev-control-plane2"); err != nil {
		t.Fatal(err)
	}
	status, err := cluster.GetStatus(t.Context(), s.deps, "dev")
	const want = "the container of node dev-control-plane2 is paused: `cove resume dev` lets it go on"
	if err != nil || status.State != cluster.Degraded || !status.APIUp || status.Usable || !slices.Contains(status.Problems, want) {
		t.Errorf("%+v, %v", status, err)
	}
	for _, name := range []string{"dev-control-plane", "dev-control-plane3", balancer} {
		if err := s.Engine.PauseNode(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if status, err = cluster.GetStatus(t.Context(), s.deps, "dev"); err != nil || status.State != cluster.Paused {
		t.Errorf("all paused: %+v, %v", status, err)
	}
}

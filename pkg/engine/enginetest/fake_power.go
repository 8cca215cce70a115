package enginetest

import (
	"context"
	"maps"
	"slices"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// PauseNode freezes a node.
func (f *Fake) PauseNode(ctx context.Context, name string) error {
	return f.mutate(ctx, "PauseNode "+name, func(s *state) error {
		n, err := s.node(name, "pause node")
		switch {
		case err != nil:
			return err
		case !n.runs():
			return fault.New(fault.ClusterNotRunning, "cannot pause node %s: it is %s", name, n.Node.State)
		}
		n.Node.State = engine.StatePaused
		return nil
	}, nil)
}

// ResumeNode lets a node go on.
func (f *Fake) ResumeNode(ctx context.Context, name string) error {
	return f.mutate(ctx, "ResumeNode "+name, func(s *state) error {
		n, err := s.node(name, "resume node")
		if err == nil && n.Node.State == engine.StatePaused {
			n.Node.State = engine.StateRunning
		}
		return err
	}, nil)
}

// KeepDown says whether Restart leaves a stopped node alone.
func (f *Fake) KeepDown(ctx context.Context, name string, down bool) error {
	return f.mutate(ctx, "KeepDown "+name, func(s *state) error {
		n, err := s.node(name, "change node")
		if err == nil {
			n.Down = down
		}
		return err
	}, nil)
}

// Restart is the end and the new beginning of the engine: every node is stopped, and started if it is not to be kept down.
func (f *Fake) Restart(ctx context.Context) error {
	return f.mutate(ctx, "Restart", func(s *state) error {
		for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
			if n := s.Nodes[name]; n.runs() {
				n.end(0, "fake engine stopped\n")
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
			if n := s.Nodes[name]; !n.Down && n.Node.State == engine.StateExited {
				if err := s.startNode(n); err != nil {
					n.Node.Error = err.Error()
					continue
				}
				n.begin()
			}
		}
		return nil
	}, nil)
}

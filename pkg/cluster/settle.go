package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/wait"
)

const (
	// engineLag bounds how long after a run was killed its engine may still finish what the run had asked for.
	engineLag = time.Minute
	// DefaultQuiet is how long nothing new has to appear until an engine counts as done with what was asked of it.
	DefaultQuiet = 2 * time.Second
	quietPace    = 100 * time.Millisecond
)

// removeFound removes what was found of a cluster, and what the engine still makes of it: an engine goes on with a
// creation whose client was killed, and lists a container only when it is made.
func removeFound(ctx context.Context, d Deps, f found) error {
	unsettled, err := f.unsettled(ctx, d)
	if err != nil {
		return err
	}
	if err := f.remove(ctx, d.Engine); err != nil || !unsettled {
		return err
	}
	reporter(ctx).Waiting("what the engine still makes for a run that was killed")
	quiet, last := cmp.Or(d.Quiet, DefaultQuiet), time.Now()
	return wait.Until(ctx, min(quietPace, quiet), nil, wait.Condition{Name: "the engine is done", Check: func(ctx context.Context) (bool, string, error) {
		late, err := find(ctx, d.Engine, f.name)
		if err != nil {
			return false, "", err
		}
		if !late.empty() {
			last = time.Now()
			return false, "removing what it made late", late.remove(ctx, d.Engine)
		}
		return time.Since(last) >= quiet, "nothing for now", nil
	}})
}

// unsettled reports whether the engine may still be making something of the cluster: a node has its volume and no
// container, or a run that did not complete the cluster began a moment ago.
func (f found) unsettled(ctx context.Context, d Deps) (bool, error) {
	for _, v := range f.volumes {
		if _, ok := f.node(v.Node); v.Node != "" && !ok {
			return true, nil
		}
	}
	young := func(n engine.Network) bool { return d.Now().Sub(n.Created).Abs() < engineLag }
	if !slices.ContainsFunc(f.networks, young) {
		return false, nil
	}
	complete, err := isComplete(ctx, d.Engine, f)
	if fault.Is(err, fault.RecordUnreadable) { // it had one: a run has completed it
		return false, nil
	}
	return !complete, err
}

package cluster

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// State is what a cluster is doing, as far as the engine knows.
type State string

// The states of a cluster.
const (
	Running    State = "running"    // every node's container runs
	Stopped    State = "stopped"    // none does
	Paused     State = "paused"     // they are there, and stand still
	Degraded   State = "degraded"   // some do
	Incomplete State = "incomplete" // left over from a run that was cut off, or being made now
	Missing    State = "missing"    // no container has its record, and volumes of a control plane without one may have it
)

// Summary is a line of the list of clusters.
type Summary struct {
	Name              string    `json:"name" yaml:"name"`
	State             State     `json:"state" yaml:"state"`
	KubernetesVersion string    `json:"kubernetesVersion,omitempty" yaml:"kubernetesVersion,omitempty"`
	Upgrading         string    `json:"upgrading,omitempty" yaml:"upgrading,omitempty"` // the version that an upgrade which has not ended goes to
	ControlPlanes     int       `json:"controlPlanes" yaml:"controlPlanes"`
	Workers           int       `json:"workers" yaml:"workers"`
	Created           time.Time `json:"created,omitzero" yaml:"created,omitempty"`
	API               string    `json:"api,omitempty" yaml:"api,omitempty"`
	Network           string    `json:"network,omitempty" yaml:"network,omitempty"`
	Context           string    `json:"context" yaml:"context"`
}

// List returns the clusters of the engine, ordered by name.
func List(ctx context.Context, e engine.Engine) ([]Summary, error) {
	info, err := e.Info(ctx)
	if err != nil {
		return nil, err
	}
	all, err := find(ctx, e, "")
	if err != nil {
		return nil, err
	}
	clusters := all.byName()
	list := make([]Summary, len(clusters))
	group, ctx := errgroup.WithContext(ctx)
	for i, f := range clusters {
		group.Go(func() (err error) { list[i], _, err = summarize(ctx, e, info, f); return })
	}
	return list, group.Wait()
}

// Names returns the names of the clusters, ordered; what is incomplete included.
func Names(ctx context.Context, e engine.Engine) ([]string, error) {
	all, err := find(ctx, e, "")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range all.byName() {
		names = append(names, f.name)
	}
	return names, nil
}

// summarize returns the cluster in a line, and its record, which is empty where it is not complete.
func summarize(ctx context.Context, e engine.Engine, info engine.Info, f found) (Summary, created, error) {
	s := Summary{Name: f.name, State: Incomplete, Context: ContextName(f.name)}
	for _, n := range f.nodes {
		if n.Role == engine.RoleControlPlane {
			s.ControlPlanes++
		} else {
			s.Workers++
		}
	}
	if len(f.networks) > 0 {
		doc, _ := f.document() // of one that cannot be read, the network has IPv4 at least
		s.Network = joined(nodeSubnets(doc, f.networks[0]))
	}
	if gateway, ok := f.gateway(); ok && publishedAPI(gateway).IsValid() {
		s.API = serverURL(info, gateway)
	}
	record, err := readCreated(ctx, e, f)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if len(f.lost()) > 0 {
			s.State = Missing
		}
		return s, created{}, nil
	case fault.Is(err, fault.RecordUnreadable): // the list has other clusters; what is done to this one says it
		s.State = state(f, created{})
		return s, created{}, nil
	case err != nil:
		return s, created{}, err
	}
	s.State, s.Created, s.KubernetesVersion, s.Upgrading = state(f, record), record.Time, record.KubernetesVersion, record.Upgrading
	if s.API == "" {
		s.API = record.server(info)
	}
	return s, record, nil
}

// state sums up what the cluster's parts do. What the record has and is gone, or is cut off, does nothing.
func state(f found, record created) State {
	running, paused, up := 0, 0, len(f.losses(record)) == 0
	for _, n := range f.containers() {
		switch {
		case n.State != engine.StateRunning || f.cutOff(record, n):
			up = false
		case n.Role != engine.RoleLoadBalancer:
			running++
		}
		if n.State == engine.StatePaused && n.Role != engine.RoleLoadBalancer {
			paused++
		}
	}
	switch {
	case paused > 0 && paused == len(f.nodes):
		return Paused
	case running == 0 && paused == 0:
		return Stopped
	case up:
		return Running
	}
	return Degraded
}

// lookup finds a cluster that is there; ClusterNotFound where there is none.
func lookup(ctx context.Context, e engine.Engine, name string) (found, error) {
	f, err := find(ctx, e, name)
	if err != nil {
		return f, err
	}
	if f.empty() {
		return f, fault.New(fault.ClusterNotFound, "no cluster is called %q", name)
	}
	return f, nil
}

// Package cluster makes, lists and ends clusters: plans, the runner that carries them out, and the steps they are made
// of. It speaks to the engine and to Kubernetes through interfaces alone; it never prints and never reads settings.
package cluster

import (
	"context"
	"slices"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
)

// Step is one thing that a run does.
type Step interface {
	ID() string    // "node/dev-worker2": unique in its plan, and stable
	Title() string // "Start node dev-worker2"
	Do(ctx context.Context, rc *Context) error
}

// Undoer is a step that can take back what it did. Undo is called for every step that was begun, also when it failed:
// it removes what there is, and finds it no error that there is nothing.
type Undoer interface {
	Step
	Undo(ctx context.Context, rc *Context) error
}

// Stage is a set of steps that run together.
type Stage struct {
	Name  string
	Timed bool // the run's time limit covers it
	Steps []Step
}

// Plan is what a run will do: its stages one after the other. A plan is data, and is made without I/O.
type Plan struct {
	Cluster string
	Stages  []Stage
}

// Info lists the plan's steps as events and --dry-run show them.
func (p Plan) Info() []event.StepInfo {
	var infos []event.StepInfo
	for _, stage := range p.Stages {
		for _, s := range stage.Steps {
			infos = append(infos, event.StepInfo{Stage: stage.Name, ID: s.ID(), Title: s.Title()})
		}
	}
	return infos
}

// step is the Step of everything that needs no type of its own.
type step struct {
	id, title string
	do        func(ctx context.Context, rc *Context) error
}

func (s step) ID() string                                { return s.id }
func (s step) Title() string                             { return s.title }
func (s step) Do(ctx context.Context, rc *Context) error { return s.do(ctx, rc) }

// undoableStep is a step with a way back.
type undoableStep struct {
	step
	undo func(ctx context.Context, rc *Context) error
}

func (s undoableStep) Undo(ctx context.Context, rc *Context) error { return s.undo(ctx, rc) }

// nodesOf returns the document's nodes, the control plane first: it gets the first of all that is shared out.
func nodesOf(doc v1alpha1.Cluster) []v1alpha1.Node {
	nodes := doc.Nodes()
	slices.SortStableFunc(nodes, func(a, b v1alpha1.Node) int { return rank(a) - rank(b) })
	return nodes
}

func rank(n v1alpha1.Node) int {
	if n.Role == engine.RoleControlPlane {
		return 0
	}
	return 1
}

// controlPlane returns the document's first control plane.
func controlPlane(doc v1alpha1.Cluster) v1alpha1.Node { return nodesOf(doc)[0] }

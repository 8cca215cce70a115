// Package event is the one stream that tells what a run does: a terminal, NDJSON, the run's log and kind's own logger
// are sinks or sources of it. It never formats for people, and it never waits for a slow sink.
package event

import (
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Version is the version of the events' shape. Fields are only ever added.
const Version = 1

// Type says what an event is about.
type Type string

// The types.
const (
	DiffReady    Type = "diff.ready" // Changes has what separates the cluster from its document
	PlanReady    Type = "plan.ready" // Plan has the steps that will run
	StepStarted  Type = "step.started"
	StepProgress Type = "step.progress" // Message: what the step waits for now; Progress: how far it is
	StepLog      Type = "step.log"      // Message: a line that a command printed
	StepFinished Type = "step.finished" // Status, Seconds, Error; Message: why it was skipped
	Warning      Type = "warning"       // Message, Hint
	RunFinished  Type = "run.finished"  // Status, Seconds, Error, Message; the last event of a run
)

// Status is how a step or a run ended.
type Status string

// The statuses.
const (
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Skipped   Status = "skipped"
	Undone    Status = "undone"
)

// Event is one thing that happened in a run.
type Event struct {
	V        int           `json:"v"`
	Seq      uint64        `json:"seq"` // 1, 2, 3 … without gaps
	Time     time.Time     `json:"time"`
	Run      string        `json:"run"`
	Cluster  string        `json:"cluster,omitempty"`
	Type     Type          `json:"type"`
	Step     string        `json:"step,omitempty"`
	Title    string        `json:"title,omitempty"`
	Status   Status        `json:"status,omitempty"`
	Message  string        `json:"message,omitempty"`
	Hint     string        `json:"hint,omitempty"`
	Seconds  float64       `json:"seconds,omitempty"` // how long the step or the run took
	Progress *Progress     `json:"progress,omitempty"`
	Changes  []Change      `json:"changes,omitempty"`
	Plan     []StepInfo    `json:"plan,omitempty"`
	Error    *fault.Report `json:"error,omitempty"`
}

// Progress counts what a step has done, in Unit.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"` // 0: not known
	Unit  string `json:"unit,omitempty"`  // "bytes", "nodes", …
}

// Change is one difference between a cluster and its document.
type Change struct {
	Op       string   `json:"op"`     // "+", "~" or "-"
	Object   string   `json:"object"` // "worker dev-worker2", "addon traefik", …
	Details  []string `json:"details,omitempty"`
	Effect   string   `json:"effect,omitempty"`   // what it means for what runs there
	Destroys string   `json:"destroys,omitempty"` // which data goes for good
}

// StepInfo is a step of a plan. Steps of one stage run together.
type StepInfo struct {
	Stage string `json:"stage"`
	ID    string `json:"id"`
	Title string `json:"title"`
}

// Sink takes events: in the order of Seq, one at a time. Emit must not block.
type Sink interface{ Emit(Event) }

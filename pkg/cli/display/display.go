// Package display shows a run's events to people and to programs: live on a terminal, a line per step elsewhere, as
// newline-delimited JSON, or errors only. It never decides what happens, and it never holds up the run.
package display

import (
	"io"
	"time"

	"github.com/cove-k8s/cove/pkg/event"
)

// Kind is a way to show a run.
type Kind int

// The ways.
const (
	Plain    Kind = iota // a line for each finished step: pipes, CI
	Terminal             // live: what runs and what it waits for, on a terminal that moves its cursor
	JSON                 // each event, an object a line
	Quiet                // nothing but the error
)

// Options say how to show a run.
type Options struct {
	Kind      Kind
	Out       io.Writer
	Verbosity int  // from 1 on: what commands print, and steps as they start
	Color     bool // not for JSON

	// For Terminal:
	Size func() (width, height int) // the terminal's size now, in characters; asked before each frame
	Now  func() time.Time
	// Interrupted is closed when the user has asked to stop: the cursor is shown from then on, because a second
	// interrupt ends the process without a word.
	Interrupted <-chan struct{}
}

// Display is a sink that must be closed; what it was told is shown when Close returns. It takes events without blocking.
type Display interface {
	event.Sink
	io.Closer
}

// New returns a display.
func New(o Options) Display {
	switch o.Kind {
	case Terminal:
		return newTerminal(o)
	case JSON:
		return event.NewQueue(jsonSink{enc: event.NewEncoder(o.Out)})
	case Quiet:
		return event.NewQueue(&quietSink{o: o})
	case Plain:
	}
	return event.NewQueue(&plainSink{o: o})
}

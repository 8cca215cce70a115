package display

import (
	"encoding/json"

	"github.com/cove-k8s/cove/pkg/event"
)

// jsonSink writes each event as a line of JSON.
type jsonSink struct{ enc *json.Encoder }

// Emit writes the event. A reader that has gone away (cove create -o json | head) does not end the run.
func (s jsonSink) Emit(ev event.Event) { _ = s.enc.Encode(ev) }

// quietSink writes the report of the run's error.
type quietSink struct{ o Options }

// Emit writes nothing unless the run has failed.
func (s *quietSink) Emit(ev event.Event) {
	if ev.Type == event.RunFinished && ev.Error != nil {
		writeLines(s.o.Out, closingLines(ev, s.o.Verbosity), s.o.Color)
	}
}

// plainSink writes a line for each finished step.
type plainSink struct{ o Options }

// Emit writes the event's lines.
func (s *plainSink) Emit(ev event.Event) {
	writeLines(s.o.Out, s.lines(ev), s.o.Color)
}

func (s *plainSink) lines(ev event.Event) []line {
	verbose := s.o.Verbosity > 0
	switch ev.Type {
	case event.StepStarted:
		if verbose {
			return []line{{{dim, "· " + clean(ev.Title)}}}
		}
	case event.StepProgress:
		if verbose && ev.Message != "" && ev.Progress == nil {
			return []line{{{dim, "  " + clean(ev.Title) + ": " + clean(ev.Message)}}}
		}
	case event.StepLog:
		if verbose {
			return []line{{{dim, "  | " + clean(ev.Message)}}}
		}
	case event.StepFinished:
		return []line{finishedLine(ev)}
	case event.Warning:
		return warningLines(ev)
	case event.RunFinished:
		return closingLines(ev, s.o.Verbosity)
	case event.DiffReady, event.PlanReady: // the command that asks about the difference shows it
	}
	return nil
}

package event

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Emitter numbers events and hands them to its sinks. Its methods may be called from many goroutines.
type Emitter struct {
	run, cluster string
	now          func() time.Time
	begun        time.Time

	mu       sync.Mutex
	seq      uint64
	finished bool
	sinks    []Sink
}

// NewEmitter returns an emitter for the run of that ID on the cluster (which may be empty). now is the clock.
func NewEmitter(run, cluster string, now func() time.Time, sinks ...Sink) *Emitter {
	return &Emitter{run: run, cluster: cluster, now: now, begun: now(), sinks: sinks}
}

// Run returns the run's ID.
func (e *Emitter) Run() string { return e.run }

// Emit fills in what every event carries, and hands the event on. run.finished is the last event of a run: what a
// straggler emits after it is dropped.
func (e *Emitter) Emit(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.finished {
		return
	}
	e.finished = ev.Type == RunFinished
	e.seq++
	ev.V, ev.Seq, ev.Time, ev.Run, ev.Cluster = Version, e.seq, e.now(), e.run, e.cluster
	for _, s := range e.sinks {
		s.Emit(ev)
	}
}

// Diff says what separates the cluster from its document.
func (e *Emitter) Diff(changes []Change) { e.Emit(Event{Type: DiffReady, Changes: changes}) }

// Plan says which steps will run.
func (e *Emitter) Plan(steps []StepInfo) { e.Emit(Event{Type: PlanReady, Plan: steps}) }

// Warn says something that does not stop the run. The hint, one thing to do, may be empty.
func (e *Emitter) Warn(hint, format string, args ...any) {
	e.Emit(Event{Type: Warning, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// Finish says how the run ended, with a closing message, and how long it took since the emitter was made.
func (e *Emitter) Finish(err error, message string) {
	ev := Event{Type: RunFinished, Status: Succeeded, Message: message, Seconds: e.now().Sub(e.begun).Seconds()}
	if err != nil {
		r := fault.ReportOf(err)
		ev.Status, ev.Error = Failed, &r
	}
	e.Emit(ev)
}

// Step runs fn as the step of that ID, emits its start and its end with its duration, and returns fn's error.
// An error that Skip made ends the step as skipped, and Step returns nil.
func (e *Emitter) Step(ctx context.Context, id, title string, fn func(context.Context, *Reporter) error) error {
	return e.step(ctx, id, title, Succeeded, fn)
}

// Undo is Step for taking back what the step of that ID did: a good end has the status Undone.
func (e *Emitter) Undo(ctx context.Context, id, title string, fn func(context.Context, *Reporter) error) error {
	return e.step(ctx, id, title, Undone, fn)
}

func (e *Emitter) step(ctx context.Context, id, title string, good Status, fn func(context.Context, *Reporter) error) error {
	begun := e.now()
	e.Emit(Event{Type: StepStarted, Step: id, Title: title})
	err := fn(ctx, &Reporter{e: e, id: id, title: title})
	ev := Event{Type: StepFinished, Step: id, Title: title, Status: good, Seconds: e.now().Sub(begun).Seconds()}
	if skip := (*skipError)(nil); errors.As(err, &skip) {
		ev.Status, ev.Message, err = Skipped, skip.reason, nil
	} else if err != nil {
		r := fault.ReportOf(err)
		ev.Status, ev.Error = Failed, &r
	}
	e.Emit(ev)
	return err
}

// Skip returns the error by which a step says that it had nothing to do, and why: "the image is there".
func Skip(reason string, args ...any) error { return &skipError{reason: fmt.Sprintf(reason, args...)} }

// skipError is what Skip makes. It is no failure: Step turns it into a status.
type skipError struct{ reason string }

func (e *skipError) Error() string { return "skipped: " + e.reason }

// Reporter tells how far a step is. Every ten calls a second are emitted at most, the last wish of a step always.
// A nil Reporter says nothing.
type Reporter struct {
	e         *Emitter
	id, title string

	mu   sync.Mutex
	last time.Time
	said string
}

// throttle is the shortest time between two progress events of one step that say the same thing.
const throttle = 100 * time.Millisecond

// Waiting says what the step waits for now, for example "node dev-worker to be Ready".
// What was said last is not said again.
func (r *Reporter) Waiting(format string, args ...any) {
	if r == nil {
		return
	}
	r.mu.Lock()
	m := fmt.Sprintf(format, args...)
	same := m == r.said
	r.said = m
	r.mu.Unlock()
	if !same {
		r.e.Emit(Event{Type: StepProgress, Step: r.id, Title: r.title, Message: m})
	}
}

// Count says how much of total is done; total 0 means that it is not known.
func (r *Reporter) Count(done, total int64, unit string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	now := r.e.now()
	skip := now.Sub(r.last) < throttle && done != total
	if !skip {
		r.last = now
	}
	m := r.said
	r.mu.Unlock()
	if !skip {
		r.e.Emit(Event{Type: StepProgress, Step: r.id, Title: r.title, Message: m, Progress: &Progress{Done: done, Total: total, Unit: unit}})
	}
}

// Log hands on a line that a command printed.
func (r *Reporter) Log(line string) {
	if r != nil {
		r.e.Emit(Event{Type: StepLog, Step: r.id, Title: r.title, Message: line})
	}
}

// Warn says something about this step that does not stop the run.
func (r *Reporter) Warn(hint, format string, args ...any) {
	if r != nil {
		r.e.Emit(Event{Type: Warning, Step: r.id, Title: r.title, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
}

// IsSkip reports whether an error is one that Skip made.
func IsSkip(err error) bool {
	s := (*skipError)(nil)
	return errors.As(err, &s)
}

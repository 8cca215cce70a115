package event_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// clock is a clock that moves when told.
type clock struct{ at time.Time }

func newClock() *clock          { return &clock{time.Date(2026, 11, 22, 14, 15, 3, 0, time.UTC)} }
func (c *clock) now() time.Time { return c.at }
func (c *clock) add(ms int)     { c.at = c.at.Add(time.Duration(ms) * time.Millisecond) }
func (c *clock) emitter(s ...event.Sink) *event.Emitter {
	return event.NewEmitter("20261122-141503-x7q2mk", "dev", c.now, s...)
}

// recorder keeps events.
type recorder []event.Event

func (r *recorder) Emit(ev event.Event) { *r = append(*r, ev) }

// types returns the events' types and messages in short.
func (r *recorder) types() []string {
	var out []string
	for _, ev := range *r {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", ev.Type, ev.Status, ev.Message)))
	}
	return out
}

// TestShape guards the JSON of each type of event: fields are only ever added.
func TestShape(t *testing.T) {
	var rec recorder
	c := newClock()
	e := c.emitter(&rec)
	e.Diff([]event.Change{{Op: "-", Object: "worker dev-worker", Details: []string{"memory 1Gi"}, Effect: "drained", Destroys: "its data is lost"}})
	e.Plan([]event.StepInfo{{Stage: "nodes", ID: "node/create/dev-worker", Title: "Create node dev-worker"}})
	fail := fault.Wrap(fault.NodeStart, outputError{}, "cannot start node dev-worker")
	step := func(fn func(context.Context, *event.Reporter) error) {
		_ = e.Step(t.Context(), "node/create/dev-worker", "Create node dev-worker", fn)
	}
	step(func(_ context.Context, r *event.Reporter) error {
		c.add(100)
		r.Waiting("image %s", "x")
		c.add(150)
		r.Count(5, 10, "bytes")
		r.Log("Pulled")
		r.Warn("add memory", "memory is low: %d%%", 5)
		return nil
	})
	step(func(context.Context, *event.Reporter) error { c.add(1250); return fail })
	step(func(context.Context, *event.Reporter) error {
		return fmt.Errorf("x: %w", event.Skip("it is %s", "there"))
	})
	_ = e.Undo(t.Context(), "node/create/dev-worker", "Create node dev-worker", func(context.Context, *event.Reporter) error {
		c.add(300)
		return nil
	})
	e.Warn("", "the evidence is in /tmp/x")
	e.Finish(fail, "")
	ok := c.emitter(&rec)
	c.add(2000)
	ok.Finish(nil, "cluster is usable")
	var out bytes.Buffer
	for _, ev := range rec {
		if err := json.NewEncoder(&out).Encode(ev); err != nil {
			t.Fatal(err)
		}
	}
	golden.Assert(t, out.String(), "shape.ndjson")
	for _, typ := range []event.Type{
		event.DiffReady, event.PlanReady, event.StepStarted, event.StepProgress, event.StepLog, event.StepFinished, event.Warning, event.RunFinished,
	} {
		if !slices.ContainsFunc(rec, func(ev event.Event) bool { return ev.Type == typ }) {
			t.Errorf("no event of type %s is guarded", typ)
		}
	}
}

// outputError is an error with a command and its output.
type outputError struct{}

func (outputError) Error() string                   { return "status 1" }
func (outputError) CommandOutput() (string, string) { return "runc run", "no space\n" }

func TestStepReturnsTheError(t *testing.T) {
	e := newClock().emitter()
	want := errors.New("oops")
	if got := e.Step(t.Context(), "a", "A", func(context.Context, *event.Reporter) error { return want }); !errors.Is(got, want) {
		t.Errorf("got %v", got)
	}
	if got := e.Step(t.Context(), "a", "A", func(context.Context, *event.Reporter) error { return event.Skip("no") }); got != nil {
		t.Errorf("a skip is the error %v", got)
	}
	if got := event.Skip("no %d", 1).Error(); got != "skipped: no 1" {
		t.Errorf("got %q", got)
	}
}

func TestNothingAfterFinish(t *testing.T) {
	var rec recorder
	e := newClock().emitter(&rec)
	e.Finish(nil, "done")
	e.Warn("", "late")
	e.Finish(nil, "again")
	if got := rec.types(); !slices.Equal(got, []string{"run.finished succeeded done"}) {
		t.Errorf("got %q", got)
	}
}

func TestReporterThrottle(t *testing.T) {
	var rec recorder
	c := newClock()
	_ = c.emitter(&rec).Step(t.Context(), "a", "A", func(_ context.Context, r *event.Reporter) error {
		r.Waiting("one")
		r.Waiting("one")
		r.Waiting("two")
		for i := range 10 { // 20 ms each: of 200 ms the counts at 0, 100 and the last are told
			r.Count(int64(i+1), 10, "nodes")
			c.add(20)
		}
		return nil
	})
	var done []int64
	for _, ev := range rec {
		if ev.Progress != nil {
			done = append(done, ev.Progress.Done)
			if ev.Message != "two" {
				t.Errorf("a count lost what is waited for: %q", ev.Message)
			}
		}
	}
	if !slices.Equal(done, []int64{1, 6, 10}) {
		t.Errorf("counts %v", done)
	}
	want := []string{"step.started", "step.progress  one", "step.progress  two"}
	if got := rec.types()[:3]; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestNilReporter(t *testing.T) {
	var rec recorder
	var r *event.Reporter
	r.Waiting("x")
	r.Count(1, 2, "x")
	r.Log("x")
	r.Warn("", "x")
	if len(rec) != 0 {
		t.Errorf("got %q", rec.types())
	}
}

func TestKindLogger(t *testing.T) {
	var rec recorder
	_ = newClock().emitter(&rec).Step(t.Context(), "a", "A", func(_ context.Context, r *event.Reporter) error {
		l := event.KindLogger(r, 1)
		l.V(0).Info("one\ntwo\n")
		l.V(1).Infof("n=%d", 3)
		l.V(2).Info("too much")
		l.Warn("w ")
		l.Warnf("w%d", 2)
		l.Error("e")
		l.Errorf("e%d", 2)
		if l.V(2).Enabled() || !l.V(log.Level(1)).Enabled() {
			t.Error("Enabled does not follow the verbosity")
		}
		return nil
	})
	want := []string{
		"step.started", "step.log  one", "step.log  two", "step.log  n=3",
		"warning  w", "warning  w2", "warning  e", "warning  e2", "step.finished succeeded",
	}
	if got := rec.types(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestNewRunID(t *testing.T) {
	at := time.Date(2026, 11, 22, 14, 15, 3, 999, time.FixedZone("x", 3600))
	label := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	seen := map[string]bool{}
	for range 1000 {
		id := event.NewRunID(at)
		if !label.MatchString(id) || !strings.HasPrefix(id, "20261122-131503-") || seen[id] {
			t.Fatalf("bad ID %q", id)
		}
		seen[id] = true
	}
	if event.NewRunID(at) > event.NewRunID(at.Add(time.Second)) {
		t.Error("IDs do not sort by time")
	}
}

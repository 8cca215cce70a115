package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// undoTimeout bounds the roll-back of a run. It has a deadline of its own: the run's context may have ended already.
const undoTimeout = 60 * time.Second

// Runner carries out plans.
type Runner struct {
	// Timeout bounds the timed stages together; 0 is no bound.
	Timeout time.Duration
	// Retain keeps what a failed run made; Quiet says nothing of it, because the next run goes on from there.
	Retain, Quiet bool
	// Evidence, if set, is called when a run has failed, before anything is undone. It returns where it put what it found.
	Evidence func(ctx context.Context, rc *Context, cause error) (path string, err error)
}

// Run runs the plan: stages one after the other, the steps of a stage together. When a step fails, or ctx ends, the
// others of its stage are cancelled, and every step that was begun is undone, the last first. The error is the first one.
func (r Runner) Run(ctx context.Context, plan Plan, rc *Context) error {
	rc.Emitter.Plan(plan.Info())
	var begun []Stage
	limit := newLimit(ctx, r.Timeout)
	defer limit.stop()
	for _, stage := range plan.Stages {
		stageCtx := limit.of(stage)
		if ctx.Err() != nil {
			return r.fail(ctx, rc, begun, context.Cause(ctx))
		}
		begun = append(begun, stage)
		group, groupCtx := errgroup.WithContext(stageCtx)
		for _, s := range stage.Steps {
			group.Go(func() error { return runStep(groupCtx, rc, s) })
		}
		if err := group.Wait(); err != nil {
			// An interrupt makes steps fail with errors of many kinds; what the user did is the cause of them all.
			switch {
			case ctx.Err() != nil:
				err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
			case stageCtx.Err() != nil:
				err = late(err, r.Timeout)
			}
			return r.fail(ctx, rc, begun, err)
		}
	}
	return nil
}

// late is the error of a run whose time was up. What Kubernetes lacked stays the error's code; that a request to the engine
// was cut off is a consequence, and not the cause.
func late(err error, limit time.Duration) error {
	e := &fault.Error{Code: fault.NotReady, Msg: fmt.Sprintf("the cluster was not ready within %s", limit), Err: err}
	if r := fault.ReportOf(err); r.Exit == fault.ExitKubernetes {
		e.Code, e.Hint = r.Code, r.Hint
	}
	return e
}

// limit is the time limit of a run's timed stages: it begins with the first of them.
type limit struct {
	ctx, timed context.Context //nolint:containedctx // both live as long as the run that makes them
	timeout    time.Duration
	cancel     context.CancelFunc
}

func newLimit(ctx context.Context, timeout time.Duration) *limit {
	return &limit{ctx: ctx, timeout: timeout, cancel: func() {}}
}

// of returns the context that the stage runs under.
func (l *limit) of(s Stage) context.Context {
	if !s.Timed || l.timeout <= 0 {
		return l.ctx
	}
	if l.timed == nil {
		l.timed, l.cancel = context.WithTimeout(l.ctx, l.timeout)
	}
	return l.timed
}

func (l *limit) stop() { l.cancel() }

// runStep runs a step with its events. A panic in a step is a failure like others: the roll-back must happen.
func runStep(ctx context.Context, rc *Context, s Step) error {
	return rc.Emitter.Step(ctx, s.ID(), s.Title(), func(ctx context.Context, rep *event.Reporter) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fault.New(fault.Internal, "step %s panicked: %v", s.ID(), p)
			}
		}()
		err = s.Do(withReporter(ctx, rep), rc)
		// Where another step's failure or an interrupt has cut this one off, its own error is no failure, whatever it says.
		if err != nil && errors.Is(ctx.Err(), context.Canceled) && !errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w: %w", context.Canceled, err)
		}
		return err
	})
}

// fail saves the evidence, undoes what was begun, and returns the cause, with what could not be undone joined to it.
func (r Runner) fail(ctx context.Context, rc *Context, begun []Stage, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if r.Evidence != nil {
		path, err := r.Evidence(ctx, rc, cause)
		switch {
		case err != nil:
			rc.Emitter.Warn("", "the evidence could not be saved: %v", err)
		case path != "":
			rc.Emitter.Warn("", "the evidence is in %s", path)
		}
	}
	if r.Retain && r.Quiet {
		return cause
	}
	if r.Retain {
		rc.Emitter.Warn(fmt.Sprintf("`cove delete %s` removes it", rc.Name()), "what the run made is kept, as asked")
		return cause
	}
	var left []error
	for _, stage := range slices.Backward(begun) {
		left = append(left, undoStage(ctx, rc, stage)...)
	}
	if len(left) > 0 {
		hint := fmt.Sprintf("`cove delete %s` removes the rest once the engine answers", rc.Name())
		if rc.record.Revision > 0 { // the cluster is there without this run
			hint = "run the same command again once the engine answers: it begins with the rest"
		}
		rc.Emitter.Warn(hint, "not all could be undone: %v", errors.Join(left...))
	}
	return cause
}

// undoStage undoes the steps of a stage together, as they were done, and returns what could not be undone.
func undoStage(ctx context.Context, rc *Context, stage Stage) []error {
	failed := make([]error, len(stage.Steps))
	var group errgroup.Group
	for i, s := range stage.Steps {
		u, ok := s.(Undoer)
		if !ok {
			continue
		}
		group.Go(func() error {
			err := u.Undo(ctx, rc)
			if event.IsSkip(err) {
				return nil
			}
			if err != nil {
				failed[i] = fmt.Errorf("cannot undo %q: %w", u.Title(), err)
				return nil
			}
			rc.Emitter.Emit(event.Event{Type: event.StepFinished, Step: u.ID(), Title: u.Title(), Status: event.Undone})
			return nil
		})
	}
	_ = group.Wait() // each keeps its own
	return slices.DeleteFunc(failed, func(err error) bool { return err == nil })
}

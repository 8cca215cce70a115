package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/cove-k8s/cove/pkg/event"
)

// work is what a run does. It tells the emitter how far it is, and returns the closing message.
type work func(ctx context.Context, em *event.Emitter) (closing string, err error)

// run does work on a cluster (empty: on none in particular) as a run: with an ID, shown as the flags want it, and kept in
// the log of runs. output is formatText, or formatJSON for the events on stdout. The error, if any, has been reported.
func (f *Factory) run(ctx context.Context, cluster, output string, do work) error {
	id := event.NewRunID(f.Now())
	shown := f.display(output, ctx.Done())
	sinks := []event.Sink{shown}
	log, logErr := f.openLog(id)
	if logErr == nil {
		sinks = append(sinks, log)
	}
	em := event.NewEmitter(id, cluster, f.Now, sinks...)
	if logErr != nil {
		em.Warn("", "this run is not logged: %v", logErr)
	}
	stop := context.AfterFunc(ctx, func() {
		em.Warn("press Ctrl-C again to end at once and leave everything as it is", "interrupted: cleaning up")
	})
	closing := ""
	err := guard(func() (err error) {
		closing, err = do(ctx, em)
		return err
	})
	stop()
	err = interrupted(ctx, err)
	em.Finish(err, closing)
	closeErr := shown.Close()
	if log != nil {
		closeErr = errors.Join(closeErr, log.Close())
	}
	// The run is over, and its outcome stands: a log that is cut short does not change it.
	if closeErr != nil && !f.global.quiet {
		fmt.Fprintf(f.IO.ErrOut, "warning: %v\n", closeErr)
	}
	if err != nil {
		return &reportedError{err: err}
	}
	return nil
}

// openLog opens the file of the run's events.
func (f *Factory) openLog(id string) (*event.File, error) {
	dir, err := event.RunsDir(f.Getenv)
	if err != nil {
		return nil, err
	}
	return event.OpenFile(dir, id)
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// Bounds of a measurement.
const (
	usableLimit = 5 * time.Minute
	pollEvery   = 25 * time.Millisecond // the same for both: it is the resolution
	cpuWindow   = 10 * time.Second      // over the end of the idle time
)

// sample is one cluster's life. Times are seconds from the start of the tool's process.
type sample struct {
	API        float64 `json:"apiReadySeconds"`   // /readyz of the API server says ok
	Ready      float64 `json:"nodesReadySeconds"` // every node is Ready
	Usable     float64 `json:"usableSeconds"`     // and every API server is ready, and on every node DNS answers at 10.96.0.10
	Returned   float64 `json:"returnedSeconds"`   // the tool's process has ended
	CPUSeconds float64 `json:"cpuSeconds"`        // CPU time of all containers until it was usable
	Delete     float64 `json:"deleteSeconds"`     // the deleting process, from start to end
	MemoryMiB  float64 `json:"idleMemoryMiB"`     // of all containers together, without page cache that can be dropped
	CPUMilli   float64 `json:"idleMilliCPU"`      // thousandths of a CPU, all containers together
}

// measure has the tool make a cluster, watches it from outside, and has it deleted.
func measure(ctx context.Context, engine *testbed.Engine, t tool, size size, idle time.Duration) (s sample, err error) {
	cluster := "bench-" + t.name
	defer func() {
		if err != nil { // with success it is gone
			err = errors.Join(err, tidy(context.WithoutCancel(ctx), engine, t.remove(cluster)))
		}
	}()
	args, err := t.create(cluster, size)
	if err != nil {
		return s, err
	}
	watchCtx, cancel := context.WithTimeoutCause(ctx, usableLimit, fmt.Errorf("not usable within %s", usableLimit))
	defer cancel()
	begun := time.Now()
	created, err := start(watchCtx, engine, args)
	if err != nil {
		return s, err
	}
	go func() {
		<-created.done
		if created.err != nil {
			cancel()
		}
	}()
	usage, err := watch(watchCtx, newProbe(engine, cluster, size), begun, &s)
	if err != nil {
		cancel()
		<-created.done
		return s, errors.Join(err, created.err)
	}
	s.CPUSeconds = usage.cpu.Seconds()
	usable := time.Now()
	<-created.done
	if created.err != nil {
		return s, created.err
	}
	s.Returned = created.ended.Sub(begun).Seconds()
	if err := s.measureIdle(ctx, engine, usable.Add(idle)); err != nil {
		return s, err
	}
	begun = time.Now()
	removed, err := start(ctx, engine, t.remove(cluster))
	if err != nil {
		return s, err
	}
	<-removed.done
	s.Delete = removed.ended.Sub(begun).Seconds()
	return s, errors.Join(removed.err, gone(ctx, engine))
}

// watch waits for the stages one after the other, and returns what the cluster had used by then.
func watch(ctx context.Context, p *probe, begun time.Time, s *sample) (usage, error) {
	for _, stage := range []struct {
		what  string
		check func(context.Context) error
		at    *float64
	}{{"API server", p.api, &s.API}, {"nodes", p.nodes, &s.Ready}, {"DNS", p.usable, &s.Usable}} {
		if err := poll(ctx, stage.check); err != nil {
			return usage{}, fmt.Errorf("waiting for %s: %w", stage.what, err)
		}
		*stage.at = time.Since(begun).Seconds()
	}
	return read(ctx, p.engine)
}

// poll calls check until it succeeds.
func poll(ctx context.Context, check func(context.Context) error) error {
	ticks := time.NewTicker(pollEvery)
	defer ticks.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-ticks.C:
		}
	}
}

// measureIdle waits until the time, and measures the CPU over the window before it.
func (s *sample) measureIdle(ctx context.Context, engine *testbed.Engine, end time.Time) error {
	if err := waitUntil(ctx, end.Add(-cpuWindow)); err != nil {
		return err
	}
	first, err := read(ctx, engine)
	if err != nil {
		return err
	}
	if err := waitUntil(ctx, end); err != nil {
		return err
	}
	last, err := read(ctx, engine)
	if err != nil {
		return err
	}
	s.MemoryMiB = float64(last.memory) / (1 << 20)
	s.CPUMilli = 1000 * (last.cpu - first.cpu).Seconds() / last.at.Sub(first.at).Seconds()
	return nil
}

func waitUntil(ctx context.Context, end time.Time) error {
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// process is a call of a tool.
type process struct {
	done  chan struct{} // closed at its end; then the others are set
	ended time.Time
	err   error
}

// start calls a tool in the engine's network, with a kubeconfig of its own. Its output is part of its error.
func start(ctx context.Context, engine *testbed.Engine, args []string) (*process, error) {
	log, err := os.Create(filepath.Join(engine.Dir(), "tool.log"))
	if err != nil {
		return nil, err
	}
	cmd := engine.Command(ctx, args[0], args[1:]...)
	cmd.Env = append(cmd.Env, "KUBECONFIG="+filepath.Join(engine.Dir(), "kubeconfig"), "XDG_STATE_HOME="+filepath.Join(engine.Dir(), "state"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 90 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	p := &process{done: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		p.ended = time.Now()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			said, readErr := os.ReadFile(log.Name())
			err = errors.Join(fmt.Errorf("%v: %w:\n%s", args, err, said), readErr)
		}
		p.err = errors.Join(err, log.Close())
		close(p.done)
	}()
	return p, nil
}

// tidy deletes what is left of a cluster after a failure.
func tidy(ctx context.Context, engine *testbed.Engine, args []string) error {
	p, err := start(ctx, engine, args)
	if err != nil {
		return err
	}
	<-p.done
	return p.err
}

// gone wants a deleted cluster's containers not to be there.
func gone(ctx context.Context, engine *testbed.Engine) error {
	left, err := containers(ctx, engine, "?all=1")
	if len(left) > 0 {
		return fmt.Errorf("containers %s are still there after the delete", strings.Join(left, ", "))
	}
	return err
}

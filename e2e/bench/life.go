//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// atOnce is how many workers are added together.
const atOnce = 3

// early is how many seconds a command may return before what it promises is seen, without being named.
const early = 0.5

// life is what one cluster of cove's went through, round after round.
type life struct {
	Samples  []lifeSample `json:"samples"`
	Median   lifeSample   `json:"median"`
	OfCreate lifeSample   `json:"ofCreate"` // the medians as parts of create's
	Aims     lifeSample   `json:"aims"`     // of these parts: at most this; 0 is none
}

// lifeSample is one round. Times are seconds from the start of the command until it has ended and the cluster is, seen
// from outside, as the command has promised.
type lifeSample struct {
	Create  float64 `json:"createSeconds"`          // 1 node, usable
	StopOne float64 `json:"stopOneSeconds"`         // of this node
	Again   float64 `json:"startOneSeconds"`        // of this node, usable: what create is compared with
	Worker  float64 `json:"workerAddedSeconds"`     // one more, Ready
	Several float64 `json:"secondsPerWorkerAtOnce"` // a third of what three more take, all Ready
	Stop    float64 `json:"stopSeconds"`            // of all of them
	Start   float64 `json:"startSeconds"`           // of all of them, usable
}

// lifeFigures are the rows of the table.
func lifeFigures() []figure[lifeSample] {
	return []figure[lifeSample]{
		{"create, 1 node", "s", func(s *lifeSample) *float64 { return &s.Create }},
		{"stop, 1 node", "s", func(s *lifeSample) *float64 { return &s.StopOne }},
		{"start, 1 node", "s", func(s *lifeSample) *float64 { return &s.Again }},
		{"worker added and Ready", "s", func(s *lifeSample) *float64 { return &s.Worker }},
		{fmt.Sprintf("per worker of %d at once", atOnce), "s", func(s *lifeSample) *float64 { return &s.Several }},
		{fmt.Sprintf("stop, %d nodes", 2+atOnce), "s", func(s *lifeSample) *float64 { return &s.Stop }},
		{fmt.Sprintf("start, %d nodes", 2+atOnce), "s", func(s *lifeSample) *float64 { return &s.Start }},
	}
}

// measureLife has clusters live, one after the other.
func measureLife(ctx context.Context, engine *testbed.Engine, o options, say func(string, ...any)) (*life, error) {
	var samples []lifeSample
	for round := 1; round <= o.rounds; round++ {
		s, err := live(ctx, engine, o, say)
		if err != nil {
			return nil, fmt.Errorf("life, round %d: %w", round, err)
		}
		say("life, round %d of %d: create %.1f s, stop %.1f s, start %.1f s, worker %.1f s, each of %d more %.1f s, stop %.1f s, start %.1f s",
			round, o.rounds, s.Create, s.StopOne, s.Again, s.Worker, atOnce, s.Several, s.Stop, s.Start)
		samples = append(samples, s)
	}
	return summarizeLife(samples), nil
}

// live takes one cluster through its life, and deletes it.
func live(ctx context.Context, engine *testbed.Engine, o options, say func(string, ...any)) (s lifeSample, err error) {
	const cluster = "bench-life"
	remove := []string{o.cove, "delete", cluster}
	defer func() {
		if err != nil { // with success it is gone
			err = errors.Join(err, tidy(context.WithoutCancel(ctx), engine, remove))
		}
	}()
	none := func(context.Context, *probe) error { return nil }
	for _, step := range []struct {
		args  []string
		nodes int // after it
		check func(context.Context, *probe) error
		took  *float64
	}{
		{coveCreate(o, cluster), 1, usableNodes, &s.Create},
		{[]string{o.cove, "stop", cluster}, 1, none, &s.StopOne},
		{[]string{o.cove, "start", cluster}, 1, usableNodes, &s.Again},
		{[]string{o.cove, "node", "add", "--name", cluster}, 2, readyNodes, &s.Worker},
		{[]string{o.cove, "node", "add", "--name", cluster, "--count", fmt.Sprint(atOnce)}, 2 + atOnce, readyNodes, &s.Several},
		{[]string{o.cove, "stop", cluster}, 2 + atOnce, none, &s.Stop},
		{[]string{o.cove, "start", cluster}, 2 + atOnce, usableNodes, &s.Start},
		{remove, 0, none, new(float64)},
	} {
		p := newProbe(engine, cluster, size{Nodes: step.nodes, ControlPlanes: 1})
		returned, done, err := timed(ctx, p, step.args, step.check)
		if err != nil {
			return s, err
		}
		if done-returned > early {
			say("%v returned after %.1f s, and was done after %.1f s", step.args[1:], returned, done)
		}
		*step.took = done
	}
	s.Several /= atOnce
	return s, gone(ctx, engine)
}

func readyNodes(ctx context.Context, p *probe) error { return p.nodes(ctx) }

func usableNodes(ctx context.Context, p *probe) error {
	if err := p.nodes(ctx); err != nil {
		return err
	}
	return p.usable(ctx)
}

// timed calls cove, and returns how long it took until its end, and until the check succeeded after it: a command that
// returns too early does not get a better figure.
func timed(ctx context.Context, p *probe, args []string, check func(context.Context, *probe) error) (returned, done float64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, usableLimit, fmt.Errorf("not done within %s", usableLimit))
	defer cancel()
	begun := time.Now()
	command, err := start(ctx, p.engine, args)
	if err != nil {
		return 0, 0, err
	}
	<-command.done
	if command.err != nil {
		return 0, 0, command.err
	}
	if err := poll(ctx, func(ctx context.Context) error { return check(ctx, p) }); err != nil {
		return 0, 0, fmt.Errorf("after %v: %w", args, err)
	}
	return command.ended.Sub(begun).Seconds(), time.Since(begun).Seconds(), nil
}

// summarizeLife fills in medians and their parts of create's.
func summarizeLife(samples []lifeSample) *life {
	l := &life{Samples: samples, Aims: lifeSample{Worker: 0.5, Again: 1}}
	for _, f := range lifeFigures() {
		*f.of(&l.Median) = median(samples, f.of)
	}
	for _, f := range lifeFigures() {
		*f.of(&l.OfCreate) = ratio(*f.of(&l.Median), l.Median.Create)
	}
	return l
}

// write writes the table; nil is a life that was not measured.
func (l *life) write(w io.Writer) error {
	if l == nil {
		return nil
	}
	fmt.Fprintln(w, "\nA cluster of cove's that lives")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tcove\tof create\taim\t")
	for _, f := range lifeFigures() {
		fmt.Fprintf(t, "%s, %s\t%.2f\t%.2f\t%s\t\n", f.name, f.unit, *f.of(&l.Median), *f.of(&l.OfCreate), aimText(*f.of(&l.Aims)))
	}
	return t.Flush()
}

package display

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cove-k8s/cove/pkg/event"
)

// frameTime is the time between two frames: ten a second move calmly, and cost nothing.
const frameTime = 100 * time.Millisecond

// spinner is one frame of the spinner after the other.
const spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

// terminal shows what runs now at the bottom of a terminal, a line a step, and above it, for good, what has finished.
type terminal struct {
	o     Options
	paint painter
	stop  chan struct{} // closed by Close
	done  chan struct{} // closed when the last frame is drawn
	once  sync.Once

	mu      sync.Mutex
	place   map[string]int // by step: where the plan has it
	running []runningStep  // in the plan's order; steps of a stage start in any
	above   []line         // to be written above what runs
}

// runningStep is a step that has started.
type runningStep struct {
	id, title string
	begun     time.Time
	message   string // what it waits for
	progress  *event.Progress
}

func newTerminal(o Options) *terminal {
	t := &terminal{
		o: o, paint: painter{out: o.Out, color: o.Color},
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go t.loop()
	return t
}

// Close draws the last frame and gives the cursor back.
func (t *terminal) Close() error {
	t.once.Do(func() { close(t.stop) })
	<-t.done
	return nil
}

func (t *terminal) loop() {
	defer close(t.done)
	defer t.paint.close()
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	interrupted := t.o.Interrupted
	for {
		select {
		case <-interrupted:
			t.paint.keepCursor()
			interrupted = nil // once
		case <-tick.C:
			t.draw()
		case <-t.stop:
			t.mu.Lock()
			t.running = nil
			t.mu.Unlock()
			t.draw()
			return
		}
	}
}

// Emit notes what happened for the next frame.
func (t *terminal) Emit(ev event.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch ev.Type {
	case event.StepStarted:
		t.drop(ev.Step)
		t.add(runningStep{id: ev.Step, title: clean(ev.Title), begun: ev.Time})
	case event.StepProgress:
		for i := range t.running {
			if t.running[i].id == ev.Step {
				t.running[i].message, t.running[i].progress = clean(ev.Message), ev.Progress
			}
		}
	case event.StepLog:
		if t.o.Verbosity > 0 {
			t.above = append(t.above, t.logLine(ev))
		}
	case event.StepFinished:
		t.drop(ev.Step)
		t.above = append(t.above, append(line{{normal, " "}}, finishedLine(ev)...))
	case event.Warning:
		t.above = append(t.above, warningLines(ev)...)
	case event.RunFinished:
		t.running = nil
		t.above = append(t.above, closingLines(ev, t.o.Verbosity)...)
	case event.PlanReady:
		t.place = map[string]int{}
		for i, step := range ev.Plan {
			t.place[step.ID] = i
		}
	case event.DiffReady: // the command that asks about it shows it
	}
}

// add puts a step where the plan has it; one that no plan has, behind the others.
func (t *terminal) add(s runningStep) {
	place := func(s runningStep) int {
		if i, ok := t.place[s.id]; ok {
			return i
		}
		return len(t.place)
	}
	t.running = append(t.running, s)
	slices.SortStableFunc(t.running, func(a, b runningStep) int { return place(a) - place(b) })
}

func (t *terminal) drop(id string) {
	t.running = slices.DeleteFunc(t.running, func(s runningStep) bool { return s.id == id })
}

// logLine is a line that a command printed; the step is named when several may have printed it.
func (t *terminal) logLine(ev event.Event) line {
	prefix := "   "
	if len(t.running) > 1 {
		prefix += clean(ev.Title) + ": "
	}
	return line{{dim, prefix + clean(ev.Message)}}
}

// draw draws a frame, if anything has changed.
func (t *terminal) draw() {
	width, height := t.o.Size()
	if width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	now := t.o.Now()
	t.mu.Lock()
	above := t.above
	t.above = nil
	var live []line
	// The region must leave a line for the cursor, and one that shows what came before it.
	room := max(height-2, 1)
	for i, s := range t.running {
		if more := len(t.running) - i; i == room-1 && more > 1 {
			live = append(live, line{{dim, "   … and " + strconv.Itoa(more) + " more"}})
			break
		}
		live = append(live, s.line(now))
	}
	t.mu.Unlock()
	// The last column stays free: a terminal whose cursor stands behind it may wrap or not.
	for i := range live {
		live[i] = live[i].fit(width - 1)
	}
	t.paint.frame(above, live, width)
}

// line is what is shown of a running step: its title, from one second on its time, and what it waits for.
func (s runningStep) line(now time.Time) line {
	frames := []rune(spinner)
	frame := frames[int(now.UnixMilli()/frameTime.Milliseconds())%len(frames)]
	l := line{{normal, " "}, {cyan, string(frame)}, {normal, " " + s.title}}
	if d := now.Sub(s.begun); d >= time.Second {
		l = append(l, span{dim, " (" + wholeSeconds(d) + ")"})
	}
	var what []string
	if s.progress != nil {
		what = append(what, counted(s.progress))
	}
	if s.message != "" {
		what = append(what, s.message)
	}
	if len(what) > 0 {
		l = append(l, span{dim, " · " + strings.Join(what, " · ")})
	}
	return l
}

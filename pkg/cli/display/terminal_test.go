package display

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gotest.tools/v3/golden"

	"github.com/cove-k8s/cove/pkg/event"
)

// still returns a terminal that draws when told to only.
func still(s *screen, now *time.Time, verbosity int) *terminal {
	o := Options{Out: s, Size: s.size, Now: func() time.Time { return *now }, Verbosity: verbosity}
	return &terminal{o: o, paint: painter{out: s}}
}

func TestTerminal(t *testing.T) {
	tests := []struct {
		name      string
		width     int
		fail      bool
		verbosity int
	}{
		{"terminal", 80, false, 0},
		{"terminal-failed", 80, true, 0},
		{"terminal-verbose", 80, true, 1},
		{"terminal-narrow", 40, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScreen(t, tt.width, 24)
			var now time.Time
			term := still(s, &now, tt.verbosity)
			var seen strings.Builder
			look := func(at time.Time, what string) {
				now = at
				term.draw()
				fmt.Fprintf(&seen, "--- %s\n%s", what, s.text())
				if !s.hidden {
					t.Errorf("%s: the cursor is shown", what)
				}
			}
			tell(t, term, tt.fail, look)
			term.draw()
			term.paint.close()
			fmt.Fprintf(&seen, "--- end\n%s", s.text())
			if s.hidden {
				t.Error("the cursor is hidden at the end")
			}
			golden.Assert(t, seen.String(), tt.name+".txt")
		})
	}
}

// TestTerminalIsCalm: what does not change is not written.
func TestTerminalIsCalm(t *testing.T) {
	s := newScreen(t, 80, 24)
	now := time.Date(2026, 11, 22, 14, 15, 3, 0, time.UTC)
	term := still(s, &now, 0)
	e := event.NewEmitter("r", "c", func() time.Time { return now }, term)
	for _, id := range []string{"a", "b"} {
		e.Emit(event.Event{Type: event.StepStarted, Step: id, Title: "Step " + id})
	}
	term.draw()
	first := s.writes
	term.draw() // the same moment
	if s.writes != first {
		t.Error("a frame without a change was written")
	}
	now = now.Add(frameTime)
	e.Emit(event.Event{Type: event.StepProgress, Step: "b", Message: "x"})
	before := s.cells
	term.draw()
	if s.writes != first+1 {
		t.Errorf("a frame took %d writes", s.writes-first)
	}
	if got, want := s.cells-before, len(" s Step a")+len(" s Step b . x"); got != want {
		t.Errorf("wrote %d cells, want the two lines: %d", got, want)
	}
	if got, want := s.text(), " ⠙ Step a\n ⠙ Step b · x\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	e.Emit(event.Event{Type: event.StepProgress, Step: "b", Message: ""}) // shorter than what stands there
	term.draw()
	if got, want := s.text(), " ⠙ Step a\n ⠙ Step b\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTerminalResize(t *testing.T) {
	s := newScreen(t, 60, 10)
	now := time.Date(2026, 11, 22, 14, 15, 3, 0, time.UTC)
	term := still(s, &now, 0)
	e := event.NewEmitter("r", "c", func() time.Time { return now }, term)
	e.Warn("", "before")
	e.Emit(event.Event{Type: event.StepStarted, Step: "a", Title: "A step with a title that is quite long"})
	e.Emit(event.Event{Type: event.StepStarted, Step: "b", Title: "Short"})
	term.draw()
	for _, width := range []int{20, 13, 80, 30} {
		s.resize(width, 10)
		now = now.Add(frameTime)
		term.draw()
		got := s.text()
		if strings.Count(got, "A step") != 1 || strings.Count(got, "Short") != 1 || strings.Count(strings.ReplaceAll(got, "\n", ""), "warning: before") != 1 {
			t.Errorf("at %d columns:\n%s", width, got)
		}
	}
	e.Finish(nil, "done")
	term.draw()
	if got, want := s.text(), "warning: before\ndone\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTerminalOrder: the steps of a stage start in any order, and are shown in the plan's.
func TestTerminalOrder(t *testing.T) {
	s := newScreen(t, 40, 10)
	now := time.Date(2026, 11, 22, 14, 15, 3, 0, time.UTC)
	term := still(s, &now, 0)
	e := event.NewEmitter("r", "c", func() time.Time { return now }, term)
	e.Plan([]event.StepInfo{{ID: "a"}, {ID: "b"}, {ID: "c"}})
	for _, id := range []string{"x", "c", "y", "a", "b"} {
		e.Emit(event.Event{Type: event.StepStarted, Step: id, Title: id})
	}
	term.draw()
	if got, want := s.text(), " ⠋ a\n ⠋ b\n ⠋ c\n ⠋ x\n ⠋ y\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTerminalLow: with more steps than lines, the rest is counted, and nothing scrolls away while it is live.
func TestTerminalLow(t *testing.T) {
	s := newScreen(t, 40, 6)
	now := time.Date(2026, 11, 22, 14, 15, 3, 0, time.UTC)
	term := still(s, &now, 0)
	e := event.NewEmitter("r", "c", func() time.Time { return now }, term)
	for i := range 9 {
		e.Emit(event.Event{Type: event.StepStarted, Step: fmt.Sprint(i), Title: fmt.Sprintf("Step %d", i)})
	}
	for range 5 {
		now = now.Add(frameTime)
		term.draw()
	}
	if got, want := s.text(), " ⠴ Step 0\n ⠴ Step 1\n ⠴ Step 2\n   … and 6 more\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for i := range 5 {
		e.Emit(event.Event{Type: event.StepFinished, Step: fmt.Sprint(i), Title: fmt.Sprintf("Step %d", i), Status: event.Succeeded})
		term.draw()
	}
	want := " ✓ Step 0 (0.0s)\n ✓ Step 1 (0.0s)\n ✓ Step 2 (0.0s)\n ✓ Step 3 (0.0s)\n ✓ Step 4 (0.0s)\n" +
		" ⠴ Step 5\n ⠴ Step 6\n ⠴ Step 7\n ⠴ Step 8\n"
	if got := s.text(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestTerminalLongLines: lines above the region wrap, at exactly the width too, and leave nothing of the region behind.
func TestTerminalLongLines(t *testing.T) {
	for n := 36; n <= 44; n++ {
		s := newScreen(t, 20, 10)
		now := time.Date(2026, 11, 22, 14, 15, 3, 0, time.UTC)
		term := still(s, &now, 0)
		e := event.NewEmitter("r", "c", func() time.Time { return now }, term)
		e.Emit(event.Event{Type: event.StepStarted, Step: "a", Title: "A rather long title"})
		e.Emit(event.Event{Type: event.StepStarted, Step: "b", Title: "A rather long title"})
		term.draw()
		message := strings.Repeat("x", n-len("warning: "))
		e.Warn("", "%s", message)
		term.draw()
		e.Emit(event.Event{Type: event.StepFinished, Step: "b", Title: "B"})
		e.Finish(nil, "")
		term.draw()
		got := strings.ReplaceAll(s.text(), "\n", "")
		if want := "warning: " + message + "   B (0.0s)"; !strings.HasPrefix(got, "warning: "+message) || strings.Contains(got, "rather") {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// TestTerminalLoop: frames come by themselves, ten a second at most, and the last one by Close.
func TestTerminalLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScreen(t, 80, 24)
		interrupted := make(chan struct{})
		d := New(Options{Kind: Terminal, Out: s, Size: s.size, Now: time.Now, Interrupted: interrupted})
		e := event.NewEmitter("r", "c", time.Now, d)
		e.Emit(event.Event{Type: event.StepStarted, Step: "a", Title: "A"})
		for range 1000 {
			e.Emit(event.Event{Type: event.StepProgress, Step: "a", Message: "x"})
			<-time.After(time.Millisecond)
		}
		synctest.Wait()
		if s.writes < 9 || s.writes > 10 {
			t.Errorf("%d writes in a second", s.writes)
		}
		if !s.hidden || s.text() != " ⠋ A (1s) · x\n" && s.text() != " ⠏ A · x\n" {
			t.Errorf("hidden %v, got %q", s.hidden, s.text())
		}
		close(interrupted)
		<-time.After(time.Second)
		synctest.Wait()
		if s.hidden {
			t.Error("the cursor stays hidden after an interrupt")
		}
		e.Emit(event.Event{Type: event.StepFinished, Step: "a", Title: "A", Status: event.Succeeded, Seconds: 2})
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := s.text(), " ✓ A (2.0s)\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestTerminalCloseClears: a display that is closed in the middle leaves no step that seems to run.
func TestTerminalCloseClears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScreen(t, 80, 24)
		d := New(Options{Kind: Terminal, Out: s, Size: s.size, Now: time.Now})
		d.Emit(event.Event{Type: event.StepStarted, Step: "a", Title: "A", Time: time.Now()})
		<-time.After(time.Second)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if s.hidden || s.text() != "\n" {
			t.Errorf("hidden %v, got %q", s.hidden, s.text())
		}
	})
}

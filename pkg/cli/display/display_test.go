package display

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// story emits events by a clock of its own.
type story struct {
	now   time.Time
	e     *event.Emitter
	look  func(string) // called at moments of interest
	steps map[string]time.Time
}

func (s *story) after(d time.Duration) { s.now = s.now.Add(d) }

func (s *story) start(id, title string) {
	s.steps[id] = s.now
	s.e.Emit(event.Event{Type: event.StepStarted, Step: id, Title: title})
}

func (s *story) end(id, title string, ev event.Event) {
	ev.Type, ev.Step, ev.Title, ev.Seconds = event.StepFinished, id, title, s.now.Sub(s.steps[id]).Seconds()
	s.e.Emit(ev)
}

// tell emits a create of three nodes that goes wrong at its end if fail is set.
func tell(t *testing.T, sink event.Sink, fail bool, look func(now time.Time, what string)) {
	t.Helper()
	s := &story{now: time.Date(2026, 11, 22, 14, 15, 3, 0, time.UTC), steps: map[string]time.Time{}}
	s.e = event.NewEmitter("20261122-141503-x7q2mk", "dev", func() time.Time { return s.now }, sink)
	s.look = func(what string) { look(s.now, what) }
	ok := event.Event{Status: event.Succeeded}
	s.e.Plan([]event.StepInfo{{Stage: "host", ID: "host", Title: "Check the host"}})
	s.start("host", "Check the host")
	s.after(40 * time.Millisecond)
	s.end("host", "Check the host", ok)
	s.start("image", "Get the node image")
	s.e.Emit(event.Event{
		Type: event.StepProgress, Step: "image", Title: "Get the node image", Message: "pulling kindest/node:v1.36.3",
		Progress: &event.Progress{Done: 120_000_000, Total: 480_000_000, Unit: "bytes"},
	})
	s.after(12300 * time.Millisecond)
	s.look("pulling")
	s.end("image", "Get the node image", event.Event{Status: event.Skipped, Message: "it is there"})
	s.e.Warn("close programs, or give the engine more", "memory is low: 1.5 GiB of 2 GiB is in use")
	nodes := []string{"dev-control-plane", "dev-worker", "dev-worker2"}
	for _, n := range nodes {
		s.start(n, "Create node "+n)
	}
	s.after(400 * time.Millisecond)
	s.look("three nodes")
	s.end(nodes[1], "Create node "+nodes[1], ok)
	s.end(nodes[0], "Create node "+nodes[0], ok)
	s.after(300 * time.Millisecond)
	s.end(nodes[2], "Create node "+nodes[2], ok)
	const title = "Start the control plane on dev-control-plane"
	s.start("init", title)
	s.start("dns", "Wait for DNS")
	s.e.Emit(event.Event{Type: event.StepProgress, Step: "init", Title: title, Message: "the API server to answer at https://172.18.0.2:6443/readyz (connection refused)"})
	s.after(time.Second)
	s.e.Emit(event.Event{Type: event.StepLog, Step: "init", Title: title, Message: "\x1b[32m[certs] Using the existing \"sa\" key\x1b[0m\t12"})
	s.after(64 * time.Second)
	s.look("control plane")
	if !fail {
		s.end("init", title, ok)
		s.end("dns", "Wait for DNS", ok)
		s.e.Finish(nil, "cluster \"dev\" is usable after 78.0 s; next: kubectl get nodes")
		return
	}
	err := fault.Wrap(fault.KubeadmInit, failed{}, "cannot start the control plane on dev-control-plane")
	s.end("init", title, event.Event{Status: event.Failed, Error: ptr(fault.ReportOf(err))})
	s.end("dns", "Wait for DNS", event.Event{Status: event.Failed, Error: ptr(fault.ReportOf(context.Canceled))})
	s.e.Emit(event.Event{Type: event.StepFinished, Step: nodes[0], Title: "Create node " + nodes[0], Status: event.Undone})
	s.e.Finish(err, "")
}

func ptr[T any](v T) *T { return &v }

// failed is a command that failed with 25 lines.
type failed struct{}

func (failed) Error() string { return "command \"kubeadm init\" ended with status 1" }
func (failed) CommandOutput() (string, string) {
	var b strings.Builder
	for i := range 25 {
		fmt.Fprintf(&b, "line %d\n", i+1)
	}
	return "kubeadm init --config=/kind/kubeadm.conf", b.String()
}

func noLook(time.Time, string) {}

func TestLineDisplays(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		fail bool
	}{
		{"plain", Options{Kind: Plain}, false},
		{"plain-failed", Options{Kind: Plain}, true},
		{"plain-verbose", Options{Kind: Plain, Verbosity: 1}, true},
		{"plain-color", Options{Kind: Plain, Color: true}, true},
		{"json", Options{Kind: JSON}, true},
		{"quiet", Options{Kind: Quiet}, false},
		{"quiet-failed", Options{Kind: Quiet}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.o.Out = &out
			d := New(tt.o)
			tell(t, d, tt.fail, noLook)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if tt.name == "quiet" {
				if out.Len() != 0 {
					t.Errorf("got %q", out.String())
				}
				return
			}
			if !tt.o.Color && tt.o.Kind != JSON && strings.Contains(out.String(), "\x1b") {
				t.Error("an escape sequence got through")
			}
			golden.Assert(t, out.String(), tt.name+".txt")
		})
	}
}

func TestWriteReport(t *testing.T) {
	tests := []struct {
		name string
		r    fault.Report
		v    int
		want string
	}{
		{"short", fault.Report{Code: "X", Message: "cannot do it"}, 0, "error: cannot do it [X]\n"},
		{"several lines", fault.Report{Code: "X", Message: "a\nb", Hint: "c\nd"}, 0, "error: a\nb [X]\nhint: c\n      d\n"},
		{"no message", fault.Report{Code: "X"}, 0, "error:  [X]\n"},
		{"output", fault.Report{Code: "X", Message: "m", Command: "c", Output: "\x1b[1mo\n\n p\n"}, 0, "error: m [X]\ncommand: c\noutput:\n  o\n\n   p\n"},
		{"all output", fault.Report{Code: "X", Message: "m", Output: strings.Repeat("o\n", 21)}, 1, "error: m [X]\noutput:\n" + strings.Repeat("  o\n", 21)},
		{"cut output", fault.Report{Code: "X", Message: "m", Output: strings.Repeat("o\n", 21)}, 0, "error: m [X]\noutput: (the last 20 of 21 lines)\n" + strings.Repeat("  o\n", 20)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			WriteReport(&out, tt.r, tt.v, false)
			if out.String() != tt.want {
				t.Errorf("got  %q\nwant %q", out.String(), tt.want)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0.0s", 0.04: "0.0s", 0.05: "0.1s", 12.34: "12.3s", 59.94: "59.9s", 59.96: "1m00s", 125.9: "2m05s", 3600: "1h00m", 7265: "2h01m",
	} {
		if got := duration(seconds); got != want {
			t.Errorf("duration(%v) = %q, want %q", seconds, got, want)
		}
	}
	if got := wholeSeconds(59999 * time.Millisecond); got != "59s" {
		t.Errorf("got %q", got)
	}
}

func TestCounted(t *testing.T) {
	tests := []struct {
		p    event.Progress
		want string
	}{
		{event.Progress{Done: 3, Total: 5, Unit: "nodes"}, "3 of 5 nodes"},
		{event.Progress{Done: 3, Unit: "nodes"}, "3 nodes"},
		{event.Progress{Done: 3, Total: 5}, "3 of 5"},
		{event.Progress{Done: 1500, Total: 2000, Unit: "bytes"}, "1.5 of 2.0 kB"},
		{event.Progress{Done: 1500, Total: 2_500_000, Unit: "bytes"}, "0.0 of 2.5 MB"},
		{event.Progress{Done: 3_200_000_000, Unit: "bytes"}, "3.2 GB"},
	}
	for _, tt := range tests {
		if got := counted(&tt.p); got != tt.want {
			t.Errorf("counted(%+v) = %q, want %q", tt.p, got, tt.want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                           "plain",
		"a\tb\nc\r\n":                     "a b c",
		"\x1b[1;31mred\x1b[0m!":           "red!",
		"\x1b]0;title\ax\x1b]8;;u\x1b\\y": "xy",
		"\x1bMx\x1b":                      "x",
		"\x1b[2":                          "",
		"back\b\x00space\u009b":           "backspace",
		"你好 ✓":                            "你好 ✓",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFit(t *testing.T) {
	l := line{{green, "✓"}, {normal, " 你好 world"}}
	for width, want := range map[int]string{20: "✓ 你好 world", 12: "✓ 你好 world", 11: "✓ 你好 wor…", 6: "✓ 你…", 5: "✓ 你…", 4: "✓ …", 1: "…"} {
		if got := l.fit(width).paint(false); got != want {
			t.Errorf("fit(%d) = %q, want %q", width, got, want)
		}
		if w := l.fit(width).width(); w > width {
			t.Errorf("fit(%d) takes %d columns", width, w)
		}
	}
	if got := l.fit(1).paint(true); got != "\x1b[32m…\x1b[0m" {
		t.Errorf("got %q", got)
	}
}

// broken is a writer that fails.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// TestGoneReader: a run goes on when nobody looks any more.
func TestGoneReader(t *testing.T) {
	for _, k := range []Kind{Plain, Terminal, JSON, Quiet} {
		d := New(Options{Kind: k, Out: broken{}, Now: time.Now, Size: func() (int, int) { return 0, 0 }})
		tell(t, d, true, noLook)
		if err := d.Close(); err != nil {
			t.Errorf("kind %d: %v", k, err)
		}
	}
}

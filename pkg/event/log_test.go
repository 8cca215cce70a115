package event_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cove-k8s/cove/pkg/event"
)

// collect follows the log and returns the numbers it saw.
func collect(ctx context.Context, l *event.Log, after uint64) []uint64 {
	var seen []uint64
	for ev := range l.Follow(ctx, after) {
		seen = append(seen, ev.Seq)
	}
	return seen
}

// upTo returns from+1 … to.
func upTo(from, to uint64) []uint64 {
	var out []uint64
	for i := from + 1; i <= to; i++ {
		out = append(out, i)
	}
	return out
}

// TestLogReadersAtTheirOwnPace: one reader is there from the beginning, one comes late, one reads a second per event.
func TestLogReadersAtTheirOwnPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := event.NewLog()
		e := event.NewEmitter("r", "c", time.Now, l)
		var early, late, slow []uint64
		var group sync.WaitGroup
		group.Go(func() { early = collect(t.Context(), l, 0) })
		group.Go(func() {
			for ev := range l.Follow(t.Context(), 0) {
				slow = append(slow, ev.Seq)
				<-time.After(time.Second)
			}
		})
		begun := time.Now()
		for i := range 9 {
			e.Warn("", "%d", i)
			synctest.Wait()
		}
		group.Go(func() { late = collect(t.Context(), l, 4) })
		synctest.Wait()
		if early != nil {
			t.Errorf("early has ended before the run: %v", early)
		}
		e.Finish(nil, "")
		synctest.Wait()
		if time.Since(begun) != 0 {
			t.Error("a slow reader delayed the run")
		}
		if !slices.Equal(early, upTo(0, 10)) || !slices.Equal(late, upTo(4, 10)) {
			t.Errorf("early %v, late %v", early, late)
		}
		group.Wait()
		if !slices.Equal(slow, upTo(0, 10)) {
			t.Errorf("slow %v", slow)
		}
	})
}

func TestLogFollowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := event.NewLog()
		e := event.NewEmitter("r", "c", time.Now, l)
		e.Warn("", "1")
		e.Warn("", "2")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := collect(ctx, l, 0); !slices.Equal(got, upTo(0, 2)) {
			t.Errorf("until the context ended: %v", got)
		}
		if got := collect(ctx, l, 0); got != nil {
			t.Errorf("after the context ended: %v", got)
		}
		for ev := range l.Follow(t.Context(), 1) {
			if ev.Seq != 2 {
				t.Errorf("got %d", ev.Seq)
			}
			break // a reader may leave
		}
		// A number that is not there yet: nothing until the next one.
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := collect(ctx, l, 7); got != nil {
			t.Errorf("got %v", got)
		}
	})
}

// stuck is a sink that lets nothing through until it is opened.
type stuck struct {
	open chan struct{}
	recorder
}

func (s *stuck) Emit(ev event.Event) {
	<-s.open
	s.recorder.Emit(ev)
}

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stuck{open: make(chan struct{})}
		q := event.NewQueue(s)
		for i := range 100 {
			q.Emit(event.Event{Seq: uint64(i)}) // blocks never
		}
		close(s.open)
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		_ = q.Close()
		q.Emit(event.Event{Seq: 100})
		if len(s.recorder) != 100 || !slices.IsSortedFunc(s.recorder, func(a, b event.Event) int { return int(a.Seq) - int(b.Seq) }) {
			t.Errorf("%d events", len(s.recorder))
		}
	})
}

func TestFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "runs")
	f, err := event.OpenFile(dir, "20261122-141503-x7q2mk")
	if err != nil {
		t.Fatal(err)
	}
	var rec recorder
	e := newClock().emitter(f, &rec)
	e.Warn("h", "<w> & \"quoted\"")
	for i := range 1000 {
		e.Emit(event.Event{Type: event.StepLog, Step: "a", Message: fmt.Sprint(i)})
	}
	e.Finish(nil, "done")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if len(lines) != len(rec) {
		t.Fatalf("%d lines, want %d", len(lines), len(rec))
	}
	for i, line := range lines {
		var got event.Event
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", rec[i]) {
			t.Fatalf("line %d is %+v, want %+v", i, got, rec[i])
		}
	}
	if info, err := os.Stat(f.Path()); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestFileIsWrittenWhileTheRunGoesOn(t *testing.T) {
	f, err := event.OpenFile(t.TempDir(), "r")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	newClock().emitter(f).Warn("", "now")
	deadline := time.After(10 * time.Second)
	for {
		if data, err := os.ReadFile(f.Path()); err == nil && bytes.Contains(data, []byte("now")) {
			return
		}
		select {
		case <-deadline:
			t.Fatal("a warning is not in the file before Close")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestFilePrunesOldRuns(t *testing.T) {
	dir := t.TempDir()
	for i := range 60 {
		name := fmt.Sprintf("20261122-1415%02d-aaaaaa.ndjson", i)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "0-notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := event.OpenFile(dir, "20261122-150000-bbbbbb")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 51 || names[0] != "0-notes.txt" || names[1] != "20261122-141511-aaaaaa.ndjson" || names[50] != "20261122-150000-bbbbbb.ndjson" {
		t.Errorf("%d files left: %v", len(names), names)
	}
}

func TestFileErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := event.OpenFile(file, "r"); err == nil {
		t.Error("a file was taken for a directory")
	}
	if _, err := event.OpenFile(t.TempDir(), "no/such/dir"); err == nil {
		t.Error("a name with a directory that is not there was opened")
	}
}

func TestRunsDir(t *testing.T) {
	abs := t.TempDir()
	tests := []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"XDG_STATE_HOME": abs, "HOME": "/h"}, filepath.Join(abs, "cove", "runs")},
		{map[string]string{"XDG_STATE_HOME": "relative", "HOME": abs}, filepath.Join(abs, ".local", "state", "cove", "runs")},
		{map[string]string{"HOME": abs}, filepath.Join(abs, ".local", "state", "cove", "runs")},
	}
	for _, tt := range tests {
		got, err := event.RunsDir(func(k string) string { return tt.env[k] })
		if err != nil || got != tt.want {
			t.Errorf("RunsDir(%v) = %q, %v; want %q", tt.env, got, err, tt.want)
		}
	}
}

package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, path string, limit int64) *Writer {
	t.Helper()
	w, err := Open(path, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func write(t *testing.T, w *Writer, text string) {
	t.Helper()
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "x.log")
	w := open(t, path, 10)
	write(t, w, "12345\n")
	write(t, w, "678\n") // exactly full
	if _, err := os.Stat(Rotated(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("rotated a file that was not over its limit")
	}
	write(t, w, "a\n")
	if got := content(t, path) + "|" + content(t, Rotated(path)); got != "a\n|12345\n678\n" {
		t.Errorf("got %q", got)
	}
	write(t, w, "longer than the limit\n") // goes whole into a file of its own
	write(t, w, "b\n")
	if got := content(t, path) + "|" + content(t, Rotated(path)); got != "b\n|longer than the limit\n" {
		t.Errorf("got %q", got)
	}
}

func TestReopenedLogCountsWhatItHas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	write(t, open(t, path, 10), "12345678\n")
	write(t, open(t, path, 10), "abc\n")
	if got := content(t, path) + "|" + content(t, Rotated(path)); got != "abc\n|12345678\n" {
		t.Errorf("got %q", got)
	}
}

func TestConcurrentWritersLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	w := open(t, path, 1<<20)
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			for range 100 {
				_, _ = fmt.Fprintf(w, "writer %d\n", i)
			}
		})
	}
	all.Wait()
	if got := strings.Count(content(t, path), "\n"); got != 1000 {
		t.Errorf("%d lines", got)
	}
}

func TestLastLines(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{
		{"a\nb\nc\n", -1, "a\nb\nc\n"}, {"a\nb\nc\n", 0, ""}, {"a\nb\nc\n", 1, "c\n"}, {"a\nb\nc\n", 3, "a\nb\nc\n"},
		{"a\nb\nc\n", 9, "a\nb\nc\n"}, {"a\nb", 1, "b"}, {"", 2, ""}, {"\n\n", 1, "\n"},
	} {
		if got := string(lastLines([]byte(c.text), c.n)); got != c.want {
			t.Errorf("last %d of %q: %q, want %q", c.n, c.text, got, c.want)
		}
	}
}

// lines collects what a reader emits.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) emit(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(bytes.Clone(line)))
	return nil
}

func (l *lines) wait(t *testing.T, want ...string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		l.mu.Lock()
		got := slices.Clone(l.all)
		l.mu.Unlock()
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %q, want %q", got, want)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestReadBothFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	w := open(t, path, 4)
	for _, s := range []string{"1\n2\n", "3\n4"} {
		write(t, w, s)
	}
	var got lines
	if err := (&Reader{Path: path, Tail: 3, Emit: got.emit}).Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	got.wait(t, "2", "3", "4")
	if err := (&Reader{Path: filepath.Join(t.TempDir(), "none.log"), Tail: -1, Emit: got.emit}).Read(t.Context()); err != nil {
		t.Error("a log that does not exist yet:", err)
	}
}

func TestFollowOverRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	ctx, cancel := context.WithCancel(t.Context())
	var got lines
	done := make(chan error, 1)
	go func() { done <- (&Reader{Path: path, Tail: 1, Follow: true, Emit: got.emit}).Read(ctx) }()
	w := open(t, path, 8) // after the reader began: it must find the file when it comes
	write(t, w, "one\n")
	got.wait(t, "one")
	write(t, w, "tw")
	write(t, w, "o\n") // a line in two writes, and the file is full
	got.wait(t, "one", "two")
	write(t, w, "three\n")
	got.wait(t, "one", "two", "three")
	write(t, w, "four\n")
	got.wait(t, "one", "two", "three", "four")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

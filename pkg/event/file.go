package event

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keepRuns is how many runs' files are kept.
const keepRuns = 50

// fileSuffix ends the name of a run's file: newline-delimited JSON.
const fileSuffix = ".ndjson"

// File is a sink that keeps a run's events on disk, one JSON object a line, for looking at runs that are over.
type File struct {
	queue *Queue
	lines *lines
	path  string
}

// RunsDir returns the directory of the runs' files below the user's state: $XDG_STATE_HOME/cove/runs, else
// ~/.local/state/cove/runs (the XDG base directory specification). getenv is os.Getenv or a stand-in.
func RunsDir(getenv func(string) string) (string, error) {
	// The specification wants relative paths ignored.
	if state := getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "cove", "runs"), nil
	}
	home := getenv("HOME")
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return "", fmt.Errorf("cannot find the directory for run logs: %w", err)
		}
	}
	return filepath.Join(home, ".local", "state", "cove", "runs"), nil
}

// OpenFile makes dir/RUN.ndjson, and removes the oldest such files beyond the last 50. It must be closed.
func OpenFile(dir, run string) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory for run logs: %w", err)
	}
	path := filepath.Join(dir, run+fileSuffix)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // G304: a file of the state directory, named by the run
	if err != nil {
		return nil, fmt.Errorf("cannot open the run log: %w", err)
	}
	if err := prune(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := &lines{file: f, buf: bufio.NewWriter(f)}
	l.enc = NewEncoder(l.buf)
	return &File{queue: NewQueue(l), lines: l, path: path}, nil
}

// Path returns the file's path.
func (f *File) Path() string { return f.path }

// Emit takes the event; it is written in the background.
func (f *File) Emit(ev Event) { f.queue.Emit(ev) }

// Close writes what is left and closes the file. It returns the first error that there was.
func (f *File) Close() error {
	if err := f.queue.Close(); err != nil {
		return err
	}
	if err := f.lines.close(); err != nil {
		return fmt.Errorf("cannot write the run log: %w", err)
	}
	return nil
}

// NewEncoder returns an encoder that writes events as newline-delimited JSON, and leaves <, > and & as they are.
func NewEncoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

// lines writes events to a file. It flushes at the ends of steps and of the run, so that the file of a run that was
// killed says how far it came.
type lines struct {
	file *os.File
	buf  *bufio.Writer
	enc  *json.Encoder
	err  error
}

// Emit writes the event, unless a write has failed before: a full disk does not end the run.
func (l *lines) Emit(ev Event) {
	if l.err != nil {
		return
	}
	if l.err = l.enc.Encode(ev); l.err != nil {
		return
	}
	if ev.Type != StepLog && ev.Type != StepProgress {
		l.err = l.buf.Flush()
	}
}

func (l *lines) close() error {
	if l.err == nil {
		l.err = l.buf.Flush()
	}
	return errors.Join(l.err, l.file.Close())
}

// prune removes the oldest runs' files: run IDs sort by time.
func prune(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot list the run logs: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), fileSuffix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for len(names) > keepRuns {
		// Another run may have removed it by now.
		if err := os.Remove(filepath.Join(dir, names[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot remove an old run log: %w", err)
		}
		names = names[1:]
	}
	return nil
}

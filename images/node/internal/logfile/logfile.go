// Package logfile keeps the logs of a node's processes as plain files of bounded size, and reads them back. It knows no
// levels and no formats.
package logfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	// Dir is where a node keeps its logs: on its volume, so they survive the container.
	Dir = "/var/log/cove"
	// MaxSize is what one file may hold. With the rotated one, a log takes twice that.
	MaxSize = 10 << 20
)

// Path is the log file of the process called name, below dir.
func Path(dir, name string) string { return filepath.Join(dir, name+".log") }

// Rotated is where the file at path goes when it is full.
func Rotated(path string) string { return path + ".1" }

// Writer appends to a file, and starts a new one when the file would pass its limit. Safe for concurrent use; each Write
// ends up in one file.
type Writer struct {
	path string
	max  int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// Open makes or continues the log at path, whose directory it makes too.
func Open(path string, maxSize int64) (*Writer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("cannot make a log's directory: %w", err)
	}
	w := &Writer{path: path, max: maxSize}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Writer) open() error {
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open a log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("cannot open a log: %w", err)
	}
	w.file, w.size = f, info.Size()
	return nil
}

// Write appends p. When the rotation fails the log goes on in the file it has: a full log is better than none.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return 0, fs.ErrClosed
	}
	if w.size > 0 && w.size+int64(len(p)) > w.max {
		w.rotate()
	}
	n, err := w.file.Write(p)
	w.size += int64(n)
	return n, err
}

func (w *Writer) rotate() {
	old := w.file
	if os.Rename(w.path, Rotated(w.path)) != nil {
		w.size = 0 // not again for every line
		return
	}
	if w.open() != nil {
		w.size = 0
		return // the old file, under its new name
	}
	_ = old.Close()
}

// Close ends the log.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"cove.dev/images/node/internal/watch"
)

// Reader gives the lines of one log to Emit.
type Reader struct {
	Path string
	// Tail is how many of the last lines to begin with; negative for all.
	Tail int
	// Follow goes on with new lines until the context is done, over rotations.
	Follow bool
	// Emit gets each line without its end. An error ends the reading.
	Emit func(line []byte) error
}

// Read reads the log, what was rotated away first. A log that does not exist yet has no lines.
func (r *Reader) Read(ctx context.Context) error {
	old, err := os.ReadFile(Rotated(r.Path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.Open(r.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer func() { _ = f.Close() }()
	var now []byte
	if f != nil {
		if now, err = io.ReadAll(f); err != nil {
			return err
		}
	}
	rest, err := r.emit(lastLines(append(old, now...), r.Tail))
	if err != nil {
		return err
	}
	if r.Follow {
		f, rest, err = r.follow(ctx, f, rest)
	}
	if err == nil && len(rest) > 0 {
		err = r.Emit(rest) // a last line without an end
	}
	return err
}

// follow emits what is appended, from f's position on, until ctx is done. f is nil while there is no file; the one that is
// open in the end is returned, with what came after the last line's end.
func (r *Reader) follow(ctx context.Context, f *os.File, rest []byte) (*os.File, []byte, error) {
	w := watch.New()
	defer w.Close()
	w.Add(filepath.Dir(r.Path))
	for {
		// Asked before the last read: what is written to a file that was replaced is then read to its end first.
		replaced := moved(f, r.Path)
		if f != nil {
			more, err := io.ReadAll(f)
			if err != nil {
				return f, rest, err
			}
			if rest, err = r.emit(append(rest, more...)); err != nil {
				return f, rest, err
			}
		}
		if replaced {
			next, err := os.Open(r.Path)
			if err == nil {
				_ = f.Close()
				f = next
				continue
			}
		}
		if ctx.Err() != nil {
			return f, rest, nil
		}
		w.Wait(ctx)
	}
}

// moved says whether another file than f is at path now.
func moved(f *os.File, path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	if f == nil {
		return true
	}
	here, err := f.Stat()
	return err == nil && !os.SameFile(here, there)
}

// emit gives away all whole lines of text, and returns the rest.
func (r *Reader) emit(text []byte) ([]byte, error) {
	for {
		line, rest, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			return text, nil
		}
		if err := r.Emit(line); err != nil {
			return nil, err
		}
		text = rest
	}
}

// lastLines is the end of text that has n lines, or all of it.
func lastLines(text []byte, n int) []byte {
	switch {
	case n < 0:
		return text
	case n == 0:
		return nil
	}
	end := len(text)
	if end > 0 && text[end-1] == '\n' {
		end--
	}
	for i := end - 1; i >= 0; i-- {
		if text[i] == '\n' {
			if n--; n == 0 {
				return text[i+1:]
			}
		}
	}
	return text
}

// Package watch waits until something in the file system holds, woken by inotify. It reads no file's content, and it
// does not poll unless the kernel grants no inotify instance (their number is limited per user, and nodes share it).
package watch

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// recheck is how often a condition is looked at although no event came: some file systems deliver none.
	recheck = time.Second
	// fallback is the same without inotify.
	fallback = 20 * time.Millisecond
)

// Watcher reports that something changed in the directories it was given, not what.
type Watcher struct{ file *os.File }

// New returns a watcher. It has no error: without inotify it wakes its user every 20 ms.
func New() *Watcher {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return &Watcher{}
	}
	return &Watcher{file: os.NewFile(uintptr(fd), "inotify")}
}

// Add watches the entries of dir: made, moved in, written, closed. Adding twice is harmless.
func (w *Watcher) Add(dir string) {
	if w.file == nil {
		return
	}
	raw, err := w.file.SyscallConn()
	if err != nil {
		return
	}
	const mask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	_ = raw.Control(func(fd uintptr) {
		_, _ = unix.InotifyAddWatch(int(fd), dir, mask) // a directory that is gone: the caller looks again
	})
}

// Wait returns after a change, or after a while, or when ctx is done.
func (w *Watcher) Wait(ctx context.Context) {
	if w.file == nil {
		pause(ctx, fallback)
		return
	}
	if w.file.SetReadDeadline(time.Now().Add(recheck)) != nil {
		pause(ctx, fallback)
		return
	}
	defer context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })()
	var events [4096]byte
	_, _ = w.file.Read(events[:])
}

// Close ends the watcher.
func (w *Watcher) Close() {
	if w.file != nil {
		_ = w.file.Close()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Until returns nil as soon as ok holds, which it looks at whenever something changes where path is or will be: its
// directories need not exist yet. The only error is ctx's.
func Until(ctx context.Context, path string, ok func() bool) error {
	if ok() {
		return nil
	}
	w := New()
	defer w.Close()
	for {
		dir := deepest(path)
		w.Add(dir)
		// Looked at after the watch is in place: what happened before shows, what happens now wakes.
		if ok() {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if deepest(path) == dir {
			w.Wait(ctx)
		}
	}
}

// Filled is the usual condition: the file exists and its first bytes are written.
func Filled(path string) func() bool {
	return func() bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() > 0
	}
}

// Present is the condition that something of any kind is at path.
func Present(path string) func() bool {
	return func() bool {
		_, err := os.Stat(path)
		return err == nil
	}
}

// deepest is the longest existing directory above path.
func deepest(path string) string {
	for {
		dir := filepath.Dir(path)
		if info, err := os.Stat(dir); dir == path || (err == nil && info.IsDir()) {
			return dir
		}
		path = dir
	}
}

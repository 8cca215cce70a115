package kubeconfig

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Times of the locks.
const (
	lockTimeout = 10 * time.Second      // how long a lock is waited for
	lockPoll    = 10 * time.Millisecond // how often it is tried
	staleAge    = time.Minute           // a FILE.lock of another program is left over when it is older,
	staleWatch  = time.Second           // and has not changed for as long as this, by this machine's own clock
)

// locked runs fn while it holds the locks of all the files, under any name that they have.
func locked(ctx context.Context, paths []string, fn func() error) (err error) {
	g, err := lockGuard(ctx)
	if err != nil {
		return err
	}
	defer g.unlock()
	names, err := lockNames(paths)
	if err != nil {
		return err
	}
	var held []string
	defer func() {
		for _, name := range held {
			if e := os.Remove(name); e != nil && err == nil {
				err = fault.Wrap(fault.KubeconfigUnusable, e, "cannot unlock %s", strings.TrimSuffix(name, ".lock"))
			}
		}
	}()
	for _, name := range names {
		took, err := g.take(ctx, name)
		if err != nil {
			return err
		}
		if took {
			held = append(held, name)
		}
	}
	return fn()
}

// lockNames returns the names of the lock files, sorted, so that nobody waits for one who waits for us. kubectl locks a
// file by the name that it was given; a symbolic link has its target's lock too.
func lockNames(paths []string) ([]string, error) {
	var names []string
	for _, p := range paths {
		target, err := resolve(p)
		if err != nil {
			return nil, fault.Wrap(fault.KubeconfigUnusable, err, "cannot find what %s stands for", p)
		}
		for _, name := range []string{absolute(p), absolute(target)} {
			if _, err := os.Lstat(filepath.Dir(name)); errors.Is(err, fs.ErrNotExist) && p != paths[len(paths)-1] {
				continue // nothing is there to lock, and nothing is written there
			}
			names = append(names, name+".lock")
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// take makes the lock file, waiting for whoever has it. It takes no lock, and says so, where nothing can be written at
// all: such a file is only read, or the writing of it says what is wrong.
func (g guard) take(ctx context.Context, name string) (bool, error) {
	what := strings.TrimSuffix(name, ".lock")
	if err := makeDir(filepath.Dir(name)); err != nil {
		return false, fault.Wrap(fault.KubeconfigUnusable, err, "cannot make the directory of %s", what)
	}
	deadline := time.Now().Add(lockTimeout)
	var seen, since time.Time // the lock's time, and since when it has been that
	for {
		err := create(name, g.id)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
			return false, nil
		case !errors.Is(err, fs.ErrExist):
			return false, fault.Wrap(fault.KubeconfigUnusable, err, "cannot lock %s", what)
		}
		if info, err := os.Lstat(name); err == nil {
			if !info.ModTime().Equal(seen) {
				seen, since = info.ModTime(), time.Now()
			}
			if g.stale(name, seen, since) {
				if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return false, fault.Wrap(fault.KubeconfigUnusable, err, "cannot remove the stale lock %s", name)
				}
				continue
			}
		}
		if time.Now().After(deadline) {
			return false, fault.New(fault.KubeconfigUnusable, "cannot lock %s: another program holds %s", what, name).
				WithHint("remove %s if no kubectl or other tool is at work", name)
		}
		if err := pause(ctx, lockPoll); err != nil {
			return false, fault.Wrap(fault.KubeconfigUnusable, err, "cannot lock %s", what)
		}
	}
}

// stale reports whether a lock is left over. Only the holder of a guard removes one, so that no two do.
func (g guard) stale(name string, modified, since time.Time) bool {
	if g.id == "" {
		return false
	}
	if content, err := os.ReadFile(name); err == nil && string(content) == g.id { //nolint:gosec // the user's own kubeconfig
		return true // its maker held the guard that is ours now
	}
	return time.Since(modified) > staleAge && time.Since(since) > staleWatch
}

// create makes the lock file; fs.ErrExist if it is there.
func create(name, content string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the user's own kubeconfig
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(name) // the error that matters is known
		return err
	}
	return nil
}

// guard is the lock among this user's coves: one that the system gives back when its holder ends.
type guard struct {
	lock *flock.Flock
	id   string // what its holder writes into lock files, so that the next one knows them; empty: there is no guard
}

// lockGuard waits for the guard. Where the user has no cache directory there is none; FILE.lock does without, but then
// nobody removes one that is left over.
func lockGuard(ctx context.Context) (guard, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return guard{}, nil
	}
	dir = filepath.Join(dir, "cove")
	if makeDir(dir) != nil {
		return guard{}, nil
	}
	g := guard{lock: flock.New(filepath.Join(dir, "kubeconfig.lock"), flock.SetPermissions(0o600))}
	wait, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	ok, err := g.lock.TryLockContext(wait, lockPoll)
	switch {
	case ctx.Err() != nil:
		return guard{}, fault.Wrap(fault.KubeconfigUnusable, context.Cause(ctx), "cannot lock the kubeconfig")
	case errors.Is(err, context.DeadlineExceeded):
		return guard{}, fault.New(fault.KubeconfigUnusable, "cannot lock the kubeconfig: another cove holds %s", g.lock.Path()).
			WithHint("end the other cove, or wait for it")
	case err != nil || !ok:
		return guard{}, nil
	}
	g.id = guardID(filepath.Join(dir, "kubeconfig.id"))
	return g, nil
}

// guardID returns what makes this guard different from that of another user, machine or container, which may have the
// same path: a random word beside it, made by the first to ask. The caller holds the guard.
func guardID(path string) string {
	if id, err := os.ReadFile(path); err == nil && len(id) > 0 { //nolint:gosec // in the user's cache directory
		return string(id)
	}
	id := "cove " + rand.Text()
	if os.WriteFile(path, []byte(id), 0o600) != nil {
		return ""
	}
	return id
}

func (g guard) unlock() {
	if g.lock != nil {
		_ = g.lock.Unlock() // the system does it at the latest when the process ends
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

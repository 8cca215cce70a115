// Package reaper starts processes and collects every child that ends, the orphans that PID 1 inherits included. It never
// restarts anything: package unit does.
//
// PID 1 must call wait4(-1), or orphans stay as zombies; but that call also returns the children that somebody supervises.
// So exactly one place waits, and whoever started a process hears of its end from here. Nothing else in the program may
// use os/exec or os.Process.Wait.
package reaper

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Exit is how a process ended: by its own exit code, or by a signal (then Code is 128 plus the signal, as shells say it).
type Exit struct {
	Code   int       `json:"code"`
	Signal string    `json:"signal,omitempty"`
	At     time.Time `json:"at"`
}

// String says it in words, for logs.
func (e Exit) String() string {
	if e.Signal != "" {
		return "signal: " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Reaper collects the children of this process. Make it with New; one per process.
type Reaper struct {
	mu       sync.Mutex
	children map[int]*Child
	signals  chan os.Signal
}

// New returns a reaper that already notes SIGCHLD, so no child that is started after it can end unseen.
func New() *Reaper {
	r := &Reaper{children: map[int]*Child{}, signals: make(chan os.Signal, 1)}
	signal.Notify(r.signals, syscall.SIGCHLD)
	return r
}

// Run collects children until ctx is done.
func (r *Reaper) Run(ctx context.Context) {
	defer signal.Stop(r.signals)
	for {
		r.collect()
		select {
		case <-ctx.Done():
			return
		case <-r.signals: // may stand for many: collect takes all there are
		}
	}
}

// Start runs the program at path. Its end is told by the returned child, never to anybody else. Fails when the program
// cannot be executed.
//
// The lock is held from before the fork until the child is registered, and collect holds it around wait4: a child that ends
// at once is found registered, and the child of a failed exec is left to ForkExec, which waits for it itself.
func (r *Reaper) Start(path string, argv []string, attr *syscall.ProcAttr) (*Child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr) //nolint:gosec // the caller's program, that is the point
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", path, err)
	}
	c := &Child{pid: pid, reaper: r, done: make(chan struct{})}
	r.children[pid] = c
	return c, nil
}

func (r *Reaper) collect() {
	for r.collectOne() {
		continue
	}
}

// collectOne takes one ended child, and says whether there may be more.
func (r *Reaper) collectOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if err == syscall.EINTR {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if !status.Exited() && !status.Signaled() {
		return true
	}
	if c, ok := r.children[pid]; ok {
		delete(r.children, pid)
		c.exit = exitOf(status, time.Now())
		close(c.done)
	}
	return true
}

func exitOf(status syscall.WaitStatus, at time.Time) Exit {
	if status.Signaled() {
		return Exit{Code: 128 + int(status.Signal()), Signal: status.Signal().String(), At: at}
	}
	return Exit{Code: status.ExitStatus(), At: at}
}

// Child is one started process.
type Child struct {
	pid    int
	reaper *Reaper
	done   chan struct{}
	exit   Exit
}

// PID is the process's number.
func (c *Child) PID() int { return c.pid }

// Done is closed when the process has ended and was collected.
func (c *Child) Done() <-chan struct{} { return c.done }

// Exit is how it ended; it holds once Done is closed.
func (c *Child) Exit() Exit {
	<-c.done
	return c.exit
}

// Signal sends sig. After the end it does nothing and returns os.ErrProcessDone: the number may belong to somebody else by
// then, which is why it looks under the lock that collecting takes.
func (c *Child) Signal(sig syscall.Signal) error {
	c.reaper.mu.Lock()
	defer c.reaper.mu.Unlock()
	if c.reaper.children[c.pid] != c {
		return os.ErrProcessDone
	}
	return syscall.Kill(c.pid, sig)
}

// Package unit keeps one process running: started when its condition holds, restarted with growing pauses when it ends,
// stopped and held on request. How a process is made is its user's affair.
package unit

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"syscall"
	"time"

	"cove.dev/images/node/internal/reaper"
)

// State is what a unit is doing.
type State string

// The states. Systemd's words for them are "active" for Running, "inactive" for Stopped, "activating" for the others.
const (
	Stopped State = "stopped"
	Waiting State = "waiting" // for its condition
	Running State = "running"
	Backoff State = "backoff" // between two tries
)

const (
	minPause = 100 * time.Millisecond
	maxPause = 10 * time.Second
	// settled is how long a process must have run for its end to count as the first failure again.
	settled = 30 * time.Second
	// startGrace is how long Start waits for the condition before it reports that the unit is still waiting.
	startGrace = time.Second
	// killGrace is how long the kernel gets to end a process after SIGKILL.
	killGrace = 2 * time.Second
)

// Process is a started process; reaper.Child is one.
type Process interface {
	PID() int
	Done() <-chan struct{}
	Exit() reaper.Exit
	Signal(sig syscall.Signal) error
}

// Config says what a unit runs.
type Config struct {
	Name string
	// Ready blocks until the process may be started; nil means at once. An error other than the context's is a failed try.
	Ready func(ctx context.Context) error
	// Launch starts the process.
	Launch func() (Process, error)
	// Held leaves the unit stopped until Start.
	Held bool
	Log  *log.Logger
}

// Status is what a unit tells about itself.
type Status struct {
	Name     string       `json:"name"`
	State    State        `json:"state"`
	PID      int          `json:"pid,omitempty"`
	Since    time.Time    `json:"since"`
	Restarts int          `json:"restarts"`
	LastExit *reaper.Exit `json:"lastExit,omitempty"`
	Error    string       `json:"error,omitempty"` // why the last try did not even start
}

type verb int

const (
	start verb = iota
	stop
	restart
)

type request struct {
	verb  verb
	grace time.Duration
	reply chan error
}

// Unit is one supervised process. Make it with New, then Run it; everything below mu belongs to Run alone.
type Unit struct {
	cfg      Config
	requests chan request

	mu     sync.Mutex
	status Status

	held        bool
	proc        Process
	exited      <-chan struct{}
	ready       chan error
	cancelReady context.CancelFunc
	timer       <-chan time.Time
	started     time.Time
	failures    int
}

// New returns a unit that does nothing until it runs.
func New(cfg Config) *Unit {
	u := &Unit{cfg: cfg, requests: make(chan request), held: cfg.Held}
	u.status = Status{Name: cfg.Name, State: Stopped, Since: time.Now()}
	return u
}

// Name is the unit's name.
func (u *Unit) Name() string { return u.cfg.Name }

// Status is a copy of what the unit is doing now.
func (u *Unit) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// Start lifts a hold and starts the process now, whatever pause it was in. It returns when the process runs, and with nil
// too when its condition does not hold yet. Fails when it cannot be started; the unit goes on trying.
func (u *Unit) Start(ctx context.Context) error { return u.ask(ctx, start, 0) }

// Stop ends the process, with SIGKILL after grace, and holds it stopped until Start. It returns when it has ended.
func (u *Unit) Stop(ctx context.Context, grace time.Duration) error { return u.ask(ctx, stop, grace) }

// Restart is Stop and Start.
func (u *Unit) Restart(ctx context.Context, grace time.Duration) error {
	return u.ask(ctx, restart, grace)
}

func (u *Unit) ask(ctx context.Context, v verb, grace time.Duration) error {
	req := request{verb: v, grace: grace, reply: make(chan error, 1)}
	select {
	case u.requests <- req:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-req.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run supervises until ctx is done. It leaves a running process alone then: whoever ends it decides in which order.
func (u *Unit) Run(ctx context.Context) {
	if !u.held {
		u.begin(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			u.abandon()
			return
		case req := <-u.requests:
			req.reply <- u.serve(ctx, req)
		case err := <-u.ready:
			_ = u.launch(err) // logged, and tried again
		case <-u.exited:
			u.ended()
		case <-u.timer:
			u.begin(ctx)
		}
	}
}

func (u *Unit) serve(ctx context.Context, req request) error {
	if req.verb != start {
		u.held = true
		if err := u.halt(req.grace); err != nil || req.verb == stop {
			return err
		}
	}
	u.held = false
	if u.proc != nil {
		return nil
	}
	u.failures = 0
	if u.ready == nil {
		u.begin(ctx)
	}
	select {
	case err := <-u.ready:
		return u.launch(err)
	case <-time.After(startGrace):
		return nil
	}
}

// begin waits for the condition beside the loop; u.ready tells.
func (u *Unit) begin(ctx context.Context) {
	u.timer = nil
	ready := make(chan error, 1)
	u.ready = ready
	if u.cfg.Ready == nil {
		ready <- nil
		return
	}
	u.set(func(s *Status) { s.State = Waiting })
	ctx, cancel := context.WithCancel(ctx)
	u.cancelReady = cancel
	go func() { ready <- u.cfg.Ready(ctx) }()
}

func (u *Unit) abandon() {
	if u.cancelReady != nil {
		u.cancelReady()
	}
	u.ready, u.cancelReady, u.timer = nil, nil, nil
}

func (u *Unit) launch(err error) error {
	u.abandon()
	if err == nil {
		u.proc, err = u.cfg.Launch()
	}
	if err != nil {
		u.proc = nil
		u.cfg.Log.Printf("%s: %v", u.cfg.Name, err)
		u.set(func(s *Status) { s.Error = err.Error() })
		u.retry()
		return err
	}
	u.exited, u.started = u.proc.Done(), time.Now()
	u.cfg.Log.Printf("%s: started, pid %d", u.cfg.Name, u.proc.PID())
	u.set(func(s *Status) { s.State, s.PID, s.Error = Running, u.proc.PID(), "" })
	return nil
}

// ended takes note of the process's end, and plans the next try unless the unit is held.
func (u *Unit) ended() {
	exit := u.proc.Exit()
	u.proc, u.exited = nil, nil
	u.cfg.Log.Printf("%s: ended, %s", u.cfg.Name, exit)
	u.set(func(s *Status) { s.State, s.PID, s.LastExit = Stopped, 0, &exit })
	if u.held {
		return
	}
	if time.Since(u.started) >= settled {
		u.failures = 0
	}
	u.retry()
}

func (u *Unit) retry() {
	pause := pauseAfter(u.failures)
	u.failures++
	u.cfg.Log.Printf("%s: next try in %s", u.cfg.Name, pause)
	u.timer = time.After(pause)
	u.set(func(s *Status) { s.State = Backoff; s.Restarts++ })
}

func pauseAfter(failures int) time.Duration {
	pause := minPause
	for range failures {
		if pause *= 2; pause >= maxPause {
			return maxPause
		}
	}
	return pause
}

// halt ends the process if there is one. The wait is no longer than grace plus killGrace, and a process that outlives that
// stays known, so that a second one is never started beside it.
func (u *Unit) halt(grace time.Duration) error {
	u.abandon()
	if u.proc == nil {
		u.set(func(s *Status) { s.State = Stopped })
		return nil
	}
	if err := u.end(syscall.SIGTERM, grace); err == nil {
		return nil
	}
	u.cfg.Log.Printf("%s: still there after %s, killed", u.cfg.Name, grace)
	return u.end(syscall.SIGKILL, killGrace)
}

func (u *Unit) end(sig syscall.Signal, grace time.Duration) error {
	if err := u.proc.Signal(sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		u.cfg.Log.Printf("%s: %v: %v", u.cfg.Name, sig, err)
	}
	select {
	case <-u.exited:
		u.ended()
		return nil
	case <-time.After(grace):
		return fmt.Errorf("%s has not ended within %s of %v", u.cfg.Name, grace, sig)
	}
}

func (u *Unit) set(change func(*Status)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.status.State
	change(&u.status)
	if u.status.State != before {
		u.status.Since = time.Now()
	}
}

package unit

import (
	"context"
	"errors"
	"io"
	"log"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cove.dev/images/node/internal/reaper"
)

// fake is a process that ends when it is told to.
type fake struct {
	pid       int
	deaf      bool // to SIGTERM
	done      chan struct{}
	once      sync.Once
	exit      reaper.Exit
	mu        sync.Mutex
	delivered []syscall.Signal
}

func (f *fake) PID() int              { return f.pid }
func (f *fake) Done() <-chan struct{} { return f.done }
func (f *fake) Exit() reaper.Exit     { <-f.done; return f.exit }

func (f *fake) end(code int) {
	f.once.Do(func() { f.exit = reaper.Exit{Code: code}; close(f.done) })
}

func (f *fake) Signal(sig syscall.Signal) error {
	f.mu.Lock()
	f.delivered = append(f.delivered, sig)
	f.mu.Unlock()
	if sig == syscall.SIGKILL || !f.deaf {
		f.end(128 + int(sig))
	}
	return nil
}

// bench makes fakes and remembers when.
type bench struct {
	mu     sync.Mutex
	procs  []*fake
	at     []time.Time
	deaf   bool
	broken error
}

func (b *bench) launch() (Process, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = append(b.at, time.Now())
	if b.broken != nil {
		return nil, b.broken
	}
	p := &fake{pid: 100 + len(b.procs), deaf: b.deaf, done: make(chan struct{})}
	b.procs = append(b.procs, p)
	return p, nil
}

func (b *bench) last() *fake {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.procs[len(b.procs)-1]
}

func (b *bench) launches() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.at)
}

// run starts a unit in the test's bubble; it ends with the bubble.
func run(t *testing.T, cfg Config) *Unit {
	t.Helper()
	cfg.Name, cfg.Log = "x", log.New(io.Discard, "", 0)
	u := New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); u.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return u
}

func TestBackOffGrowsAndIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		u := run(t, Config{Launch: b.launch})
		for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
			before := time.Now()
			n := b.launches()
			b.last().end(1)
			synctest.Wait()
			if s := u.Status(); s.State != Backoff || s.LastExit == nil || s.LastExit.Code != 1 {
				t.Fatalf("after an end: %+v", s)
			}
			for b.launches() == n {
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
			if got := time.Since(before); got != want*time.Millisecond {
				t.Errorf("pause %s, want %s", got, want*time.Millisecond)
			}
		}
		if s := u.Status(); s.State != Running || s.Restarts != 9 || s.PID != b.last().pid {
			t.Errorf("got %+v", s)
		}
		time.Sleep(settled)
		before := time.Now()
		n := b.launches()
		b.last().end(0)
		for b.launches() == n {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if got := time.Since(before); got != minPause {
			t.Errorf("pause %s after a long run, want %s", got, minPause)
		}
	})
}

func TestMissingProgramIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{broken: errors.New("no such program")}
		u := run(t, Config{Launch: b.launch})
		time.Sleep(time.Second)
		synctest.Wait()
		if s := u.Status(); s.State != Backoff || s.Error != "no such program" || b.launches() != 4 { // 0, 100, 300, 700 ms
			t.Errorf("%d tries, %+v", b.launches(), s)
		}
		if err := u.Start(t.Context()); err == nil {
			t.Error("Start hides that the program is missing")
		}
		b.mu.Lock()
		b.broken = nil
		b.mu.Unlock()
		if err := u.Start(t.Context()); err != nil {
			t.Error(err)
		}
		if s := u.Status(); s.State != Running || s.Error != "" {
			t.Errorf("got %+v", s)
		}
	})
}

func TestStopHoldsUntilStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		u := run(t, Config{Launch: b.launch})
		if err := u.Stop(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := u.Status(); s.State != Stopped || b.launches() != 1 {
			t.Errorf("%d launches, %+v", b.launches(), s)
		}
		before := time.Now()
		if err := u.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := u.Status(); s.State != Running || time.Since(before) != 0 {
			t.Errorf("after %s: %+v", time.Since(before), s)
		}
		if err := u.Start(t.Context()); err != nil || b.launches() != 2 {
			t.Errorf("a second Start: %v, %d launches", err, b.launches())
		}
		if err := u.Restart(t.Context(), time.Second); err != nil || b.launches() != 3 {
			t.Errorf("Restart: %v, %d launches", err, b.launches())
		}
	})
}

func TestStopDuringBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		u := run(t, Config{Launch: b.launch})
		b.last().end(1)
		synctest.Wait()
		if err := u.Stop(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := u.Status(); s.State != Stopped || b.launches() != 1 {
			t.Errorf("%d launches, %+v", b.launches(), s)
		}
	})
}

func TestDeafProcessIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{deaf: true}
		u := run(t, Config{Launch: b.launch})
		before := time.Now()
		if err := u.Stop(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		got := b.last().delivered
		if time.Since(before) != time.Second || len(got) != 2 || got[1] != syscall.SIGKILL {
			t.Errorf("after %s: %v", time.Since(before), got)
		}
	})
}

func TestCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		there := make(chan struct{})
		cancelled := make(chan struct{}, 1)
		ready := func(ctx context.Context) error {
			select {
			case <-there:
				return nil
			case <-ctx.Done():
				cancelled <- struct{}{}
				return ctx.Err()
			}
		}
		u := run(t, Config{Launch: b.launch, Ready: ready})
		time.Sleep(time.Hour)
		if s := u.Status(); s.State != Waiting || s.Restarts != 0 {
			t.Fatalf("got %+v", s)
		}
		if err := u.Stop(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		<-cancelled
		if err := u.Start(t.Context()); err != nil || u.Status().State != Waiting {
			t.Fatalf("Start without the condition: %v, %+v", err, u.Status())
		}
		close(there)
		synctest.Wait()
		if s := u.Status(); s.State != Running {
			t.Errorf("got %+v", s)
		}
	})
}

func TestHeldFromTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		u := run(t, Config{Launch: b.launch, Held: true})
		time.Sleep(time.Minute)
		if b.launches() != 0 || u.Status().State != Stopped {
			t.Errorf("%d launches, %+v", b.launches(), u.Status())
		}
		if err := u.Start(t.Context()); err != nil || b.launches() != 1 {
			t.Errorf("%v, %d launches", err, b.launches())
		}
	})
}

package reaper

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests share one process and wait4 takes any child, so only one reaper lives at a time: none is parallel.

func started(t *testing.T) *Reaper {
	t.Helper()
	r := New()
	go r.Run(t.Context())
	return r
}

func sh(t *testing.T, r *Reaper, script string) *Child {
	t.Helper()
	c, err := r.Start("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{Env: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ended(t *testing.T, c *Child) Exit {
	t.Helper()
	select {
	case <-c.Done():
		return c.Exit()
	case <-time.After(10 * time.Second):
		t.Fatal("the child's end was not told")
		return Exit{}
	}
}

func TestExitOfEachChild(t *testing.T) {
	r := started(t)
	if e := ended(t, sh(t, r, "exit 7")); e.Code != 7 || e.String() != "exit status 7" {
		t.Errorf("got %v", e)
	}
	if e := ended(t, sh(t, r, "kill -KILL $$")); e.Code != 137 || e.String() != "signal: killed" {
		t.Errorf("got %v", e)
	}
}

// Children that end before Start returns are the race that the lock is for.
func TestManyShortChildren(t *testing.T) {
	r := started(t)
	const many = 200
	results := make(chan int, many)
	for i := range many {
		go func() {
			c, err := r.Start("/bin/sh", []string{"sh", "-c", "exit " + string(rune('0'+i%10))}, &syscall.ProcAttr{})
			if err != nil {
				t.Error(err)
				results <- -1
				return
			}
			if got := c.Exit().Code; got != i%10 {
				t.Errorf("child %d: exit %d, want %d", c.PID(), got, i%10)
			}
			results <- 0
		}()
	}
	for range many {
		select {
		case <-results:
		case <-time.After(60 * time.Second):
			t.Fatal("an exit was lost")
		}
	}
}

func TestFailedExec(t *testing.T) {
	r := started(t)
	for range 20 {
		if _, err := r.Start("/no/such/program", []string{"x"}, &syscall.ProcAttr{}); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("got %v", err)
		}
	}
	if e := ended(t, sh(t, r, "exit 3")); e.Code != 3 {
		t.Errorf("got %v after failed ones", e)
	}
}

func TestOrphansAreCollected(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skip("cannot take orphans: ", err)
	}
	r := started(t)
	// The inner shell outlives the outer one, and becomes ours; it ends when its pipe does.
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Start("/bin/sh", []string{"sh", "-c", "(read x) & echo $!"},
		&syscall.ProcAttr{Files: []uintptr{pr.Fd(), outW.Fd(), outW.Fd()}})
	if err != nil {
		t.Fatal(err)
	}
	_ = outW.Close()
	_ = pr.Close()
	ended(t, c)
	_ = pw.Close()
	// The write end of out is closed when the last of them is gone, or a zombie; then ours must have no child at all.
	buf := make([]byte, 64)
	for {
		if n, err := out.Read(buf); n == 0 || err != nil {
			break
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if errors.Is(err, unix.ECHILD) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("a zombie was left")
}

func TestSignalAfterTheEnd(t *testing.T) {
	r := started(t)
	c := sh(t, r, "sleep 60")
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := ended(t, c); e.Signal != "terminated" {
		t.Errorf("got %v", e)
	}
	if err := c.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("got %v, want %v", err, os.ErrProcessDone)
	}
}

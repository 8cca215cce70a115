// Package wait waits for conditions, which are values: each has a name and, while it is not met, a state that says why.
// It never decides how long to wait, the context does; and it never prints.
package wait

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Condition is something to wait for.
type Condition struct {
	// Name reads on from "waiting for": "node dev-worker to be Ready".
	Name string
	// Check looks once, and ends soon after its context. state says how things are while ok is false: "the CNI is not
	// ready". An error that carries a code of pkg/fault ends the wait at once, since the part that gave it a code has
	// called it a failure; any other error is kept as the state, and Check is called again.
	Check func(ctx context.Context) (ok bool, state string, err error)
}

// Until waits for all of the conditions. They are checked side by side, each again an interval after its last check,
// until it was met once. report (may be nil) is told, in the words of the conditions, what is waited for now, each time
// that changes; its calls do not overlap. When ctx ends first, the error is an *UnmetError.
func Until(ctx context.Context, interval time.Duration, report func(string), conds ...Condition) error {
	begun := time.Now()
	w := &waiter{report: report, unmet: make([]Unmet, len(conds)), met: make([]bool, len(conds))}
	for i, c := range conds {
		w.unmet[i].Name = c.Name
	}
	w.tell()
	checks, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for i, c := range conds {
		group.Go(func() {
			if err := w.poll(checks, interval, i, c.Check); err != nil {
				w.failed(fmt.Errorf("%s: %w", c.Name, err))
				cancel(err)
			}
		})
	}
	group.Wait()
	if w.failure != nil {
		return w.failure
	}
	left := w.left()
	if len(left) == 0 {
		return nil
	}
	return &UnmetError{Unmet: left, Of: len(conds), After: time.Since(begun), cause: ctx.Err()}
}

// waiter is what the checks of one wait share.
type waiter struct {
	report func(string)

	mu      sync.Mutex
	unmet   []Unmet
	met     []bool
	failure error // the first that ended the wait
}

// poll checks one condition until it is met or ctx ends. Its error ends the whole wait.
func (w *waiter) poll(ctx context.Context, interval time.Duration, i int, check func(context.Context) (bool, string, error)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		ok, state, err := check(ctx)
		if ctx.Err() != nil && !ok {
			return nil // what a check says that was cut off is no news
		}
		if coded := fault.CodeOf(err); coded != "" {
			return err
		}
		w.set(i, ok && err == nil, state, err)
		if ok && err == nil {
			return nil
		}
		timer.Reset(interval)
	}
}

// set keeps what a check said.
func (w *waiter) set(i int, ok bool, state string, err error) {
	w.mu.Lock()
	changed := w.met[i] != ok || w.unmet[i].State != state || fmt.Sprint(w.unmet[i].Err) != fmt.Sprint(err)
	w.met[i], w.unmet[i].State, w.unmet[i].Err = ok, state, err
	w.mu.Unlock()
	if changed {
		w.tell()
	}
}

func (w *waiter) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure == nil {
		w.failure = err
	}
}

// left returns what is not met.
func (w *waiter) left() []Unmet {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leftLocked()
}

func (w *waiter) leftLocked() []Unmet {
	var left []Unmet
	for i, u := range w.unmet {
		if !w.met[i] {
			left = append(left, u)
		}
	}
	return left
}

// tell reports the first condition that is not met, with its state, and how many others there are.
func (w *waiter) tell() {
	if w.report == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	left := w.leftLocked()
	switch len(left) {
	case 0:
	case 1:
		w.report(left[0].String())
	default:
		w.report(fmt.Sprintf("%s, and %d more", left[0], len(left)-1))
	}
}

// Unmet is a condition that is not met, with what its last check said.
type Unmet struct {
	Name, State string
	Err         error
}

// String returns the name, and behind it what the last check said.
func (u Unmet) String() string {
	var why []string
	if u.State != "" {
		why = append(why, u.State)
	}
	if u.Err != nil {
		why = append(why, u.Err.Error())
	}
	if len(why) == 0 {
		return u.Name
	}
	return u.Name + " (" + strings.Join(why, ": ") + ")"
}

// UnmetError says which conditions were not met when the context ended. It wraps the context's error.
type UnmetError struct {
	Unmet []Unmet
	Of    int           // how many conditions there were
	After time.Duration // how long was waited
	cause error
}

// Error names every condition that was not met.
func (e *UnmetError) Error() string {
	names := make([]string, len(e.Unmet))
	for i, u := range e.Unmet {
		names[i] = u.String()
	}
	count := ""
	if e.Of > 1 {
		count = fmt.Sprintf("%d of %d ", len(e.Unmet), e.Of)
	}
	return fmt.Sprintf("waited %s in vain for %s%s", e.After.Round(100*time.Millisecond), count, strings.Join(names, "; "))
}

// Unwrap returns the context's error.
func (e *UnmetError) Unwrap() error { return e.cause }

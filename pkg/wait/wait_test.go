package wait_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/wait"
)

// after is met once d has passed since it was made.
func after(name string, d time.Duration) wait.Condition {
	begun := time.Now()
	return wait.Condition{Name: name, Check: func(context.Context) (bool, string, error) {
		return time.Since(begun) >= d, "booting", nil
	}}
}

func TestUntilMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var said []string
		report := func(s string) { said = append(said, s) }
		err := wait.Until(t.Context(), time.Second, report, after("a", 2*time.Second), after("b", 4500*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("took %s, want 5s: the first check after 4.5 s", took)
		}
		// Which of the two is checked first is open; all else is not.
		if said[0] != "a, and 1 more" || said[len(said)-1] != "b (booting)" {
			t.Errorf("reports: %q", said)
		}
		for i := 1; i < len(said); i++ {
			if said[i] == said[i-1] && !strings.Contains(said[i], "more") {
				t.Errorf("said twice: %q", said[i])
			}
		}
	})
}

func TestUntilNothing(t *testing.T) {
	if err := wait.Until(t.Context(), time.Second, nil); err != nil {
		t.Fatal(err)
	}
}

func TestUntilSlowCheckDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := wait.Condition{Name: "slow", Check: func(ctx context.Context) (bool, string, error) {
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
			}
			return true, "", nil
		}}
		calls := 0
		quick := wait.Condition{Name: "quick", Check: func(context.Context) (bool, string, error) {
			calls++
			return calls == 5, "", nil
		}}
		begun := time.Now()
		if err := wait.Until(t.Context(), time.Second, nil, slow, quick); err != nil {
			t.Fatal(err)
		}
		if calls != 5 || time.Since(begun) != 10*time.Second {
			t.Errorf("%d checks in %s, want 5 in 10s", calls, time.Since(begun))
		}
	})
}

func TestUntilTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		n := 0
		flaky := wait.Condition{Name: "the API server to answer", Check: func(context.Context) (bool, string, error) {
			n++
			return false, "", fmt.Errorf("connection refused %d", n)
		}}
		hung := wait.Condition{Name: "a DNS answer", Check: func(ctx context.Context) (bool, string, error) {
			<-ctx.Done()
			return false, "", ctx.Err()
		}}
		err := wait.Until(ctx, time.Second, nil, after("node a to be Ready", 0), flaky, after("node b to be Ready", time.Hour), hung)
		want := "waited 2.5s in vain for 3 of 4 the API server to answer (connection refused 3); node b to be Ready (booting); a DNS answer"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error("the error does not wrap DeadlineExceeded")
		}
		unmet := (*wait.UnmetError)(nil)
		if !errors.As(err, &unmet) || len(unmet.Unmet) != 3 || unmet.Of != 4 {
			t.Errorf("unmet: %+v", unmet)
		}
	})
}

func TestUntilOneTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := wait.Until(ctx, time.Minute, nil, after("x", time.Hour))
		if got, want := fmt.Sprint(err), "waited 1s in vain for x (booting)"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestUntilCodedErrorEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		dead := wait.Condition{Name: "containerd on a", Check: func(context.Context) (bool, string, error) {
			if time.Since(begun) < 3*time.Second {
				return false, "booting", nil
			}
			return false, "", fault.New(fault.NodeExited, "node a stopped by itself")
		}}
		err := wait.Until(t.Context(), time.Second, nil, dead, after("b", time.Hour))
		if !fault.Is(err, fault.NodeExited) || err.Error() != "containerd on a: node a stopped by itself" {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %s, want 3s", took)
		}
	})
}

func TestUntilCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		begun := time.Now()
		err := wait.Until(ctx, time.Second, nil, after("x", time.Hour))
		if !errors.Is(err, context.Canceled) || time.Since(begun) != 1500*time.Millisecond {
			t.Errorf("got %v after %s", err, time.Since(begun))
		}
	})
}

func TestUntilMetOnceStaysMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		once := wait.Condition{Name: "once", Check: func(context.Context) (bool, string, error) {
			calls = append(calls, "once")
			return true, "", nil
		}}
		if err := wait.Until(t.Context(), time.Second, nil, once, after("b", 3*time.Second)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(calls, []string{"once"}) {
			t.Errorf("checked %d times, want once", len(calls))
		}
	})
}

package kube

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
)

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newDrainable(t)
		d.pod("web", "w", "ReplicaSet", nil)
		d.pod("db", "w", "StatefulSet", nil)
		d.pod("agent", "w", "DaemonSet", nil)
		d.pod("static", "w", "", object{"annotations": object{"kubernetes.io/config.mirror": "x"}})
		d.pod("elsewhere", "other", "ReplicaSet", nil)
		ended := d.pod("ended", "w", "", nil)
		ended["status"] = object{"phase": "Succeeded"}
		d.pods.put(ended)
		d.budget("db-budget", "db", 1)
		begun, r := time.Now(), &reports{}
		if err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: time.Minute}, r.add); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
		if got := d.left(); got != "agent elsewhere static" {
			t.Errorf("left: %s", got)
		}
		if got := d.deletions(); got != "" {
			t.Errorf("deleted: %s", got)
		}
		wantCordoned(t, d, true)
		wantParts(t, r.String(), "evicting pod mine/web", "evicting pod mine/db", "evicting pod mine/ended")
		for line := range strings.Lines(r.String()) {
			if strings.TrimSpace(line) == "" {
				t.Errorf("an empty line in %q", r.String())
			}
		}
	})
}

// Where a budget holds a pod, it is asked once a second; the error names both.
func TestDrainBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newDrainable(t)
		d.pod("web", "w", "ReplicaSet", nil)
		d.pod("db", "w", "StatefulSet", nil)
		d.budget("db-budget", "db", 0)
		d.budget("other", "other", 0)
		d.budget("loose", "db", 1)
		begun, r := time.Now(), &reports{}
		err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: 30 * time.Second}, r.add)
		if !fault.Is(err, fault.DrainFailed) || err.Error() != "cannot drain node w in time: pod mine/db (held by PodDisruptionBudget db-budget)" {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took < 30*time.Second || took > 32*time.Second {
			t.Errorf("took %s", took)
		}
		if got := d.evictions("db"); got < 25 || got > 31 {
			t.Errorf("%d evictions in 30 seconds", got)
		}
		if d.left() != "db" || d.deletions() != "" {
			t.Errorf("left: %s; deleted: %s", d.left(), d.deletions())
		}
		wantCordoned(t, d, true)
		wantParts(t, r.String(), `error when evicting pods/"db" -n "mine" (will retry after 1s): Cannot evict pod as it would violate the pod's disruption budget.`)
	})
}

func TestDrainBudgetLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newDrainable(t)
		d.pod("db", "w", "StatefulSet", nil)
		d.budget("all-budget", "", 0)
		time.AfterFunc(10*time.Second, func() { d.budget("all-budget", "", 1) })
		begun := time.Now()
		if err := c.Drain(within(t, time.Hour), "w", DrainOptions{}, nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 13*time.Second || took > 16*time.Second || d.left() != "" {
			t.Errorf("took %s, left: %s", took, d.left())
		}
	})
}

// What the scheduler bound before it saw the cordon goes too; what does not mind a cordon ends nothing.
func TestDrainLatecomers(t *testing.T) {
	for name, comes := range map[string]int{"one": 1, "forever": 1000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, c := newDrainable(t)
				d.pod("web", "w", "ReplicaSet", nil)
				for i := range comes {
					time.AfterFunc(time.Duration(1+i)*time.Second, func() { d.pod(fmt.Sprintf("late%d", i), "w", "ReplicaSet", nil) })
				}
				begun := time.Now()
				if err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: time.Minute}, nil); err != nil {
					t.Fatal(err)
				}
				if comes == 1 && d.left() != "" || d.evictions("late0") != 1 {
					t.Errorf("left: %s", d.left())
				}
				if took := time.Since(begun); took > 20*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// By force, what a budget holds is deleted when its time is up, and not before.
func TestDrainForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newDrainable(t)
		d.pod("bare", "w", "", nil)
		d.pod("db", "w", "StatefulSet", nil)
		d.budget("db-budget", "db", 0)
		time.AfterFunc(29*time.Second, func() {
			if d.left() != "db" || d.deletions() != "" {
				t.Errorf("left: %s; deleted: %s", d.left(), d.deletions())
			}
		})
		begun, r := time.Now(), &reports{}
		if err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: 30 * time.Second, Force: true}, r.add); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 30*time.Second || took > 34*time.Second {
			t.Errorf("took %s", took)
		}
		if d.left() != "" || d.deletions() != "db 1" {
			t.Errorf("left: %s; deleted: %s", d.left(), d.deletions())
		}
		wantParts(t, r.String(), "evicting pod mine/bare", "deleting pod mine/db")
	})
}

// A kubelet that does not end anything keeps nothing from being drained by force; a finalizer does.
func TestDrainForceStuck(t *testing.T) {
	for name, tt := range map[string]struct {
		finalizers []string
		want       string
		left       string
	}{
		"kubelet":   {},
		"finalizer": {[]string{"example.com/keep"}, "cannot drain node w in time: pod mine/db (waits for finalizers example.com/keep)", "db"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, c := newDrainable(t)
				d.pods.dead = true
				d.pod("db", "w", "StatefulSet", object{"finalizers": tt.finalizers})
				begun := time.Now()
				err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: 10 * time.Second, Force: true}, nil)
				if tt.want == "" && err != nil || tt.want != "" && (!fault.Is(err, fault.DrainFailed) || err.Error() != tt.want) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begun); took < 10*time.Second+drainHard || took > 42*time.Second {
					t.Errorf("took %s", took)
				}
				if got := d.deletions(); !strings.HasPrefix(got, "db 1, ") || !strings.HasSuffix(got, "db 0") || d.left() != tt.left {
					t.Errorf("deleted: %s; left: %s", got, d.left())
				}
			})
		})
	}
}

// Without force, a kubelet that does not end a pod is waited for, and no pod is deleted.
func TestDrainStillEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newDrainable(t)
		d.pods.dead = true
		d.pod("web", "w", "ReplicaSet", nil)
		err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: 10 * time.Second}, nil)
		if !fault.Is(err, fault.DrainFailed) || err.Error() != "cannot drain node w in time: pod mine/web (is still ending)" || d.deletions() != "" {
			t.Errorf("got %v; deleted: %s", err, d.deletions())
		}
	})
}

// What nothing makes anew is refused before anything goes, and the node is as it was.
func TestDrainRefused(t *testing.T) {
	for name, cordoned := range map[string]bool{"schedulable": false, "others have cordoned it": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, c := newDrainable(t)
				d.nodes.put(aNode(d.nodes, "w", false, object{"unschedulable": cordoned}))
				d.pod("web", "w", "ReplicaSet", nil)
				d.pod("one", "w", "", nil)
				d.pod("two", "w", "", nil)
				d.pod("orphan", "w", "DaemonSet", object{"ownerReferences": []object{{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "gone", "uid": "1", "controller": true}}})
				begun := time.Now()
				want := "cannot drain node w: Pods that declare no controller (use --force to override): mine/one, mine/two; daemonset \"gone\" not found: mine/orphan"
				for range 8 { // the same each time
					err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: time.Minute}, nil)
					if !fault.Is(err, fault.DrainFailed) || err.Error() != want {
						t.Errorf("got %v", err)
					}
				}
				if took := time.Since(begun); took != 0 || d.left() != "one orphan two web" || len(d.seen("eviction")) > 0 {
					t.Errorf("took %s; left: %s; %q", took, d.left(), d.seen("eviction"))
				}
				if is, marked := isCordoned(d.nodes, "w"); is != cordoned || marked {
					t.Errorf("cordoned %v, marked %v", is, marked)
				}
			})
		})
	}
}

func TestDrainNoNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newDrainable(t)
		if err := c.Drain(within(t, time.Minute), "gone", DrainOptions{Timeout: time.Second}, nil); err != nil {
			t.Error(err)
		}
	})
}

// The caller's own end is not a time that is up: nothing is ended by force.
func TestDrainInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newDrainable(t)
		d.pod("db", "w", "StatefulSet", nil)
		d.budget("all-budget", "", 0)                                                             // of all pods
		d.budgets.put(d.budgets.named("none", object{"status": object{"disruptionsAllowed": 0}})) // of no pod
		begun := time.Now()
		err := c.Drain(interrupted(t), "w", DrainOptions{Timeout: time.Minute, Force: true}, nil)
		if !errors.Is(err, errStop) || !fault.Is(err, fault.DrainFailed) || d.deletions() != "" {
			t.Errorf("got %v; deleted: %s", err, d.deletions())
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("took %s", took)
		}
		begun = time.Now()
		err = c.Drain(within(t, 5*time.Second), "w", DrainOptions{Timeout: time.Minute, Force: true}, nil)
		if !fault.Is(err, fault.DrainFailed) || err.Error() != "cannot drain node w in time: pod mine/db (held by PodDisruptionBudget all-budget)" || d.deletions() != "" {
			t.Errorf("got %v; deleted: %s", err, d.deletions())
		}
		if took := time.Since(begun); took > 7*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// An API server that fails for a while, or that asks to come again later, is borne as long as there is time.
func TestDrainServerFails(t *testing.T) {
	broken := refuse(http.StatusInternalServerError, "InternalError", "This pod has more than one PodDisruptionBudget", nil)
	later := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "10")
		refuse(http.StatusTooManyRequests, "TooManyRequests", "The disruption budget is still being processed by the server.", nil)(w, r)
	}
	for name, tt := range map[string]struct {
		refusal http.HandlerFunc
		lasts   time.Duration
		force   bool
		want    string
		deleted string
	}{
		"for a while":      {refusal: broken, lasts: 5 * time.Second},
		"for long":         {refusal: broken, lasts: time.Hour, want: "This pod has more than one PodDisruptionBudget"},
		"for long, forced": {refusal: broken, lasts: time.Hour, force: true, deleted: "web 1"},
		"busy":             {refusal: later, lasts: time.Hour, want: "cannot drain node w in time: pod mine/web"},
		"busy, forced":     {refusal: later, lasts: time.Hour, force: true, deleted: "web 1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, c := newDrainable(t)
				d.pod("web", "w", "ReplicaSet", nil)
				d.refusal["web"] = tt.refusal
				time.AfterFunc(tt.lasts, func() {
					d.mu.Lock()
					defer d.mu.Unlock()
					delete(d.refusal, "web")
				})
				begun := time.Now()
				err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: 30 * time.Second, Force: tt.force}, nil)
				if tt.want == "" && err != nil || tt.want != "" && (!fault.Is(err, fault.DrainFailed) || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begun); took > 35*time.Second {
					t.Errorf("took %s", took)
				}
				if d.deletions() != tt.deleted {
					t.Errorf("deleted: %s", d.deletions())
				}
				if got := d.evictions("web"); got > 31 {
					t.Errorf("%d evictions", got)
				}
			})
		})
	}
}

// Where the pods must not even be looked at any more, time and force help nothing.
func TestDrainRefusedOnTheWay(t *testing.T) {
	for _, force := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			d, c := newDrainable(t)
			d.pod("web", "w", "ReplicaSet", nil)
			d.refusal["web"] = refuse(http.StatusInternalServerError, "InternalError", "broken", nil)
			d.on("GET /api/v1/pods", times(2, d.pods.ServeHTTP, times(1, refuse(http.StatusForbidden, "Forbidden", "no", nil), d.pods.ServeHTTP)))
			begun := time.Now()
			err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: time.Minute, Force: force}, nil)
			if !fault.Is(err, fault.KubernetesRefused) || err.Error() != "cannot list the pods of node w: no" || d.deletions() != "" {
				t.Errorf("got %v; deleted: %s", err, d.deletions())
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestDrainNoServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newDrainable(t)
		d.setDown(true)
		begun := time.Now()
		err := c.Drain(within(t, time.Hour), "w", DrainOptions{Timeout: 10 * time.Second, Force: true}, nil)
		if !fault.Is(err, fault.APITimeout) {
			t.Errorf("got %v", err)
		}
		wantParts(t, err.Error(), "cannot cordon node w in time: ", "connection refused")
		if took := time.Since(begun); took > 11*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// Lines come whole and one at a time, whoever writes them.
func TestLines(t *testing.T) {
	var got []string
	busy := false
	l := &lines{report: func(s string) {
		if busy {
			t.Error("two at a time")
		}
		busy = true
		got = append(got, s)
		busy = false
	}}
	for _, part := range []string{"one\ntw", "o\n", "\n", "three\nfour"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	l.say("said")
	if want := []string{"one", "two", "three", "said"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { fmt.Fprintf(l, "pod %d\n", i) })
	}
	wg.Wait()
	if len(got) != 54 {
		t.Errorf("%d lines", len(got))
	}
}

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// TestRestartHA takes three control planes and their load balancer down in several ways, while objects are written. The cluster has
// to come back, with every write that was accepted, and to accept new ones.
func TestRestartHA(t *testing.T) {
	e := alone(t) // with what the other lane may run beside it, a host's default of 128 inotify instances would be used up
	c := newCove(t, e)
	cl := c.create("survive", "--control-planes", "3")
	for _, outage := range []struct {
		name string
		do   func(cl cluster, e *testbed.Engine, w *writer) error
	}{
		{"EngineTerminated", func(cl cluster, e *testbed.Engine, _ *writer) error {
			return then(cl.t.Context(), e.Terminate, e.Resume)
		}},
		{"EngineKilled", func(cl cluster, e *testbed.Engine, _ *writer) error { return then(cl.t.Context(), e.Kill, e.Resume) }},
		{"PowerCut", func(cl cluster, e *testbed.Engine, _ *writer) error {
			return then(cl.t.Context(), e.PowerOff, e.Resume)
		}},
		{"BalancerKilled", balancerKilled},
		{"BalancerRemoved", balancerRemoved},
		{"OneIsCutOff", cutOff},
		{"OneIsPaused", paused},
		{"OneIsRemoved", removed},
		{"QuorumLost", quorumLost},
		{"StaysDown", staysDown},
	} {
		if !t.Run(outage.name, func(t *testing.T) { survives(cl.in(t), e, outage.name, outage.do) }) {
			return // what comes after would fail for the same reason
		}
	}
}

// survives writes before, in and after the outage, and wants all that was accepted to be there.
func survives(cl cluster, e *testbed.Engine, name string, do func(cluster, *testbed.Engine, *writer) error) {
	w := &writer{cl: cl, prefix: strings.ToLower(name)}
	stop := w.start()
	defer stop()
	wrote(w, time.Now()) // some before
	if err := do(cl, e, w); err != nil {
		cl.t.Fatal(err)
	}
	begun := time.Now()
	wrote(w, begun)
	cl.t.Logf("writes are accepted %.1f s after the outage", w.last().Sub(begun).Seconds())
	usable(cl, 2*time.Minute)
	cl.t.Logf("it is usable %.1f s after the outage", time.Since(begun).Seconds())
	stop()
	w.kept()
}

// wrote waits until a write was accepted that was begun after that time: the one that is accepted first may have been begun before.
func wrote(w *writer, since time.Time) {
	w.cl.t.Helper()
	eventually(w.cl.t, 2*time.Minute, "writes to be accepted", func(context.Context) error {
		if last := w.last(); last.Before(since.Add(500 * time.Millisecond)) {
			return fmt.Errorf("the last one was at %s", last.Format(time.TimeOnly))
		}
		return nil
	})
}

// balancerKilled kills the load balancer's container by hand, which no engine takes back by itself.
func balancerKilled(cl cluster, e *testbed.Engine, _ *writer) error {
	docker(cl.t, e, "kill", cl.name+"-external-load-balancer")
	if s := cl.status(); s.Usable || !strings.Contains(strings.Join(s.Problems, "\n"), "cove start") {
		cl.t.Errorf("without its load balancer the status is %+v", s)
	}
	cl.run("start", cl.name)
	return nil
}

// quorumLost kills two of three members of etcd together. Nothing can be written until one is back.
func quorumLost(cl cluster, e *testbed.Engine, w *writer) error {
	docker(cl.t, e, "kill", cl.name+"-control-plane2", cl.name+"-control-plane3")
	dead := time.Now()
	eventually(cl.t, 30*time.Second, "writes to be refused", func(context.Context) error {
		if time.Since(w.last()) < 5*time.Second {
			return fmt.Errorf("one was accepted %s after the kill", w.last().Sub(dead))
		}
		return nil
	})
	if after := w.last().Sub(dead); after > 5*time.Second {
		cl.t.Errorf("without a majority a write was accepted %s after the kill", after)
	}
	cl.run("start", cl.name)
	return nil
}

// staysDown stops the cluster, and wants it to stay so when the engine starts anew.
func staysDown(cl cluster, e *testbed.Engine, _ *writer) error {
	cl.run("stop", cl.name)
	if err := then(cl.t.Context(), e.Terminate, e.Resume); err != nil {
		return err
	}
	if s := cl.status(); s.State != "stopped" {
		return errors.New("a cluster that was stopped is " + s.State + " after the engine was started anew")
	}
	cl.run("start", cl.name)
	return nil
}

// balancerRemoved removes the load balancer's container by hand. The cluster says so, and start makes another one at the same port.
func balancerRemoved(cl cluster, e *testbed.Engine, _ *writer) error {
	docker(cl.t, e, "rm", "-f", cl.name+"-external-load-balancer")
	if s := cl.status(); s.Usable || !strings.Contains(strings.Join(s.Problems, "\n"), "cove start") {
		cl.t.Errorf("without its load balancer the status is %+v", s)
	}
	cl.run("start", cl.name)
	return nil
}

// cutOff takes a control plane off its network: it runs, and nobody reaches it. Writes go on, and start brings it back.
func cutOff(cl cluster, e *testbed.Engine, w *writer) error {
	docker(cl.t, e, "network", "disconnect", "cove-"+cl.name, cl.name+"-control-plane2")
	wrote(w, time.Now())
	if s := cl.status(); s.Usable || !strings.Contains(strings.Join(s.Problems, "\n"), cl.name+"-control-plane2") {
		cl.t.Errorf("with a control plane cut off the status is %+v", s)
	}
	cl.run("start", cl.name)
	return nil
}

// paused freezes a control plane, as a host that is out of breath does. Writes go on, and start lets it go on.
func paused(cl cluster, e *testbed.Engine, w *writer) error {
	docker(cl.t, e, "pause", cl.name+"-control-plane3")
	wrote(w, time.Now())
	if s := cl.status(); s.State == "paused" || s.Usable || !s.APIUp {
		cl.t.Errorf("with a control plane paused the status is %+v", s)
	}
	cl.run("start", cl.name)
	return nil
}

// removed removes a control plane's container by hand. Its volumes are there: start makes the container again.
func removed(cl cluster, e *testbed.Engine, w *writer) error {
	docker(cl.t, e, "rm", "-f", cl.name+"-control-plane")
	wrote(w, time.Now())
	if s := cl.status(); s.Usable || !strings.Contains(strings.Join(s.Problems, "\n"), cl.name+"-control-plane") {
		cl.t.Errorf("with a control plane's container gone the status is %+v", s)
	}
	cl.run("start", cl.name)
	return nil
}

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// TestOverlay2 makes a cluster on an engine with the storage driver that most engines have.
func TestOverlay2(t *testing.T) {
	e := onThrowAway(t)
	if driver := docker(t, e, "info", "--format", "{{.Driver}}"); driver != "overlay2" {
		t.Fatalf("the throw-away engine's storage driver is %s", driver)
	}
	before := contents(t, e)
	c := newCove(t, e)
	cl := c.create("overlay2", "--workers", "1")
	if s := cl.status(); !s.Usable || len(s.Nodes) != 2 {
		t.Errorf("status: %+v", s)
	}
	if got := nodeNames(t, c.kubeconfig(), e); len(got) != 2 {
		t.Errorf("a client that uses the kubeconfig sees nodes %q", got)
	}
	cl.run("delete", cl.name)
	wantNothing(cl, before)
}

// TestRestart takes a cluster's nodes, and the engine under it, down in several ways. The cluster has to come back by
// itself with its data.
func TestRestart(t *testing.T) {
	e := onThrowAway(t)
	agnhostOn(t, e)
	c := newCove(t, e)
	cl := c.create("restart", "--workers", "1")
	cl.run("image", "load", agnhostImage, "--name", cl.name)
	cl.apply(strings.ReplaceAll(web, "replicas: 2", "replicas: 1"))
	cl.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	cl.apply(`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}`)
	cl.apply(pod("Job", "write", `"mounttest", "--new_file_0644=/data/kept"`, "data"))
	cl.kubectl("wait", "--for=condition=Complete", "job/write", "--timeout=90s")
	nodes := cl.containers(t.Context())

	for _, outage := range []struct {
		name string
		do   func(ctx context.Context, t *testing.T) error
	}{
		{"Containers", func(_ context.Context, t *testing.T) error {
			t.Helper()
			docker(t, e, append([]string{"stop"}, nodes...)...)
			if s := cl.in(t).status(); s.State != "stopped" {
				t.Errorf("a cluster whose containers are stopped is %s", s.State)
			}
			docker(t, e, append([]string{"start"}, nodes...)...)
			return nil
		}},
		{"EngineTerminated", func(ctx context.Context, _ *testing.T) error { return then(ctx, e.Terminate, e.Resume) }},
		{"EngineKilled", func(ctx context.Context, _ *testing.T) error { return then(ctx, e.Kill, e.Resume) }},
		{"PowerCut", func(ctx context.Context, _ *testing.T) error { return then(ctx, e.PowerOff, e.Resume) }},
	} {
		ok := t.Run(outage.name, func(t *testing.T) {
			cl := cl.in(t)
			mark := "before-" + strings.ToLower(outage.name)
			cl.kubectl("create", "configmap", mark)
			if err := outage.do(t.Context(), t); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			wantBack(cl, mark)
			t.Logf("usable %.1f s after the engine", time.Since(begun).Seconds())
		})
		if !ok {
			return // what comes after would fail for the same reason
		}
	}
	t.Run("StaysDown", func(t *testing.T) { stopped(cl.in(t), e) })
	cl.apply(pod("Job", "read", `"mounttest", "--file_content=/data/kept"`, "data"))
	cl.kubectl("wait", "--for=condition=Complete", "job/read", "--timeout=90s")
	if out := cl.kubectl("logs", "job/read"); !strings.Contains(out, "mount-tester new file") {
		t.Errorf("after the restarts the volume has %q", out)
	}
}

// stopped stops the cluster, takes the engine down, and wants it to stay down until it is started.
func stopped(cl cluster, e *testbed.Engine) {
	cl.t.Helper()
	cl.kubectl("create", "configmap", "before-stop")
	cl.run("stop", cl.name)
	if err := then(cl.t.Context(), e.Terminate, e.Resume); err != nil {
		cl.t.Fatal(err)
	}
	if s := cl.status(); s.State != "stopped" {
		cl.t.Errorf("a cluster that was stopped is %s after the engine was started anew", s.State)
	}
	cl.run("start", cl.name)
	wantBack(cl, "before-stop")
	cl.run("pause", cl.name)
	if s := cl.status(); s.State != "paused" {
		cl.t.Errorf("a cluster that was paused is %s", s.State)
	}
	cl.run("resume", cl.name)
	wantBack(cl, "before-stop")
}

// then does one after the other.
func then(ctx context.Context, all ...func(context.Context) error) error {
	for _, do := range all {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wantBack waits until the cluster is usable again: by its own status, with the object that was made before, its pod
// served, and its DNS answering within the pod.
func wantBack(cl cluster, mark string) {
	cl.t.Helper()
	eventually(cl.t, 2*time.Minute, "the cluster to be back", func(ctx context.Context) error {
		r := cl.call(ctx, "", "status", cl.name, "-o", "json")
		if r.status != 0 || !strings.Contains(r.stdout, `"usable": true`) {
			return fmt.Errorf("status: %s", r)
		}
		for _, args := range [][]string{
			{"get", "configmap", mark},
			{"rollout", "status", "deployment/web", "--timeout=20s"},
			{"exec", "deployment/web", "--", "/agnhost", "connect", "--timeout=5s", "web.default.svc.cluster.local:80"},
		} {
			if r := cl.call(ctx, "", append([]string{"kubectl", "--name", cl.name, "--"}, args...)...); r.status != 0 {
				return fmt.Errorf("%s", r)
			}
		}
		return nil
	})
}

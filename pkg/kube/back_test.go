package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cove-k8s/cove/pkg/fault"
)

const leasesPath = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

// heard is a Ready node whose kubelet said so then.
func heard(s *store, name string, then time.Time) object {
	return s.named(name, object{"status": object{"conditions": []object{
		{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": then.UTC().Format(time.RFC3339)},
		{"type": "DiskPressure", "status": "False", "lastHeartbeatTime": "2100-01-01T00:00:00Z"},
	}}})
}

func lease(s *store, name string, then time.Time) object {
	o := s.named(name, object{"spec": object{"holderIdentity": name, "renewTime": then.UTC().Format("2006-01-02T15:04:05.000000Z07:00")}})
	metaOf(o)["namespace"] = corev1.NamespaceNodeLease
	return o
}

// sinceNow is when the nodes were started: now, and a bit, which the API does not keep.
func sinceNow(names ...string) map[string]time.Time {
	since := map[string]time.Time{}
	for _, n := range names {
		since[n] = time.Now().Add(300 * time.Millisecond)
	}
	return since
}

func TestWaitNodesFresh(t *testing.T) {
	old := -time.Minute
	for name, tt := range map[string]struct {
		change func(nodes, leases *store) // what happens after ten seconds
		want   time.Duration
		report string
	}{
		"by its status": {func(nodes, _ *store) { nodes.put(heard(nodes, "a", time.Now())) }, 10 * time.Second, "a (its kubelet has not reported yet)"},
		"by its lease":  {func(_, leases *store) { leases.put(lease(leases, "a", time.Now())) }, 10 * time.Second, "a (its kubelet has not reported yet)"},
		"old lease": {func(nodes, leases *store) {
			leases.put(lease(leases, "a", time.Now().Add(2*old)))
			time.AfterFunc(time.Second, func() { nodes.put(heard(nodes, "a", time.Now())) })
		}, 11 * time.Second, "a (its kubelet has not reported yet)"},
		"fresh, but not ready": {func(nodes, leases *store) {
			nodes.put(nodes.named("a", ready("False", "KubeletNotReady", "no network")))
			time.AfterFunc(time.Second/2, func() { leases.put(lease(leases, "a", time.Now())) })
			time.AfterFunc(time.Second, func() { nodes.put(heard(nodes, "a", time.Now().Add(2*old))) })
		}, 11 * time.Second, "a (KubeletNotReady)"},
		"another's lease": {func(nodes, leases *store) {
			leases.put(lease(leases, "b", time.Now()))
			time.AfterFunc(time.Second, func() { nodes.put(heard(nodes, "a", time.Now())) })
		}, 11 * time.Second, "a (its kubelet has not reported yet)"},
		"registered late": {func(nodes, leases *store) {
			nodes.remove("a")
			time.AfterFunc(time.Second/2, func() { leases.put(lease(leases, "a", time.Now())) })
			time.AfterFunc(time.Second, func() { nodes.put(heard(nodes, "a", time.Now().Add(2*old))) })
		}, 11 * time.Second, "a (is not registered)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				nodes, leases := newNodes(f), newStore("coordination.k8s.io/v1", "Lease").serve(f, leasesPath)
				nodes.put(heard(nodes, "a", time.Now().Add(old)))
				leases.put(lease(leases, "a", time.Now().Add(old)))
				time.AfterFunc(10*time.Second, func() { tt.change(nodes, leases) })
				begun, r := time.Now(), &reports{}
				if err := c.WaitNodesFresh(within(t, time.Minute), []string{"a"}, sinceNow("a"), r.add); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took != tt.want {
					t.Errorf("took %s", took)
				}
				wantParts(t, r.String(), tt.report)
				if nodes.lists != 1 || leases.lists != 1 {
					t.Errorf("%d and %d lists: it polls", nodes.lists, leases.lists)
				}
			})
		})
	}
}

// A heartbeat of the very second in which the node was started counts: the API keeps no more than seconds.
func TestWaitNodesFreshAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		nodes := newNodes(f)
		newStore("coordination.k8s.io/v1", "Lease").serve(f, leasesPath)
		nodes.put(heard(nodes, "a", time.Now()))
		begun := time.Now()
		if err := c.WaitNodesFresh(within(t, time.Minute), []string{"a"}, sinceNow("a"), nil); err != nil || time.Since(begun) != 0 {
			t.Errorf("took %s, %v", time.Since(begun), err)
		}
		if err := c.WaitNodesFresh(within(t, time.Minute), nil, nil, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitNodesFreshEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		nodes := newNodes(f)
		leases := newStore("coordination.k8s.io/v1", "Lease").serve(f, leasesPath)
		nodes.put(heard(nodes, "a", time.Now().Add(-time.Minute)))
		nodes.put(heard(nodes, "b", time.Now()))
		leases.put(lease(leases, "d", time.Now()))
		nodes.put(nodes.named("d", ready("False", "KubeletNotReady", "no network")))
		names := []string{"a", "b", "c", "d"}
		err := c.WaitNodesFresh(within(t, time.Minute), names, sinceNow(names...), nil)
		want := "not every node came back in time: node a: its kubelet has not reported since it was started; c: is not registered; d: KubeletNotReady: no network"
		if !fault.Is(err, fault.NotReady) || err.Error() != want {
			t.Errorf("got %v", err)
		}
		if err := c.WaitNodesFresh(interrupted(t), names, sinceNow(names...), nil); !errors.Is(err, errStop) {
			t.Errorf("got %v", err)
		}
		f.setDown(true)
		c.Close()
		err = c.WaitNodesFresh(within(t, time.Minute), names, nil, nil)
		if !fault.Is(err, fault.NotReady) {
			t.Errorf("got %v", err)
		}
		wantParts(t, err.Error(), "c: is not registered", "the API server: connection refused")
	})
}

func TestWaitNodesFreshRefused(t *testing.T) {
	for _, path := range []string{"/api/v1/nodes", leasesPath} {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFakeAPI(t)
			newNodes(f)
			newStore("coordination.k8s.io/v1", "Lease").serve(f, leasesPath)
			f.on("GET "+path, refuse(403, "Forbidden", "no", nil))
			err := c.WaitNodesFresh(within(t, time.Minute), []string{"a"}, nil, nil)
			if !fault.Is(err, fault.KubernetesRefused) || err.Error() != "cannot watch the nodes: no" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// onNode returns a pod of the namespace on the node.
func onNode(t *testing.T, namespace, name, node, status string) object {
	t.Helper()
	return mustDecode(t, "{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s}, spec: {nodeName: %q}, status: %s}", name, namespace, node, status)[0].Object
}

func TestPodLacks(t *testing.T) {
	const (
		isReady  = `conditions: [{type: Ready, status: "True"}]`
		notReady = `conditions: [{type: Ready, status: "False"}]`
		older    = `state: {running: {startedAt: "2000-01-01T11:59:59Z"}}`
		newer    = `state: {running: {startedAt: "2000-01-01T12:00:00Z"}}`
		loops    = `state: {waiting: {reason: CrashLoopBackOff}}`
		before   = "its state is from before"
	)
	since := time.Date(2000, 1, 1, 12, 0, 0, 900, time.UTC)
	for name, tt := range map[string]struct{ status, brief, full string }{
		"ready":                       {"{phase: Running, " + isReady + ", containerStatuses: [{name: a, " + newer + "}]}", "", ""},
		"ready, one stale":            {"{phase: Running, " + isReady + ", containerStatuses: [{name: a, " + newer + "}, {name: b, " + older + "}]}", before, ""},
		"stuck, then stale":           {"{phase: Running, " + notReady + ", containerStatuses: [{name: a, " + loops + "}, {name: b, " + older + "}]}", before, ""},
		"stale, then stuck":           {"{phase: Running, " + notReady + ", containerStatuses: [{name: a, " + older + "}, {name: b, " + loops + "}]}", before, ""},
		"stale init container":        {"{phase: Running, " + isReady + ", initContainerStatuses: [{name: i, " + older + "}], containerStatuses: [{name: a, " + newer + "}]}", before, ""},
		"stuck, then starts":          {"{phase: Running, " + notReady + ", containerStatuses: [{name: a, " + loops + "}, {name: b, " + newer + "}]}", "", ""},
		"init loops":                  {"{phase: Pending, " + notReady + ", initContainerStatuses: [{name: i, " + loops + "}], containerStatuses: [{name: a, state: {waiting: {reason: PodInitializing}}}]}", "", ""},
		"init without image":          {"{phase: Pending, " + notReady + ", initContainerStatuses: [{name: i, state: {waiting: {reason: ImagePullBackOff}}}]}", "", ""},
		"init done, starts":           {"{phase: Pending, " + notReady + `, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0, startedAt: "1999-01-01T00:00:00Z"}}}], containerStatuses: [{name: a, state: {waiting: {reason: PodInitializing}}}]}`, "is not ready", "pending, not ready"},
		"no image":                    {"{phase: Pending, " + notReady + ", containerStatuses: [{name: a, state: {waiting: {reason: ErrImagePull}}}]}", "", ""},
		"no configuration":            {"{phase: Pending, " + notReady + ", containerStatuses: [{name: a, state: {waiting: {reason: CreateContainerConfigError}}}]}", "", ""},
		"not created yet":             {"{phase: Pending, " + notReady + ", containerStatuses: [{name: a, state: {waiting: {reason: CreateContainerError, message: name is reserved}}}]}", "is not ready", "container a is waiting: CreateContainerError name is reserved"},
		"starts":                      {"{phase: Pending, " + notReady + ", containerStatuses: [{name: a, state: {waiting: {reason: ContainerCreating}}}]}", "is not ready", "pending, not ready"},
		"runs":                        {"{phase: Running, " + notReady + ", containerStatuses: [{name: a, " + newer + "}]}", "is not ready", "running, not ready"},
		"has ended once":              {"{phase: Running, " + notReady + ", containerStatuses: [{name: a, state: {terminated: {exitCode: 255, reason: Unknown}}}]}", "is not ready", "container a ended with status 255: Unknown"},
		"no status yet":               {"{phase: Pending}", "is not ready", "pending, not ready"},
		"done":                        {"{phase: Succeeded, containerStatuses: [{name: a, " + older + "}]}", "", ""},
		"failed":                      {"{phase: Failed}", "", ""},
		"of the second it is started": {"{phase: Running, " + isReady + `, containerStatuses: [{name: a, state: {running: {startedAt: "2000-01-01T12:00:00Z"}}}]}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			pod := func(meta string) *corev1.Pod {
				p, err := as[corev1.Pod](mustDecode(t, "{apiVersion: v1, kind: Pod, metadata: {name: x%s}, status: %s}", meta, tt.status)[0])
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			brief, full := podLacks(pod(""), since.Truncate(time.Second))
			if tt.full == "" && tt.brief != "" {
				tt.full = "its state is from before its node was started"
			}
			if brief != tt.brief || full != tt.full {
				t.Errorf("got %q, %q", brief, full)
			}
			if brief, _ := podLacks(pod(`, deletionTimestamp: "2000-01-01T00:00:00Z"`), since); brief != "" {
				t.Errorf("being deleted: %q", brief)
			}
		})
	}
}

// The kubelet tells late that a static pod is ready, but not that it is another one.
func TestPodLacksStatic(t *testing.T) {
	since := time.Date(2000, 1, 1, 12, 0, 0, 0, time.UTC)
	for status, want := range map[string]string{
		"{phase: Running}": "",
		"{phase: Pending}": "is not ready",
		`{phase: Running, containerStatuses: [{name: a, state: {running: {startedAt: "2000-01-01T11:00:00Z"}}}]}`: "its state is from before",
	} {
		p, err := as[corev1.Pod](mustDecode(t, "{apiVersion: v1, kind: Pod, metadata: {name: x, annotations: {kubernetes.io/config.mirror: abc}}, status: %s}", status)[0])
		if err != nil {
			t.Fatal(err)
		}
		brief, full := podLacks(p, since)
		if brief != want || (full == "") != (brief == "") {
			t.Errorf("%s: %q, %q", status, brief, full)
		}
	}
}

const (
	podReady   = `{phase: Running, conditions: [{type: Ready, status: "True"}]}`
	podRunning = `{phase: Running, conditions: [{type: Ready, status: "False"}]}`
)

func systemOnly(namespace string) bool { return namespace == "kube-system" }

func TestWaitPodsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		pods := newStore("v1", "Pod")
		f.on("GET /api/v1/pods", pods.ServeHTTP)
		put := func(namespace, name, node, status string) { pods.put(onNode(t, namespace, name, node, status)) }
		put("kube-system", "dns-1", "a", podRunning)
		put("kube-system", "dns-2", "b", podRunning)
		put("kube-system", "proxy", "other", podRunning)
		put("kube-system", "nowhere", "", `{phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable}]}`)
		put("kube-system", "broken", "a", `{phase: Pending, containerStatuses: [{name: x, state: {waiting: {reason: ImagePullBackOff}}}]}`)
		put("mine", "dns-1", "a", podRunning) // of the same name
		// It runs since the very second in which its node was started.
		put("kube-system", "first", "a", fmt.Sprintf(`{phase: Running, conditions: [{type: Ready, status: "True"}], containerStatuses: [{name: x, state: {running: {startedAt: %q}}}]}`,
			time.Now().UTC().Format(time.RFC3339)))
		time.AfterFunc(1*time.Second, func() { put("kube-system", "dns-2", "b", podReady) })
		time.AfterFunc(2*time.Second, func() { put("mine", "dns-2", "a", podRunning) })
		time.AfterFunc(3*time.Second, func() { put("kube-system", "dns-1", "a", podReady) })
		begun, r := time.Now(), &reports{}
		since := sinceNow("a", "b")
		since[""] = time.Now()
		if err := c.WaitPodsBack(within(t, time.Minute), since, systemOnly, r.add); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
		if want := "pod kube-system/dns-1 (is not ready) and 1 more\npod kube-system/dns-1 (is not ready)"; r.String() != want {
			t.Errorf("reports %q", r.String())
		}
		if pods.lists != 1 {
			t.Errorf("%d lists: it polls", pods.lists)
		}
	})
}

// What the runtime cannot make at once after a start, it makes a moment later.
func TestWaitPodsBackAfterCreateContainerError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		pods := newStore("v1", "Pod")
		f.on("GET /api/v1/pods", pods.ServeHTTP)
		pods.put(onNode(t, "kube-system", "dns", "a", `{phase: Pending, containerStatuses: [{name: x, state: {waiting: {reason: CreateContainerError, message: name is reserved}}}]}`))
		time.AfterFunc(5*time.Second, func() { pods.put(onNode(t, "kube-system", "dns", "a", podReady)) })
		begun := time.Now()
		if err := c.WaitPodsBack(within(t, time.Minute), sinceNow("a"), systemOnly, nil); err != nil || time.Since(begun) != 5*time.Second {
			t.Errorf("took %s, %v", time.Since(begun), err)
		}
	})
}

// Whatever order the pods come in, the same is said of the same.
func TestWaitPodsBackOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		pods := newStore("v1", "Pod")
		f.on("GET /api/v1/pods", pods.ServeHTTP)
		for i := range 40 {
			pods.put(onNode(t, "kube-system", fmt.Sprintf("p%02d", i), "a", podRunning))
		}
		time.AfterFunc(time.Second, func() { pods.put(onNode(t, "kube-system", "p00", "a", podReady)) })
		time.AfterFunc(2*time.Second, func() { pods.remove("p01") })
		var said []string
		err := c.WaitPodsBack(within(t, time.Minute), sinceNow("a"), systemOnly, func(s string) { said = append(said, s) })
		want := "pod kube-system/p00 (is not ready) and 39 more\npod kube-system/p01 (is not ready) and 38 more\npod kube-system/p02 (is not ready) and 37 more"
		if got := strings.Join(said, "\n"); got != want {
			t.Errorf("reports %q", got)
		}
		if !fault.Is(err, fault.NotReady) || !strings.HasPrefix(err.Error(), "not every pod came back in time: pod kube-system/p02: running, not ready; pod kube-system/p03: ") {
			t.Errorf("got %v", err)
		}
	})
}

func TestWaitPodsBackEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		pods := newStore("v1", "Pod")
		f.on("GET /api/v1/pods", pods.ServeHTTP)
		pods.put(onNode(t, "kube-system", "dns", "a", podRunning))
		if err := c.WaitPodsBack(interrupted(t), sinceNow("a"), systemOnly, nil); !errors.Is(err, errStop) || !fault.Is(err, fault.NotReady) {
			t.Errorf("got %v", err)
		}
		if err := c.WaitPodsBack(within(t, time.Minute), sinceNow("b"), systemOnly, nil); err != nil {
			t.Error(err)
		}
		f.setDown(true)
		c.Close()
		err := c.WaitPodsBack(within(t, time.Minute), sinceNow("a"), systemOnly, nil)
		if !fault.Is(err, fault.NotReady) || !errors.Is(err, context.DeadlineExceeded) || err.Error() != "not every pod came back in time: the API server: connection refused" {
			t.Errorf("got %v", err)
		}
		f.setDown(false)
		ended, cancel := context.WithCancelCause(t.Context())
		cancel(errStop)
		if err := c.WaitPodsBack(ended, sinceNow("a"), systemOnly, nil); !errors.Is(err, errStop) || err.Error() != "not every pod came back: stop" {
			t.Errorf("got %v", err)
		}
		f.on("GET /api/v1/pods", refuse(403, "Forbidden", "no", nil))
		if err := c.WaitPodsBack(within(t, time.Minute), sinceNow("a"), systemOnly, nil); !fault.Is(err, fault.KubernetesRefused) || err.Error() != "cannot watch the pods: no" {
			t.Errorf("got %v", err)
		}
	})
}

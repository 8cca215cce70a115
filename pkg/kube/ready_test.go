package kube

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cove-k8s/cove/pkg/fault"
)

func deployment(s *store, want, updated, available int) object {
	return s.named("web", object{
		"spec": object{"replicas": want, "selector": object{"matchLabels": object{"app": "web"}}},
		"status": object{
			"observedGeneration": 2, "replicas": updated, "updatedReplicas": updated, "availableReplicas": available, "readyReplicas": available,
			"conditions": []object{{"type": "Available", "status": map[bool]string{true: "True", false: "False"}[available >= want]}},
		},
	})
}

func TestWaitReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		web, ds := newStore("apps/v1", "Deployment"), newStore("apps/v1", "DaemonSet")
		f.on("GET /apis/apps/v1/namespaces/mine/deployments", web.ServeHTTP)
		f.on("GET /apis/apps/v1/namespaces/mine/daemonsets", ds.ServeHTTP)
		time.AfterFunc(1*time.Second, func() { web.put(deployment(web, 2, 2, 1)) })
		time.AfterFunc(2*time.Second, func() {
			ds.put(ds.named("ds", object{"status": object{"observedGeneration": 2, "desiredNumberScheduled": 1, "currentNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1, "numberReady": 1}}))
		})
		time.AfterFunc(3*time.Second, func() { web.put(deployment(web, 2, 2, 2)) })
		begun, r := time.Now(), &reports{}
		if err := c.WaitReady(within(t, time.Minute), []Ref{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "mine", Name: "web"}, {APIVersion: "apps/v1", Kind: "DaemonSet", Namespace: "mine", Name: "ds"}}, r.add); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
		wantParts(t, r.String(), "daemonset mine/ds (does not exist) and 1 more", "deployment mine/web (Available: 1/2)")
		for _, q := range f.seen("deployments") {
			wantParts(t, q, "fieldSelector=metadata.name%3Dweb")
		}
	})
}

// When time is up, the error has what the pods and their events say.
func TestWaitReadyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		web := newStore("apps/v1", "Deployment")
		web.put(deployment(web, 1, 1, 0))
		f.on("GET /apis/apps/v1/namespaces/mine/deployments", web.ServeHTTP)
		f.on("GET /apis/apps/v1/namespaces/mine/deployments/web", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, deployment(web, 1, 1, 0)) })
		pods := newStore("v1", "Pod")
		pods.put(pods.named("web-1", object{"status": object{"phase": "Pending", "containerStatuses": []object{
			{"name": "web", "state": object{"waiting": object{"reason": "ImagePullBackOff", "message": "Back-off\n  pulling"}}},
		}}}))
		f.on("GET /api/v1/namespaces/mine/pods", pods.ServeHTTP)
		events := newStore("v1", "Event")
		events.put(events.named("e1", object{"reason": "Failed", "message": "new", "lastTimestamp": "2026-01-02T00:00:00Z"}))
		events.put(events.named("e2", object{"reason": "Failed", "message": "old", "lastTimestamp": "2026-01-01T00:00:00Z"}))
		f.on("GET /api/v1/namespaces/mine/events", events.ServeHTTP)
		refs := []Ref{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "mine", Name: "web"}, {APIVersion: "apps/v1", Kind: "Deployment", Namespace: "mine", Name: "none"}}
		err := c.WaitReady(within(t, time.Minute), refs, nil)
		want := "not everything became ready in time: deployment mine/none: does not exist; deployment mine/web: Available: 0/1, " +
			"pod web-1: container web is waiting: ImagePullBackOff Back-off pulling (Failed: new)"
		if !fault.Is(err, fault.AddonFailed) || !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("got %v", err)
		}
		for _, q := range f.seen("/pods") {
			wantParts(t, q, "labelSelector=app%3Dweb")
		}
		for _, q := range f.seen("/events") {
			wantParts(t, q, "involvedObject.name%3Dweb-1", "type%3DWarning")
		}
		before := len(f.seen("/pods"))
		if err := c.WaitReady(interrupted(t), refs, nil); !errors.Is(err, errStop) {
			t.Errorf("got %v", err)
		}
		if after := len(f.seen("/pods")); after != before {
			t.Error("an interrupted wait goes on asking")
		}
	})
}

func TestWaitReadyJobFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		jobs := newStore("batch/v1", "Job")
		jobs.put(jobs.named("setup", object{"status": object{"conditions": []object{{"type": "Failed", "status": "True", "message": "back-off limit reached"}}}}))
		f.on("GET /apis/batch/v1/namespaces/mine/jobs", jobs.ServeHTTP)
		begun := time.Now()
		err := c.WaitReady(within(t, time.Minute), []Ref{{APIVersion: "batch/v1", Kind: "Job", Namespace: "mine", Name: "setup"}, {APIVersion: "batch/v1", Kind: "Job", Namespace: "mine", Name: "other"}}, nil)
		if !fault.Is(err, fault.AddonFailed) || !strings.Contains(err.Error(), "job mine/setup: it has failed: ") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestLacks(t *testing.T) {
	for name, tt := range map[string]struct{ manifest, condition, want string }{
		"deployment of none":  {"apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 0}\nstatus: {observedGeneration: 2, conditions: [{type: Available, status: \"True\"}]}", "", ""},
		"deployment new":      {"apiVersion: apps/v1\nkind: Deployment\nstatus: {observedGeneration: 1}", "", "Deployment generation is 2, but latest observed generation is 1"},
		"deployment stuck":    {"apiVersion: apps/v1\nkind: Deployment\nstatus: {observedGeneration: 2, conditions: [{type: Progressing, status: \"False\", reason: ProgressDeadlineExceeded}]}", "", "Progress deadline exceeded"},
		"daemon set no nodes": {"apiVersion: apps/v1\nkind: DaemonSet\nstatus: {observedGeneration: 2, desiredNumberScheduled: 0}", "", "no node is chosen for it yet"},
		"daemon set starts":   {"apiVersion: apps/v1\nkind: DaemonSet\nstatus: {observedGeneration: 2, desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}", "", "Available: 1/2"},
		"definition":          {"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nstatus: {conditions: [{type: Established, status: \"True\"}]}", "", ""},
		"definition new":      {"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition", "", "Install in progress"},
		"config map":          {"apiVersion: v1\nkind: ConfigMap", "", ""},
		"other, ready":        {"apiVersion: example.com/v1\nkind: Thing\nstatus: {conditions: [{type: Ready, status: \"True\"}]}", "", ""},
		"other, not ready":    {"apiVersion: example.com/v1\nkind: Thing\nstatus: {conditions: [{type: Ready, status: \"False\", message: soon}]}", "", "soon"},
		"condition":           {"apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nstatus: {conditions: [{type: Available, status: \"True\"}]}", "Available", ""},
		"condition false":     {"apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nstatus: {conditions: [{type: Available, status: \"False\", reason: MissingEndpoints, message: none}]}", "Available", "not Available: MissingEndpoints none"},
		"condition not there": {"apiVersion: apiregistration.k8s.io/v1\nkind: APIService", "Available", "not Available yet"},
	} {
		t.Run(name, func(t *testing.T) {
			o := mustDecode(t, "%s\nmetadata: {name: x, generation: 2}\n", tt.manifest)[0]
			if got, err := lacks(o, tt.condition); err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestPending(t *testing.T) {
	objs := mustDecode(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: b, namespace: mine}}\n")
	got := Pending(objs)
	if len(got) != 1 || got[0].String() != "deployment mine/b" {
		t.Errorf("got %v", got)
	}
}

func TestPodHealth(t *testing.T) {
	for name, tt := range map[string]struct {
		status  string
		healthy bool
		reason  string
	}{
		"ready":         {"{phase: Running, conditions: [{type: Ready, status: \"True\"}]}", true, ""},
		"ended":         {"{phase: Succeeded}", true, ""},
		"starts":        {"{phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: ContainerCreating}}}]}", false, "pending, not ready"},
		"not scheduled": {"{phase: Pending, conditions: [{type: PodScheduled, status: \"False\", message: no nodes}]}", false, "not scheduled: no nodes"},
		"no image":      {"{phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: ErrImagePull, message: m}}}]}", false, "container c is waiting: ErrImagePull m"},
		"init fails":    {"{phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 3, reason: Error}}}]}", false, "container i ended with status 3: Error"},
		"loops": {"{phase: Running, containerStatuses: [{name: c, state: {waiting: {reason: CrashLoopBackOff, message: back-off}}, lastState: {terminated: {exitCode: 1, reason: Error, message: \"no such file\\n\"}}}]}",
			false, "container c ends with status 1 again and again: no such file"},
		"evicted": {"{phase: Failed, reason: Evicted, message: low on memory}", false, "failed, Evicted: low on memory"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := as[corev1.Pod](mustDecode(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nstatus: %s\n", tt.status)[0])
			if err != nil {
				t.Fatal(err)
			}
			if healthy, reason := podHealth(p); healthy != tt.healthy || reason != tt.reason {
				t.Errorf("got %v, %q", healthy, reason)
			}
		})
	}
}

// The kubelet tells of a static pod late, but for what keeps it from running.
func TestStaticPodHealth(t *testing.T) {
	for status, want := range map[string]bool{
		"{phase: Pending}": true, "{phase: Running}": true, "{phase: Failed}": false,
		"{phase: Running, containerStatuses: [{name: c, state: {terminated: {exitCode: 1}}}]}": false,
	} {
		manifest := "apiVersion: v1\nkind: Pod\nmetadata: {name: x, annotations: {kubernetes.io/config.mirror: abc}}\nstatus: %s\n"
		p, err := as[corev1.Pod](mustDecode(t, manifest, status)[0])
		if err != nil {
			t.Fatal(err)
		}
		if healthy, reason := podHealth(p); healthy != want {
			t.Errorf("%s: %v, %q", status, healthy, reason)
		}
	}
}

func TestPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		pods := newStore("v1", "Pod")
		pods.put(object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "x", "namespace": "y"}, "spec": object{"nodeName": "n"}, "status": object{"phase": "Succeeded"}})
		f.on("GET /api/v1/pods", pods.ServeHTTP)
		got, err := c.Pods(t.Context())
		if err != nil || len(got) != 1 || got[0] != (PodInfo{Namespace: "y", Name: "x", Node: "n", Healthy: true}) {
			t.Errorf("%+v, %v", got, err)
		}
		f.on("GET /api/v1/pods", refuse(403, "Forbidden", "no", nil))
		if _, err := c.Pods(t.Context()); !fault.Is(err, fault.KubernetesRefused) {
			t.Errorf("got %v", err)
		}
	})
}

func TestShorten(t *testing.T) {
	if got := shorten(" a\n\tb  c "); got != "a b c" {
		t.Errorf("got %q", got)
	}
	if got := shorten(strings.Repeat("é", longest)); len(got) > longest+len("…") || !strings.HasSuffix(got, "é…") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-6:])
	}
}

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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/fault"
)

func deployment(s *store, want, updated, available int) object {
	return s.named("web", object{
		"spec":   object{"replicas": want, "selector": object{"matchLabels": object{"app": "web"}}},
		"status": object{"observedGeneration": 2, "replicas": updated, "updatedReplicas": updated, "availableReplicas": available},
	})
}

func TestWaitWorkloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		web, ds := newStore("apps/v1", "Deployment"), newStore("apps/v1", "DaemonSet")
		f.on("GET /apis/apps/v1/namespaces/mine/deployments", web.ServeHTTP)
		f.on("GET /apis/apps/v1/namespaces/mine/daemonsets", ds.ServeHTTP)
		time.AfterFunc(1*time.Second, func() { web.put(deployment(web, 2, 2, 1)) })
		time.AfterFunc(2*time.Second, func() {
			ds.put(ds.named("ds", object{"status": object{"observedGeneration": 2, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1}}))
		})
		time.AfterFunc(3*time.Second, func() { web.put(deployment(web, 2, 2, 2)) })
		begun, r := time.Now(), &reports{}
		if err := c.WaitWorkloads(within(t, time.Minute), []Ref{{"Deployment", "mine", "web"}, {"DaemonSet", "mine", "ds"}}, r.add); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
		wantParts(t, r.String(), "daemonset mine/ds (does not exist) and 1 more", "deployment mine/web (1 of 2 pods are available)")
		for _, q := range f.seen("deployments") {
			wantParts(t, q, "fieldSelector=metadata.name%3Dweb")
		}
	})
}

// When time is up, the error has what the pods and their events say.
func TestWaitWorkloadsEnds(t *testing.T) {
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
		refs := []Ref{{"Deployment", "mine", "web"}, {"Deployment", "mine", "none"}}
		err := c.WaitWorkloads(within(t, time.Minute), refs, nil)
		want := "not every workload became available in time: deployment mine/none: does not exist; deployment mine/web: 0 of 1 pods are available, " +
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
		if err := c.WaitWorkloads(interrupted(t), refs, nil); !errors.Is(err, errStop) {
			t.Errorf("got %v", err)
		}
		if after := len(f.seen("/pods")); after != before {
			t.Error("an interrupted wait goes on asking")
		}
	})
}

func TestWaitWorkloadsJobFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		jobs := newStore("batch/v1", "Job")
		jobs.put(jobs.named("setup", object{"status": object{"conditions": []object{{"type": "Failed", "status": "True", "message": "back-off limit reached"}}}}))
		f.on("GET /apis/batch/v1/namespaces/mine/jobs", jobs.ServeHTTP)
		begun := time.Now()
		err := c.WaitWorkloads(within(t, time.Minute), []Ref{{"Job", "mine", "setup"}, {"Job", "mine", "other"}}, nil)
		if !fault.Is(err, fault.AddonFailed) || !strings.Contains(err.Error(), "job mine/setup: it has failed: back-off limit reached") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestWorkloadLacks(t *testing.T) {
	for name, tt := range map[string]struct{ manifest, want string }{
		"deployment done":     {"kind: Deployment\nspec: {replicas: 2}\nstatus: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}", ""},
		"deployment default":  {"kind: Deployment\nstatus: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1}", ""},
		"deployment of none":  {"kind: Deployment\nspec: {replicas: 0}\nstatus: {observedGeneration: 2}", ""},
		"deployment new":      {"kind: Deployment\nstatus: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1}", "its controller has not seen it yet"},
		"deployment rolls":    {"kind: Deployment\nspec: {replicas: 2}\nstatus: {observedGeneration: 2, replicas: 3, updatedReplicas: 1, availableReplicas: 2}", "1 of 2 pods are up to date"},
		"deployment old pods": {"kind: Deployment\nstatus: {observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 1}", "1 of its old pods are still there"},
		"deployment quota": {"kind: Deployment\nstatus: {observedGeneration: 2, conditions: [{type: ReplicaFailure, status: \"True\", message: quota}, {type: Progressing, status: \"False\", message: deadline}]}",
			"0 of 1 pods are up to date, quota, deadline"},
		"daemon set done":     {"kind: DaemonSet\nstatus: {observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2}", ""},
		"daemon set no nodes": {"kind: DaemonSet\nstatus: {observedGeneration: 2}", "0 of 1 pods are up to date"},
		"daemon set starts":   {"kind: DaemonSet\nstatus: {observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}", "1 of 2 pods are available"},
		"stateful set done":   {"kind: StatefulSet\nstatus: {observedGeneration: 2, updatedReplicas: 1, availableReplicas: 1}", ""},
		"stateful set starts": {"kind: StatefulSet\nspec: {replicas: 3}\nstatus: {observedGeneration: 2, updatedReplicas: 3, availableReplicas: 1}", "1 of 3 pods are available"},
		"job done":            {"kind: Job\nstatus: {conditions: [{type: Complete, status: \"True\"}]}", ""},
		"job runs":            {"kind: Job\nspec: {completions: 3}\nstatus: {succeeded: 1, conditions: [{type: Failed, status: \"False\"}]}", "1 of 3 completions"},
	} {
		t.Run(name, func(t *testing.T) {
			o := mustDecode(t, "apiVersion: v1\nmetadata: {name: x, generation: 2}\n%s\n", tt.manifest)[0]
			if got, err := workloadLacks(o); err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	if _, err := workloadLacks(&unstructured.Unstructured{Object: object{"kind": "Service"}}); err == nil {
		t.Error("a Service is waited for")
	}
}

func TestWorkloadRef(t *testing.T) {
	for manifest, want := range map[string]string{
		"{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: z}}": "deployment z/x",
		"{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x}}":                "daemonset default/x",
		"{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x}}":              "statefulset default/x",
		"{apiVersion: batch/v1, kind: Job, metadata: {name: x}}":                     "job default/x",
		"{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}}":                 "",
		"{apiVersion: example.com/v1, kind: Deployment, metadata: {name: x}}":        "",
		"{apiVersion: example.com/v1, kind: Job, metadata: {name: x}}":               "",
		"{apiVersion: v1, kind: Service, metadata: {name: x}}":                       "",
	} {
		ref, ok := WorkloadRef(mustDecode(t, "%s", manifest)[0])
		if ok != (want != "") || ok && ref.String() != want {
			t.Errorf("%s: %s, %v", manifest, ref, ok)
		}
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

package kube

import (
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cove-k8s/cove/pkg/fault"
)

func ready(status, reason, message string) object {
	return object{"status": object{"conditions": []object{
		{"type": "DiskPressure", "status": "False"},
		{"type": "Ready", "status": status, "reason": reason, "message": message},
	}}}
}

func newNodes(f *fakeAPI, names ...string) *store {
	s := newStore("v1", "Node")
	for _, n := range names {
		s.put(s.named(n, nil))
	}
	f.on("GET /api/v1/nodes", s.ServeHTTP)
	return s
}

func TestWaitNodesReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		nodes := newNodes(f, "a", "other")
		time.AfterFunc(1*time.Second, func() { nodes.put(nodes.named("a", ready("False", "KubeletNotReady", "no network"))) })
		time.AfterFunc(2*time.Second, func() { nodes.put(nodes.named("a", ready("True", "KubeletReady", ""))) })
		time.AfterFunc(3*time.Second, func() { nodes.put(nodes.named("b", ready("True", "KubeletReady", ""))) })
		begun, r := time.Now(), &reports{}
		if err := c.WaitNodesReady(t.Context(), []string{"a", "b"}, r.add); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %s: a watch sees it at once", took)
		}
		wantParts(t, r.String(), "a (its kubelet has not reported yet) and 1 more\n", "a (KubeletNotReady) and 1 more\n", "b (is not registered)")
		if got := f.seen("watch=true"); len(got) != 1 || !strings.Contains(got[0], "resourceVersion=3") {
			t.Errorf("the watch does not go on from the list: %q", got)
		}
		if nodes.lists != 1 {
			t.Errorf("%d lists", nodes.lists)
		}
	})
}

func TestWaitNodesReadyNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		newNodes(f)
		if err := c.WaitNodesReady(within(t, time.Second), nil, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitNodesReadyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		nodes := newNodes(f)
		nodes.put(nodes.named("a", ready("False", "KubeletNotReady", "container runtime network not ready")))
		nodes.put(nodes.named("b", ready("True", "KubeletReady", "")))
		err := c.WaitNodesReady(within(t, time.Minute), []string{"a", "b", "c"}, nil)
		if !fault.Is(err, fault.NotReady) ||
			err.Error() != "not every node got Ready in time: node a: KubeletNotReady: container runtime network not ready; c: is not registered" {
			t.Errorf("got %v", err)
		}
		if err := c.WaitNodesReady(interrupted(t), []string{"c"}, nil); !errors.Is(err, errStop) {
			t.Errorf("got %v", err)
		}
	})
}

// A node that was Ready and is not any more, or is gone, counts as what it is now.
func TestWaitNodesReadyFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		nodes := newNodes(f)
		nodes.put(nodes.named("a", ready("True", "KubeletReady", "")))
		time.AfterFunc(1*time.Second, func() { nodes.put(nodes.named("a", ready("Unknown", "NodeStatusUnknown", "gone"))) })
		time.AfterFunc(2*time.Second, func() { nodes.put(nodes.named("b", ready("True", "KubeletReady", ""))) })
		time.AfterFunc(3*time.Second, func() { nodes.remove("b") })
		err := c.WaitNodesReady(within(t, 10*time.Second), []string{"a", "b"}, nil)
		if err == nil {
			t.Fatal("ready")
		}
		wantParts(t, err.Error(), "a: NodeStatusUnknown: gone", "b: is not registered")
	})
}

// Watches that end, versions that are too old, and a server that restarts are borne, and nothing is missed.
func TestWatchIsMended(t *testing.T) {
	for name, breakIt := range map[string]func(*fakeAPI, *Client, *store){
		"watch ends": func(_ *fakeAPI, _ *Client, s *store) {
			s.mu.Lock()
			close(s.cut)
			s.cut = make(chan struct{})
			s.mu.Unlock()
		},
		"version old": func(_ *fakeAPI, _ *Client, s *store) { s.forget() },
		"server restarts": func(f *fakeAPI, c *Client, s *store) {
			f.setDown(true)
			s.forget()
			c.Close()
			time.AfterFunc(5*time.Second, func() { f.setDown(false) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				nodes := newNodes(f, "a")
				time.AfterFunc(10*time.Second, func() { breakIt(f, c, nodes) })
				time.AfterFunc(20*time.Second, func() { nodes.put(nodes.named("a", ready("True", "KubeletReady", ""))) })
				begun := time.Now()
				if err := c.WaitNodesReady(within(t, time.Minute), []string{"a"}, nil); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took > 22*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestWaitNodesReadyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		f.on("GET /api/v1/nodes", refuse(403, "Forbidden", "nodes is forbidden", nil))
		err := c.WaitNodesReady(within(t, time.Minute), []string{"a"}, nil)
		if !fault.Is(err, fault.KubernetesRefused) || !strings.Contains(err.Error(), "nodes is forbidden") {
			t.Errorf("got %v", err)
		}
	})
}

// Where the API server cannot be reached at the end, that is what is said.
func TestWaitNodesReadyServerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		f.setDown(true)
		err := c.WaitNodesReady(within(t, time.Minute), []string{"a"}, nil)
		if !fault.Is(err, fault.NotReady) {
			t.Errorf("got %v", err)
		}
		wantParts(t, err.Error(), "node a: is not registered", "connection refused")
	})
}

func TestCreateNodeObject(t *testing.T) {
	shares := []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}
	exists := refuse(409, "AlreadyExists", `nodes "w" already exists`, nil)
	node := func(podCIDR string, labels object) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, object{"apiVersion": "v1", "kind": "Node", "metadata": object{"name": "w", "labels": labels}, "spec": object{"podCIDR": podCIDR}})
		}
	}
	made := func(w http.ResponseWriter, _ *http.Request) { // the request may be in protobuf
		answer(w, http.StatusCreated, object{"apiVersion": "v1", "kind": "Node", "metadata": object{"name": "w"}})
	}
	for name, tt := range map[string]struct {
		create, get http.HandlerFunc
		patches     int
		want        string
	}{
		"new":            {create: made},
		"busy":           {create: times(2, refuse(503, "ServiceUnavailable", "starting", nil), made)},
		"the same":       {create: exists, get: node("10.244.1.0/24", object{"a": "b"})},
		"without share":  {create: exists, get: node("", object{"a": "b"}), patches: 1},
		"without labels": {create: exists, get: node("10.244.1.0/24", nil), patches: 1},
		"another share":  {create: exists, get: node("10.244.7.0/24", nil), want: "its share of the pod subnet is 10.244.7.0/24, not 10.244.1.0/24"},
		"refused":        {create: refuse(422, "Invalid", "a bad name", nil), want: "cannot register node w: a bad name"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				f.on("POST /api/v1/nodes", tt.create)
				f.on("GET /api/v1/nodes/w", tt.get)
				f.on("PATCH /api/v1/nodes/w", node("10.244.1.0/24", nil))
				err := c.CreateNodeObject(within(t, time.Minute), NodeObject{Name: "w", PodCIDRs: shares, Labels: map[string]string{"a": "b"}})
				if tt.want == "" && err != nil || tt.want != "" && (!fault.Is(err, fault.KubernetesRefused) || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got %v; want %q", err, tt.want)
				}
				if got := len(f.seen("PATCH")); got != tt.patches {
					t.Errorf("%d patches; want %d", got, tt.patches)
				}
			})
		})
	}
}

func TestNodePatch(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w", Labels: map[string]string{"a": "b", "mine": "x"}}}
	shares := []string{"10.244.1.0/24", "fd00:10:244:1::/64"}
	got, err := nodePatch(node, shares, map[string]string{"a": "c"})
	const spec = `"spec":{"podCIDR":"10.244.1.0/24","podCIDRs":["10.244.1.0/24","fd00:10:244:1::/64"]}`
	if want := `{"metadata":{"labels":{"a":"c"}},` + spec + `}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	node.Spec = corev1.NodeSpec{PodCIDR: shares[0], PodCIDRs: shares}
	if got, err := nodePatch(node, shares, nil); err != nil || got != nil {
		t.Errorf("a node that has all: got %s, %v", got, err)
	}
	node.Spec.PodCIDRs = shares[:1]
	if _, err := nodePatch(node, shares, nil); err == nil || !strings.Contains(err.Error(), "is 10.244.1.0/24, not 10.244.1.0/24,fd00:10:244:1::/64") {
		t.Errorf("a node that lacks a family: %v", err)
	}
}

func TestRoom(t *testing.T) {
	var none *Room
	if s := none.status(); s.Allocatable != nil {
		t.Errorf("no room is %v", s.Allocatable)
	}
	a := (&Room{CPUs: 2, Memory: 3 << 30}).status().Allocatable
	if a.Cpu().Value() != 2 || a.Memory().String() != "3Gi" || a.Pods().Value() != 110 {
		t.Errorf("room is %v", a)
	}
}

// A node goes with its pods, those that its kubelet made for itself too; nobody waits for what they would do in the end.
func TestDeleteNodeObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newDrainable(t)
		d.pod("web", "w", "ReplicaSet", nil)
		d.pod("agent", "w", "DaemonSet", nil)
		d.pod("static", "w", "", object{"annotations": object{"kubernetes.io/config.mirror": "x"}})
		d.pod("elsewhere", "other", "ReplicaSet", nil)
		d.on("DELETE /api/v1/nodes/w", times(1, refuse(503, "ServiceUnavailable", "busy", nil), times(1, echo, refuse(404, "NotFound", "not found", object{"kind": "nodes", "name": "w"}))))
		for range 2 {
			if err := c.DeleteNodeObject(within(t, time.Minute), "w"); err != nil {
				t.Error(err)
			}
		}
		if got := len(d.seen("DELETE /api/v1/nodes")); got != 3 {
			t.Errorf("%d requests", got)
		}
		if got := d.left(); got != "elsewhere" {
			t.Errorf("left: %s", got)
		}
		if got := d.deletions(); !strings.Contains(got, "web 0") {
			t.Errorf("deleted: %s", got)
		}
	})
}

// A Node that is taken away to be made anew is returned as it was when it went: what changes while it is read is read again.
func TestTakeNodeObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newDrainable(t)
		d.pod("static", "w", "", object{"annotations": object{"kubernetes.io/config.mirror": "x"}})
		version := func(version, label string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				answer(w, http.StatusOK, object{"apiVersion": "v1", "kind": "Node", "metadata": object{
					"name": "w", "uid": "u", "resourceVersion": version, "labels": object{label: ""},
				}})
			}
		}
		gone := refuse(404, "NotFound", "not found", object{"kind": "nodes", "name": "w"})
		d.on("GET /api/v1/nodes/w", times(1, version("7", "old"), times(1, version("8", labelControlPlane), gone)))
		d.on("DELETE /api/v1/nodes/w", func(w http.ResponseWriter, r *http.Request) {
			options := body(r)
			if given, _ := options["preconditions"].(object); given["uid"] != "u" || given["resourceVersion"] != "8" {
				refuse(409, "Conflict", "it has changed", nil)(w, r)
				return
			}
			answer(w, http.StatusOK, object{"kind": "Status", "apiVersion": "v1", "status": "Success"})
		})
		was, err := c.TakeNodeObject(within(t, time.Minute), "w")
		if err != nil || was == nil || !was.ControlPlane || len(was.Labels) != 1 {
			t.Errorf("got %+v, %v", was, err)
		}
		if got := d.left(); got != "" {
			t.Errorf("left: %s", got)
		}
		if was, err := c.TakeNodeObject(within(t, time.Minute), "w"); err != nil || was != nil {
			t.Errorf("one that is not there: got %+v, %v", was, err)
		}
	})
}

func TestNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		nodes := newNodes(f)
		b := nodes.named("b", object{"spec": object{"unschedulable": true}})
		metaOf(b)["annotations"] = object{annotationCordoned: "true"}
		nodes.put(b)
		nodes.put(nodes.named("c", object{"spec": object{"unschedulable": true}})) // by somebody else
		a := nodes.named("a", object{"spec": object{"podCIDR": "10.244.0.0/24", "taints": []object{
			{"key": "dedicated", "value": "db", "effect": "NoSchedule"}, {"key": "node.kubernetes.io/disk-pressure", "effect": "NoExecute"},
		}}, "status": object{
			"allocatable": object{"cpu": "1500m", "memory": "4009084Ki", "pods": "110"},
			"nodeInfo":    object{"kubeletVersion": "v1.36.3"},
			"addresses":   []object{{"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": "172.28.0.2"}, {"type": "InternalIP", "address": "fd00::2"}},
			"conditions":  []object{{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": "2026-01-02T03:04:06Z"}, {"type": "DiskPressure", "status": "True"}, {"type": "PIDPressure", "status": "False"}},
		}})
		metaOf(a)["labels"], metaOf(a)["creationTimestamp"] = object{"disk": "ssd", labelControlPlane: ""}, "2026-01-02T03:04:05Z"
		metaOf(a)["uid"] = "1234"
		nodes.put(a)
		got, err := c.Nodes(t.Context())
		want := []NodeInfo{
			{Name: "a", Ready: true, KubeletVersion: "v1.36.3", IP: "172.28.0.2", PodCIDR: "10.244.0.0/24", Pressure: []string{"DiskPressure"},
				Labels: map[string]string{"disk": "ssd", labelControlPlane: ""}, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
				UID: "1234", ControlPlane: true, Heartbeat: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
				Taints:      []Taint{{"dedicated", "db", "NoSchedule"}, {"node.kubernetes.io/disk-pressure", "", "NoExecute"}},
				Allocatable: map[string]string{"cpu": "1500m", "memory": "4009084Ki", "pods": "110"}},
			{Name: "b", Reason: "its kubelet has not reported yet", Unschedulable: true, Cordoned: true},
			{Name: "c", Reason: "its kubelet has not reported yet", Unschedulable: true},
		}
		for i := range got {
			got[i].Created, got[i].Heartbeat = got[i].Created.UTC(), got[i].Heartbeat.UTC() // the API's times are local ones
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
		f.setDown(true)
		c.Close()
		if _, err := c.Nodes(t.Context()); !fault.Is(err, fault.APITimeout) {
			t.Errorf("got %v", err)
		}
	})
}

func TestEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		for path, s := range map[string]*store{
			"/api/v1/nodes": newStore("v1", "Node"), "/api/v1/pods": newStore("v1", "Pod"), "/api/v1/services": newStore("v1", "Service"),
			"/api/v1/persistentvolumes": newStore("v1", "PersistentVolume"), "/api/v1/persistentvolumeclaims": newStore("v1", "PersistentVolumeClaim"),
			"/apis/apps/v1/deployments": newStore("apps/v1", "Deployment"), "/apis/apps/v1/daemonsets": newStore("apps/v1", "DaemonSet"),
			"/apis/apps/v1/statefulsets": newStore("apps/v1", "StatefulSet"), "/apis/batch/v1/jobs": newStore("batch/v1", "Job"),
		} {
			s.put(object{"apiVersion": s.apiVersion, "kind": s.kind, "metadata": object{"name": "x", "managedFields": []object{{"manager": "noise"}}}})
			f.on("GET "+path, s.ServeHTTP)
		}
		f.on("GET /api/v1/events", refuse(500, "InternalError", "no events today", nil))
		dir := filepath.Join(t.TempDir(), "new", "kubernetes")
		if err := c.Evidence(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "cannot list the events: no events today") {
			t.Errorf("got %v", err)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 9 {
			t.Fatalf("%d files, %v", len(left), err)
		}
		for _, e := range left {
			raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil || strings.Contains(string(raw), "noise") || !strings.Contains(string(raw), "name: x") {
				t.Errorf("%s: %v\n%s", e.Name(), err, raw)
			}
			if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %s", e.Name(), info.Mode())
			}
		}
		for _, secret := range []string{"secrets", "configmaps"} {
			if got := f.seen(secret); len(got) > 0 {
				t.Errorf("asked for %s", got)
			}
		}
	})
}

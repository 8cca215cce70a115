package kube

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

// drainable is a cluster whose node w can be drained: pods with budgets, in the namespace mine.
type drainable struct {
	*fakeAPI
	nodes, pods, budgets *store

	mu      sync.Mutex
	refusal map[string]http.HandlerFunc // what an eviction of a pod is answered with, whatever the budgets say
	deleted []string                    // "web 1": pod web was deleted with a second of grace
}

func newDrainable(t *testing.T) (*drainable, *Client) {
	t.Helper()
	f, c := newFakeAPI(t)
	d := &drainable{fakeAPI: f, refusal: map[string]http.HandlerFunc{}}
	d.nodes = newStore("v1", "Node").serve(f, "/api/v1/nodes")
	d.nodes.put(aNode(d.nodes, "w", false, nil))
	d.pods = newStore("v1", "Pod").serve(f, "/api/v1/namespaces/mine/pods")
	d.pods.grace = 3
	f.on("GET /api/v1/pods", d.pods.ServeHTTP)
	f.on("/api/v1/namespaces/mine/pods/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodDelete {
			d.pods.one(w, r)
			return
		}
		options, name := body(r), path.Base(r.URL.Path)
		d.mu.Lock()
		d.deleted = append(d.deleted, fmt.Sprint(name, " ", options["gracePeriodSeconds"]))
		d.mu.Unlock()
		if o := d.pods.find("mine", name); o != nil {
			d.pods.drop(o, options)
			answer(w, http.StatusOK, o)
			return
		}
		d.pods.notFound(name)(w, r)
	})
	d.budgets = newStore("policy/v1", "PodDisruptionBudget").serve(f, "/apis/policy/v1/namespaces/mine/poddisruptionbudgets")
	sets := newStore("apps/v1", "DaemonSet").serve(f, "/apis/apps/v1/namespaces/mine/daemonsets")
	sets.put(sets.named("agent", nil))
	f.on("GET /api/v1", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, object{"kind": "APIResourceList", "groupVersion": "v1", "resources": []object{
			{"name": "pods/eviction", "kind": "Eviction", "group": "policy", "version": "v1", "namespaced": true},
		}})
	})
	return d, c
}

// pod puts a pod onto a node, and returns it; its owner is of that kind, or none.
func (d *drainable) pod(name, node, owner string, more object) object {
	o := d.pods.named(name, object{"spec": object{"nodeName": node, "volumes": []object{{"name": "tmp", "emptyDir": object{}}}}, "status": object{"phase": "Running"}})
	metaOf(o)["uid"], metaOf(o)["labels"] = "uid-"+name, object{"app": name}
	if owner != "" {
		metaOf(o)["ownerReferences"] = []object{{"apiVersion": "apps/v1", "kind": owner, "name": "agent", "uid": "1", "controller": true}}
	}
	for key, value := range more {
		metaOf(o)[key] = value
	}
	d.pods.put(o)
	d.on("POST /api/v1/namespaces/mine/pods/"+name+"/eviction", func(w http.ResponseWriter, r *http.Request) { d.evict(name, w, r) })
	return o
}

// budget lets so many of a pod's app be disrupted.
func (d *drainable) budget(name, app string, allowed int) {
	selector := object{}
	if app != "" {
		selector = object{"matchLabels": object{"app": app}}
	}
	d.budgets.put(d.budgets.named(name, object{"spec": object{"selector": selector}, "status": object{"disruptionsAllowed": allowed}}))
}

func (d *drainable) evict(name string, w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	refusal := d.refusal[name]
	d.mu.Unlock()
	if refusal != nil {
		refusal(w, r)
		return
	}
	o := d.pods.find("mine", name)
	if o == nil {
		d.pods.notFound(name)(w, r)
		return
	}
	for _, b := range []string{"all", name} {
		budget := d.budgets.find("mine", b+"-budget")
		if budget == nil {
			continue
		}
		if status, _ := budget["status"].(object); status["disruptionsAllowed"] == float64(0) {
			refuse(http.StatusTooManyRequests, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", nil)(w, r)
			return
		}
	}
	d.pods.drop(o, object{})
	answer(w, http.StatusCreated, object{"apiVersion": "v1", "kind": "Status", "status": "Success"})
}

func (d *drainable) evictions(name string) int { return len(d.seen("/pods/" + name + "/eviction")) }

// left returns the names of the pods that there are.
func (d *drainable) left() string {
	d.pods.mu.Lock()
	defer d.pods.mu.Unlock()
	var names []string
	for key := range d.pods.items {
		names = append(names, path.Base(key))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// deletions returns the deletions, in order.
func (d *drainable) deletions() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.deleted, ", ")
}

func wantCordoned(t *testing.T, d *drainable, want bool) {
	t.Helper()
	if cordoned, marked := isCordoned(d.nodes, "w"); cordoned != want || marked != want {
		t.Errorf("cordoned %v, marked %v", cordoned, marked)
	}
}

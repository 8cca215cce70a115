package kube

import (
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
)

// aNode is a node of the spec, with cove's mark or without.
func aNode(s *store, name string, marked bool, spec object) object {
	o := s.named(name, object{"spec": spec})
	delete(metaOf(o), "namespace")
	if marked {
		metaOf(o)["annotations"] = object{annotationCordoned: "true", "other": "stays"}
	}
	return o
}

// isCordoned reads a node as the API has it.
func isCordoned(s *store, name string) (cordoned, marked bool) {
	o := s.find("", name)
	spec, _ := o["spec"].(object)
	notes, _ := metaOf(o)["annotations"].(object)
	_, marked = notes[annotationCordoned]
	return spec["unschedulable"] == true, marked
}

func TestCordon(t *testing.T) {
	for name, tt := range map[string]struct {
		was, marked      bool
		on               bool
		patches          int
		cordoned, marks  bool
		changed, missing bool
	}{
		"cordon":                       {on: true, patches: 1, cordoned: true, marks: true, changed: true},
		"cordon, a mark is left":       {marked: true, on: true, patches: 1, cordoned: true, marks: true, changed: true},
		"cordon what others have":      {was: true, on: true, cordoned: true},
		"cordon again":                 {was: true, marked: true, on: true, cordoned: true, marks: true},
		"uncordon":                     {was: true, marked: true, patches: 1, changed: true},
		"uncordon what others have":    {was: true, patches: 1, changed: true},
		"uncordon, others were faster": {marked: true, patches: 1, changed: true},
		"uncordon again":               {},
		"cordon, no node":              {on: true, missing: true},
		"uncordon, no node":            {missing: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				nodes := newStore("v1", "Node").serve(f, "/api/v1/nodes")
				if !tt.missing {
					nodes.put(aNode(nodes, "w", tt.marked, object{"unschedulable": tt.was, "podCIDR": "10.244.1.0/24"}))
				}
				changed, err := c.cordon(within(t, time.Minute), "w", tt.on)
				if err != nil || changed != tt.changed {
					t.Errorf("got %v, %v", changed, err)
				}
				if got := len(f.seen("PATCH")); got != tt.patches {
					t.Errorf("%d patches; want %d", got, tt.patches)
				}
				if tt.missing {
					return
				}
				if cordoned, marked := isCordoned(nodes, "w"); cordoned != tt.cordoned || marked != tt.marks {
					t.Errorf("cordoned %v, marked %v", cordoned, marked)
				}
				if spec, _ := nodes.find("", "w")["spec"].(object); spec["podCIDR"] != "10.244.1.0/24" {
					t.Errorf("spec is %v", spec)
				}
				if notes, _ := metaOf(nodes.find("", "w"))["annotations"].(object); tt.marked && notes["other"] != "stays" {
					t.Errorf("annotations are %v", notes)
				}
			})
		})
	}
}

// Somebody who cordons the node between the look and the patch is not taken for cove.
func TestCordonRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		nodes := newStore("v1", "Node").serve(f, "/api/v1/nodes")
		nodes.put(aNode(nodes, "w", false, nil))
		f.on("GET /api/v1/nodes/w", times(1, func(w http.ResponseWriter, r *http.Request) {
			nodes.one(w, r)
			nodes.put(aNode(nodes, "w", false, object{"unschedulable": true}))
		}, nodes.one))
		if err := c.Cordon(within(t, time.Minute), "w", true); err != nil {
			t.Fatal(err)
		}
		if cordoned, marked := isCordoned(nodes, "w"); !cordoned || marked {
			t.Errorf("cordoned %v, marked %v", cordoned, marked)
		}
	})
}

func TestCordonRefused(t *testing.T) {
	for on, want := range map[bool]string{true: "cannot cordon node w: no", false: "cannot uncordon node w: no"} {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFakeAPI(t)
			f.on("GET /api/v1/nodes/w", refuse(http.StatusForbidden, "Forbidden", "no", nil))
			if err := c.Cordon(within(t, time.Minute), "w", on); !fault.Is(err, fault.KubernetesRefused) || err.Error() != want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSetNode(t *testing.T) {
	had := []object{{"key": "dedicated", "value": "db", "effect": "NoSchedule"}, {"key": "dedicated", "value": "db", "effect": "NoExecute"}}
	value := "ssd"
	for name, tt := range map[string]struct {
		labels      map[string]*string
		add, remove []Taint
		wantLabels  object
		wantTaints  []any
	}{
		"labels": {
			labels:     map[string]*string{"disk": &value, "old": nil, "none": nil},
			wantLabels: object{"disk": "ssd", "stays": "x"},
			wantTaints: []any{object{"key": "dedicated", "value": "db", "effect": "NoSchedule"}, object{"key": "dedicated", "value": "db", "effect": "NoExecute"}},
		},
		"another value": {
			add:        []Taint{{"dedicated", "web", "NoSchedule"}},
			wantLabels: object{"old": "y", "stays": "x"},
			wantTaints: []any{object{"key": "dedicated", "value": "web", "effect": "NoSchedule"}, object{"key": "dedicated", "value": "db", "effect": "NoExecute"}},
		},
		"one more": {
			add:        []Taint{{"new", "", "PreferNoSchedule"}},
			wantLabels: object{"old": "y", "stays": "x"},
			wantTaints: []any{
				object{"key": "dedicated", "value": "db", "effect": "NoSchedule"}, object{"key": "dedicated", "value": "db", "effect": "NoExecute"},
				object{"key": "new", "effect": "PreferNoSchedule"},
			},
		},
		"one less": {
			remove:     []Taint{{Key: "dedicated", Effect: "NoSchedule"}, {Key: "other", Effect: "NoExecute"}},
			wantLabels: object{"old": "y", "stays": "x"},
			wantTaints: []any{object{"key": "dedicated", "value": "db", "effect": "NoExecute"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				nodes := newStore("v1", "Node").serve(f, "/api/v1/nodes")
				node := aNode(nodes, "w", false, object{"taints": had, "ofTheFuture": true})
				metaOf(node)["labels"] = object{"old": "y", "stays": "x"}
				nodes.put(node)
				// A kubelet writes in between, once.
				f.on("GET /api/v1/nodes/w", times(1, func(w http.ResponseWriter, r *http.Request) {
					nodes.one(w, r)
					nodes.put(node)
				}, nodes.one))
				if err := c.SetNode(within(t, time.Minute), "w", tt.labels, tt.add, tt.remove); err != nil {
					t.Fatal(err)
				}
				got := nodes.find("", "w")
				spec, _ := got["spec"].(object)
				if labels := metaOf(got)["labels"]; !reflect.DeepEqual(labels, tt.wantLabels) || !reflect.DeepEqual(spec["taints"], tt.wantTaints) {
					t.Errorf("labels %v, taints %v", labels, spec["taints"])
				}
				if spec["ofTheFuture"] != true {
					t.Error("a field that the client does not know is lost")
				}
				version := metaOf(got)["resourceVersion"]
				if err := c.SetNode(within(t, time.Minute), "w", tt.labels, tt.add, tt.remove); err != nil || metaOf(nodes.find("", "w"))["resourceVersion"] != version {
					t.Errorf("it is written again: %v", err)
				}
			})
		})
	}
}

func TestSetNodeMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		newStore("v1", "Node").serve(f, "/api/v1/nodes")
		err := c.SetNode(within(t, time.Minute), "w", nil, nil, nil)
		if !fault.Is(err, fault.KubernetesRefused) {
			t.Errorf("got %v", err)
		}
		wantParts(t, err.Error(), "cannot label node w: ", "not found")
	})
}

package kube

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cove-k8s/cove/pkg/fault"
)

// things has the API know the kinds Thing and World of example.com/v1, and returns the objects of Thing.
func things(f *fakeAPI) *store {
	f.on("/apis/example.com/v1", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, object{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.com/v1", "resources": []object{
			{"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": []string{"get", "list"}},
			{"name": "worlds", "singularName": "world", "namespaced": false, "kind": "World", "verbs": []string{"get", "list"}},
		}})
	})
	return newStore("example.com/v1", "Thing").serve(f, "/apis/example.com/v1/namespaces/mine/things")
}

func thing(name string) Ref {
	return Ref{APIVersion: "example.com/v1", Kind: "Thing", Namespace: "mine", Name: name}
}

func TestGet(t *testing.T) {
	for name, tt := range map[string]struct {
		ref   Ref
		set   func(*fakeAPI)
		there bool
		code  fault.Code
		want  string
	}{
		"there":             {ref: thing("a"), there: true},
		"not there":         {ref: thing("b")},
		"another namespace": {ref: Ref{APIVersion: "example.com/v1", Kind: "Thing", Namespace: "other", Name: "a"}},
		"no such kind":      {ref: Ref{APIVersion: "example.com/v1", Kind: "Other", Name: "a"}},
		"no such group":     {ref: Ref{APIVersion: "example.org/v1", Kind: "Thing", Name: "a"}},
		"a built-in kind, by default in default": {ref: Ref{APIVersion: "v1", Kind: "ConfigMap", Name: "a"}, there: true, set: func(f *fakeAPI) {
			f.on("GET /api/v1/namespaces/default/configmaps/a", func(w http.ResponseWriter, _ *http.Request) {
				answer(w, http.StatusOK, object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": "a"}})
			})
		}},
		"refused": {ref: thing("a"), code: fault.KubernetesRefused, want: "cannot read thing mine/a: no", set: func(f *fakeAPI) {
			f.on("/apis/example.com/v1/namespaces/mine/things/", refuse(http.StatusForbidden, "Forbidden", "no", nil))
		}},
		"no server": {ref: thing("a"), code: fault.APITimeout, want: "connection refused", set: func(f *fakeAPI) { f.setDown(true) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				s := things(f)
				s.put(s.named("a", nil))
				if tt.set != nil {
					tt.set(f)
				}
				o, err := c.Get(within(t, time.Minute), tt.ref)
				if fault.CodeOf(err) != tt.code || (o != nil) != tt.there || o != nil && o.GetName() != tt.ref.Name {
					t.Errorf("got %v, %v", o, err)
				}
				if err != nil {
					wantParts(t, err.Error(), tt.want)
				}
			})
		})
	}
}

func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		s := things(f)
		s.put(s.named("a", object{"spec": object{"is": "old", "more": "x"}}))
		o := mustDecode(t, "{apiVersion: example.com/v1, kind: Thing, metadata: {name: a, namespace: mine, managedFields: [{manager: me}]}, spec: {is: new}}")[0]
		would, err := c.DryRun(within(t, time.Minute), o)
		if err != nil {
			t.Fatal(err)
		}
		if is, _, _ := unstructured.NestedStringMap(would.Object, "spec"); is["is"] != "new" || is["more"] != "x" {
			t.Errorf("would be %v", is)
		}
		if is, _, _ := unstructured.NestedString(s.find("mine", "a"), "spec", "is"); is != "old" {
			t.Errorf("is %q", is)
		}
		if got := f.seen("PATCH"); len(got) != 1 || !strings.Contains(got[0], "dryRun=All") || !strings.Contains(got[0], "fieldManager=cove") {
			t.Errorf("asked %q", got)
		}
		f.on("/apis/example.com/v1/namespaces/mine/things/", refuse(http.StatusUnprocessableEntity, "Invalid", "spec.is: it must not", nil))
		if _, err := c.DryRun(within(t, time.Minute), o); !fault.Is(err, fault.KubernetesRefused) || err.Error() != "cannot compare thing mine/a: spec.is: it must not" {
			t.Errorf("got %v", err)
		}
		o.SetKind("Other")
		if _, err := c.DryRun(within(t, time.Minute), o); !fault.Is(err, fault.KubernetesRefused) {
			t.Errorf("no such kind: %v", err)
		}
		f.setDown(true)
		c.Close()
		if _, err := c.DryRun(within(t, time.Minute), o); !fault.Is(err, fault.APITimeout) {
			t.Errorf("no server: %v", err)
		}
	})
}

func TestCreate(t *testing.T) {
	const collection = "POST /apis/example.com/v1/namespaces/mine/things"
	exists := refuse(http.StatusConflict, "AlreadyExists", "it is there", nil)
	for name, tt := range map[string]struct {
		had     bool
		answer  http.HandlerFunc // instead of the store's
		kind    string
		created bool
		want    string // in the error
	}{
		"new":              {created: true},
		"there":            {had: true},
		"server busy":      {answer: refuse(http.StatusServiceUnavailable, "ServiceUnavailable", "busy", nil), created: true},
		"there, then gone": {answer: exists, want: "thing mine/a was removed while it was looked at"},
		"refused":          {answer: refuse(http.StatusUnprocessableEntity, "Invalid", "a bad name", nil), want: "cannot make thing mine/a: a bad name"},
		"no such kind":     {kind: "Other", want: "cannot make other mine/a: the API server knows no kind Other in example.com/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				s := things(f)
				if tt.had {
					s.put(s.named("a", object{"spec": object{"is": "old"}}))
				}
				if tt.answer != nil {
					f.on(collection, times(1, tt.answer, s.create))
				}
				o := mustDecode(t, "{apiVersion: example.com/v1, kind: Thing, metadata: {name: a, namespace: mine}, spec: {is: new}}")[0]
				if tt.kind != "" {
					o.SetKind(tt.kind)
				}
				made, created, err := c.Create(within(t, time.Minute), o)
				if tt.want != "" {
					if !fault.Is(err, fault.KubernetesRefused) || err.Error() != tt.want || created || made != nil {
						t.Errorf("got %v, %v, %v", made, created, err)
					}
					return
				}
				if err != nil || created != tt.created {
					t.Fatalf("got %v, %v", created, err)
				}
				is, _, _ := unstructured.NestedString(made.Object, "spec", "is")
				if want := map[bool]string{true: "new", false: "old"}[tt.created]; is != want || made.GetResourceVersion() == "" {
					t.Errorf("got %v", made.Object)
				}
			})
		})
	}
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		s := things(f)
		f.on("GET /apis/example.com/v1/things", s.ServeHTTP)
		worlds := newStore("example.com/v1", "World").serve(f, "/apis/example.com/v1/worlds")
		f.on("GET /api", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, object{"kind": "APIVersions", "versions": []string{}})
		})
		version := object{"groupVersion": "example.com/v1", "version": "v1"}
		f.on("GET /apis", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, object{"kind": "APIGroupList", "apiVersion": "v1", "groups": []object{
				{"name": "example.com", "versions": []object{version}, "preferredVersion": version},
			}})
		})
		for _, name := range []string{"b", "a", "c"} {
			o := s.named(name, nil)
			metaOf(o)["labels"] = object{"mine": map[bool]string{true: "no", false: "yes"}[name == "c"]}
			s.put(o)
		}
		w := worlds.named("w", nil)
		metaOf(w)["labels"] = object{"mine": "yes"}
		worlds.put(w)
		kinds := []schema.GroupKind{{Group: "example.com", Kind: "World"}, {Group: "example.com", Kind: "Unknown"}, {Group: "example.com", Kind: "Thing"}}
		names := func(objs []*unstructured.Unstructured) string {
			var all []string
			for _, o := range objs {
				all = append(all, o.GetName())
			}
			return strings.Join(all, " ")
		}
		got, err := c.List(within(t, time.Minute), kinds, "mine=yes")
		if err != nil || names(got) != "w a b" {
			t.Errorf("got %s, %v", names(got), err)
		}
		f.on("GET /apis/example.com/v1/worlds", http.NotFound) // known, but gone
		if got, err := c.List(within(t, time.Minute), kinds, ""); err != nil || names(got) != "a b c" {
			t.Errorf("got %s, %v", names(got), err)
		}
		f.on("GET /apis/example.com/v1/worlds", refuse(http.StatusForbidden, "Forbidden", "no", nil))
		if _, err := c.List(within(t, time.Minute), kinds, ""); !fault.Is(err, fault.KubernetesRefused) || err.Error() != "cannot list the worlds: no" {
			t.Errorf("got %v", err)
		}
		f.setDown(true)
		c.Close()
		if _, err := c.List(within(t, time.Minute), kinds, ""); !fault.Is(err, fault.APITimeout) {
			t.Errorf("got %v", err)
		}
	})
}

// objectsOf returns objects that are to be deleted, as they were read.
func objectsOf(t *testing.T, refs ...Ref) []*unstructured.Unstructured {
	t.Helper()
	var objs []*unstructured.Unstructured
	for _, r := range refs {
		o := mustDecode(t, "{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: %q}}", r.APIVersion, r.Kind, r.Name, r.Namespace)[0]
		objs = append(objs, o)
	}
	return objs
}

func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		s := things(f)
		s.grace = 2
		var options []object
		f.on("DELETE /apis/example.com/v1/namespaces/mine/things/a", func(w http.ResponseWriter, r *http.Request) {
			options = append(options, body(r))
			s.drop(s.find("mine", "a"), object{})
			answer(w, http.StatusOK, object{})
		})
		s.put(s.named("a", nil))
		held := s.named("held", nil)
		metaOf(held)["finalizers"] = []string{"example.com/keep"}
		s.put(held)
		time.AfterFunc(5*time.Second, func() { s.remove("held") })
		begun, r := time.Now(), &reports{}
		objs := objectsOf(t, thing("a"), thing("held"), thing("none"), Ref{APIVersion: "example.org/v1", Kind: "Unknown", Name: "x"})
		if err := c.Delete(within(t, time.Minute), objs, r.add); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("took %s", took)
		}
		if len(options) != 1 || options[0]["propagationPolicy"] != "Foreground" {
			t.Errorf("deleted with %v", options)
		}
		wantParts(t, r.String(), "thing mine/held (waits for finalizers example.com/keep)")
		if err := c.Delete(within(t, time.Minute), nil, nil); err != nil {
			t.Error(err)
		}
	})
}

// One of the same name that somebody makes meanwhile is another one.
func TestDeleteMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		s := things(f)
		s.dead, s.grace = true, 1
		o := s.named("a", nil)
		metaOf(o)["uid"] = "first"
		s.put(o)
		metaOf(o)["uid"] = "second"
		time.AfterFunc(time.Second, func() { s.put(o) })
		objs := objectsOf(t, thing("a"))
		objs[0].SetUID("first")
		begun := time.Now()
		if err := c.Delete(within(t, time.Minute), objs, nil); err != nil || time.Since(begun) != time.Second {
			t.Errorf("took %s, %v", time.Since(begun), err)
		}
	})
}

// Where a definition is removed, its objects and their kind go together.
func TestDeleteKindGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		s := things(f)
		s.dead, s.grace = true, 1
		s.put(s.named("a", nil))
		time.AfterFunc(3*time.Second, func() {
			f.on("GET /apis/example.com/v1/namespaces/mine/things", http.NotFound)
			s.forget()
		})
		begun := time.Now()
		if err := c.Delete(within(t, time.Minute), objectsOf(t, thing("a")), nil); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestDeleteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		s := things(f)
		held := s.named("held", nil)
		metaOf(held)["finalizers"] = []string{"example.com/keep", "example.com/more"}
		s.put(held)
		objs := objectsOf(t, thing("held"))
		err := c.Delete(within(t, time.Minute), objs, nil)
		if !fault.Is(err, fault.AddonFailed) || err.Error() != "not everything could be removed in time: thing mine/held: waits for finalizers example.com/keep, example.com/more" {
			t.Errorf("got %v", err)
		}
		if err := c.Delete(interrupted(t), objs, nil); !errors.Is(err, errStop) {
			t.Errorf("got %v", err)
		}
		f.on("DELETE /apis/example.com/v1/namespaces/mine/things/held", refuse(http.StatusForbidden, "Forbidden", "no", nil))
		begun := time.Now()
		err = c.Delete(within(t, time.Minute), objs, nil)
		if !fault.Is(err, fault.KubernetesRefused) || err.Error() != "cannot remove thing mine/held: no" || time.Since(begun) != 0 {
			t.Errorf("got %v", err)
		}
		f.setDown(true)
		c.Close()
		err = c.Delete(within(t, time.Minute), objs, nil)
		if !fault.Is(err, fault.AddonFailed) {
			t.Errorf("got %v", err)
		}
		wantParts(t, err.Error(), "thing mine/held: is still there")
	})
}

func TestWhyStuck(t *testing.T) {
	conditions := `status: {conditions: [{type: A, status: "False", message: fine}, {type: B, status: "True", message: "Some resources are\n remaining: pods. has 1 instance"}]}`
	for manifest, want := range map[string]string{
		"kind: Thing": "is still there",
		"kind: Thing\nmetadata: {name: x, finalizers: [a, b]}":                          "waits for finalizers a, b",
		"kind: Thing\n" + conditions:                                                    "is still there",
		"kind: Namespace\n" + conditions:                                                "waits for Some resources are remaining: pods. has 1 instance",
		"kind: Namespace\nmetadata: {name: x, finalizers: [kubernetes]}\n" + conditions: "waits for finalizers kubernetes; Some resources are remaining: pods. has 1 instance",
	} {
		if !strings.Contains(manifest, "metadata") {
			manifest += "\nmetadata: {name: x}"
		}
		if got := whyStuck(mustDecode(t, "apiVersion: v1\n%s", manifest)[0]); got != want {
			t.Errorf("%s: %q", manifest, got)
		}
	}
}

func TestNamespaced(t *testing.T) {
	for gvk, want := range map[schema.GroupVersionKind][2]bool{
		{Version: "v1", Kind: "ConfigMap"}:                                               {true, true},
		{Version: "v1", Kind: "Node"}:                                                    {false, true},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}:         {false, true},
		{Group: "apps", Version: "v1", Kind: "Deployment"}:                               {true, true},
		{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}: {false, true},
	} {
		if namespaced, known := Namespaced(gvk); namespaced != want[0] || known != want[1] {
			t.Errorf("%s: %v, %v", gvk, namespaced, known)
		}
	}
	if _, known := Namespaced(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Thing"}); known {
		t.Error("example.com is none of Kubernetes' own groups")
	}
}

func TestVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		f.on("GET /version", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, object{"major": "1", "minor": "36", "gitVersion": "v1.36.3"})
		})
		if got, err := c.Version(t.Context()); err != nil || got != "v1.36.3" {
			t.Errorf("got %q, %v", got, err)
		}
		f.on("GET /version", refuse(http.StatusForbidden, "Forbidden", "no", nil))
		if _, err := c.Version(t.Context()); !fault.Is(err, fault.KubernetesRefused) {
			t.Errorf("got %v", err)
		}
		f.setDown(true)
		c.Close()
		if _, err := c.Version(t.Context()); !fault.Is(err, fault.APITimeout) {
			t.Errorf("got %v", err)
		}
	})
}

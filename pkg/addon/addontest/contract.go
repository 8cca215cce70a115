package addontest

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/kube"
)

// contractNamespace is where the suite works; it is gone at its end.
const contractNamespace = "cove-contract"

// contract is one run of the suite.
type contract struct {
	api     addon.API
	ref     kube.Ref                     // of the object that the suite works on
	applied []*unstructured.Unstructured // a namespace and the object, as the server has them
}

// Contract is what every API promises that addons are worked on through: the fake one, and a real server's.
func Contract(t *testing.T, api addon.API) {
	t.Helper()
	c := &contract{api: api, ref: kube.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: contractNamespace, Name: "settings"}}
	ns := object("v1", "Namespace", "", contractNamespace, nil)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
		defer cancel()
		if err := api.Delete(ctx, []*unstructured.Unstructured{ns}, nil); err != nil {
			t.Error(err)
		}
	})
	if got, err := api.Get(t.Context(), c.ref); err != nil || got != nil {
		t.Fatalf("an object that is not there: %v, %v", got, err)
	}
	var err error
	c.applied, err = api.Apply(t.Context(), []*unstructured.Unstructured{ns, c.settings(map[string]any{"a": "1", "b": "2"})})
	if err != nil || len(c.applied) != 2 || c.applied[1].GetUID() == "" {
		t.Fatalf("apply: %v, %v", c.applied, err)
	}
	t.Run("apply takes away what is applied no more", c.applyAgain)
	t.Run("a dry run changes nothing", c.dryRun)
	t.Run("create leaves what is there", c.create)
	t.Run("list goes by kind and label", c.list)
	t.Run("readiness", c.readiness)
	t.Run("delete", c.remove)
}

// settings is the object, with some data.
func (c *contract) settings(data map[string]any) *unstructured.Unstructured {
	o := object("v1", "ConfigMap", contractNamespace, "settings", map[string]any{"data": data})
	o.SetLabels(map[string]string{"contract": "yes"})
	return o
}

func (c *contract) applyAgain(t *testing.T) {
	if _, err := c.api.Apply(t.Context(), []*unstructured.Unstructured{c.settings(map[string]any{"a": "3"})}); err != nil {
		t.Fatal(err)
	}
	wantData(t, c.api, c.ref, map[string]string{"a": "3"})
}

func (c *contract) dryRun(t *testing.T) {
	would, err := c.api.DryRun(t.Context(), c.settings(map[string]any{"a": "4"}))
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := unstructured.NestedString(would.Object, "data", "a"); got != "4" {
		t.Errorf("it would be %q", got)
	}
	wantData(t, c.api, c.ref, map[string]string{"a": "3"})
}

func (c *contract) create(t *testing.T) {
	got, created, err := c.api.Create(t.Context(), c.settings(map[string]any{"a": "5"}))
	if err != nil || created || got.GetUID() != c.applied[1].GetUID() {
		t.Errorf("%v, %v, %v", got, created, err)
	}
	wantData(t, c.api, c.ref, map[string]string{"a": "3"})
}

func (c *contract) list(t *testing.T) {
	kinds := []schema.GroupKind{{Kind: "ConfigMap"}, {Kind: "Secret"}, {Group: "example.com", Kind: "Unknown"}}
	for selector, want := range map[string]int{"contract": 1, "contract=yes": 1, "contract=no": 0} {
		got, err := c.api.List(t.Context(), kinds, selector)
		if err != nil || len(got) != want {
			t.Errorf("%s: %d objects, %v", selector, len(got), err)
		}
	}
}

func (c *contract) readiness(t *testing.T) {
	if err := c.api.WaitReady(t.Context(), []kube.Ref{c.ref, kube.RefOf(c.applied[0])}, func(string) {}); err != nil {
		t.Error(err)
	}
	none := c.ref
	none.Name = "none"
	lacks, err := c.api.Lacks(t.Context(), []kube.Ref{c.ref, none})
	if err != nil || len(lacks) != 1 || lacks[none] == "" {
		t.Errorf("%v, %v", lacks, err)
	}
}

func (c *contract) remove(t *testing.T) {
	for range 2 { // what is not there is no error
		if err := c.api.Delete(t.Context(), []*unstructured.Unstructured{c.settings(nil)}, func(string) {}); err != nil {
			t.Error(err)
		}
	}
	if got, err := c.api.Get(t.Context(), c.ref); err != nil || got != nil {
		t.Errorf("it is still there: %v, %v", got, err)
	}
}

func wantData(t *testing.T, api addon.API, r kube.Ref, want map[string]string) {
	t.Helper()
	o, err := api.Get(t.Context(), r)
	if err != nil || o == nil {
		t.Fatalf("%v, %v", o, err)
	}
	data, _, _ := unstructured.NestedStringMap(o.Object, "data")
	if len(data) != len(want) {
		t.Errorf("data: %v, want %v", data, want)
	}
	for k, v := range want {
		if data[k] != v {
			t.Errorf("data: %v, want %v", data, want)
		}
	}
}

func object(apiVersion, kind, namespace, name string, more map[string]any) *unstructured.Unstructured {
	o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name}}
	for k, v := range more {
		o[k] = v
	}
	u := &unstructured.Unstructured{Object: o}
	u.SetNamespace(namespace)
	return u
}

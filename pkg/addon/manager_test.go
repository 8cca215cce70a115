package addon_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/addon/addontest"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/profile"
)

const web = `apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec: {group: example.com, scope: Namespaced, names: {kind: Thing, plural: things}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: first}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: {{ .Params.color | quote }}, pool: {{ .Cluster.Pool | quote }}, image: {{ .Images.web }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 1}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: web, namespace: ignored}
`

func webAddon(manifest string) *profile.Addon {
	return &profile.Addon{
		Name: "web", Version: "v1", Namespace: "shop", FS: fstest.MapFS{"m/web.yaml.tmpl": {Data: []byte(manifest)}},
		Content: profile.Content{Manifests: "m"},
		Images:  []profile.Image{{Name: "web", Ref: "example.com/web:v1"}},
		Ready:   []profile.Condition{{APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService", Name: "v1.example.com", Condition: "Available"}},
		Generate: []profile.Generate{
			{Secret: "key", Namespace: "shop", Type: profile.GenerateRandom, Key: "k", Bytes: 16},
			{Secret: "tls", Namespace: "shop", Type: profile.GenerateCertificate, DNSNames: []string{"*.{{.Cluster.Name}}.localhost"}},
		},
	}
}

func instance(a *profile.Addon) addon.Instance {
	return addon.Instance{Addon: a, Parameters: map[string]any{"color": "red: \"x\""}}
}

func newManager(api *addontest.API) *addon.Manager {
	return &addon.Manager{API: api, Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }, Facts: addon.Facts{
		Name: "dev", Subnet: "172.18.0.0/24", Pool: "172.18.0.200-172.18.0.250", KubernetesVersion: "v1.36.3", Nodes: 1,
	}}
}

// install applies the instance and waits for it.
func install(t *testing.T, m *addon.Manager, i addon.Instance) {
	t.Helper()
	set, err := m.Prepare(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := m.Apply(t.Context(), set, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Wait(t.Context(), i.Name(), refs, nil); err != nil {
		t.Fatal(err)
	}
}

func secret(t *testing.T, api *addontest.API, name, key string) []byte {
	t.Helper()
	o, err := api.Get(t.Context(), kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: name})
	if err != nil || o == nil {
		t.Fatalf("secret %s: %v, %v", name, o, err)
	}
	text, _, _ := unstructured.NestedString(o.Object, "data", key)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestFakeKeepsTheContract(t *testing.T) { addontest.Contract(t, &addontest.API{}) }

func TestInstall(t *testing.T) {
	api := &addontest.API{}
	m := newManager(api)
	install(t, m, instance(webAddon(web)))
	want := []string{
		"clusterrole web", "configmap shop/settings", "customresourcedefinition things.example.com", "deployment shop/web", "namespace shop",
		"secret kube-system/cove-addon-web", "secret kube-system/cove-ca", "secret shop/key", "secret shop/tls", "thing shop/first",
	}
	if got := api.Names(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	o, err := api.Get(t.Context(), kube.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "settings"})
	if err != nil {
		t.Fatal(err)
	}
	data, _, _ := unstructured.NestedStringMap(o.Object, "data")
	if data["color"] != "red: \"x\"" || data["pool"] != "172.18.0.200-172.18.0.250" || data["image"] != "example.com/web:v1" {
		t.Errorf("data: %v", data)
	}
	parent, err := api.Get(t.Context(), kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "kube-system", Name: "cove-addon-web"})
	if err != nil {
		t.Fatal(err)
	}
	id := parent.GetLabels()["applyset.kubernetes.io/id"]
	if id == "" || o.GetLabels()["applyset.kubernetes.io/part-of"] != id {
		t.Errorf("the set's ID is %q, its member's %v", id, o.GetLabels())
	}
	if got := parent.GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got !=
		"ClusterRole.rbac.authorization.k8s.io,ConfigMap,CustomResourceDefinition.apiextensions.k8s.io,Deployment.apps,Namespace,Secret,Thing.example.com" {
		t.Errorf("kinds: %s", got)
	}
	if got := parent.GetAnnotations()["applyset.kubernetes.io/additional-namespaces"]; got != "shop" {
		t.Errorf("namespaces: %s", got)
	}
	pair, err := tls.X509KeyPair(secret(t, api, "tls", "tls.crt"), secret(t, api, "tls", "tls.key"))
	if err != nil || pair.Leaf.VerifyHostname("app.dev.localhost") != nil {
		t.Errorf("the certificate is for %v, %v", pair.Leaf.DNSNames, err)
	}
	if ca, err := m.CA(t.Context()); err != nil || string(ca) != string(secret(t, api, "tls", "ca.crt")) {
		t.Errorf("the CA: %s, %v", ca, err)
	}
}

// Applied again, secrets stay as they are, and what a new version has not any more goes.
func TestUpgrade(t *testing.T) {
	api := &addontest.API{}
	m := newManager(api)
	install(t, m, instance(webAddon(web)))
	key, cert := secret(t, api, "key", "k"), secret(t, api, "tls", "tls.crt")
	docs := strings.Split(web, "---\n")
	next := webAddon(strings.Join(slices.Delete(docs, 3, 5), "---\n")) // without ConfigMap and Deployment
	next.Version = "v2"
	install(t, m, instance(next))
	if got := api.Deleted(); !slices.Equal(got, []string{"configmap shop/settings", "deployment shop/web"}) {
		t.Errorf("deleted: %v", got)
	}
	if string(secret(t, api, "key", "k")) != string(key) || string(secret(t, api, "tls", "tls.crt")) != string(cert) {
		t.Error("the generated secrets are other ones")
	}
	records, err := m.Installed(t.Context())
	if err != nil || len(records) != 1 || records[0].Version != "v2" || records[0].State != addon.StateApplied || records[0].Parameters["color"] == "" {
		t.Errorf("%+v, %v", records, err)
	}
}

func TestRemove(t *testing.T) {
	api := &addontest.API{}
	m := newManager(api)
	install(t, m, instance(webAddon(web)))
	if err := m.Remove(t.Context(), "web", false, nil); err != nil {
		t.Fatal(err)
	}
	if got := api.Names(); !slices.Equal(got, []string{"secret kube-system/cove-ca"}) {
		t.Errorf("left: %v", got)
	}
	deleted := api.Deleted()
	place := func(name string) int { return slices.Index(deleted, name) }
	order := []string{"thing shop/first", "deployment shop/web", "customresourcedefinition things.example.com", "namespace shop", "secret kube-system/cove-addon-web"}
	for i := range order[1:] {
		if place(order[i]) < 0 || place(order[i]) > place(order[i+1]) {
			t.Errorf("order: %v", deleted)
		}
	}
	if err := m.Remove(t.Context(), "web", false, nil); !fault.Is(err, fault.AddonNotInstalled) {
		t.Errorf("again: %v", err)
	}
}

// What is not the addon's own would go with its namespace or its kinds: that is asked first.
func TestRemoveWhatIsInUse(t *testing.T) {
	api := &addontest.API{}
	m := newManager(api)
	install(t, m, instance(webAddon(web)))
	put := func(apiVersion, kind, namespace, name string, owners ...any) {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace}}}
		if len(owners) > 0 {
			_ = unstructured.SetNestedSlice(o.Object, owners, "metadata", "ownerReferences")
		}
		api.Add(o)
	}
	put("v1", "ConfigMap", "shop", "kube-root-ca.crt")
	put("v1", "Pod", "shop", "web-1", map[string]any{"kind": "ReplicaSet", "name": "web"})
	put("v1", "ConfigMap", "other", "mine")
	if used, err := m.InUse(t.Context(), "web"); err != nil || len(used) != 0 {
		t.Fatalf("in use: %v, %v", used, err)
	}
	put("v1", "ConfigMap", "shop", "mine")
	put("example.com/v1", "Thing", "other", "mine")
	err := m.Remove(t.Context(), "web", false, nil)
	if !fault.Is(err, fault.AddonInUse) || !strings.Contains(err.Error(), "configmap shop/mine, thing other/mine would go with it") {
		t.Errorf("got %v", err)
	}
	if deleted := api.Deleted(); len(deleted) > 0 {
		t.Errorf("deleted all the same: %v", deleted)
	}
	if err := m.Remove(t.Context(), "web", true, nil); err != nil {
		t.Error(err)
	}
	if got := api.Names(); !slices.Equal(got, []string{"configmap other/mine", "secret kube-system/cove-ca"}) {
		t.Errorf("left: %v", got)
	}
}

func TestStatusAndDrift(t *testing.T) {
	api := &addontest.API{Late: map[string]string{}}
	m := newManager(api)
	install(t, m, instance(webAddon(web)))
	one := func() addon.Status {
		t.Helper()
		all, err := m.Status(t.Context(), "web")
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		return all[0]
	}
	if s := one(); s.Health != addon.Healthy || len(s.Drift)+len(s.Problems) > 0 {
		t.Errorf("healthy: %+v", s)
	}
	deployment := kube.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	api.Change(deployment, func(o *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(o.Object, int64(3), "spec", "replicas")
		_ = unstructured.SetNestedField(o.Object, true, "spec", "paused") // never cove's
	})
	api.Change(kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "key"}, func(o *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(o.Object, "eA==", "data", "k") // its value is its own
	})
	if s := one(); !slices.Equal(s.Drift, []string{"deployment shop/web: spec.replicas"}) {
		t.Errorf("drift: %v", s.Drift)
	}
	api.Late["deployment shop/web"] = "Available: 0/1"
	if s := one(); s.Health != addon.Progressing || !slices.Equal(s.Problems, []string{"deployment shop/web: Available: 0/1"}) {
		t.Errorf("progressing: %+v", s)
	}
	api.Late["deployment shop/web"] = "Available: 0/1, pod web-1: container web is waiting: ImagePullBackOff x"
	if s := one(); s.Health != addon.Failed {
		t.Errorf("failed: %+v", s)
	}
	delete(api.Late, "deployment shop/web")
	gone, _ := api.Get(t.Context(), deployment)
	if err := api.Delete(t.Context(), []*unstructured.Unstructured{gone}, nil); err != nil {
		t.Fatal(err)
	}
	if s := one(); s.Health != addon.Failed || !slices.Contains(s.Drift, "deployment shop/web: it was removed") {
		t.Errorf("removed: %+v", s)
	}
	install(t, m, instance(webAddon(web))) // mends all of it
	if s := one(); s.Health != addon.Healthy || len(s.Drift) > 0 {
		t.Errorf("mended: %+v", s)
	}
	if _, err := m.Status(t.Context(), "other"); !fault.Is(err, fault.AddonNotInstalled) {
		t.Errorf("another one: %v", err)
	}
}

// A run that ends anywhere leaves what says so, and the next one mends it.
func TestCutOff(t *testing.T) {
	for call, run := range map[string]func(ctx context.Context, m *addon.Manager) error{
		"Apply deployment shop/web": func(ctx context.Context, m *addon.Manager) error {
			set, err := m.Prepare(ctx, instance(webAddon(web)))
			if err == nil {
				_, err = m.Apply(ctx, set, nil)
			}
			return err
		},
		"Delete deployment shop/web": func(ctx context.Context, m *addon.Manager) error { return m.Remove(ctx, "web", false, nil) },
	} {
		api := &addontest.API{}
		m := newManager(api)
		install(t, m, instance(webAddon(web)))
		api.Fail = map[string]error{call: errors.New("cut off")}
		if err := run(t.Context(), m); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("%s: %v", call, err)
		}
		api.Fail = nil
		if all, err := m.Status(t.Context()); err != nil || len(all) != 1 || all[0].Health != addon.Interrupted {
			t.Errorf("%s: %+v, %v", call, all, err)
		}
		if err := run(t.Context(), m); err != nil {
			t.Errorf("%s again: %v", call, err)
		}
	}
}

func TestWaitFails(t *testing.T) {
	api := &addontest.API{Late: map[string]string{"deployment shop/web": "Available: 0/1"}}
	m := newManager(api)
	set, err := m.Prepare(t.Context(), instance(webAddon(web)))
	if err != nil {
		t.Fatal(err)
	}
	refs, err := m.Apply(t.Context(), set, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Wait(t.Context(), "web", refs, nil); !fault.Is(err, fault.AddonFailed) || !strings.Contains(err.Error(), "addon web did not become ready") {
		t.Errorf("got %v", err)
	}
}

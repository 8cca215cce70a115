package cluster

import (
	"net/netip"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/kube"
)

const coredns = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: coredns
          env: [{name: A, value: b}]
          readinessProbe: {httpGet: {path: /ready, port: 8181}}
`

func TestQuickDNS(t *testing.T) {
	for workers, replicas := range map[int]int64{0: 1, 1: 2} {
		objs, err := kube.Decode([]byte(coredns))
		if err != nil {
			t.Fatal(err)
		}
		doc := v1alpha1.Cluster{Name: "dev"}
		doc.Cluster.Nodes = []kind.Node{{Role: kind.ControlPlaneRole}}
		for range workers {
			doc.Cluster.Nodes = append(doc.Cluster.Nodes, kind.Node{Role: kind.WorkerRole})
		}
		if err := quickDNS(objs[0], doc); err != nil {
			t.Fatal(err)
		}
		directAPI(objs[0], netip.MustParseAddr("172.18.0.10"))
		if got, _, _ := unstructured.NestedInt64(objs[0].Object, "spec", "replicas"); got != replicas {
			t.Errorf("%d workers: %d replicas, want %d", workers, got, replicas)
		}
		list, _, _ := unstructured.NestedSlice(objs[0].Object, "spec", "template", "spec", "containers")
		c := list[0].(map[string]any)
		if got, _, _ := unstructured.NestedInt64(c, "readinessProbe", "periodSeconds"); got != 1 {
			t.Errorf("the probe comes every %d seconds", got)
		}
		env := map[any]any{}
		for _, e := range c["env"].([]any) {
			env[e.(map[string]any)["name"]] = e.(map[string]any)["value"]
		}
		if env["A"] != "b" || env["KUBERNETES_SERVICE_HOST"] != "172.18.0.10" || env["KUBERNETES_SERVICE_PORT"] != "6443" {
			t.Errorf("environment: %v", env)
		}
	}
}

func TestPatchTOML(t *testing.T) {
	got, err := patchTOML([]byte("version = 3\n[a]\nx = 1\ny = [1, 2]\n"),
		[]string{"[a]\ny = [3]\n[b]\nz = true\n", "version = 2\n[a]\nx = 9\n", "version = 3\n[b]\nf = 1.5\n"},
		[]string{`[{"op": "add", "path": "/a/y/-", "value": 4}]`, "- {op: replace, path: /b/z, value: false}\n"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "version = 3\n\n[a]\nx = 1\ny = [3, 4]\n\n[b]\nf = 1.5\nz = false\n"; string(got) != want {
		t.Errorf("got:\n%s", got)
	}
	if _, err := patchTOML(nil, []string{"a ="}, nil); err == nil || !strings.Contains(err.Error(), "containerdConfigPatches[0]") {
		t.Errorf("a patch that is no TOML: %v", err)
	}
	if _, err := patchTOML(nil, nil, []string{"[]", "- {op: remove, path: /a}"}); err == nil || !strings.Contains(err.Error(), "containerdConfigPatchesJSON6902[1]") {
		t.Errorf("an operation on what is not there: %v", err)
	}
}

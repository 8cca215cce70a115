package v1alpha1_test

import (
	"reflect"
	"slices"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

func TestNodes(t *testing.T) {
	mounts := []kind.Mount{{HostPath: "/a", ContainerPath: "/b"}}
	ports := []kind.PortMapping{{ContainerPort: 80}}
	json := []kind.PatchJSON6902{{Kind: "InitConfiguration", Patch: "[]"}}
	tests := []struct {
		name string
		doc  v1alpha1.Cluster
		want []v1alpha1.Node
	}{
		{"an empty document has one control plane", v1alpha1.Cluster{}, []v1alpha1.Node{
			{Name: "cove-control-plane", Role: "control-plane"},
		}},
		{"names are kind's, whatever the order", v1alpha1.Cluster{Name: "dev", Image: "all", Cluster: kind.Cluster{Nodes: []kind.Node{
			{Role: kind.WorkerRole}, {}, {Role: kind.WorkerRole, Image: "own"}, {Role: kind.WorkerRole},
		}}}, []v1alpha1.Node{
			{Name: "dev-worker", Role: "worker", Image: "all"},
			{Name: "dev-control-plane", Role: "control-plane", Image: "all"},
			{Name: "dev-worker2", Role: "worker", Image: "own"},
			{Name: "dev-worker3", Role: "worker", Image: "all"},
		}},
		{"everything of a node is there", v1alpha1.Cluster{Name: "dev", Cluster: kind.Cluster{Nodes: []kind.Node{{
			Role: kind.ControlPlaneRole, Image: "own", Labels: map[string]string{"a": "b"}, ExtraMounts: mounts,
			ExtraPortMappings: ports, KubeadmConfigPatches: []string{"p"}, KubeadmConfigPatchesJSON6902: json,
		}}}}, []v1alpha1.Node{{
			Name: "dev-control-plane", Role: "control-plane", Image: "own", Labels: map[string]string{"a": "b"}, ExtraMounts: mounts,
			ExtraPortMappings: ports, KubeadmConfigPatches: []string{"p"}, KubeadmConfigPatchesJSON6902: json,
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.doc.Nodes(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// Kind may add fields to its nodes: then Node, Nodes, the checks of pkg/config and the schema need a look.
func TestNodeHasAllOfKindsFields(t *testing.T) {
	ours := reflect.TypeFor[v1alpha1.Node]()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[kind.Node]()) {
		if _, ok := ours.FieldByName(f.Name); !ok {
			t.Errorf("kind's nodes have %s, ours do not", f.Name)
		}
	}
}

func TestNodesAreCopies(t *testing.T) {
	doc := v1alpha1.Cluster{Cluster: kind.Cluster{Nodes: []kind.Node{{Labels: map[string]string{"a": "b"}}}}}
	doc.Nodes()[0].Labels["a"] = "changed"
	if doc.Cluster.Nodes[0].Labels["a"] != "b" {
		t.Error("a change of the list changed the document")
	}
}

func TestDeepCopySharesNothing(t *testing.T) {
	doc := v1alpha1.Cluster{Name: "a", FromKind: true, Cluster: kind.Cluster{FeatureGates: map[string]bool{"X": true}}}
	c := doc.DeepCopy()
	if !reflect.DeepEqual(*c, doc) {
		t.Fatalf("got %+v, want %+v", *c, doc)
	}
	c.Cluster.FeatureGates["X"] = false
	if !doc.Cluster.FeatureGates["X"] {
		t.Error("a change of the copy changed the document")
	}
}

func TestKnownVersions(t *testing.T) {
	known := v1alpha1.KnownVersions()
	if !slices.IsSortedFunc(known, func(a, b string) int { return slices.Compare([]byte(b), []byte(a)) }) {
		t.Errorf("%v: not newest first", known)
	}
	if v1alpha1.DefaultKubernetesVersion() != known[0] {
		t.Errorf("the default is %s, not the newest", v1alpha1.DefaultKubernetesVersion())
	}
}

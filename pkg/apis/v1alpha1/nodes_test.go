package v1alpha1_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
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

// brief is the name, the role's first letter, the image and the size of each node, on one line.
func brief(nodes []v1alpha1.Node) string {
	out := []string{}
	for _, n := range nodes {
		s := n.Name + "/" + n.Role[:1]
		if n.Image != "" {
			s += "=" + n.Image
		}
		if n.NanoCPUs != 0 || n.Memory != 0 {
			s += fmt.Sprintf("(%d,%d)", n.NanoCPUs, n.Memory)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestNodesOfCovesList(t *testing.T) {
	const control = kind.ControlPlaneRole
	tests := []struct {
		name  string
		nodes []v1alpha1.NodeSpec
		want  string
	}{
		{"a worker, and the control plane that is not there", []v1alpha1.NodeSpec{{}}, "dev-control-plane/c=all dev-worker/w=all"},
		{"a control plane anywhere", []v1alpha1.NodeSpec{{}, {Role: control}}, "dev-worker/w=all dev-control-plane/c=all"},
		{"several of a kind", []v1alpha1.NodeSpec{{Role: control, Count: 3}, {Count: 2, Image: "own"}, {}},
			"dev-control-plane/c=all dev-control-plane2/c=all dev-control-plane3/c=all dev-worker/w=own dev-worker2/w=own dev-worker3/w=all"},
		{"names", []v1alpha1.NodeSpec{{Name: "cp", Role: control}, {Name: "web"}, {Name: "dev-db"}, {}},
			"dev-cp/c=all dev-web/w=all dev-db/w=all dev-worker/w=all"},
		{"names with numbers", []v1alpha1.NodeSpec{{Role: control}, {Name: "web", Count: 3}}, "dev-control-plane/c=all dev-web/w=all dev-web2/w=all dev-web3/w=all"},
		{"names that are standard ones", []v1alpha1.NodeSpec{{Role: control}, {}, {Count: 2}, {Name: "worker2"}, {Name: "dev-worker", Count: 1}},
			"dev-control-plane/c=all dev-worker3/w=all dev-worker4/w=all dev-worker5/w=all dev-worker2/w=all dev-worker/w=all"},
		{"a worker that has the control plane's name", []v1alpha1.NodeSpec{{Name: "control-plane"}}, "dev-control-plane2/c=all dev-control-plane/w=all"},
		{"sizes", []v1alpha1.NodeSpec{{Role: control, CPUs: "1.5", Memory: "2Gi"}, {CPUs: "500m", Memory: "1G"}, {CPUs: "many", Memory: "-1"}},
			"dev-control-plane/c=all(1500000000,2147483648) dev-worker/w=all(500000000,1000000000) dev-worker2/w=all"},
		{"a negative count", []v1alpha1.NodeSpec{{Role: control}, {Count: -1}}, "dev-control-plane/c=all dev-worker/w=all"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := v1alpha1.Cluster{Name: "dev", Image: "all", NodeSpecs: tt.nodes}
			got := doc.Nodes()
			if brief(got) != tt.want {
				t.Errorf("got  %s\nwant %s", brief(got), tt.want)
			}
			again := doc.DeepCopy()
			again.SetNodes(got)
			if !reflect.DeepEqual(again.Nodes(), got) || len(again.NodeSpecs) != len(got) {
				t.Errorf("after SetNodes: %s\nwant %s", brief(again.Nodes()), tt.want)
			}
		})
	}
}

// A mistake in a number costs no memory, and is still seen to be too much.
func TestNodesAreBounded(t *testing.T) {
	item := v1alpha1.NodeSpec{Name: "n", Count: 1 << 40}
	doc := v1alpha1.Cluster{NodeSpecs: slices.Repeat([]v1alpha1.NodeSpec{item}, 100)}
	if got := len(doc.Nodes()); got != v1alpha1.MaxListed {
		t.Errorf("got %d nodes, want %d", got, v1alpha1.MaxListed)
	}
}

// What SetNodes writes is what Nodes reads, from either list, and in a form that is short.
func TestSetNodes(t *testing.T) {
	full := v1alpha1.Node{
		Name: "dev-web", Role: "worker", Image: "own", Labels: map[string]string{"a": "b"}, NanoCPUs: 1_500_000_000, Memory: 512 << 20,
		Taints:      []v1alpha1.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}},
		ExtraMounts: []kind.Mount{{HostPath: "/a", ContainerPath: "/b"}}, ExtraPortMappings: []kind.PortMapping{{ContainerPort: 80}},
		KubeadmConfigPatches: []string{"p"}, KubeadmConfigPatchesJSON6902: []kind.PatchJSON6902{{Kind: "InitConfiguration", Patch: "[]"}},
	}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(full)) {
		if reflect.ValueOf(full).FieldByName(f.Name).IsZero() {
			t.Errorf("the test has nothing for %s", f.Name)
		}
	}
	plain := v1alpha1.Node{Name: "dev-control-plane", Role: "control-plane", Image: "all"}
	odd := v1alpha1.Node{Name: "dev-dev-x", Role: "worker", Image: "all"}
	doc := v1alpha1.Cluster{Name: "dev", Image: "all", Cluster: kind.Cluster{Nodes: []kind.Node{{}, {Role: kind.WorkerRole}}}}
	doc.SetNodes([]v1alpha1.Node{plain, full, odd})
	if got, want := doc.Nodes(), []v1alpha1.Node{plain, full, odd}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if doc.Cluster.Nodes != nil {
		t.Error("kind's list is still there")
	}
	if got, want := doc.NodeSpecs[0], (v1alpha1.NodeSpec{Name: "control-plane", Role: "control-plane"}); !reflect.DeepEqual(got, want) {
		t.Errorf("a plain node is %+v", got)
	}
	if got := doc.NodeSpecs[1]; got.Name != "web" || got.CPUs != "1500m" || got.Memory != "512Mi" || got.Image != "own" {
		t.Errorf("got %+v", got)
	}
	doc.NodeSpecs[1].Labels["a"] = "changed"
	if full.Labels["a"] != "b" {
		t.Error("the document shares what the node has")
	}
}

func TestSetNodesFromKindsList(t *testing.T) {
	for _, doc := range []v1alpha1.Cluster{
		{},
		{Name: "dev", Image: "all", Cluster: kind.Cluster{Nodes: []kind.Node{
			{Role: kind.WorkerRole, Image: "own"}, {}, {Role: kind.WorkerRole, Labels: map[string]string{"a": "b"}}, {Role: kind.ControlPlaneRole},
		}}},
	} {
		want := doc.Nodes()
		doc.SetNodes(want)
		if got := doc.Nodes(); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestShortName(t *testing.T) {
	for _, tt := range []struct{ cluster, node, want string }{
		{"dev", "dev-worker2", "worker2"}, {"dev", "dev-dev-x", "dev-x"}, {"dev", "worker", "worker"}, {"dev", "development-worker", "development-worker"},
		{"", "cove-worker", "worker"},
	} {
		doc := v1alpha1.Cluster{Name: tt.cluster}
		if got := doc.ShortName(tt.node); got != tt.want {
			t.Errorf("%s of %s: got %s, want %s", tt.node, tt.cluster, got, tt.want)
		}
	}
}

// Kind may add fields to its nodes: then NodeSpec, Node, Nodes, the checks of pkg/config and the schema need a look.
func TestNodeHasAllOfKindsFields(t *testing.T) {
	for _, ours := range []reflect.Type{reflect.TypeFor[v1alpha1.Node](), reflect.TypeFor[v1alpha1.NodeSpec]()} {
		for _, f := range reflect.VisibleFields(reflect.TypeFor[kind.Node]()) {
			if _, ok := ours.FieldByName(f.Name); !ok {
				t.Errorf("kind's nodes have %s, %s does not", f.Name, ours)
			}
		}
	}
}

func TestKindsNodesAndBack(t *testing.T) {
	full := kind.Node{
		Role: kind.ControlPlaneRole, Image: "own", Labels: map[string]string{"a": "b"}, ExtraMounts: []kind.Mount{{HostPath: "/a"}},
		ExtraPortMappings: []kind.PortMapping{{ContainerPort: 80}}, KubeadmConfigPatches: []string{"p"},
		KubeadmConfigPatchesJSON6902: []kind.PatchJSON6902{{Patch: "[]"}},
	}
	spec := v1alpha1.NodeSpecOf(full)
	if back, fits := spec.KindNode(); !fits || !reflect.DeepEqual(back, full) {
		t.Errorf("got %+v, fits: %t; want %+v", back, fits, full)
	}
	if got := v1alpha1.NodeSpecOf(kind.Node{}).Role; got != kind.ControlPlaneRole {
		t.Errorf("kind's default role is %q", got)
	}
	for _, spec := range []v1alpha1.NodeSpec{
		{Name: "x"}, {Count: 2}, {Taints: []v1alpha1.Taint{{}}}, {CPUs: "1"}, {Memory: "1Gi"},
	} {
		if n, fits := spec.KindNode(); fits || n.Role != kind.WorkerRole {
			t.Errorf("%+v: got %+v, fits: %t", spec, n, fits)
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
	doc := v1alpha1.Cluster{
		Name: "a", FromKind: true, Cluster: kind.Cluster{FeatureGates: map[string]bool{"X": true}},
		NodeSpecs: []v1alpha1.NodeSpec{{Labels: map[string]string{"a": "b"}, Taints: []v1alpha1.Taint{{Key: "k"}}}},
	}
	c := doc.DeepCopy()
	if !reflect.DeepEqual(*c, doc) {
		t.Fatalf("got %+v, want %+v", *c, doc)
	}
	c.Cluster.FeatureGates["X"] = false
	c.NodeSpecs[0].Labels["a"], c.NodeSpecs[0].Taints[0].Key = "changed", "changed"
	if !doc.Cluster.FeatureGates["X"] || doc.NodeSpecs[0].Labels["a"] != "b" || doc.NodeSpecs[0].Taints[0].Key != "k" {
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

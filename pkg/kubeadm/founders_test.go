package kubeadm

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/fault"
)

// founders is a cluster that starts with three control planes.
func founders() Cluster {
	c := one()
	c.SingleControlPlane = false
	c.Founders = map[string]netip.Addr{
		"dev-control-plane": netip.MustParseAddr("172.28.0.10"), "dev-control-plane2": netip.MustParseAddr("172.28.0.11"), "dev-control-plane3": netip.MustParseAddr("fd00::c"),
	}
	return c
}

func TestFounderConfig(t *testing.T) {
	c := founders()
	c.Patches = []string{
		"kind: ClusterConfiguration\netcd: {local: {extraArgs: [{name: quota-backend-bytes, value: '1'}]}}\n",
		"kind: InitConfiguration\nnodeRegistration: {kubeletExtraArgs: {node-labels: first=yes}}\n", "kind: JoinConfiguration\nnodeRegistration: {kubeletExtraArgs: {node-labels: first=no}}\n",
	}
	first, err := InitConfig(c, controlPlane(c))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "init-founders.yaml", first)
	other, err := FounderConfig(c, Node{Name: "dev-control-plane2", Role: "control-plane", IPs: []netip.Addr{netip.MustParseAddr("172.28.0.11")}})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "init-founder.yaml", other)
	w := worker(c)
	w.Patches = []string{"kind: KubeletConfiguration\nmaxPods: 7\n"}
	w.Taints = []Taint{{Key: "only", Value: "batch", Effect: "NoSchedule"}, {Key: "x", Effect: "NoExecute"}}
	if other, err = FounderConfig(c, w); err != nil {
		t.Fatal(err)
	}
	golden(t, "init-founder-worker.yaml", other)
}

func TestRegistration(t *testing.T) {
	c := one()
	c.Patches = []string{"kind: JoinConfiguration\nnodeRegistration: {kubeletExtraArgs: [{name: node-labels, value: 'a=b,c=,d'}], taints: [{key: k, value: v, effect: NoSchedule}]}\n"}
	n := Node{
		Name: "w", Role: "worker", Labels: map[string]string{"tier": "front"},
		Patches: []string{"kind: JoinConfiguration\nnodeRegistration: {kubeletExtraArgs: {register-with-taints: 'x=y:NoExecute,z:NoSchedule'}}\n"},
	}
	labels, taints, err := JoinRegistration(c, n)
	if want := map[string]string{"tier": "front", "a": "b", "c": "", "d": ""}; err != nil || !maps.Equal(labels, want) {
		t.Errorf("labels %v, %v", labels, err)
	}
	if want := []Taint{{"k", "v", "NoSchedule"}, {"x", "y", "NoExecute"}, {"z", "", "NoSchedule"}}; !slices.Equal(taints, want) {
		t.Errorf("taints %v", taints)
	}
	c.Patches = append(c.Patches, "kind: InitConfiguration\nnodeRegistration: {kubeletExtraArgs: {node-labels: first=yes}}\n")
	if labels, taints, err := InitRegistration(c, controlPlane(c)); err != nil || !maps.Equal(labels, map[string]string{"first": "yes"}) || len(taints) > 0 {
		t.Errorf("of the first: %v, %v, %v", labels, taints, err)
	}
	c.Patches = []string{"kind: JoinConfiguration\nnodeRegistration: {taints: 3}\n"}
	if _, _, err := JoinRegistration(c, n); !fault.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), "nodeRegistration of node w") {
		t.Errorf("got %v", err)
	}
}

func TestFoundersLeaveOtherEtcdsAlone(t *testing.T) {
	c := founders()
	c.JSON6902Patches = []v1alpha4.PatchJSON6902{{
		Group: "kubeadm.k8s.io", Version: "v1beta4", Kind: "ClusterConfiguration", Patch: "- {op: replace, path: /etcd, value: {external: {endpoints: [https://etcd:2379]}}}",
	}}
	if conf, err := InitConfig(c, controlPlane(c)); err != nil || strings.Contains(string(conf), "initial-cluster") || !strings.Contains(string(conf), "external") {
		t.Errorf("%v\n%s", err, conf)
	}
	c.JSON6902Patches[0].Patch = "- {op: replace, path: /etcd/local/extraArgs, value: 3}"
	if _, err := InitConfig(c, controlPlane(c)); !fault.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), "etcd.local.extraArgs") {
		t.Errorf("got %v", err)
	}
}

func TestCanFound(t *testing.T) {
	skip := "kind: JoinConfiguration\nskipPhases: [kubelet-start]\n"
	join := func(patch string) []v1alpha4.PatchJSON6902 {
		return []v1alpha4.PatchJSON6902{{Group: "kubeadm.k8s.io", Version: "v1beta4", Kind: "JoinConfiguration", Patch: patch}}
	}
	tests := map[string]struct {
		c    Cluster
		node Node
		want bool
	}{
		"no patch":            {Cluster{}, Node{}, true},
		"of the cluster":      {Cluster{Patches: []string{"kind: ClusterConfiguration\ncontrolPlaneEndpoint: a:1\n---\nkind: KubeletConfiguration\nmaxPods: 9\n"}}, Node{}, true},
		"of the init":         {Cluster{Patches: []string{"kind: InitConfiguration\nskipPhases: [mark-control-plane]\n"}}, Node{}, true},
		"of the registration": {Cluster{}, Node{Patches: []string{"kind: JoinConfiguration\nnodeRegistration: {taints: []}\n"}}, true},
		"of the join":         {Cluster{Patches: []string{skip}}, Node{}, false},
		"of a node's join":    {Cluster{}, Node{Patches: []string{skip}}, false},
		"operations":          {Cluster{JSON6902Patches: join("- {op: add, path: /a, value: 1}")}, Node{}, false},
		"operations that err": {Cluster{}, Node{JSON6902Patches: join("- {op: remove, path: /b}")}, false},
	}
	for name, tt := range tests {
		for _, tt.node.Role = range []string{"control-plane", "worker"} {
			if got := CanFound(tt.c, tt.node); got != tt.want {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
}

func TestAddCertSANs(t *testing.T) {
	got, err := AddCertSANs([]byte("apiServer: {certSANs: [a, 192.0.2.1]}\nkind: ClusterConfiguration\n"), []string{"192.0.2.1", "192.0.2.2"})
	if want := "apiServer:\n  certSANs:\n  - a\n  - 192.0.2.1\n  - 192.0.2.2\nkind: ClusterConfiguration\n"; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := AddCertSANs([]byte("a: ["), nil); !fault.Is(err, fault.Internal) {
		t.Errorf("got %v", err)
	}
}

func TestForgetFounders(t *testing.T) {
	const kept = "etcd:\n  local:\n    extraArgs:\n    - name: unsafe-no-fsync\n      value: \"true\"\nkind: ClusterConfiguration\n"
	const more = "    - name: initial-cluster\n      value: a=https://a:2380\n    - name: initial-cluster-state\n      value: new\n"
	for in, want := range map[string]string{
		strings.Replace(kept, "kind:", more+"kind:", 1): kept,
		kept:                                   kept,
		"etcd: {external: {endpoints: [a]}}\n": "etcd: {external: {endpoints: [a]}}\n",
	} {
		if got, err := ForgetFounders([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%v, got\n%s", err, got)
		}
	}
	if _, err := ForgetFounders([]byte("a: [")); !fault.Is(err, fault.Internal) {
		t.Errorf("got %v", err)
	}
}

package cluster_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
)

// Control planes of a new cluster start together, each with the share of the pod subnet that its network was configured for, and etcd's
// first members are forgotten; where a patch tells an init from a join, they join.
func TestFounders(t *testing.T) {
	const join = "kind: JoinConfiguration\ntimeouts: {discovery: 1m}\n"
	const registration = "kind: JoinConfiguration\nnodeRegistration: {taints: [{key: a, value: b, effect: NoSchedule}]}\n"
	tests := map[string]struct {
		patch func(*v1alpha1.Cluster)
		calls []string
	}{
		"together": {func(*v1alpha1.Cluster) {}, []string{
			"CreateNodeObject dev-control-plane 10.244.0.0/24", "CreateNodeObject dev-control-plane2 10.244.1.0/24",
			"CreateNodeObject dev-control-plane3 10.244.2.0/24", "CreateNodeObject dev-worker 10.244.3.0/24", "PatchConfigMap kube-system/kubeadm-config",
			"kubeadm init dev-control-plane", "kubeadm init dev-control-plane2", "kubeadm init dev-control-plane3", "kubelet start dev-worker",
		}},
		"registered": {func(c *v1alpha1.Cluster) {
			nodes := c.Nodes()
			nodes[3].KubeadmConfigPatches = []string{registration}
			c.SetNodes(nodes)
		}, []string{
			"CreateNodeObject dev-control-plane 10.244.0.0/24", "CreateNodeObject dev-control-plane2 10.244.1.0/24",
			"CreateNodeObject dev-control-plane3 10.244.2.0/24", "CreateNodeObject dev-worker 10.244.3.0/24 a=b:NoSchedule", "PatchConfigMap kube-system/kubeadm-config",
			"kubeadm init dev-control-plane", "kubeadm init dev-control-plane2", "kubeadm init dev-control-plane3", "kubelet start dev-worker",
		}},
		"patched": {func(c *v1alpha1.Cluster) { c.Cluster.KubeadmConfigPatches = []string{join} }, []string{
			"CreateNodeObject dev-control-plane2 10.244.1.0/24", "CreateNodeObject dev-control-plane3 10.244.2.0/24", "CreateNodeObject dev-worker 10.244.3.0/24",
			"kubeadm init dev-control-plane", "kubeadm join dev-control-plane2", "kubeadm join dev-control-plane3", "kubeadm join dev-worker",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			doc := resized(t, document(t, "dev", 0), 3, 1)
			tt.patch(&doc)
			if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, c := range s.Calls() {
				if strings.HasPrefix(c, "kube") || strings.HasPrefix(c, "CreateNodeObject ") || strings.HasPrefix(c, "PatchConfigMap ") {
					seen[c] = true
				}
			}
			if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, tt.calls) {
				t.Errorf("got %s\nwant %s", strings.Join(got, "\n"), strings.Join(tt.calls, "\n"))
			}
			together := slices.Contains(tt.calls, "kubeadm init dev-control-plane2")
			for _, node := range []string{"dev-control-plane", "dev-control-plane2", "dev-control-plane3"} {
				conf, err := s.Engine.ReadFile(t.Context(), node, "/kind/kubeadm.conf")
				if err != nil || strings.Contains(string(conf), "name: initial-cluster\n") != together {
					t.Errorf("%s: %v\n%s", node, err, conf)
				}
			}
		})
	}
}

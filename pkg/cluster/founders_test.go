package cluster_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
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
			"kubelet restart dev-control-plane2", "kubelet restart dev-control-plane3",
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

// Where the controller manager gave out shares before cove did, the control planes are registered anew: all that are in the way go before one
// is made, those too that have their own by now. What kubeadm marked them with stays.
func TestFoundersAreRegisteredAnew(t *testing.T) {
	const marked = " node-role.kubernetes.io/control-plane=:NoSchedule"
	tests := map[string]struct {
		ahead map[string][]string
		calls []string
		want  string
	}{
		"another order": {map[string][]string{"": {"10.244.1.0/24"}, "2": {"10.244.0.0/24"}, "3": {"10.244.2.0/24"}}, []string{
			"CreateNodeObject 3 10.244.2.0/24", "TakeNodeObject", "TakeNodeObject 2",
			"CreateNodeObject 10.244.0.0/24" + marked, "CreateNodeObject 2 10.244.1.0/24", "CreateNodeObject 3 10.244.2.0/24",
			"kubelet restart", "kubelet restart 2",
		}, ""},
		"one that cove gave its own": {map[string][]string{"2": {"10.244.0.0/24"}, "": {"10.244.0.0/24"}}, []string{
			"CreateNodeObject 10.244.0.0/24", "CreateNodeObject 3 10.244.2.0/24", "TakeNodeObject", "TakeNodeObject 2",
			"CreateNodeObject 10.244.0.0/24" + marked, "CreateNodeObject 2 10.244.1.0/24", "CreateNodeObject 3 10.244.2.0/24",
			"kubelet restart", "kubelet restart 2",
		}, ""},
		"again": {map[string][]string{"3": {"10.244.1.0/24", "10.244.0.0/24"}}, []string{
			"CreateNodeObject 10.244.0.0/24", "CreateNodeObject 2 10.244.1.0/24", "TakeNodeObject 3",
			"CreateNodeObject 10.244.0.0/24", "CreateNodeObject 2 10.244.1.0/24", "TakeNodeObject 3",
			"CreateNodeObject 10.244.0.0/24", "CreateNodeObject 2 10.244.1.0/24", "CreateNodeObject 3 10.244.2.0/24",
			"kubelet restart 3",
		}, ""},
		"for ever": {map[string][]string{"3": slices.Repeat([]string{"10.244.7.0/24"}, 99)}, slices.Concat(
			slices.Repeat([]string{"CreateNodeObject 10.244.0.0/24", "CreateNodeObject 2 10.244.1.0/24", "TakeNodeObject 3"}, 4),
			[]string{"CreateNodeObject 10.244.0.0/24", "CreateNodeObject 2 10.244.1.0/24"},
		), "its share of the pod subnet is 10.244.7.0/24, not 10.244.2.0/24"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			s.Ahead = map[string][]string{}
			for node, shares := range tt.ahead {
				s.Ahead["dev-control-plane"+node] = shares
			}
			s.Marked = map[string][]kube.Taint{"dev-control-plane": {
				{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}, {Key: "node.kubernetes.io/not-ready", Effect: "NoSchedule"},
			}}
			err := s.create(t.Context(), resized(t, document(t, "dev", 0), 3, 1), cluster.CreateOptions{})
			if tt.want == "" && err != nil || tt.want != "" && (!fault.Is(err, fault.KubernetesRefused) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v; want %q", err, tt.want)
			}
			if got := registrations(s.Calls()); !slices.Equal(got, tt.calls) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.calls, "\n"))
			}
		})
	}
}

// registrations are the calls that register control planes, in order; those that go beside each other are sorted.
func registrations(calls []string) []string {
	var got []string
	begun := 0
	for _, c := range calls {
		verb, node, _ := strings.Cut(c, " dev-control-plane")
		if node == c || verb == c || !slices.Contains([]string{"CreateNodeObject", "TakeNodeObject", "kubelet restart"}, verb) {
			continue
		}
		if len(got) > 0 && !strings.HasPrefix(got[len(got)-1], verb) {
			begun = len(got)
		}
		got = append(got, strings.TrimRight(verb+" "+strings.TrimLeft(node, " "), " "))
		slices.Sort(got[begun:])
	}
	return got
}

package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

const oldVersion = "v1.35.4"

// newUpgrade makes a cluster of the old version, on an engine that has images of both.
func newUpgrade(t *testing.T, doc v1alpha1.Cluster) *setup {
	t.Helper()
	s := newSetup(t)
	for _, v := range []string{oldVersion, clustertest.Version} {
		clustertest.AddNodeImageOf(s.Engine, "cove-node:"+v, v, true)
	}
	clustertest.AddNodeImageOf(s.Engine, "old:latest", "v1.32.4", true)
	s.deps.EnsureImage = func(ctx context.Context, e engine.Engine, _ *event.Reporter, name, version string) (engine.Image, error) {
		if name == "" {
			name = "cove-node:" + version
		}
		return e.Image(ctx, name)
	}
	if err := s.create(t.Context(), of(oldVersion, doc), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// of returns the document with another version.
func of(version string, doc v1alpha1.Cluster) v1alpha1.Cluster {
	out := *doc.DeepCopy()
	out.KubernetesVersion = version
	return out
}

// runs fails where a node is not of the new version, or its kubelet waits.
func (s *setup) runsNew(t *testing.T, doc v1alpha1.Cluster) {
	t.Helper()
	for _, n := range doc.Nodes() {
		c, err := s.Engine.Node(t.Context(), n.Name)
		if err != nil || c.Image != "cove-node:"+clustertest.Version || c.State != engine.StateRunning {
			t.Errorf("node %s: %+v, %v", n.Name, c, err)
		}
		if _, err := s.Engine.ReadFile(t.Context(), n.Name, "/etc/cove/hold-kubelet"); err == nil {
			t.Errorf("the kubelet of %s is held", n.Name)
		}
	}
}

func TestUpgrade(t *testing.T) {
	doc := resized(t, document(t, "dev", 0), 3, 1)
	s := newUpgrade(t, doc)
	const member = "/etc/kubernetes/manifests/etcd.yaml"
	members := "    - --initial-cluster=dev-control-plane=https://10.0.0.1:2380,dev-control-plane2=https://10.0.0.2:2380\n    - --initial-cluster-state=existing\n"
	if err := s.Engine.PutFiles(t.Context(), "dev-control-plane2", []engine.File{{Path: member, Data: []byte("    - etcd\n" + members), Mode: 0o600}}); err != nil {
		t.Fatal(err)
	}
	before, err := s.Engine.Node(t.Context(), "dev-worker")
	if err != nil {
		t.Fatal(err)
	}
	diff, err := s.apply(t.Context(), of(clustertest.Version, doc))
	if want := "~ control-plane dev-control-plane: Kubernetes v1.35.4 → v1.36.3 (drained, container replaced)\n"; err != nil || !strings.HasPrefix(diff, want) || strings.Count(diff, "\n") != 3 {
		t.Fatalf("got %s, %v", diff, err)
	}
	s.follows(t, of(clustertest.Version, doc))
	s.runsNew(t, doc)
	after, err := s.Engine.Node(t.Context(), "dev-worker")
	if err != nil || after.IP != before.IP || !slices.Equal(after.Volumes, before.Volumes) || after.ID == before.ID {
		t.Errorf("before %+v\nafter %+v\n%v", before, after, err)
	}
	if data, err := s.Engine.ReadFile(t.Context(), "dev-control-plane2", member); err != nil || !strings.Contains(string(data), members) {
		t.Errorf("etcd's members: %s, %v", data, err)
	}
	inOrder(t, s.Calls(), "Drain dev-control-plane", "kubelet start dev-control-plane", "kubeadm init phase upload-config all dev-control-plane",
		"Cordon dev-control-plane", "Drain dev-control-plane2", "kubeadm init phase control-plane all dev-control-plane2", "kubelet start dev-control-plane2",
		"Drain dev-control-plane3", "kubelet start dev-control-plane3", "Drain dev-worker", "kubeadm upgrade node phase kubelet-config dev-worker", "kubelet start dev-worker")
	if slices.Contains(s.Calls(), "kubeadm upgrade node phase kubelet-config dev-control-plane2") {
		t.Error("a control plane that is held has asked the API")
	}
	for _, n := range doc.Nodes() {
		inOrder(t, s.Calls(), "kubelet start dev-worker", "dns "+n.Name)
	}
}

// inOrder fails where the calls do not have these, one after the other.
func inOrder(t *testing.T, calls []string, want ...string) {
	t.Helper()
	rest := calls
	for _, w := range want {
		i := slices.IndexFunc(rest, func(c string) bool { return c == w || strings.HasPrefix(c, w+" ") })
		if i < 0 {
			t.Fatalf("%q did not happen in its turn: %s", w, strings.Join(calls, "\n"))
		}
		rest = rest[i+1:]
	}
}

// A run is killed at every operation in turn; the same upgrade again comes to its end.
func TestUpgradeGoesOnFromEveryOperation(t *testing.T) {
	for _, size := range [][2]int{{1, 0}, {2, 0}, {3, 1}} {
		t.Run(fmt.Sprintf("%d+%d", size[0], size[1]), func(t *testing.T) {
			doc := resized(t, document(t, "dev", 0), size[0], size[1])
			s := newUpgrade(t, doc)
			before := len(s.Engine.Operations())
			if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
				t.Fatal(err)
			}
			count := len(s.Engine.Operations()) - before
			for n := 1; n <= count; n++ {
				s := newUpgrade(t, doc)
				s.Engine.FailFrom(len(s.Engine.Operations())+n, fault.New(fault.EngineUnreachable, "the run was killed"))
				if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); err == nil {
					t.Errorf("operation %d: the run that was cut off went well", n)
				}
				s.Engine.Heal()
				if diff, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
					t.Errorf("operation %d of %d: %s\n%v", n, count, diff, err)
					continue
				}
				s.follows(t, of(clustertest.Version, doc))
				s.runsNew(t, doc)
			}
		})
	}
}

// A cluster that is half-way is not brought to anything else.
func TestUpgradeHalfWay(t *testing.T) {
	doc := document(t, "dev", 1)
	s := newUpgrade(t, doc)
	s.Fail["Cordon"] = fault.New(fault.NotReady, "injected")
	if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); !fault.Is(err, fault.NotReady) {
		t.Fatalf("got %v", err)
	}
	delete(s.Fail, "Cordon")
	now, err := cluster.GetStatus(t.Context(), s.deps, "dev")
	if err != nil || now.Usable || !slices.ContainsFunc(now.Problems, func(p string) bool { return strings.Contains(p, "`cove upgrade dev --kubernetes-version v1.36.3`") }) {
		t.Errorf("status: %+v, %v", now, err)
	}
	if err := cluster.Start(t.Context(), s.deps, "dev", cluster.PowerOptions{}); !fault.Is(err, fault.ConfigUnsupported) {
		t.Errorf("start: %v", err)
	}
	for _, other := range []v1alpha1.Cluster{of(oldVersion, doc), of("v1.36.9", doc), resized(t, of(oldVersion, doc), 1, 2)} {
		_, err := s.apply(t.Context(), other)
		if !fault.Is(err, fault.ConfigUnsupported) || !strings.Contains(fault.ReportOf(err).Hint, "cove upgrade dev --kubernetes-version v1.36.3") {
			t.Errorf("%s: %v", other.KubernetesVersion, err)
		}
	}
	target, err := cluster.OpenAddons(t.Context(), s.run(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"enable":  cluster.EnableAddons(t.Context(), s.run(), target, catalogue(), instances(t, doc), cluster.AddonOptions{}),
		"disable": cluster.DisableAddons(t.Context(), s.run(), target, catalogue(), []string{"local-path"}, true, cluster.AddonOptions{}),
	} {
		if !fault.Is(err, fault.ConfigUnsupported) || !strings.Contains(fault.ReportOf(err).Hint, "cove upgrade dev --kubernetes-version v1.36.3") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
		t.Error(err)
	}
	s.follows(t, of(clustertest.Version, doc))
	if now, err := cluster.GetStatus(t.Context(), s.deps, "dev"); err != nil || len(now.Problems) > 0 {
		t.Errorf("status: %+v, %v", now, err)
	}
}

// A node that somebody else has cordoned stays so.
func TestUpgradeLeavesCordons(t *testing.T) {
	doc := document(t, "dev", 2)
	s := newUpgrade(t, doc)
	s.Cordoned["dev-worker"] = false
	if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
		t.Fatal(err)
	}
	if want := map[string]bool{"dev-worker": false}; !maps.Equal(s.Cordoned, want) {
		t.Errorf("cordoned: %v", s.Cordoned)
	}
}

func TestUpgradeRefused(t *testing.T) {
	doc := document(t, "dev", 1)
	pinned := *doc.DeepCopy()
	nodes := pinned.Nodes()
	nodes[0].Image = "cove-node:" + oldVersion
	pinned.SetNodes(nodes)
	worker := *doc.DeepCopy()
	nodes = worker.Nodes()
	nodes[1].Image = "cove-node:" + oldVersion
	worker.SetNodes(nodes)
	for name, tt := range map[string]struct {
		was, want v1alpha1.Cluster
		says      string
	}{
		"down":                   {of("v1.36.3", doc), of("v1.35.4", doc), "cannot go back"},
		"two at once":            {doc, of("v1.37.0", doc), "one minor version at a time"},
		"a pinned control plane": {pinned, of("v1.36.3", pinned), "keeps its own image cove-node:v1.35.4"},
		"another image":          {doc, of("v1.36.2", doc), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newUpgrade(t, tt.was)
			if tt.was.KubernetesVersion == "v1.36.3" && name == "down" {
				if _, err := s.apply(t.Context(), tt.was); err != nil {
					t.Fatal(err)
				}
			}
			_, err := s.apply(t.Context(), tt.want)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
			if n, err := s.Engine.Node(t.Context(), "dev-control-plane"); err != nil || n.State != engine.StateRunning {
				t.Errorf("the control plane was touched: %+v, %v", n, err)
			}
		})
	}
	t.Run("a worker may stay behind", func(t *testing.T) {
		s := newUpgrade(t, worker)
		if _, err := s.apply(t.Context(), of(clustertest.Version, worker)); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Engine.Node(t.Context(), "dev-worker"); err != nil || n.Image != "cove-node:"+oldVersion {
			t.Errorf("worker %+v, %v", n, err)
		}
	})
}

// The load balancer follows when nobody needs it: with a single control plane beside it, with several at the next start.
func TestUpgradeOfTheLoadBalancer(t *testing.T) {
	for _, controlPlanes := range []int{1, 3} {
		t.Run(fmt.Sprint(controlPlanes), func(t *testing.T) {
			ctx := t.Context()
			doc := resized(t, document(t, "dev", 0), controlPlanes, 0)
			s := newUpgrade(t, doc)
			before := s.balancerOf(t, oldVersion)
			if _, err := s.apply(ctx, of(clustertest.Version, doc)); err != nil {
				t.Fatal(err)
			}
			if controlPlanes > 1 {
				if kept := s.balancerOf(t, oldVersion); kept.ID != before.ID {
					t.Error("the load balancer was replaced while other control planes answered through it")
				}
				if err := cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
					t.Fatal(err)
				}
				if err := cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			after := s.balancerOf(t, clustertest.Version)
			if after.IP != before.IP || after.Ports[0].HostPort != before.Ports[0].HostPort || after.State != engine.StateRunning {
				t.Errorf("before %+v\nafter %+v", before, after)
			}
			s.follows(t, of(clustertest.Version, doc))
		})
	}
}

// balancerOf returns the load balancer, which must be of the image of that version.
func (s *setup) balancerOf(t *testing.T, version string) engine.Node {
	t.Helper()
	b, err := s.Engine.Node(t.Context(), "dev-external-load-balancer")
	if err != nil || b.Image != "cove-node:"+version {
		t.Fatalf("the load balancer is of %s, want that of %s: %v", b.Image, version, err)
	}
	return b
}

// The only control plane's container can be gone, or be there and never have run: it is made anew before anybody waits for its API.
func TestUpgradeWithoutAContainer(t *testing.T) {
	doc := document(t, "dev", 0)
	s := newUpgrade(t, doc)
	if err := s.Engine.RemoveNode(t.Context(), "dev-control-plane"); err != nil {
		t.Fatal(err)
	}
	if diff, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
		t.Fatal(diff, err)
	}
	s.runsNew(t, doc)
	s.follows(t, of(clustertest.Version, doc))
}

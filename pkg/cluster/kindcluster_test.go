package cluster_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

const kindImage = "kindest/node:" + clustertest.Version

// ofKind makes a cluster of one control plane on an image of kind's layout: it has no load balancer.
func ofKind(t *testing.T) (*setup, v1alpha1.Cluster) {
	t.Helper()
	s := newSetup(t)
	clustertest.AddNodeImage(s.Engine, kindImage, false)
	doc := document(t, "dev", 0)
	doc.Image = kindImage
	nodes := doc.Nodes()
	for i := range nodes {
		nodes[i].Image = kindImage
	}
	doc.SetNodes(nodes)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return s, doc
}

// api returns the port that the control plane publishes the API by.
func (s *setup) api(t *testing.T) uint16 {
	t.Helper()
	n, err := s.Engine.Node(t.Context(), "dev-control-plane")
	i := slices.IndexFunc(n.Ports, func(p engine.Port) bool { return p.ContainerPort == 6443 })
	if err != nil || i < 0 {
		t.Fatalf("the API is not published: %+v, %v", n, err)
	}
	return n.Ports[i].HostPort
}

func TestClusterWithoutBalancerLives(t *testing.T) {
	s, doc := ofKind(t)
	ctx, port := t.Context(), s.api(t)
	more, _, err := cluster.AddNodes(doc, v1alpha1.Node{Role: engine.RoleWorker, Image: kindImage}, 1)
	if err != nil {
		t.Fatal(err)
	}
	bigger := changed(more, "dev-control-plane", func(n *v1alpha1.Node) { n.Memory = 1 << 30 })
	taken := changed(bigger, "dev-control-plane", publishing(8080))
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"stop", func() error { return cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{}) }},
		{"start", func() error { return cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{}) }},
		{"node add", func() error { _, err := s.apply(ctx, more); return err }},
		{"node update", func() error { _, err := s.apply(ctx, bigger); return err }},
		{"start again", func() error { return cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{}) }},
		{"a port that is taken", func() error {
			s.Engine.TakePort(engine.Port{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"})
			if _, err := s.apply(ctx, taken); !fault.Is(err, fault.PortTaken) {
				t.Errorf("got %v", err)
			}
			return nil
		}},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if step.name != "stop" && s.api(t) != port {
			t.Errorf("%s: the API has port %d, and had %d", step.name, s.api(t), port)
		}
	}
	if left, err := s.apply(ctx, bigger); err != nil || left != "" {
		t.Errorf("there is still something to do: %s, %v", left, err)
	}
	if n, err := s.Engine.Node(ctx, "dev-control-plane"); err != nil || n.Memory != 1<<30 || n.State != engine.StateRunning {
		t.Errorf("got %+v, %v", n, err)
	}
	other := *bigger.DeepCopy()
	other.Cluster.Networking.APIServerPort = 7443
	if _, err := s.apply(ctx, other); !fault.Is(err, fault.ConfigUnsupported) || !strings.Contains(err.Error(), "apiServerPort") {
		t.Errorf("another port of the API: %v", err)
	}
	status, err := cluster.GetStatus(ctx, s.deps, "dev")
	if err != nil || !status.Usable || len(status.Nodes) != 2 {
		t.Errorf("status: %+v, %v", status, err)
	}
}

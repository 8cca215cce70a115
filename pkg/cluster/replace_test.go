package cluster_test

import (
	"context"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// changed returns the document with one node changed.
func changed(doc v1alpha1.Cluster, name string, change func(*v1alpha1.Node)) v1alpha1.Cluster {
	out := *doc.DeepCopy()
	nodes := out.Nodes()
	for i := range nodes {
		if nodes[i].Name == name {
			change(&nodes[i])
		}
	}
	out.SetNodes(nodes)
	return out
}

func publishing(port int32) func(*v1alpha1.Node) {
	return func(n *v1alpha1.Node) {
		n.ExtraPortMappings = append(n.ExtraPortMappings, kind.PortMapping{ContainerPort: 80, HostPort: port, Protocol: "TCP"})
	}
}

// A container that cannot be replaced is made again as it was, and nothing of what was wanted is on record. Nodes that were replaced before
// it keep what they got.
func TestReplaceThatFailsIsUndone(t *testing.T) {
	for _, name := range []string{"dev-control-plane", "dev-worker"} {
		for failing, prepare := range map[string]func(*setup){
			"port taken":   func(s *setup) { s.Engine.TakePort(engine.Port{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}) },
			"never back":   func(s *setup) { s.Fail["WaitNodesFresh"] = fault.New(fault.NotReady, "injected") },
			"cannot start": func(s *setup) { s.Engine.FailAt(len(s.Engine.Operations())+4, fault.New(fault.NodeStart, "injected")) },
			"cannot stop": func(s *setup) {
				s.Engine.FailAt(len(s.Engine.Operations())+1, fault.New(fault.EngineFailed, "injected"))
			},
		} {
			t.Run(name+" "+failing, func(t *testing.T) {
				s := newSetup(t)
				doc := changed(document(t, "dev", 1), name, publishing(8081))
				if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				before, _ := s.Engine.Node(t.Context(), name)
				prepare(s)
				if diff, err := s.apply(t.Context(), changed(doc, name, publishing(8080))); err == nil || !strings.Contains(diff, "+ port 8080→80") {
					t.Fatalf("got %s, %v", diff, err)
				}
				delete(s.Fail, "WaitNodesFresh")
				after, err := s.Engine.Node(t.Context(), name)
				if err != nil || after.State != engine.StateRunning || after.IP != before.IP || len(after.Ports) != len(before.Ports) || after.Image != before.Image {
					t.Errorf("before %+v, after %+v, %v", before, after, err)
				}
				s.follows(t, doc)
			})
		}
	}
}

func TestReplacedNodesStayReplaced(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 1)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Engine.TakePort(engine.Port{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"})
	bigger := changed(doc, "dev-control-plane", func(n *v1alpha1.Node) { n.Memory = 1 << 30 })
	if _, err := s.apply(t.Context(), changed(bigger, "dev-worker", publishing(8080))); !fault.Is(err, fault.PortTaken) {
		t.Fatal(err)
	}
	if n, err := s.Engine.Node(t.Context(), "dev-control-plane"); err != nil || n.Memory != 1<<30 || n.State != engine.StateRunning {
		t.Errorf("got %+v, %v", n, err)
	}
	for _, e := range s.log.events {
		if e.Status == event.Undone && e.Step == "replace/dev-control-plane" {
			t.Error("it is said to have been undone")
		}
	}
	s.follows(t, bigger)
}

// A load balancer whose new port is taken is made again as it was.
func TestBalancerThatFailsIsUndone(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 0)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before, _ := s.Engine.Node(t.Context(), "dev-external-load-balancer")
	s.Engine.TakePort(engine.Port{HostPort: 6443, ContainerPort: 6443, Protocol: "tcp"})
	next := *doc.DeepCopy()
	next.Cluster.Networking.APIServerPort = 6443
	if _, err := s.apply(t.Context(), next); !fault.Is(err, fault.PortTaken) {
		t.Fatal(err)
	}
	after, err := s.Engine.Node(t.Context(), "dev-external-load-balancer")
	if err != nil || after.State != engine.StateRunning || after.Ports[0] != before.Ports[0] {
		t.Errorf("before %+v, after %+v, %v", before, after, err)
	}
	s.follows(t, doc)
}

// What the engine's host does not have is refused before anything is touched.
func TestMoreThanTheHostHas(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 1)
	huge := map[string]func(*v1alpha1.Node){
		"cpus":   func(n *v1alpha1.Node) { n.NanoCPUs = 64e9 },
		"memory": func(n *v1alpha1.Node) { n.Memory = 64 << 30 },
	}
	for what, change := range huge {
		if err := s.create(t.Context(), changed(doc, "dev-worker", change), cluster.CreateOptions{}); !fault.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("create, %s: %v", what, err)
		}
	}
	if ops := s.Engine.Operations(); len(ops) > 0 {
		t.Errorf("create did %v", ops)
	}
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before := len(s.Engine.Operations())
	for what, change := range huge {
		for name, next := range map[string]v1alpha1.Cluster{
			"update": changed(doc, "dev-control-plane", change), "add": changed(resized(t, doc, 1, 2), "dev-worker2", change),
		} {
			if _, err := s.apply(t.Context(), next); !fault.Is(err, fault.ConfigInvalid) || !strings.Contains(err.Error(), what) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	if ops := s.Engine.Operations()[before:]; len(ops) > 0 {
		t.Errorf("did %v", ops)
	}
}

// putting tells of the files that are written.
type putting struct {
	engine.Engine
	put func([]engine.File)
}

// PutFiles writes them.
func (p putting) PutFiles(ctx context.Context, node string, files []engine.File) error {
	p.put(files)
	return p.Engine.PutFiles(ctx, node, files)
}

// What the volumes have stays as it is where a container is replaced: a key is never written twice.
func TestReplaceWritesNoKeys(t *testing.T) {
	s := living(t, document(t, "dev", 0))
	rewritten := map[string]bool{}
	s.deps.Engine = putting{s.Engine, func(files []engine.File) {
		for _, f := range files {
			rewritten[f.Path] = true
		}
	}}
	if _, err := s.apply(t.Context(), changed(document(t, "dev", 0), "dev-control-plane", publishing(8080))); err != nil {
		t.Fatal(err)
	}
	if len(rewritten) == 0 || rewritten["/etc/kubernetes/pki/ca.key"] || rewritten["/etc/kubernetes/pki/ca.crt"] {
		t.Errorf("written: %v", rewritten)
	}
}

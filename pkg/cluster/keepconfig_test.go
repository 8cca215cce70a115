package cluster_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeconfig"
)

// context returns what the kubeconfig has of the cluster.
func (s *setup) context(t *testing.T) (kubeconfig.Context, bool) {
	t.Helper()
	c, there, err := kubeconfig.Get(s.deps.Kubeconfig, "cove-dev")
	if err != nil {
		t.Fatal(err)
	}
	return c, there
}

// A context that leads nowhere, because the run that moved the API ended before it wrote that down, is set right by the next start or
// apply; one that the user has removed stays so, and one that is right is not touched.
func TestContextIsSetRight(t *testing.T) {
	doc := document(t, "dev", 0)
	for verb, do := range map[string]func(s *setup, skip bool) error{
		"start": func(s *setup, skip bool) error {
			return cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{SkipKubeconfig: skip, KeepContext: true})
		},
		"start without a wait": func(s *setup, skip bool) error {
			return cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{SkipKubeconfig: skip, Wait: cluster.WaitNone, KeepContext: true})
		},
		"apply": func(s *setup, skip bool) error {
			o := s.applyOptions()
			o.SkipKubeconfig = skip
			_, _, err := cluster.Apply(t.Context(), s.run(), "dev", func(*v1alpha1.Cluster) (v1alpha1.Cluster, error) { return doc, nil }, o)
			return err
		},
	} {
		t.Run(verb, func(t *testing.T) {
			s := newSetup(t)
			if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			right, _ := s.context(t)
			harm := map[string]func(c *kubeconfig.Context){
				"server": func(c *kubeconfig.Context) { c.Server = "https://127.0.0.1:1" },
				"CA":     func(c *kubeconfig.Context) { c.CA = []byte("another") },
			}
			for what, change := range harm {
				wrong := right
				change(&wrong)
				merge := func(c kubeconfig.Context, current bool) {
					if _, err := kubeconfig.Merge(t.Context(), s.deps.Kubeconfig, c, current); err != nil {
						t.Fatal(err)
					}
				}
				merge(wrong, true)
				merge(kubeconfig.Context{Name: "mine", Server: "https://x", CA: right.CA}, true)
				if err := do(s, true); err != nil {
					t.Fatal(err)
				}
				if got, _ := s.context(t); got.Server != wrong.Server || string(got.CA) != string(wrong.CA) {
					t.Errorf("%s: it was changed with --no-kubeconfig: %+v", what, got)
				}
				if err := do(s, false); err != nil {
					t.Fatal(err)
				}
				if got, _ := s.context(t); got.Server != right.Server || string(got.CA) != string(right.CA) {
					t.Errorf("%s: it is %+v", what, got)
				}
				data, err := os.ReadFile(s.deps.Kubeconfig)
				if err != nil || !strings.Contains(string(data), "current-context: mine") {
					t.Errorf("%s: the user was taken elsewhere: %v\n%s", what, err, data)
				}
			}
			before, _ := s.context(t)
			if err := do(s, false); err != nil {
				t.Fatal(err)
			}
			if after, _ := s.context(t); string(after.ClientCert) != string(before.ClientCert) {
				t.Error("one that is right was written anew")
			}
			if _, err := kubeconfig.Remove(t.Context(), s.deps.Kubeconfig, "cove-dev"); err != nil {
				t.Fatal(err)
			}
			if err := do(s, false); err != nil {
				t.Fatal(err)
			}
			if _, there := s.context(t); there {
				t.Error("the context that the user had removed is there again")
			}
		})
	}
}

// A certificate in the kubeconfig that ends is renewed, whoever has renewed the cluster's.
func TestContextWithACertificateThatEnds(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 0)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before, _ := s.context(t)
	s.deps.Now = func() time.Time { return time.Now().Add(350 * 24 * time.Hour) }
	if diff, err := s.apply(t.Context(), doc); err != nil || !strings.Contains(diff, "~ context cove-dev: its certificate has ended") {
		t.Errorf("%s, %v", diff, err)
	}
	if after, _ := s.context(t); string(after.ClientCert) == string(before.ClientCert) {
		t.Error("it was not renewed")
	}
}

// A change makes the context the current one where that is asked for.
func TestApplySwitchesContextWhenAsked(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 0)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{KeepContext: true}); err != nil {
		t.Fatal(err)
	}
	for _, ask := range []bool{false, true} {
		if err := s.Engine.RemoveNode(t.Context(), balancer); err != nil {
			t.Fatal(err)
		}
		c, _ := s.context(t)
		c.Server = "https://127.0.0.1:1"
		if _, err := kubeconfig.Merge(t.Context(), s.deps.Kubeconfig, c, false); err != nil {
			t.Fatal(err)
		}
		o := s.applyOptions()
		o.SwitchContext = ask
		if _, _, err := cluster.Apply(t.Context(), s.run(), "dev", func(*v1alpha1.Cluster) (v1alpha1.Cluster, error) { return doc, nil }, o); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(s.deps.Kubeconfig)
		if err != nil || strings.Contains(string(data), "current-context: cove-dev") != ask {
			t.Errorf("asked %v: %v\n%s", ask, err, data)
		}
	}
}

// A cluster that an upgrade was cut off on is not stopped by a restart, which could not start it.
func TestRestartLeavesAHalfUpgradedClusterUp(t *testing.T) {
	doc := document(t, "dev", 1)
	s := newUpgrade(t, doc)
	s.Fail["WaitNodesFresh"] = fault.New(fault.NotReady, "injected")
	if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); err == nil {
		t.Fatal("it went well")
	}
	before := len(s.Engine.Operations())
	if err := cluster.Restart(t.Context(), s.run(), "dev", cluster.PowerOptions{}); err == nil {
		t.Error("it was restarted")
	}
	if did := s.Engine.Operations()[before:]; len(did) > 0 {
		t.Errorf("it did %q", did)
	}
}

// A restart that another run waits for is over when the cluster has been started.
func TestRestartHasOneLock(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var busy error
	s.Engine.On("StartNode dev-control-plane", func() { busy = cluster.Stop(t.Context(), s.run(), "dev", cluster.PowerOptions{}) })
	if err := cluster.Restart(t.Context(), s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	if !fault.Is(busy, fault.ClusterBusy) {
		t.Errorf("a stop in the middle: %v", busy)
	}
}

// Apply starts a cluster that is stopped as start does: certificates first, another port where its own is taken, no leases of leaders
// that have ended, and it waits for the nodes and their pods.
func TestApplyStartsAsStartDoes(t *testing.T) {
	s := newSetup(t)
	doc := resized(t, document(t, "dev", 1), 3, 1)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Stop(t.Context(), s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	conf, _ := s.Engine.ReadFile(t.Context(), "dev-control-plane", "/etc/kubernetes/admin.conf")
	b, _ := s.Engine.Node(t.Context(), balancer)
	s.Engine.TakePort(b.Ports[0])
	s.deps.Now = func() time.Time { return time.Now().Add(400 * 24 * time.Hour) }
	before := len(s.Calls())
	if _, err := s.apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	if now, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", "/etc/kubernetes/admin.conf"); err != nil || string(now) == string(conf) {
		t.Errorf("the certificates were not renewed: %v", err)
	}
	for _, want := range []string{"WaitNodesFresh dev-worker", "dns dev-worker"} {
		if !slices.Contains(s.Calls()[before:], want) {
			t.Errorf("%q did not happen: %q", want, s.Calls()[before:])
		}
	}
	if c, _ := s.context(t); strings.HasSuffix(c.Server, fmt.Sprintf(":%d", b.Ports[0].HostPort)) {
		t.Errorf("the context has %s", c.Server)
	}
	s.follows(t, doc)
}

// A stop that was killed before it ended the node has left it to stay down one day: apply and start see to it.
func TestKilledStopLeavesNoNodeDown(t *testing.T) {
	doc := document(t, "dev", 1)
	for name, do := range map[string]func(s *setup) error{
		"start": func(s *setup) error { return cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{}) },
		"apply": func(s *setup) error { _, err := s.apply(t.Context(), doc); return err },
	} {
		s := newSetup(t)
		if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, node := range []string{"dev-worker", balancer} {
			if err := s.Engine.KeepDown(t.Context(), node, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := do(s); err != nil {
			t.Fatal(err)
		}
		for _, node := range []string{"dev-worker", balancer} {
			if n, err := s.Engine.Node(t.Context(), node); err != nil || n.KeptDown {
				t.Errorf("%s: %s: %+v, %v", name, node, n, err)
			}
		}
		s.follows(t, doc)
	}
}

// Keys that one control plane has lost are read from the next.
func TestKeysOfAnotherControlPlane(t *testing.T) {
	s := newSetup(t)
	doc := resized(t, document(t, "dev", 0), 3, 0)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Engine.DefaultExec("dev-control-plane", engine.Command{Args: []string{"rm", "/etc/kubernetes/pki/sa.key"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.apply(t.Context(), resized(t, doc, 3, 1)); err != nil {
		t.Error(errors.Join(errors.New("the others have them"), err))
	}
}

// Without a load balancer the control plane publishes the API: it is started, and made again, with the port that kubeconfigs have.
func TestControlPlaneThatPublishesTheAPI(t *testing.T) {
	s := newSetup(t)
	clustertest.AddNodeImage(s.Engine, "kindest/node:v1.36.3", false)
	doc := document(t, "dev", 0)
	nodes := doc.Nodes()
	nodes[0].Image = "kindest/node:v1.36.3"
	doc.SetNodes(nodes)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before, _ := s.Engine.Node(t.Context(), "dev-control-plane")
	if err := cluster.Restart(t.Context(), s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Engine.Break("dev-control-plane"); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	after, err := s.Engine.Node(t.Context(), "dev-control-plane")
	if err != nil || after.ID == before.ID || len(before.Ports) != 1 || !slices.Equal(after.Ports, before.Ports) {
		t.Errorf("it had %v, has %v, %v", before.Ports, after.Ports, err)
	}
}

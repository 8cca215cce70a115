package cluster_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/fault"
)

// The only control plane's container is gone, as when a run is killed that replaces it: what is on its volumes is the cluster.
func TestTheOnlyControlPlaneComesBackFromItsVolumes(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 1)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Engine.RemoveNode(t.Context(), "dev-control-plane"); err != nil {
		t.Fatal(err)
	}
	left := s.Left()
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); !fault.Is(err, fault.ClusterExists) {
		t.Errorf("a create over it: %v", err)
	}
	if err := cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{}); !fault.Is(err, fault.ClusterIncomplete) || !strings.Contains(fault.ReportOf(err).Hint, "cove apply") {
		t.Errorf("a start of it: %v", err)
	}
	o := s.applyOptions()
	o.Confirm = func(cluster.Difference) (bool, error) { return false, nil }
	if _, _, err := cluster.Apply(t.Context(), s.run(), "dev", func(now *v1alpha1.Cluster) (v1alpha1.Cluster, error) { return *now, nil }, o); err != nil {
		t.Error(err)
	}
	if now := s.Left(); !slices.Equal(now, left) {
		t.Errorf("who only looks leaves %v, was %v", now, left)
	}
	diff, err := s.apply(t.Context(), doc)
	if want := "~ control-plane dev-control-plane: its container is gone (container replaced, about 5 s)"; err != nil || diff != want {
		t.Errorf("got %s, %v", diff, err)
	}
	s.follows(t, doc)
	if data, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", "/var/lib/etcd/member"); err != nil || len(data) == 0 {
		t.Errorf("etcd's data: %s, %v", data, err)
	}
}

// An upgrade that was killed between the old container of the only control plane and the new one goes on.
func TestUpgradeGoesOnWithoutAContainer(t *testing.T) {
	doc := document(t, "dev", 0)
	s := newUpgrade(t, doc)
	s.Fail["WaitNodesFresh"] = fault.New(fault.NotReady, "injected")
	if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); err == nil {
		t.Fatal("it went well")
	}
	delete(s.Fail, "WaitNodesFresh")
	if err := s.Engine.RemoveNode(t.Context(), "dev-control-plane"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
		t.Fatal(err)
	}
	s.follows(t, of(clustertest.Version, doc))
	s.runsNew(t, doc)
}

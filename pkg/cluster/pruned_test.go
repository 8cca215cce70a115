package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// stopped makes a cluster of the document and stops it.
func stopped(t *testing.T, doc v1alpha1.Cluster) *setup {
	t.Helper()
	s := newSetup(t)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Stop(t.Context(), s.run(), doc.Name, cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// prune removes the network, and the containers as well where they are to go, as `docker system prune` does with a stopped cluster.
func (s *setup) prune(t *testing.T, doc v1alpha1.Cluster, containers bool) {
	t.Helper()
	nodes, err := s.Engine.Nodes(t.Context(), engine.Selector{Cluster: doc.Name})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if !containers {
			break
		}
		if err := s.Engine.RemoveNode(t.Context(), n.Name); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Engine.RemoveNetwork(t.Context(), "cove-"+doc.Name); err != nil {
		t.Fatal(err)
	}
}

// network returns the cluster's network.
func (s *setup) network(t *testing.T, name string) engine.Network {
	t.Helper()
	list, err := s.Engine.Networks(t.Context(), engine.Selector{Cluster: name})
	if err != nil || len(list) != 1 {
		t.Fatalf("networks %v, %v", list, err)
	}
	return list[0]
}

// families returns documents of one family and of two.
func families(t *testing.T) []v1alpha1.Cluster {
	t.Helper()
	dual := document(t, "dev", 1)
	dual.Cluster.Networking.IPFamily = "dual"
	dual.Cluster.Networking.PodSubnet, dual.Cluster.Networking.ServiceSubnet = "10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/16,fd00:10:96::/112"
	return []v1alpha1.Cluster{document(t, "dev", 1), resized(t, document(t, "dev", 0), 3, 0), dual}
}

// A stopped cluster whose network was pruned, with its containers or without them, is not cleared away; an apply brings it back
// under its addresses.
func TestPrunedClusterComesBack(t *testing.T) {
	for i, doc := range families(t) {
		for _, containers := range []bool{true, false} {
			t.Run(fmt.Sprint(i, containers), func(t *testing.T) {
				s := stopped(t, doc)
				was := s.network(t, "dev")
				s.prune(t, doc, containers)
				left := s.Left()
				err := s.create(t.Context(), doc, cluster.CreateOptions{})
				if !fault.Is(err, fault.ClusterExists) || !strings.Contains(fault.ReportOf(err).Hint, "`cove apply dev` brings back") {
					t.Errorf("create: %v: %s", err, fault.ReportOf(err).Hint)
				}
				if err := cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{}); !strings.Contains(fault.ReportOf(err).Hint, "`cove apply dev`") {
					t.Errorf("start: %v", err)
				}
				status, err := cluster.GetStatus(t.Context(), s.deps, "dev")
				if text := strings.Join(status.Problems, "\n"); err != nil || status.Usable || status.State == cluster.Incomplete || !strings.Contains(text, "`cove apply dev` brings") {
					t.Errorf("status: %+v, %v", status, err)
				}
				if now := s.Left(); !slices.Equal(now, left) {
					t.Errorf("there is %v, was %v", now, left)
				}
				diff, err := s.apply(t.Context(), doc)
				if err != nil || !strings.HasPrefix(diff, "~ network cove-dev: it is gone (made again with the same addresses)\n~ load balancer") || strings.Contains(diff, "\n+") {
					t.Fatalf("apply: %s, %v", diff, err)
				}
				if now := s.network(t, "dev"); now.Subnet != was.Subnet || now.Subnet6 != was.Subnet6 || now.Labels["cove.dev/document"] == "" {
					t.Errorf("network %+v, was %+v", now, was)
				}
				if data, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", "/var/lib/etcd/member"); err != nil || len(data) == 0 {
					t.Errorf("etcd's data: %s, %v", data, err)
				}
				s.follows(t, doc)
			})
		}
	}
}

// A run that brings a cluster back is killed at every operation in turn; the next one ends it.
func TestPrunedClusterComesBackFromEveryOperation(t *testing.T) {
	doc := document(t, "dev", 1)
	s := stopped(t, doc)
	s.prune(t, doc, false)
	before := len(s.Engine.Operations())
	if _, err := s.apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	count := len(s.Engine.Operations()) - before
	for n := 1; n <= count; n++ {
		s := stopped(t, doc)
		s.prune(t, doc, false)
		s.Engine.FailFrom(len(s.Engine.Operations())+n, fault.New(fault.EngineUnreachable, "the run was killed"))
		if _, err := s.apply(t.Context(), doc); err == nil {
			t.Errorf("operation %d: the run that was cut off went well", n)
		}
		s.Engine.Heal()
		if diff, err := s.apply(t.Context(), doc); err != nil {
			t.Errorf("operation %d of %d: %s\n%v", n, count, diff, err)
			continue
		}
		s.follows(t, doc)
	}
}

// Where another network has the subnet by now, the error names it, and what is on the volumes stays.
func TestPrunedSubnetIsTaken(t *testing.T) {
	doc := document(t, "dev", 0)
	s := stopped(t, doc)
	subnet := s.network(t, "dev").Subnet
	s.prune(t, doc, true)
	if _, err := s.Engine.CreateNetwork(t.Context(), engine.NetworkSpec{Name: "other", Cluster: "other", Subnet: subnet}); err != nil {
		t.Fatal(err)
	}
	_, err := s.apply(t.Context(), doc)
	if !fault.Is(err, fault.NetworkTaken) || !strings.Contains(err.Error(), "network other") || !strings.Contains(fault.ReportOf(err).Hint, subnet.String()) {
		t.Errorf("got %v: %s", err, fault.ReportOf(err).Hint)
	}
	if err := s.Engine.RemoveNetwork(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	s.follows(t, doc)
}

// The record of an older cove does not say the subnet: an API server's manifest does, or else the cluster is refused and left alone.
func TestPrunedClusterOfAnOlderCove(t *testing.T) {
	for _, manifest := range []bool{true, false} {
		doc := document(t, "dev", 0)
		s := stopped(t, doc)
		was := s.network(t, "dev")
		data, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", recordFiles()[0])
		if err != nil || !strings.Contains(string(data), `"subnet":"`+was.Subnet.String()+`"`) {
			t.Fatalf("%s, %v", data, err)
		}
		files := []engine.File{{Path: recordFiles()[0], Data: []byte(strings.Replace(string(data), `,"subnet":"`+was.Subnet.String()+`"`, "", 1))}}
		if manifest {
			at := strings.Replace(was.Subnet.String(), ".0/24", ".10", 1)
			files = append(files, engine.File{Path: "/etc/kubernetes/manifests/kube-apiserver.yaml", Data: []byte("    - kube-apiserver\n    - --advertise-address=" + at + "\n    - --x=y\n")})
		}
		if err := s.Engine.PutFiles(t.Context(), "dev-control-plane", files); err != nil {
			t.Fatal(err)
		}
		s.prune(t, doc, true)
		left := s.Left()
		_, err = s.apply(t.Context(), doc)
		if manifest {
			if err != nil || s.network(t, "dev").Subnet != was.Subnet {
				t.Errorf("got %v", err)
			}
			s.follows(t, doc)
			continue
		}
		if created := s.create(t.Context(), doc, cluster.CreateOptions{}); err == nil || created == nil || !strings.Contains(err.Error(), "which subnet it had") {
			t.Errorf("apply: %v, create: %v", err, created)
		}
		if now := s.Left(); !slices.Equal(now, left) {
			t.Errorf("there is %v, was %v", now, left)
		}
	}
}

// An upgrade brings a pruned cluster along.
func TestUpgradeOfAPrunedCluster(t *testing.T) {
	doc := document(t, "dev", 1)
	s := newUpgrade(t, doc)
	if err := cluster.Stop(t.Context(), s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	s.prune(t, doc, false)
	if diff, err := s.apply(t.Context(), of(clustertest.Version, doc)); err != nil {
		t.Fatal(diff, err)
	}
	s.runsNew(t, doc)
	s.follows(t, of(clustertest.Version, doc))
}

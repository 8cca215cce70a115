package cluster_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
)

// update writes the goldens anew.
var update = flag.Bool("update", false, "write the goldens anew")

// document returns a complete document of a cluster with that many workers.
func document(t *testing.T, name string, workers int, change ...func(*v1alpha1.Cluster)) v1alpha1.Cluster {
	t.Helper()
	doc, err := config.Resolve(config.Input{Flags: config.Overrides{Name: name, Workers: &workers}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(&doc)
	}
	return doc
}

// A plan is the cheapest record of what create does: a change that was not meant shows in a golden.
func TestPlans(t *testing.T) {
	noCNI := func(c *v1alpha1.Cluster) { c.Cluster.Networking.DisableDefaultCNI = true }
	noProxy := func(c *v1alpha1.Cluster) { c.Cluster.Networking.KubeProxyMode = "none" }
	workerFirst := func(c *v1alpha1.Cluster) {
		c.Cluster.Nodes = []kind.Node{{Role: kind.WorkerRole}, {Role: kind.ControlPlaneRole}}
	}
	plans := map[string]cluster.Plan{
		"one-node":     cluster.PlanCreate(document(t, "dev", 0), cluster.CreateOptions{}),
		"two-workers":  cluster.PlanCreate(document(t, "dev", 2), cluster.CreateOptions{}),
		"worker-first": cluster.PlanCreate(document(t, "dev", 0, workerFirst), cluster.CreateOptions{}),
		"wait-none":    cluster.PlanCreate(document(t, "dev", 1), cluster.CreateOptions{Wait: cluster.WaitNone}),
		"wait-api":     cluster.PlanCreate(document(t, "dev", 1), cluster.CreateOptions{Wait: cluster.WaitAPI}),
		"wait-nodes":   cluster.PlanCreate(document(t, "dev", 1), cluster.CreateOptions{Wait: cluster.WaitNodes}),
		"no-cni":       cluster.PlanCreate(document(t, "dev", 0, noCNI), cluster.CreateOptions{}),
		"no-proxy":     cluster.PlanCreate(document(t, "dev", 0, noProxy), cluster.CreateOptions{SkipKubeconfig: true}),
		"delete":       cluster.PlanDelete("dev"),
	}
	for name, plan := range plans {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			for _, s := range plan.Info() {
				fmt.Fprintf(&out, "%-10s %-26s %s\n", s.Stage, s.ID, s.Title)
			}
			golden(t, filepath.Join("testdata", "plan", name+".txt"), out.String())
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

func TestParseWaitLevel(t *testing.T) {
	for _, good := range []string{"none", "api", "nodes", "usable"} {
		if l, err := cluster.ParseWaitLevel(good); err != nil || string(l) != good {
			t.Errorf("%s: %v, %v", good, l, err)
		}
	}
	if _, err := cluster.ParseWaitLevel("ready"); err == nil {
		t.Error("ready is taken for a level")
	}
}

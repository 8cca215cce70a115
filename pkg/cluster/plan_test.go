package cluster_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/profile"
	"github.com/cove-k8s/cove/profiles"
)

// update writes the goldens anew.
var update = flag.Bool("update", false, "write the goldens anew")

// document returns a complete document of a cluster with that many workers.
func document(t *testing.T, name string, workers int, change ...func(*v1alpha1.Cluster)) v1alpha1.Cluster {
	t.Helper()
	return ofProfile(t, "ci", name, workers, change...)
}

// ofProfile returns a complete document of a cluster of a profile.
func ofProfile(t *testing.T, profile, name string, workers int, change ...func(*v1alpha1.Cluster)) v1alpha1.Cluster {
	t.Helper()
	doc, err := config.Resolve(config.Input{Flags: config.Overrides{Name: name, Workers: &workers, Profile: profile}, Catalogue: catalogue()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(&doc)
	}
	return doc
}

func catalogue() profile.Catalogue { return profile.Open(profiles.FS()) }

// instances opens the addons of a document.
func instances(t *testing.T, doc v1alpha1.Cluster) []addon.Instance {
	t.Helper()
	opened, err := config.Addons(catalogue(), doc, "")
	if err != nil {
		t.Fatal(err)
	}
	var list []addon.Instance
	for _, a := range opened {
		i := slices.IndexFunc(doc.Addons, func(d v1alpha1.Addon) bool { return d.Name == a.Name })
		list = append(list, addon.Instance{Addon: a, Parameters: doc.Addons[i].Parameters})
	}
	return list
}

// plan returns the plan of a document with its addons.
func plan(t *testing.T, doc v1alpha1.Cluster, o cluster.CreateOptions) cluster.Plan {
	t.Helper()
	return cluster.PlanCreate(doc, instances(t, doc), o)
}

// A plan is the cheapest record of what create does: a change that was not meant shows in a golden.
func TestPlans(t *testing.T) {
	noCNI := func(c *v1alpha1.Cluster) {
		c.Cluster.Networking.DisableDefaultCNI, c.CNI = true, "none"
		c.Addons = slices.DeleteFunc(c.Addons, func(a v1alpha1.Addon) bool { return a.Name == "flannel" })
	}
	noProxy := func(c *v1alpha1.Cluster) { c.Cluster.Networking.KubeProxyMode = "none" }
	workerFirst := func(c *v1alpha1.Cluster) {
		c.Cluster.Nodes = []kind.Node{{Role: kind.WorkerRole}, {Role: kind.ControlPlaneRole}}
	}
	plans := map[string]cluster.Plan{
		"one-node":     plan(t, document(t, "dev", 0), cluster.CreateOptions{}),
		"two-workers":  plan(t, document(t, "dev", 2), cluster.CreateOptions{}),
		"worker-first": plan(t, document(t, "dev", 0, workerFirst), cluster.CreateOptions{}),
		"wait-none":    plan(t, document(t, "dev", 1), cluster.CreateOptions{Wait: cluster.WaitNone}),
		"wait-api":     plan(t, document(t, "dev", 1), cluster.CreateOptions{Wait: cluster.WaitAPI}),
		"wait-nodes":   plan(t, document(t, "dev", 1), cluster.CreateOptions{Wait: cluster.WaitNodes}),
		"no-cni":       plan(t, document(t, "dev", 0, noCNI), cluster.CreateOptions{}),
		"no-proxy":     plan(t, document(t, "dev", 0, noProxy), cluster.CreateOptions{SkipKubeconfig: true}),
		"dev":          plan(t, ofProfile(t, "dev", "dev", 1), cluster.CreateOptions{}),
		"delete":       cluster.PlanDelete("dev"),
		"enable":       cluster.PlanEnable("dev", instances(t, ofProfile(t, "ingress", "dev", 0)), false, cluster.AddonOptions{}),
		"foreign":      cluster.PlanEnable("dev", instances(t, ofProfile(t, "dev", "dev", 0)), true, cluster.AddonOptions{NoWait: true}),
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

package cluster_test

import (
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

const apiServerManifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"

// proxyCluster makes a cluster with a proxy, on whose control plane are the manifests that kubeadm wrote by it.
func proxyCluster(t *testing.T) (*setup, v1alpha1.Cluster) {
	t.Helper()
	s := newSetup(t)
	doc := document(t, "dev", 1)
	doc.Proxy = &v1alpha1.Proxy{HTTP: "http://10.9.9.9:3128"}
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, pod := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		manifest := "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: it\n    env:\n" +
			"    - {name: OWN, value: kept}\n    - {name: HTTP_PROXY, value: \"http://10.9.9.9:3128\"}\n    - {name: no_proxy, value: \"x,dev-endpoint\"}\n"
		file := engine.File{Path: "/etc/kubernetes/manifests/" + pod + ".yaml", Data: []byte(manifest), Mode: 0o600}
		if err := s.Engine.PutFiles(t.Context(), "dev-control-plane", []engine.File{file}); err != nil {
			t.Fatal(err)
		}
	}
	return s, doc
}

// What the document says of all nodes reaches each of them by another container, and the static pods by their manifests.
func TestApplyChangesTheProxy(t *testing.T) {
	s, doc := proxyCluster(t)
	before, err := s.Engine.Node(t.Context(), "dev-worker")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		proxy            *v1alpha1.Proxy
		has, hasNot, was string
	}{
		{&v1alpha1.Proxy{HTTP: "http://10.8.8.8:3128"}, "http://10.8.8.8:3128", "10.9.9.9", "http proxy http://10.9.9.9:3128 → http://10.8.8.8:3128"},
		{nil, "value: kept", "PROXY", "http proxy http://10.8.8.8:3128 → none"},
	} {
		next := *doc.DeepCopy()
		next.Proxy = tt.proxy
		diff, err := s.apply(t.Context(), next)
		want := "~ all nodes: " + tt.was + "\n" +
			"~ control-plane dev-control-plane: what all nodes get (container replaced, about 5 s)\n" +
			"~ worker dev-worker: what all nodes get (container replaced, about 5 s)"
		if err != nil || diff != want {
			t.Fatalf("got %s, %v, want %s", diff, err, want)
		}
		data, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", apiServerManifest)
		if text := string(data); err != nil || !strings.Contains(text, tt.has) || strings.Contains(text, tt.hasNot) || !strings.Contains(text, "OWN") {
			t.Errorf("the API server's manifest is %s, %v", text, err)
		}
		after, err := s.Engine.Node(t.Context(), "dev-worker")
		if err != nil || after.ID == before.ID || after.IP != before.IP {
			t.Errorf("before %+v, after %+v, %v", before, after, err)
		}
		before = after
		s.follows(t, next)
	}
}

// The names of nodes are in every node's NO_PROXY: one more changes nothing of the others.
func TestANodeMoreIsNoOtherProxy(t *testing.T) {
	s, doc := proxyCluster(t)
	next := resized(t, doc, 1, 2)
	diff, err := s.apply(t.Context(), next)
	if err != nil || diff != "+ worker dev-worker2" {
		t.Errorf("got %s, %v", diff, err)
	}
	s.follows(t, next)
}

// A container that a run which was cut off has made and not started lacks what it boots with: start makes another one.
func TestStartOfAContainerThatNeverRan(t *testing.T) {
	for _, node := range []string{"dev-control-plane", "dev-worker", "dev-external-load-balancer"} {
		s := newSetup(t)
		doc := document(t, "dev", 1)
		doc.Registries.Mirrors = map[string]v1alpha1.Mirror{"docker.io": {Endpoints: []string{"http://10.0.0.5:5000"}}}
		if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		next := *doc.DeepCopy()
		next.Cluster.Networking.APIServerPort = 6443
		nodes := next.Nodes()
		for i := range nodes {
			nodes[i].Memory = 1 << 30
		}
		next.SetNodes(nodes)
		s.Engine.FailOn("PutFiles "+node, fault.EngineUnreachable, "the run was killed")
		if _, err := s.apply(t.Context(), next); err == nil {
			t.Errorf("%s: the run that was cut off went well", node)
		}
		s.Engine.Heal()
		if n, err := s.Engine.Node(t.Context(), node); err != nil || n.State != engine.StateCreated {
			t.Fatalf("%s is %s, %v", node, n.State, err)
		}
		if err := cluster.Start(t.Context(), s.run(), "dev", cluster.PowerOptions{}); err != nil {
			t.Errorf("%s: %v", node, err)
		}
		s.boots(t, doc)
		if _, err := s.apply(t.Context(), next); err != nil {
			t.Errorf("%s: %v", node, err)
		}
		s.follows(t, next)
	}
}

// Who goes back after a run that was cut off gets rid of its proxy, which no record ever had; a user's own variables stay.
func TestProxyOfARunThatWasCutOff(t *testing.T) {
	s, doc := proxyCluster(t)
	doc.Proxy = &v1alpha1.Proxy{}
	if _, err := s.apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	manifest := func() string {
		data, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", apiServerManifest)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	next := *doc.DeepCopy()
	next.Proxy = &v1alpha1.Proxy{HTTP: "http://me:secret@10.8.8.8:3128"}
	s.Engine.FailOn("RemoveNode dev-worker", fault.EngineUnreachable, "the run was killed")
	if _, err := s.apply(t.Context(), next); err == nil || !strings.Contains(manifest(), "secret") {
		t.Fatalf("the run that was cut off has %v, and left %s", err, manifest())
	}
	s.Engine.Heal()
	if _, err := s.apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	if text := manifest(); strings.Contains(text, "secret") || !strings.Contains(text, "OWN") {
		t.Errorf("the manifest is %s", text)
	}
	own := "apiVersion: v1\nkind: Pod\nmetadata: {name: dev-endpoint}\nspec: {containers: [{name: it, env: [{name: HTTP_PROXY, value: mine}]}]}\n"
	if err := s.Engine.PutFiles(t.Context(), "dev-control-plane", []engine.File{{Path: apiServerManifest, Data: []byte(own), Mode: 0o600}}); err != nil {
		t.Fatal(err)
	}
	nodes := doc.Nodes()
	nodes[0].Memory = 1 << 30
	doc.SetNodes(nodes)
	if _, err := s.apply(t.Context(), doc); err != nil || manifest() != own {
		t.Errorf("the user's own is %s, %v", manifest(), err)
	}
}

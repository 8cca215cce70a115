package cluster_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// What the document's patches cannot do is known before anything is made.
func TestCreateChecksPatchesFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*v1alpha1.Cluster)
		code   fault.Code
		want   string
	}{
		"arguments as v1beta3 has them": {func(c *v1alpha1.Cluster) {
			c.Cluster.KubeadmConfigPatchesJSON6902 = []kind.PatchJSON6902{{
				Kind: "ClusterConfiguration", Patch: `[{"op": "add", "path": "/controllerManager/extraArgs/v", "value": "5"}]`,
			}}
		}, fault.ConfigInvalid, "kubeadmConfigPatchesJSON6902[0]"},
		"a join": {func(c *v1alpha1.Cluster) {
			c.Cluster.KubeadmConfigPatches = []string{"kind: JoinConfiguration\nnodeRegistration: {kubeletExtraArgs: x}"}
		}, fault.ConfigInvalid, "kubeadmConfigPatches[0]"},
		"containerd": {func(c *v1alpha1.Cluster) {
			c.Cluster.ContainerdConfigPatches = []string{"[plugins.'io.containerd.grpc.v1.cri']\nsystemd_cgroup = true\n"}
		}, fault.ConfigInvalid, "systemd_cgroup"},
		"shares of another size": {func(c *v1alpha1.Cluster) {
			c.Cluster.KubeadmConfigPatches = []string{"kind: ClusterConfiguration\ncontrollerManager: {extraArgs: {node-cidr-mask-size: \"26\"}}"}
		}, fault.ConfigUnsupported, "node-cidr-mask-size is 26"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			err := s.create(t.Context(), document(t, "dev", 1, tt.change), cluster.CreateOptions{})
			if !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
			if ops := s.Engine.Operations(); len(ops) > 0 {
				t.Errorf("made: %v", ops)
			}
		})
	}
}

// A label that no kubelet may give its node comes by the API, wherever the node's object comes from.
func TestLabelsByAPI(t *testing.T) {
	const label = "node-role.kubernetes.io/worker"
	label1 := func(doc *v1alpha1.Cluster) {
		nodes := doc.Nodes()
		for i := range nodes {
			nodes[i].Labels = map[string]string{label: "", "tier": "a"}
		}
		doc.SetNodes(nodes)
	}
	for name, change := range map[string]func(*v1alpha1.Cluster){
		"cove's network": func(*v1alpha1.Cluster) {},
		"none":           func(c *v1alpha1.Cluster) { c.Cluster.Networking.DisableDefaultCNI = true },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			doc := document(t, "dev", 1, change, label1)
			if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			doc = resized(t, doc, 1, 2)
			label1(&doc)
			if _, err := s.apply(t.Context(), doc); err != nil {
				t.Fatal(err)
			}
			for _, n := range doc.Nodes() {
				if _, has := s.Labels(n.Name)[label]; !has {
					t.Errorf("%s has the labels %v", n.Name, s.Labels(n.Name))
				}
				conf, err := s.Engine.ReadFile(t.Context(), n.Name, "/kind/kubeadm.conf")
				if err != nil || strings.Contains(string(conf), label) || !strings.Contains(string(conf), "tier=a") {
					t.Errorf("kubeadm's configuration of %s is %s, %v", n.Name, conf, err)
				}
			}
		})
	}
}

// An empty list of search domains is none at all, and not the host's.
func TestNoDNSSearch(t *testing.T) {
	for want, search := range map[string]*[]string{"search host.example": nil, "nameserver": {}, "search a b": {"a", "b"}} {
		s := newSetup(t)
		doc := document(t, "dev", 0, func(c *v1alpha1.Cluster) { c.Cluster.Networking.DNSSearch = search })
		if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		data, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", "/etc/resolv.conf")
		text := string(data)
		if err != nil || !strings.Contains(text, want) || want == "nameserver" && strings.Contains(text, "search") {
			t.Errorf("%v: got %s, %v", search, text, err)
		}
	}
}

// Of kind's two ways not to name a port, 0 is one that stays, and -1 another one at every start.
func TestPortsThatStay(t *testing.T) {
	s := newSetup(t)
	with := func(memory int64) v1alpha1.Cluster {
		return document(t, "dev", 1, func(c *v1alpha1.Cluster) {
			nodes := c.Nodes()
			for i := range nodes {
				nodes[i].Memory = memory
				nodes[i].ExtraPortMappings = []kind.PortMapping{
					{ContainerPort: 30080, HostPort: 0, ListenAddress: "127.0.0.1", Protocol: "TCP"},
					{ContainerPort: 30081, HostPort: -1, ListenAddress: "127.0.0.1", Protocol: "TCP"},
				}
			}
			c.SetNodes(nodes)
		})
	}
	if err := s.create(t.Context(), with(2<<30), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ports := func() []engine.Port {
		n, err := s.Engine.Node(t.Context(), "dev-worker")
		if err != nil || len(n.Ports) != 2 {
			t.Fatalf("got %+v, %v", n, err)
		}
		return n.Ports
	}
	before := ports()
	if _, err := s.apply(t.Context(), with(3<<30)); err != nil {
		t.Fatal(err)
	}
	after := ports()
	if before[0].HostPort == 0 || after[0] != before[0] {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if after[1].HostPort == before[1].HostPort {
		t.Errorf("the engine did not choose anew: %+v", after)
	}
	if err := s.Engine.StopNode(t.Context(), "dev-worker", 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Engine.StartNode(t.Context(), "dev-worker"); err != nil {
		t.Fatal(err)
	}
	if again := ports(); again[0] != before[0] {
		t.Errorf("another port after a start: %+v", again)
	}
}

// Nodes without an image of their own keep the one that the cluster was made with, also where cove would choose another one by now.
func TestNodesKeepTheChosenImage(t *testing.T) {
	s := newSetup(t)
	chosen := "registry.example/node:" + clustertest.Version
	other, err := s.Engine.Image(t.Context(), nodeImage)
	if err != nil {
		t.Fatal(err)
	}
	s.Engine.AddImage(engine.Image{Names: []string{chosen}, Labels: other.Labels, Entrypoint: []string{"/other"}}, map[string]string{
		"/kind/manifests/default-cni.yaml": workload("kube-flannel"), "/kind/manifests/default-storage.yaml": workload("local-path-storage"),
		"/etc/containerd/config.toml": "version = 3\n",
	})
	s.deps.EnsureImage = func(ctx context.Context, e engine.Engine, _ *event.Reporter, name, _ string) (engine.Image, error) {
		if name == "" {
			name = chosen
		}
		return e.Image(ctx, name)
	}
	doc := document(t, "dev", 1)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	was := chosen
	chosen = nodeImage
	next := resized(t, doc, 1, 2)
	nodes := next.Nodes()
	for i := range nodes {
		nodes[i].Memory = 3 << 30
	}
	next.SetNodes(nodes)
	if _, err := s.apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if c, err := s.Engine.Node(t.Context(), n.Name); err != nil || c.Image != was {
			t.Errorf("%s: got %s, %v", n.Name, c.Image, err)
		}
	}
}

// What an image of kind's layout cannot do is said.
func TestSizeOnImagesOfKind(t *testing.T) {
	s := newSetup(t)
	clustertest.AddNodeImage(s.Engine, "kindest/node:x", false)
	doc := document(t, "dev", 0, func(c *v1alpha1.Cluster) {
		nodes := c.Nodes()
		nodes[0].Image, nodes[0].Memory = "kindest/node:x", 2<<30
		c.SetNodes(nodes)
	})
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(s.log.events, func(e event.Event) bool { return strings.Contains(e.Message, "does not tell the kubelet") }) {
		t.Errorf("nothing is said: %+v", s.log.events)
	}
}

// A proxy's password is in the document, which is a label of the network, and in what nodes log of their environment.
func TestEvidenceHasNoPasswords(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 0, func(c *v1alpha1.Cluster) {
		c.Proxy = &v1alpha1.Proxy{HTTP: "http://someone:geheim@10.9.9.9:3128", HTTPS: "http://someone:geh%65im@10.9.9.9:3128"}
	})
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	file := engine.File{Path: "/var/log/kubelet.log", Data: []byte("env HTTP_PROXY=http://someone:geheim@10.9.9.9:3128 image nginx@sha256:1\n"), Mode: 0o600}
	if err := s.Engine.PutFiles(t.Context(), "dev-control-plane", []engine.File{file}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	if err := cluster.Export(t.Context(), s.run(), "dev", dir); err != nil {
		t.Fatal(err)
	}
	found := ""
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if text := string(data); strings.Contains(text, "geheim") || strings.Contains(text, "%65") || strings.Contains(text, "someone") {
			t.Errorf("%s has the password: %s", path, text)
		}
		found += string(data)
		return err
	})
	if err != nil || !strings.Contains(found, "http://xxxxx@10.9.9.9:3128 image nginx@sha256:1") || !strings.Contains(found, "cove.dev/document") {
		t.Errorf("got %s, %v", found, err)
	}
}

// workload is the manifest of something in a namespace.
func workload(namespace string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it, namespace: " + namespace + "}\n"
}

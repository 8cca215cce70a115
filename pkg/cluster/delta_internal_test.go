package cluster

import (
	"slices"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// living is a cluster of one control plane and two workers that runs as its document says.
func living(t *testing.T) (observed, v1alpha1.Cluster) {
	t.Helper()
	doc := v1alpha1.Cluster{Name: "dev", KubernetesVersion: "v1.36.3", Addons: []v1alpha1.Addon{{Name: "flannel"}, {Name: "local-path"}}}
	doc.SetNodes([]v1alpha1.Node{{Name: "dev-control-plane", Role: "control-plane"}, {Name: "dev-worker", Role: "worker"}, {Name: "dev-worker2", Role: "worker"}})
	o := observed{
		found: found{name: "dev"}, places: map[string]place{}, specs: map[string]v1alpha1.Node{}, kept: map[string]int{}, settings: map[string]string{},
		record: created{KubernetesVersion: "v1.36.3", Revision: 1, Document: doc.DeepCopy(), Balanced: true, APIPort: 40000},
	}
	for _, n := range doc.Nodes() {
		o.nodes = append(o.nodes, engine.Node{Name: n.Name, Role: n.Role, State: engine.StateRunning})
		o.specs[n.Name], o.kept[n.Name] = n, 2
	}
	o.balancer = &engine.Node{Name: "dev-external-load-balancer", Role: engine.RoleLoadBalancer, State: engine.StateRunning,
		Ports: []engine.Port{{HostIP: "127.0.0.1", HostPort: 40000, ContainerPort: 6443}}}
	return o, doc
}

func lines(d *delta) string {
	var out []string
	for _, c := range d.changes {
		out = append(out, c.String())
	}
	return strings.Join(out, "\n")
}

// edit changes one node of the document.
func edit(doc *v1alpha1.Cluster, name string, change func(*v1alpha1.Node)) {
	nodes := doc.Nodes()
	for i := range nodes {
		if nodes[i].Name == name {
			change(&nodes[i])
		}
	}
	doc.SetNodes(nodes)
}

func TestCompare(t *testing.T) {
	tests := []struct {
		name   string
		change func(*observed, *v1alpha1.Cluster)
		want   string
	}{
		{"nothing", func(*observed, *v1alpha1.Cluster) {}, ""},
		{"another address of a port", func(o *observed, doc *v1alpha1.Cluster) {
			port := func(address string) func(*v1alpha1.Node) {
				return func(n *v1alpha1.Node) {
					n.ExtraPortMappings = []kind.PortMapping{{ContainerPort: 80, HostPort: 8080, ListenAddress: address, Protocol: "TCP"}}
				}
			}
			edit(doc, "dev-worker", port("0.0.0.0"))
			edit(o.record.Document, "dev-worker", port(""))
			spec := o.specs["dev-worker"]
			port("")(&spec)
			o.specs["dev-worker"] = spec
		}, "~ worker dev-worker: - port 8080→80, + port 0.0.0.0:8080→80 (container replaced, about 5 s)"},
		{"a worker more", func(_ *observed, doc *v1alpha1.Cluster) {
			doc.SetNodes(append(doc.Nodes(), v1alpha1.Node{Name: "dev-web", Role: "worker", NanoCPUs: 1_500_000_000, Memory: 2 << 30}))
		}, "+ worker dev-web: cpus 1.5, memory 2Gi"},
		{"a worker less", func(_ *observed, doc *v1alpha1.Cluster) { doc.SetNodes(doc.Nodes()[:2]) },
			"- worker dev-worker2 (what its pods keep on it is lost)"},
		{"a size", func(_ *observed, doc *v1alpha1.Cluster) {
			edit(doc, "dev-control-plane", func(n *v1alpha1.Node) { n.NanoCPUs = 4e9 })
		}, "~ control-plane dev-control-plane: cpus unlimited → 4 (container replaced, about 5 s)"},
		{"ports", func(o *observed, doc *v1alpha1.Cluster) {
			was := o.specs["dev-worker"]
			was.ExtraPortMappings = []kind.PortMapping{{HostPort: 8080, ContainerPort: 80}}
			o.specs["dev-worker"] = was
			edit(doc, "dev-worker", func(n *v1alpha1.Node) {
				n.ExtraPortMappings = []kind.PortMapping{{HostPort: 53, ContainerPort: 5353, Protocol: "UDP", ListenAddress: "127.0.0.1"}}
				n.ExtraMounts = []kind.Mount{{HostPath: "/src", ContainerPath: "/src", Readonly: true}}
			})
		}, "~ worker dev-worker: - port 8080→80, + port 127.0.0.1:53→5353/udp, + mount /src→/src read-only (container replaced, about 5 s)"},
		{"labels and taints", func(o *observed, doc *v1alpha1.Cluster) {
			edit(o.record.Document, "dev-worker", func(n *v1alpha1.Node) { n.Labels = map[string]string{"a": "1", "b": "2"} })
			edit(doc, "dev-worker", func(n *v1alpha1.Node) {
				n.Labels, n.Taints = map[string]string{"a": "3", "c": ""}, []v1alpha1.Taint{{Key: "only", Value: "x", Effect: "NoSchedule"}}
			})
		}, "~ worker dev-worker: + label a=3, - label b, + label c=, + taint only=x:NoSchedule"},
		{"stopped", func(o *observed, _ *v1alpha1.Cluster) { o.nodes[1].State = engine.StateExited },
			"~ worker dev-worker: exited → running"},
		{"a container is gone", func(o *observed, _ *v1alpha1.Cluster) { o.nodes = o.nodes[:2] },
			"~ worker dev-worker2: its container is gone (container replaced, about 5 s)"},
		{"its data is gone", func(o *observed, _ *v1alpha1.Cluster) { o.kept["dev-worker"] = 0 },
			"~ worker dev-worker: its data is lost, it is made anew"},
		{"half of its data is gone", func(o *observed, _ *v1alpha1.Cluster) { o.kept["dev-worker"] = 1 },
			"~ worker dev-worker: its data is lost, it is made anew (what is left of its data is lost)"},
		{"a run was cut off that made it anew", func(o *observed, doc *v1alpha1.Cluster) {
			o.record.Missing = []string{"dev-worker"}
			for _, d := range []*v1alpha1.Cluster{o.record.Document, doc} {
				edit(d, "dev-worker", func(n *v1alpha1.Node) { n.Memory = 2 << 30 })
			}
		}, "- node dev-worker: what is left of a run that was cut off\n" +
			"~ worker dev-worker: made anew, as a run that was cut off was about to, memory 2Gi"},
		{"it is not wanted after all", func(o *observed, doc *v1alpha1.Cluster) {
			o.record.Missing, o.nodes = []string{"dev-worker2"}, o.nodes[:2]
			delete(o.kept, "dev-worker2")
			doc.SetNodes(doc.Nodes()[:2])
		}, "- worker dev-worker2: it was not there"},
		{"an election of one", func(o *observed, _ *v1alpha1.Cluster) { o.elects = true },
			"~ control-plane dev-control-plane: leads without an election"},
		{"an election of one that is wanted", func(o *observed, doc *v1alpha1.Cluster) {
			o.elects = true
			for _, d := range []*v1alpha1.Cluster{o.record.Document, doc} {
				d.Cluster.KubeadmConfigPatches = []string{"leader-elect: true"}
			}
		}, ""},
		{"the rest of a run", func(o *observed, _ *v1alpha1.Cluster) { o.kept["dev-worker3"] = 1 },
			"- node dev-worker3: what is left of a run that was cut off"},
		{"no load balancer", func(o *observed, _ *v1alpha1.Cluster) { o.balancer = nil }, "~ load balancer: its container is gone"},
		{"another port of the API", func(_ *observed, doc *v1alpha1.Cluster) { doc.Cluster.Networking.APIServerPort = 6443 },
			"~ load balancer: port 40000 → 6443 (the context in the kubeconfig follows)"},
		{"another address of the API", func(o *observed, doc *v1alpha1.Cluster) {
			o.record.Document.Cluster.Networking.APIServerAddress, doc.Cluster.Networking.APIServerAddress = "192.0.2.9", "127.0.0.1"
			doc.Cluster.Networking.APIServerPort = 6443
		}, "~ load balancer: address 192.0.2.9 → 127.0.0.1, port 40000 → 6443 (the context in the kubeconfig follows)"},
		{"what all nodes get", func(o *observed, doc *v1alpha1.Cluster) {
			was := o.record.Document
			was.Proxy = &v1alpha1.Proxy{HTTP: "http://me:secret@10.0.0.1:3128"}
			was.CertificateAuthorities = []v1alpha1.CertificateAuthority{{Name: "corp", PEM: "A"}, {Name: "old", PEM: "B"}}
			was.Registries.Mirrors = map[string]v1alpha1.Mirror{"docker.io": {Endpoints: []string{"http://10.0.0.5:5000"}}}
			doc.Proxy = &v1alpha1.Proxy{HTTP: "http://me:other@10.0.0.1:3128"}
			doc.CertificateAuthorities = []v1alpha1.CertificateAuthority{{Name: "corp", PEM: "C"}, {Name: "lab", PEM: "D"}}
			doc.Registries.Mirrors = map[string]v1alpha1.Mirror{"ghcr.io": {Endpoints: []string{"http://10.0.0.5:5000"}}}
			doc.Cluster.Networking.DNSSearch = &[]string{"corp.example"}
			doc.Cluster.ContainerdConfigPatches = []string{"[debug]"}
			for _, n := range doc.Nodes() {
				if n.Role == "worker" { // done by a run that was cut off
					o.settings[n.Name], _ = settingsOf(*doc)
				}
			}
		}, "~ all nodes: the proxy's password, another certificate authority corp, + certificate authority lab, - certificate authority old, " +
			"- mirror of docker.io, + mirror of ghcr.io, DNS search as the engine's host → corp.example, patches of containerd\n" +
			"~ control-plane dev-control-plane: what all nodes get (container replaced, about 5 s)"},
		{"a proxy", func(o *observed, doc *v1alpha1.Cluster) {
			doc.Proxy = &v1alpha1.Proxy{HTTPS: "http://me:secret@10.0.0.1:3128", NoProxy: []string{"a", "b"}}
			for _, n := range doc.Nodes() {
				o.settings[n.Name], _ = settingsOf(*doc)
			}
		}, "~ all nodes: https proxy none → http://me:xxxxx@10.0.0.1:3128, no proxy for none → a b"},
		{"no proxy, said in another way", func(_ *observed, doc *v1alpha1.Cluster) { doc.Proxy = &v1alpha1.Proxy{NoProxy: []string{}} }, ""},
		{"addons", func(_ *observed, doc *v1alpha1.Cluster) {
			doc.Addons = []v1alpha1.Addon{{Name: "flannel", Parameters: map[string]any{"mtu": 1400}}, {Name: "local-path", Disabled: true}, {Name: "traefik"}}
		}, "~ addon flannel: parameters\n+ addon traefik\n- addon local-path (with all that it made)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, doc := living(t)
			tt.change(&o, &doc)
			d, err := compare(o, doc)
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(d); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if d.empty() != (tt.want == "") {
				t.Errorf("empty: %v", d.empty())
			}
		})
	}
}

func TestCompareRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*observed, *v1alpha1.Cluster)
		want   []string
	}{
		{"what the cluster was made with", func(_ *observed, doc *v1alpha1.Cluster) {
			doc.Cluster.Networking.PodSubnet, doc.CNI = "10.1.0.0/16", "cilium"
		}, []string{"cluster.networking.podSubnet, cni", "cannot change"}},
		{"the address of the only control plane", func(o *observed, doc *v1alpha1.Cluster) {
			o.record.Balanced, o.balancer, doc.Cluster.Networking.APIServerAddress = false, nil, "192.0.2.9"
		}, []string{"cluster.networking.apiServerAddress", "cannot change"}},
		{"the last control plane", func(_ *observed, doc *v1alpha1.Cluster) {
			doc.SetNodes([]v1alpha1.Node{{Name: "dev-other", Role: "control-plane"}})
		}, []string{"no control plane", "would keep its data"}},
		{"another role", func(_ *observed, doc *v1alpha1.Cluster) {
			doc.SetNodes([]v1alpha1.Node{{Name: "dev-control-plane", Role: "control-plane"}, {Name: "dev-worker", Role: "control-plane"}})
		}, []string{"dev-worker is a worker and cannot become a control-plane"}},
		{"patches of a node", func(_ *observed, doc *v1alpha1.Cluster) {
			edit(doc, "dev-worker", func(n *v1alpha1.Node) { n.KubeadmConfigPatches = []string{"kind: KubeletConfiguration"} })
		}, []string{"kubeadmConfigPatches of node dev-worker"}},
		{"a version down", func(_ *observed, doc *v1alpha1.Cluster) { doc.KubernetesVersion = "v1.35.4" }, []string{"cannot go back to v1.35.4"}},
		{"two versions up", func(_ *observed, doc *v1alpha1.Cluster) { doc.KubernetesVersion = "v1.38.0" }, []string{"one minor version at a time"}},
		{"more control planes without a load balancer", func(o *observed, doc *v1alpha1.Cluster) {
			o.record.Balanced = false
			doc.SetNodes(append(doc.Nodes(), v1alpha1.Node{Name: "dev-control-plane2", Role: "control-plane"}, v1alpha1.Node{Name: "dev-control-plane3", Role: "control-plane"}))
		}, []string{"without a load balancer"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, doc := living(t)
			tt.change(&o, &doc)
			_, err := compare(o, doc)
			if !fault.Is(err, fault.ConfigUnsupported) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

// Two of three control planes that have their data and no container: with them in the document they come back, without them etcd has no
// majority.
func TestMajority(t *testing.T) {
	o, doc := living(t)
	nodes := append(doc.Nodes(), v1alpha1.Node{Name: "dev-control-plane2", Role: "control-plane"}, v1alpha1.Node{Name: "dev-control-plane3", Role: "control-plane"})
	o.record.Document.SetNodes(nodes)
	o.kept["dev-control-plane2"], o.kept["dev-control-plane3"] = 2, 2
	d, err := compare(o, *o.record.Document.DeepCopy())
	if err != nil || d.majority() != nil {
		t.Errorf("with them: %v, %v", err, d.majority())
	}
	if d, err = compare(o, doc); err != nil {
		t.Fatal(err)
	}
	err = d.majority()
	if r := fault.ReportOf(err); r.Code != fault.ClusterIncomplete || !strings.Contains(r.Hint, "bring those back first") {
		t.Errorf("without them: %+v", r)
	}
	o.nodes = append(o.nodes, engine.Node{Name: "dev-control-plane2", Role: "control-plane", State: engine.StateExited})
	if d, err = compare(o, doc); err != nil || d.majority() != nil || !slices.Equal(d.voters(), []string{"dev-control-plane2"}) {
		t.Errorf("with one of them: %v, %v, %v", err, d.majority(), d.voters())
	}
}

func TestEditNodes(t *testing.T) {
	_, doc := living(t)
	more, added, err := AddNodes(doc, v1alpha1.Node{Role: "worker"}, 2)
	if err != nil || !slices.Equal(added, []string{"dev-worker3", "dev-worker4"}) || len(more.Nodes()) != 5 {
		t.Errorf("got %v, %v", added, err)
	}
	less, err := RemoveNodes(more, []string{"worker", "dev-worker3"})
	if err != nil || len(less.Nodes()) != 3 {
		t.Fatalf("got %v, %v", less.Nodes(), err)
	}
	if _, added, err = AddNodes(less, v1alpha1.Node{Role: "worker"}, 1); err != nil || added[0] != "dev-worker" {
		t.Errorf("got %v, %v", added, err)
	}
	if _, added, err = AddNodes(doc, v1alpha1.Node{Name: "web", Role: "worker"}, 2); err != nil || !slices.Equal(added, []string{"dev-web", "dev-web2"}) {
		t.Errorf("got %v, %v", added, err)
	}
	if _, _, err = AddNodes(doc, v1alpha1.Node{Name: "worker2", Role: "worker"}, 1); !fault.Is(err, fault.NameTaken) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err = RemoveNodes(doc, []string{"worker9"}); !fault.Is(err, fault.NodeNotFound) {
		t.Errorf("a node that is not there: %v", err)
	}
	if less, err = RemoveNodes(doc, []string{"worker9", "worker"}, "dev-worker9"); err != nil || len(less.Nodes()) != 2 {
		t.Errorf("one of which something is left: %v, %v", less.Nodes(), err)
	}
	if _, err = RemoveNodes(doc, []string{"control-plane"}); !fault.Is(err, fault.ConfigUnsupported) {
		t.Errorf("the last control plane: %v", err)
	}
	if len(doc.Nodes()) != 3 {
		t.Error("the document itself was changed")
	}
}

package config_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

func nodes(roles string) []kind.Node {
	out := []kind.Node{}
	for _, r := range roles {
		n := kind.Node{Role: kind.WorkerRole}
		if r == 'c' {
			n.Role = kind.ControlPlaneRole
		}
		out = append(out, n)
	}
	return out
}

// shape is what Resolve decides about, on one line.
func shape(c v1alpha1.Cluster) string {
	s := c.Name + " " + c.KubernetesVersion + " " + string(c.Cluster.Networking.KubeProxyMode)
	for _, n := range c.Nodes() {
		s += " " + n.Role[:1]
		if n.Image != "" {
			s += "=" + n.Image
		}
	}
	return s
}

func TestResolve(t *testing.T) {
	doc := func(change func(*v1alpha1.Cluster)) *v1alpha1.Cluster {
		c := &v1alpha1.Cluster{}
		change(c)
		return c
	}
	named := doc(func(c *v1alpha1.Cluster) {
		c.Name, c.KubernetesVersion, c.Image, c.Cluster.Nodes = "file", "v1.35.4", "file:x", nodes("cww")
		c.Cluster.Nodes[1].Labels = map[string]string{"keep": "me"}
	})
	imageOnly := doc(func(c *v1alpha1.Cluster) {
		c.Cluster.Nodes = nodes("cw")
		c.Cluster.Nodes[0].Image, c.Cluster.Nodes[1].Image = "kindest/node:v1.32.8", "kindest/node:v1.32.1"
	})
	versionOnly := doc(func(c *v1alpha1.Cluster) { c.KubernetesVersion = "1.35" })
	all := config.Overrides{Name: "set", Workers: new(1), ControlPlanes: new(1), Image: "set:y", KubernetesVersion: "v1.34.0"}
	tests := []struct {
		name string
		in   config.Input
		want string
	}{
		{"nothing", config.Input{}, "cove v1.36.3 nftables c"},
		{"settings alone", config.Input{Settings: all}, "set v1.34.0 nftables c=set:y w=set:y"},
		{"flags alone", config.Input{Flags: all}, "set v1.34.0 nftables c=set:y w=set:y"},
		{"the document wins over settings", config.Input{Document: named, Settings: all}, "file v1.35.4 nftables c=file:x w=file:x w=file:x"},
		{"flags win over the document", config.Input{Document: named, Flags: all}, "set v1.34.0 nftables c=set:y w=set:y"},
		{"flags win over settings", config.Input{Settings: all, Flags: config.Overrides{Name: "f", Workers: new(0)}}, "f v1.34.0 nftables c=set:y"},
		{"settings fill in what the document leaves open", config.Input{Document: doc(func(*v1alpha1.Cluster) {}), Settings: all},
			"set v1.34.0 nftables c=set:y w=set:y"},
		{"an image of the document keeps out a version of the settings", config.Input{Document: imageOnly, Settings: all},
			"set v1.32.8 iptables c=kindest/node:v1.32.8 w=kindest/node:v1.32.1"},
		{"a version of the document keeps out an image of the settings", config.Input{Document: versionOnly, Settings: all},
			"set v1.35.4 nftables c w"},
		{"a version by flag keeps out an image of the settings", config.Input{Settings: all, Flags: config.Overrides{KubernetesVersion: "1.35"}},
			"set v1.35.4 nftables c w"},
		{"an image by flag keeps out a version of the settings", config.Input{Settings: all, Flags: config.Overrides{Image: "x:v1.36.1"}},
			"set v1.36.1 nftables c=x:v1.36.1 w=x:v1.36.1"},
		{"an image by flag is for all nodes", config.Input{Document: imageOnly, Flags: config.Overrides{Image: "i"}}, "cove v1.36.3 nftables c=i w=i"},
		{"nftables from 1.33 on", config.Input{Flags: config.Overrides{KubernetesVersion: "1.33.0"}}, "cove v1.33.0 nftables c"},
		{"iptables before", config.Input{Flags: config.Overrides{KubernetesVersion: "1.32.99"}}, "cove v1.32.99 iptables c"},
		{"a minor version means the image's release", config.Input{Flags: config.Overrides{Image: "i:v1.36.0", KubernetesVersion: "1.36"}},
			"cove v1.36.0 nftables c=i:v1.36.0"},
		{"more workers", config.Input{Document: named, Flags: config.Overrides{Workers: new(3)}}, "file v1.35.4 nftables c=file:x w=file:x w=file:x w=file:x"},
		{"fewer workers", config.Input{Document: named, Flags: config.Overrides{Workers: new(0)}}, "file v1.35.4 nftables c=file:x"},
		{"one control plane of three", config.Input{Document: doc(func(c *v1alpha1.Cluster) { c.Cluster.Nodes = nodes("ccwc") }),
			Flags: config.Overrides{ControlPlanes: new(1)}}, "cove v1.36.3 nftables c w"},
		{"a nested name counts", config.Input{Document: doc(func(c *v1alpha1.Cluster) { c.Cluster.Name = "in" }), Settings: all}, "in v1.34.0 nftables c=set:y w=set:y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before *v1alpha1.Cluster
			if tt.in.Document != nil {
				before = tt.in.Document.DeepCopy()
			}
			tt.in.Catalogue = catalogue()
			got, err := config.Resolve(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if shape(got) != tt.want {
				t.Errorf("got  %s\nwant %s", shape(got), tt.want)
			}
			if !reflect.DeepEqual(tt.in.Document, before) {
				t.Error("it changed the document that was given")
			}
		})
	}
}

func TestResolveKeepsWhatWorkersHave(t *testing.T) {
	doc := &v1alpha1.Cluster{Cluster: kind.Cluster{Nodes: nodes("cww")}}
	doc.Cluster.Nodes[1].Labels = map[string]string{"first": "yes"}
	got, err := config.Resolve(config.Input{Document: doc, Flags: config.Overrides{Workers: new(1)}})
	if err != nil {
		t.Fatal(err)
	}
	if n := got.Nodes(); len(n) != 2 || n[1].Labels["first"] != "yes" {
		t.Errorf("got %+v", n)
	}
}

func TestResolveRefuses(t *testing.T) {
	mount := &v1alpha1.Cluster{Cluster: kind.Cluster{Nodes: nodes("c")}}
	small := &v1alpha1.Cluster{Cluster: kind.Cluster{Networking: kind.Networking{PodSubnet: "10.244.0.0/17"}}}
	mount.Cluster.Nodes[0].ExtraMounts = []kind.Mount{{HostPath: "data", ContainerPath: "/data"}}
	tests := []struct {
		in   config.Input
		code fault.Code
		want string
	}{
		{config.Input{Flags: config.Overrides{ControlPlanes: new(4)}}, fault.ConfigInvalid,
			"cannot use the command line: --control-planes: 4 control planes bear no more losses than 3: choose 3 or 5"},
		{config.Input{Settings: config.Overrides{ControlPlanes: new(2)}}, fault.ConfigInvalid,
			"cannot use the settings: control-planes: 2 control planes have no majority when one is lost: choose 1 or 3"},
		{config.Input{Flags: config.Overrides{ControlPlanes: new(0), Workers: new(-1)}}, fault.ConfigInvalid,
			"cannot use the command line: 2 problems\n  --workers: -1 is no number of nodes\n" +
				"  --control-planes: 0 is too few; a cluster has at least one control plane"},
		{config.Input{Flags: config.Overrides{ControlPlanes: new(11), Workers: new(181)}}, fault.ConfigInvalid,
			"cannot use the command line: 2 problems\n  --workers: 181 are too many; a cluster has up to 180 workers\n" +
				"  --control-planes: 11 control planes are too many; a cluster has up to 9"},
		{config.Input{Flags: config.Overrides{CPUs: "100m", Memory: "2g"}}, fault.ConfigInvalid,
			"cannot use the command line: 2 problems\n  --cpus: 100m is too little for a control plane; give it at least 500m\n" +
				"  --memory: \"2g\" is not how Kubernetes writes it; write 2Gi"},
		{config.Input{Settings: config.Overrides{Memory: "1Mi"}}, fault.ConfigInvalid,
			"cannot use the settings: memory: 1Mi is too little for a control plane; give it at least 512Mi"},
		{config.Input{Document: small, Flags: config.Overrides{Workers: new(128)}}, fault.ConfigInvalid,
			"cannot use the cluster document: cluster.networking.podSubnet: 10.244.0.0/17 is too small: it takes a /24 per node, 129 in all"},
		{config.Input{Document: mount}, fault.ConfigInvalid,
			`cannot use the cluster document: cluster.nodes[0].extraMounts[0].hostPath: "data" is not absolute`},
		{config.Input{Flags: config.Overrides{KubernetesVersion: "1.99"}}, fault.VersionUnknown,
			`cannot use the cluster document: kubernetesVersion: "1.99": no release of 1.99 is known; known are v1.36.3, v1.35.4; write out another one in full`},
	}
	for _, tt := range tests {
		tt.in.Catalogue = catalogue()
		_, err := config.Resolve(tt.in)
		if !fault.Is(err, tt.code) || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s [%s]", err, tt.want, tt.code)
		}
	}
}

// Each of the limits, on both sides of it.
func TestLimits(t *testing.T) {
	network := func(change func(*kind.Networking)) v1alpha1.Cluster {
		c := v1alpha1.Cluster{}
		change(&c.Cluster.Networking)
		return c
	}
	subnets := func(pods, services string) v1alpha1.Cluster {
		return network(func(n *kind.Networking) { n.PodSubnet, n.ServiceSubnet = pods, services })
	}
	port := func(p kind.PortMapping) v1alpha1.Cluster {
		c := v1alpha1.Cluster{Cluster: kind.Cluster{Nodes: nodes("c")}}
		c.Cluster.Nodes[0].ExtraPortMappings = []kind.PortMapping{p}
		return c
	}
	many := subnets("10.0.0.0/22", "10.1.0.0/16")
	many.Cluster.Nodes = nodes("cwww")
	patched := subnets("10.0.0.0/25", "10.1.0.0/16")
	patched.Cluster.KubeadmConfigPatches = []string{"{kind: ClusterConfiguration, controllerManager: {extraArgs: [{name: node-cidr-mask-size, value: '27'}]}}"}
	cove := func(nodes ...v1alpha1.NodeSpec) v1alpha1.Cluster { return v1alpha1.Cluster{NodeSpecs: nodes} }
	sized := func(role kind.NodeRole, cpus, memory string) v1alpha1.Cluster {
		return cove(v1alpha1.NodeSpec{Role: role, CPUs: cpus, Memory: memory})
	}
	controls := func(n int) v1alpha1.Cluster { return cove(v1alpha1.NodeSpec{Role: kind.ControlPlaneRole, Count: n}) }
	workerImage := func(tag string) v1alpha1.Cluster {
		doc := cove(v1alpha1.NodeSpec{Image: "node:" + tag})
		doc.KubernetesVersion = "v1.36.3"
		return doc
	}
	tests := []struct {
		name string
		doc  v1alpha1.Cluster
		ok   bool
	}{
		{"1 control plane", controls(1), true},
		{"2 control planes", controls(2), false},
		{"3 control planes", controls(3), true},
		{"9 control planes", controls(9), true},
		{"11 control planes", controls(11), false},
		{"3 control planes of kind's", v1alpha1.Cluster{Cluster: kind.Cluster{Nodes: nodes("cwcc")}}, true},
		{"4 control planes of kind's", v1alpha1.Cluster{Cluster: kind.Cluster{Nodes: nodes("cccc")}}, false},
		{"180 workers", cove(v1alpha1.NodeSpec{Count: 180}), true},
		{"181 workers", cove(v1alpha1.NodeSpec{Count: 181}), false},
		{"more workers than a number holds", cove(slices.Repeat([]v1alpha1.NodeSpec{{Count: 1 << 62}}, 4)...), false},
		{"a control plane of 500m and 512Mi", sized(kind.ControlPlaneRole, "500m", "512Mi"), true},
		{"a control plane of 499m", sized(kind.ControlPlaneRole, "499m", ""), false},
		{"a control plane of a byte less", sized(kind.ControlPlaneRole, "", "536870911"), false},
		{"a worker of 100m and 128Mi", sized("", "0.1", "134217728"), true},
		{"a worker of 99m", sized("", "99m", ""), false},
		{"a worker of a byte less", sized("", "", "134217727"), false},
		{"the largest size", sized("", "1024", "64Ti"), true},
		{"a size that is negative", sized("", "-1", "-1Gi"), false},
		{"a worker of the same patch", workerImage("v1.36.3"), true},
		{"a worker of a newer patch", workerImage("v1.36.9"), true},
		{"a worker of a newer minor version", workerImage("v1.37.0"), false},
		{"a worker of three minor versions before", workerImage("v1.33.9"), true},
		{"a worker of four minor versions before", workerImage("v1.32.9"), false},
		{"a worker whose image names no version", workerImage("latest"), true},
		{"name of 40", v1alpha1.Cluster{Name: strings.Repeat("a", 40)}, true},
		{"name of 41", v1alpha1.Cluster{Name: strings.Repeat("a", 41)}, false},
		{"name with a dot", v1alpha1.Cluster{Name: "a.b"}, false},
		{"name that ends with a hyphen", v1alpha1.Cluster{Name: "a-"}, false},
		{"pods /8", subnets("10.0.0.0/8", "192.168.0.0/16"), true},
		{"pods /7", subnets("10.0.0.0/7", "192.168.0.0/16"), false},
		{"pods /24", subnets("10.0.0.0/24", "192.168.0.0/16"), true},
		{"pods /25", subnets("10.0.0.0/25", "192.168.0.0/16"), false},
		{"pods /25 with a patch", patched, true},
		{"pods /22 for 4 nodes", many, true},
		{"services /12", subnets("10.0.0.0/16", "172.16.0.0/12"), true},
		{"services /11", subnets("10.0.0.0/16", "172.0.0.0/11"), false},
		{"services /28", subnets("10.0.0.0/16", "172.16.0.0/28"), true},
		{"services /29", subnets("10.0.0.0/16", "172.16.0.0/29"), false},
		{"neighbours", subnets("10.0.0.0/16", "10.1.0.0/16"), true},
		{"one in the other", subnets("10.0.0.0/15", "10.1.0.0/16"), false},
		{"link-local", subnets("169.254.0.0/16", "10.1.0.0/16"), false},
		{"multicast", subnets("10.0.0.0/16", "224.0.0.0/16"), false},
		{"API port -1", network(func(n *kind.Networking) { n.APIServerPort = -1 }), true},
		{"API port -2", network(func(n *kind.Networking) { n.APIServerPort = -2 }), false},
		{"API port 65535", network(func(n *kind.Networking) { n.APIServerPort = 65535 }), true},
		{"API port 65536", network(func(n *kind.Networking) { n.APIServerPort = 65536 }), false},
		{"API address ::1", network(func(n *kind.Networking) { n.APIServerAddress = "::1" }), true},
		{"search domain .", network(func(n *kind.Networking) { n.DNSSearch = &[]string{"."} }), true},
		{"search domain ..", network(func(n *kind.Networking) { n.DNSSearch = &[]string{".."} }), false},
		{"container port 1", port(kind.PortMapping{ContainerPort: 1}), true},
		{"container port 65535", port(kind.PortMapping{ContainerPort: 65535}), true},
		{"container port 65536", port(kind.PortMapping{ContainerPort: 65536}), false},
		{"container port 0", port(kind.PortMapping{HostPort: 1}), false},
		{"host port -2", port(kind.PortMapping{ContainerPort: 1, HostPort: -2}), false},
		{"protocol icmp", port(kind.PortMapping{ContainerPort: 1, Protocol: "ICMP"}), false},
		{"Kubernetes 1.31.0", v1alpha1.Cluster{KubernetesVersion: "v1.31.0"}, true},
		{"Kubernetes 1.31.0-rc.1", v1alpha1.Cluster{KubernetesVersion: "v1.31.0-rc.1"}, false},
		{"Kubernetes 1.37.0-alpha.1", v1alpha1.Cluster{KubernetesVersion: "1.37.0-alpha.1"}, true},
	}
	for _, mode := range []kind.ProxyMode{"iptables", "ipvs", "nftables", "none"} {
		tests = append(tests, struct {
			name string
			doc  v1alpha1.Cluster
			ok   bool
		}{"proxy " + string(mode), network(func(n *kind.Networking) { n.KubeProxyMode = mode }), true})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := config.Validate(tt.doc); (err == nil) != tt.ok {
				t.Errorf("got %v, want it accepted: %t", err, tt.ok)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	patch := func(api, kind string) string { return fmt.Sprintf("{apiVersion: %q, kind: %s}", api, kind) }
	tests := []struct {
		name    string
		patches []string
		want    []string
	}{
		{"without an apiVersion", []string{"kind: InitConfiguration"}, nil},
		{"of the right one", []string{patch("kubeadm.k8s.io/v1beta4", "InitConfiguration")}, nil},
		{"of an old one", []string{"kind: InitConfiguration", patch("kubeadm.k8s.io/v1beta2", "JoinConfiguration")}, []string{"cluster.kubeadmConfigPatches[1]"}},
		{"of an old one beside a new one", []string{
			patch("kubeadm.k8s.io/v1beta2", "JoinConfiguration"), patch("kubeadm.k8s.io/v1beta4", "JoinConfiguration"),
		}, nil},
		{"of an old one in a second document", []string{"kind: InitConfiguration\n---\n" + patch("kubeadm.k8s.io/v1beta2", "ClusterConfiguration")},
			[]string{"cluster.kubeadmConfigPatches[0]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := v1alpha1.Cluster{Cluster: kind.Cluster{KubeadmConfigPatches: tt.patches}}
			if err := config.Validate(doc); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range config.Warnings(doc) {
				got = append(got, p.Path)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	tests := []struct {
		in, want string
		code     fault.Code
	}{
		{"v1.36.3", "v1.36.3", ""}, {"1.36.3", "v1.36.3", ""}, {"1.36", "v1.36.3", ""}, {"v1.35", "v1.35.4", ""}, {"1.40.1", "v1.40.1", ""},
		{"1.34", "", fault.VersionUnknown}, {"1.3", "", fault.VersionUnknown}, {"v1.20.1", "", fault.ConfigUnsupported},
		{"", "", fault.ConfigInvalid}, {"latest", "", fault.ConfigInvalid}, {"1", "", fault.ConfigInvalid}, {"1.36.x", "", fault.ConfigInvalid},
	}
	for _, tt := range tests {
		got, err := config.Version(tt.in)
		if got != tt.want || (err != nil) != (tt.code != "") || err != nil && !fault.Is(err, tt.code) {
			t.Errorf("%q: got %q, %v; want %q [%s]", tt.in, got, err, tt.want, tt.code)
		}
	}
}

func TestImageVersion(t *testing.T) {
	for ref, want := range map[string]string{
		"kindest/node:v1.36.3":                 "v1.36.3",
		"kindest/node:v1.36.3@sha256:abc":      "v1.36.3",
		"localhost:5000/a/node:v1.35.4-cove.1": "v1.35.4",
		"localhost:5000/node":                  "",
		"node:latest":                          "",
		"node:1.36.3":                          "",
		"node:v1.2.3":                          "",
		"node:v2.36.3":                         "",
		"registry:1.30/node@sha256:v1.36.3":    "",
		"kindest/node:v1.36":                   "",
		"":                                     "",
		"v1.36.3":                              "",
	} {
		if got := config.ImageVersion(ref); got != want {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
}

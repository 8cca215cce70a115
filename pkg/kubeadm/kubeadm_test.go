package kubeadm

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/fault"
)

var update = flag.Bool("update", false, "write the goldens")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

// one is cove's own image on a host of cgroup v1 whose engine lacks capabilities, one node.
func one() Cluster {
	return Cluster{
		Name: "dev", KubernetesVersion: "v1.36.3", Endpoint: "dev-endpoint", CertSANs: []string{"localhost", "127.0.0.1"},
		PodSubnet: "10.244.0.0/16", ServiceSubnet: "10.96.0.0/16", KubeProxyMode: "nftables",
		EtcdTag: "3.6.10-0", CoreDNSTag: "v1.15.0", Token: "abcdef.0123456789abcdef",
		CgroupVersion: 1, Restricted: true, CgroupDriver: DriverCgroupfs, SingleControlPlane: true,
	}
}

// three is an image of kind's layout on a host of cgroup v2, with two workers and all that a document may say.
func three() Cluster {
	return Cluster{
		Name: "app", KubernetesVersion: "v1.35.4", Endpoint: "app-endpoint", CertSANs: []string{"localhost"},
		PodSubnet: "10.10.0.0/16", ServiceSubnet: "10.11.0.0/16", KubeProxyMode: "iptables",
		FeatureGates:  map[string]bool{"B": false, "A": true},
		RuntimeConfig: map[string]string{"api/alpha": "false", "api/beta": "true"},
		Token:         "abcdef.0123456789abcdef", CgroupVersion: 2, CgroupDriver: DriverSystemd, Workers: 2,
	}
}

func controlPlane(c Cluster) Node {
	return Node{Name: c.Name + "-control-plane", Role: "control-plane", IPs: []netip.Addr{netip.MustParseAddr("172.28.0.2")}}
}

func worker(c Cluster) Node {
	return Node{
		Name: c.Name + "-worker", Role: "worker", IPs: []netip.Addr{netip.MustParseAddr("172.28.0.3")},
		Labels: map[string]string{"tier": "front", "example.com/a": ""},
	}
}

func TestInitConfig(t *testing.T) {
	for name, c := range map[string]Cluster{
		"one.yaml":   one(),
		"three.yaml": three(),
		"none.yaml": func() Cluster {
			c := three()
			c.KubernetesVersion, c.KubeProxyMode, c.CgroupVersion, c.SingleControlPlane = "v1.31.0", ModeNone, 1, true
			return c
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := InitConfig(c, controlPlane(c))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "init-"+name, got)
		})
	}
}

// A cluster of both families knows each node by both of its addresses, one of IPv6 alone by that one.
func TestFamilies(t *testing.T) {
	four, six := netip.MustParseAddr("172.28.0.2"), netip.MustParseAddr("fd12::a")
	for name, tt := range map[string]struct {
		ips            []netip.Addr
		pods, services string
	}{
		"dual.yaml": {[]netip.Addr{four, six}, "10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/16,fd00:10:96::/112"},
		"ipv6.yaml": {[]netip.Addr{six}, "fd00:10:244::/56", "fd00:10:96::/112"},
	} {
		c := three()
		c.PodSubnet, c.ServiceSubnet = tt.pods, tt.services
		first, second := controlPlane(c), controlPlane(c)
		first.IPs, second.IPs = tt.ips, tt.ips
		conf, err := InitConfig(c, first)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "init-"+name, conf)
		if conf, err = JoinConfig(c, second, "/etc/cove/discovery.conf"); err != nil {
			t.Fatal(err)
		}
		golden(t, "join-"+name, conf)
	}
}

func TestInitConfigTaints(t *testing.T) {
	c, n := one(), controlPlane(one())
	n.Taints = []Taint{{Key: "example.com/only", Value: "x", Effect: "NoSchedule"}}
	got, err := InitConfig(c, n)
	if err != nil {
		t.Fatal(err)
	}
	if want := "  taints:\n  - effect: NoSchedule\n    key: example.com/only\n    value: x\n"; !strings.Contains(string(got), want) {
		t.Errorf("no taint of the node's own in:\n%s", got)
	}
}

func TestJoinConfig(t *testing.T) {
	for name, c := range map[string]Cluster{"one.yaml": one(), "three.yaml": three()} {
		got, err := JoinConfig(c, worker(c), "/etc/cove/discovery.conf")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "join-"+name, got)
	}
}

// patched has patches at both levels, as kind files have them: for each kind of document, in v1beta4, v1beta3 and without
// a version.
func patched() (Cluster, Node, Node) {
	c := three()
	c.Patches = []string{
		"kind: ClusterConfiguration\napiServer:\n  certSANs: [localhost, 10.0.0.1]\n  extraArgs:\n  - {name: v, value: \"5\"}\n  - {name: runtime-config, value: null}\n",
		"apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nmetadata:\n  name: config\netcd:\n  local:\n    extraArgs:\n      unsafe-no-fsync: \"false\"\n      heartbeat-interval: \"50\"\n" +
			"---\nkind: InitConfiguration\nskipPhases: [addon/kube-proxy]\nnodeRegistration:\n  kubeletExtraArgs:\n    v: \"4\"\n    housekeeping-interval: 10s\n",
		"kind: KubeletConfiguration\nevictionHard: null\nmaxPods: 50\n",
		"kind: KubeProxyConfiguration\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nmetricsBindAddress: 0.0.0.0:10249\n",
		"kind: JoinConfiguration\nnodeRegistration:\n  ignorePreflightErrors: [all]\n",
	}
	c.JSON6902Patches = []v1alpha4.PatchJSON6902{
		{Group: "kubeadm.k8s.io", Version: "v1beta4", Kind: "ClusterConfiguration", Patch: `[{"op": "replace", "path": "/networking/podSubnet", "value": "10.12.0.0/16"}]`},
	}
	cp, w := controlPlane(c), worker(c)
	cp.Patches = []string{"kind: KubeletConfiguration\nmaxPods: 60\n"}
	w.Patches = []string{
		"kind: KubeletConfiguration\nmaxPods: 70\nevictionHard: {memory.available: 1Mi}\n",
		"kind: JoinConfiguration\nnodeRegistration:\n  kubeletExtraArgs:\n  - {name: node-labels, value: tier=back}\n  - {name: housekeeping-interval, value: null}\n",
	}
	w.JSON6902Patches = []v1alpha4.PatchJSON6902{
		{Kind: "KubeletConfiguration", Patch: "- {op: remove, path: /failSwapOn}"},
	}
	return c, cp, w
}

func TestPatches(t *testing.T) {
	c, cp, w := patched()
	got, err := InitConfig(c, cp)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "init-patched.yaml", got)
	if got, err = JoinConfig(c, w, "/etc/cove/discovery.conf"); err != nil {
		t.Fatal(err)
	}
	golden(t, "join-patched.yaml", got)
	if got, err = KubeletPatch(c, w); err != nil {
		t.Fatal(err)
	}
	golden(t, "kubelet-patch.yaml", got)
}

// The patches of one node must not show up in another's configuration, nor change the caller's values.
func TestPatchesLeaveInputsAlone(t *testing.T) {
	c, cp, w := patched()
	first, err := JoinConfig(c, w, "/d")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = InitConfig(c, cp); err != nil {
		t.Fatal(err)
	}
	again, err := JoinConfig(c, w, "/d")
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(again) {
		t.Errorf("the same call gives\n%s\nthen\n%s", first, again)
	}
	plainWorker := w
	plainWorker.Patches, plainWorker.JSON6902Patches = nil, nil
	p, err := KubeletPatch(c, plainWorker)
	if err != nil || p != nil {
		t.Errorf("a node without patches has the patch %q, %v", p, err)
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Cluster, *Node)
		code   fault.Code
		want   string
	}{
		"old":          {func(c *Cluster, _ *Node) { c.KubernetesVersion = "v1.30.9" }, fault.ConfigUnsupported, "needs v1.31.0"},
		"pre-release":  {func(c *Cluster, _ *Node) { c.KubernetesVersion = "v1.31.0-rc.1" }, fault.ConfigUnsupported, "v1.31.0-rc.1"},
		"no version":   {func(c *Cluster, _ *Node) { c.KubernetesVersion = "latest" }, fault.ConfigInvalid, `"latest"`},
		"address":      {func(_ *Cluster, n *Node) { n.IPs = nil }, fault.Internal, "no address"},
		"half address": {func(_ *Cluster, n *Node) { n.IPs = append(n.IPs, netip.Addr{}) }, fault.Internal, "no address"},
		"not YAML":     {func(c *Cluster, _ *Node) { c.Patches = []string{"kind: KubeletConfiguration", ": :"} }, fault.ConfigInvalid, "kubeadmConfigPatches[1]"},
		"no kind":      {func(c *Cluster, _ *Node) { c.Patches = []string{"maxPods: 1"} }, fault.ConfigInvalid, "kubeadmConfigPatches[0]: kind is missing"},
		"unknown kind": {func(_ *Cluster, n *Node) { n.Patches = []string{"kind: Kubelet"} }, fault.ConfigInvalid, `kubeadmConfigPatches[0]: kind "Kubelet"`},
		"argument": {func(c *Cluster, _ *Node) {
			c.Patches = []string{"kind: ClusterConfiguration\napiServer: {extraArgs: [{value: x}]}"}
		}, fault.ConfigInvalid, "apiServer.extraArgs: an argument has no name"},
		"arguments": {func(c *Cluster, _ *Node) {
			c.Patches = []string{"kind: ClusterConfiguration\napiServer: {extraArgs: x}"}
		}, fault.ConfigInvalid, "apiServer.extraArgs: is not a list"},
		"JSON 6902 path": {func(c *Cluster, _ *Node) {
			c.JSON6902Patches = []v1alpha4.PatchJSON6902{{Kind: "ClusterConfiguration", Patch: `[{"op": "remove", "path": "/nothing"}]`}}
		}, fault.ConfigInvalid, "kubeadmConfigPatchesJSON6902[0]: cannot patch ClusterConfiguration"},
		"JSON 6902 of v1beta3": {func(_ *Cluster, n *Node) { // where arguments were no list
			n.JSON6902Patches = []v1alpha4.PatchJSON6902{{
				Group: "kubeadm.k8s.io", Version: "v1beta3", Kind: "ClusterConfiguration", Patch: `[{"op": "add", "path": "/controllerManager/extraArgs/v", "value": "5"}]`,
			}}
		}, fault.ConfigInvalid, "node app-control-plane: kubeadmConfigPatchesJSON6902[0]: cannot patch ClusterConfiguration"},
		"skipPhases": {func(c *Cluster, _ *Node) { c.Patches = []string{"kind: InitConfiguration\nskipPhases: x"} }, fault.ConfigInvalid, "skipPhases"},
	} {
		t.Run(name, func(t *testing.T) {
			c := three()
			n := controlPlane(c)
			tt.change(&c, &n)
			_, err := InitConfig(c, n)
			if !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %s with %q", err, tt.code, tt.want)
			}
		})
	}
}

func TestAddons(t *testing.T) {
	for name, tt := range map[string]struct {
		mode, patch, node string
		want              []string
	}{
		"both":           {"", "", "", []string{"coredns", "kube-proxy"}},
		"no proxy":       {ModeNone, "", "", []string{"coredns"}},
		"skipped":        {"", "kind: InitConfiguration\nskipPhases: [addon/kube-proxy]", "", []string{"coredns"}},
		"disabled":       {"", "kind: ClusterConfiguration\ndns: {disabled: true}", "", []string{"kube-proxy"}},
		"neither":        {"", "kind: InitConfiguration\nskipPhases: [addon]", "", nil},
		"at both levels": {"", "kind: InitConfiguration\nskipPhases: [addon/coredns]", "kind: InitConfiguration\nskipPhases: [addon/kube-proxy]", nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := one()
			c.KubeProxyMode = tt.mode
			if tt.patch != "" {
				c.Patches = []string{tt.patch}
			}
			n := controlPlane(c)
			if tt.node != "" {
				n.Patches = []string{tt.node}
			}
			conf, err := InitConfig(c, n)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Addons(conf)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

// A patch for another version of a document is for another cluster: kind leaves it out.
func TestOtherVersionsAreLeftOut(t *testing.T) {
	c := one()
	n := controlPlane(c)
	want, err := InitConfig(c, n)
	if err != nil {
		t.Fatal(err)
	}
	c.Patches = []string{"kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta2\nclusterName: other"}
	n.JSON6902Patches = []v1alpha4.PatchJSON6902{{
		Group: "kubeadm.k8s.io", Version: "v9", Kind: "ClusterConfiguration", Patch: `[{"op": "remove", "path": "/nothing"}]`,
	}}
	got, err := InitConfig(c, n)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %s, %v", got, err)
	}
}

// The kubelet would end at once over a label that it may not give its node; the Node object that is made ahead of it has them all.
func TestLabelsThatAreNotTheKubelets(t *testing.T) {
	c := one()
	n := controlPlane(c)
	n.Labels = map[string]string{"node-role.kubernetes.io/x": "", "tier": "a"}
	got, err := InitConfig(c, n)
	if err != nil || bytes.Contains(got, []byte("node-role")) || !bytes.Contains(got, []byte("tier=a")) {
		t.Errorf("got %s, %v", got, err)
	}
	labels, _, err := InitRegistration(c, n)
	if _, has := labels["node-role.kubernetes.io/x"]; err != nil || !has || labels["tier"] != "a" {
		t.Errorf("got %v, %v", labels, err)
	}
}

func TestNodeMasks(t *testing.T) {
	c := one()
	c.Patches = []string{"kind: ClusterConfiguration\ncontrollerManager: {extraArgs: {node-cidr-mask-size-ipv4: \"26\"}}"}
	conf, err := InitConfig(c, controlPlane(c))
	if err != nil {
		t.Fatal(err)
	}
	masks, err := NodeMasks(conf)
	if err != nil || len(masks) != 1 || masks["node-cidr-mask-size-ipv4"] != "26" {
		t.Errorf("got %v, %v", masks, err)
	}
}

func TestIsKubeletLabel(t *testing.T) {
	for key, want := range map[string]bool{
		"tier": true, "example.com/x": true, "mykubernetes.io/x": true,
		"kubernetes.io/hostname": true, "node.kubernetes.io/instance-type": true, "a.node.kubernetes.io/x": true,
		"topology.kubernetes.io/zone": true, "topology.kubernetes.io/rack": false,
		"node-role.kubernetes.io/worker": false, "kubernetes.io/x": false, "x.k8s.io/y": false, "k8s.io/y": false,
	} {
		if IsKubeletLabel(key) != want {
			t.Errorf("IsKubeletLabel(%q) is not %v", key, want)
		}
	}
}

func TestDiscovery(t *testing.T) {
	golden(t, "discovery.yaml", Discovery("https://dev-endpoint:6443", []byte("PEM")))
}

package importer

import (
	"fmt"
	"strconv"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// k3d converts a SimpleConfig of k3d (https://k3d.io/stable/usage/configfile/).
type k3d struct {
	*reader
	nodes   []v1alpha1.NodeSpec // servers first, then agents
	servers int                 // how many of the nodes were servers
	args    arguments
	kubelet map[int][]argument // of single nodes
	// disabled are the components of k3s that are left out.
	disabled map[string]bool
}

// Components that k3s brings, as its --disable knows them.
const (
	k3sTraefik   = "traefik"
	k3sServiceLB = "servicelb"
	k3sMetrics   = "metrics-server"
	k3sStorage   = "local-storage"
	k3sDNS       = "coredns"
)

func convertK3d(top section) {
	k := &k3d{reader: top.r, kubelet: map[int][]argument{}, disabled: map[string]bool{}}
	top.skip("apiVersion", "kind")
	meta := top.section("metadata")
	meta.name("name", meta.text("name"))
	meta.rest()
	k.list(top)
	k.image(top)
	k.api(top.section("kubeAPI"))
	top.usual("subnet", "auto")
	top.drop("a cluster of cove's has a network of its own, whose subnet cove chooses", "network", "subnet")
	top.drop("cove makes a token for each node that joins", "token")

	options := top.section("options")
	k.launcher(options.section("k3d"))
	k.k3s(options.section("k3s"))
	kubeconfig := options.section("kubeconfig")
	if !kubeconfig.yes("updateDefaultKubeconfig", true) {
		kubeconfig.note("updateDefaultKubeconfig", "give `cove create` --no-kubeconfig")
	}
	if !kubeconfig.yes("switchCurrentContext", true) {
		kubeconfig.note("switchCurrentContext", "give `cove create` --keep-context")
	}
	kubeconfig.rest()
	k.runtime(options.section("runtime"))
	options.rest()

	k.volumes(top)
	k.ports(top)
	k.env(top)
	k.registries(top.section("registries"))
	top.drop("cove's nodes know each other only; use CoreDNS, or a Service without a selector", "hostAliases")
	top.drop("cove copies no files into nodes; mount a folder with volumes, or put it into a node image of your own", "files")
	for _, m := range top.sections("manifests") {
		m.note("manifest", "write it to %s and name that under addons: {name: NAME, path: FILE}", either(m.text("name"), "a file"))
		m.skip("manifest")
		m.rest()
	}
	k.finish()
}

func either(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// tooMany is a number of nodes that no cluster has, and that adds up to a number.
const tooMany = 1 << 20

// list makes the nodes. What is too much of servers becomes agents, which keeps the nodes in their places.
func (k *k3d) list(top section) {
	servers, agents := min(max(top.number("servers", 1), 1), tooMany), min(max(top.number("agents", 0), 0), tooMany)
	control, why := oddNumber(servers)
	if why != "" {
		top.note("servers", "%s", why)
	}
	if servers+agents > maxNodes {
		top.note("agents", "a cluster has up to %d nodes", maxNodes)
		servers = min(servers, maxNodes)
		agents = maxNodes - servers
	}
	k.servers = servers
	if control < servers+agents {
		top.note("agents", "control planes take no pods where there are workers, as kubeadm has it; k3s' servers do")
	}
	for i := range servers + agents {
		role := kind.WorkerRole
		if i < control {
			role = kind.ControlPlaneRole
		}
		k.nodes = append(k.nodes, v1alpha1.NodeSpec{Role: role})
	}
}

// image chooses the version by the image of k3s, whose tag is that of Kubernetes with k3s' own behind it: v1.33.4-k3s1.
func (k *k3d) image(top section) {
	image := top.text("image")
	name, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	switch {
	case image == "":
	case image == "latest" || image == "stable":
		top.note("image", "%s is a channel of k3s'; cove takes its newest version, %s", image, v1alpha1.DefaultKubernetesVersion())
	case strings.HasPrefix(image, "+"):
		top.version("image", strings.TrimPrefix(image, "+"))
	case name == "k3s" && tagged:
		top.version("image", tag)
	default:
		top.note("image", "%s is an image of k3s', which cove's nodes do not run; set kubernetesVersion, or image to a node image", image)
	}
}

func (k *k3d) api(s section) {
	net := &k.doc.Cluster.Networking
	net.APIServerAddress = s.text("hostIP")
	if port := s.text("hostPort"); port != "" && port != "random" {
		n, err := strconv.ParseInt(port, 10, 32)
		if err != nil {
			s.wrong("hostPort", "a port", port)
		}
		net.APIServerPort = int32(n)
		if net.APIServerAddress == "" {
			s.note("hostIP", "without one, k3d publishes the API on all addresses; here it is 127.0.0.1 alone, unless cluster.networking.apiServerAddress is set")
		}
	}
	if host := s.text("host"); host != "" && host != net.APIServerAddress {
		k.args.apiServer.CertSANs = append(k.args.apiServer.CertSANs, host)
		s.note("host", "the API server's certificate is good for %s, but the kubeconfig has the address", host)
	}
	s.rest()
}

// launcher reads what is about k3d itself.
func (k *k3d) launcher(s section) {
	if !s.yes("wait", true) {
		s.note("wait", "give `cove create` --wait none")
	}
	if timeout := s.text("timeout"); timeout != "" {
		s.note("timeout", "give `cove create` --timeout %s", timeout)
	}
	if s.yes("disableLoadbalancer", false) && k.servers > 1 {
		s.note("disableLoadbalancer", "several control planes have a load balancer before them in cove")
	}
	s.skip("disableImageVolume") // cove has none
	if s.yes("disableRollback", false) {
		s.note("disableRollback", "give `cove create` --retain")
	}
	s.drop("cove runs no hooks", "nodeHookActions")
	s.drop("the load balancer's configuration is cove's own", "loadbalancer")
	s.rest()
}

func (k *k3d) runtime(s section) {
	for i, key := range []string{"serversMemory", "agentsMemory"} {
		size, err := memory(s.text(key), i == 0)
		if err != "" {
			s.note(key, "%s", err)
		}
		for j := range k.nodes {
			if isServer := j < k.servers; isServer == (i == 0) {
				k.nodes[j].Memory = size
			}
		}
	}
	s.drop("cove's nodes have no GPUs", "gpuRequest")
	s.drop("cove's nodes have processes of their own", "hostPidMode")
	s.drop("cove's containers have labels of cove's only; nodeLabels are the Kubernetes nodes'", "labels")
	s.drop("nodes have the engine's limits; set default-ulimits of the engine", "ulimits")
	s.rest()
}

func (k *k3d) env(top section) {
	for _, e := range top.sections("env") {
		variable := e.text("envVar")
		if problem := k.addProxy(assignment(variable)); variable != "" && problem != "" {
			e.note("envVar", "%s", problem)
		}
		e.skip("nodeFilters")
		e.rest()
	}
}

// finish writes what was collected.
func (k *k3d) finish() {
	k.doc.Profile = "ingress"
	if k.disabled[k3sTraefik] {
		k.doc.Profile = "dev"
	}
	for component, addon := range map[string]string{k3sServiceLB: "metallb", k3sMetrics: "metrics-server", k3sStorage: "local-path"} {
		if k.disabled[component] {
			k.addAddon(v1alpha1.Addon{Name: addon, Disabled: true})
		}
	}
	sortAddons(k.doc.Addons)
	for i, args := range k.kubelet {
		k.nodes[i].KubeadmConfigPatches = append(k.nodes[i].KubeadmConfigPatches, kubeletPatch(args))
	}
	k.args.write(&k.doc)
	k.reader.nodes(k.nodes)
}

// memory reads a size as docker writes it, 1g or 512MiB, and returns it as Kubernetes does; problem says why it is another
// one, or none.
func memory(s string, controlPlane bool) (size, problem string) {
	if s == "" || s == "0" {
		return "", ""
	}
	bytes, ok := parseBytes(s)
	if !ok {
		return "", fmt.Sprintf("%q is no amount of memory", s)
	}
	return atLeast(bytes, controlPlane)
}

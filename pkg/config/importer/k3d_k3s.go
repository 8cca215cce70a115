package importer

import (
	"slices"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// k3s reads the arguments and the labels of the nodes.
func (k *k3d) k3s(s section) {
	for _, a := range s.sections("extraArgs") {
		arg, to := a.text("arg"), k.filter(a)
		a.rest()
		if !to.given {
			to.nodes = k.all()
		}
		name, value := strings.TrimLeft(arg, "-"), ""
		if i := strings.IndexAny(name, "= "); i >= 0 {
			name, value = name[:i], name[i+1:]
		}
		if arg != "" {
			k.argument(a, arg, name, strings.Trim(value, `"' `), to.nodes)
		}
	}
	for _, l := range s.sections("nodeLabels") {
		label, to := l.text("label"), k.filter(l)
		l.rest()
		if !to.given {
			to.nodes = k.all()
		}
		k.label(label, to.nodes)
	}
	s.rest()
}

func (k *k3d) label(label string, nodes []int) {
	key, value := assignment(label)
	for _, i := range nodes {
		if k.nodes[i].Labels == nil {
			k.nodes[i].Labels = map[string]string{}
		}
		k.nodes[i].Labels[key] = value
	}
}

// argument maps an argument of k3s: of its server (https://docs.k3s.io/cli/server) or its agent (https://docs.k3s.io/cli/agent).
func (k *k3d) argument(at section, arg, name, value string, nodes []int) {
	net := &k.doc.Cluster.Networking
	if c := k.component(name); c != nil {
		c.add(value)
		return
	}
	switch name {
	case "disable", "no-deploy":
		k.disable(at, arg, value)
	case "tls-san":
		for san := range strings.SplitSeq(value, ",") {
			if san = strings.TrimSpace(san); san != "" && !slices.Contains(k.args.apiServer.CertSANs, san) {
				k.args.apiServer.CertSANs = append(k.args.apiServer.CertSANs, san)
			}
		}
	case "kubelet-arg":
		k.kubeletArgument(value, nodes)
	case "kube-proxy-arg":
		if key, mode := assignment(strings.TrimLeft(value, "-")); key == "proxy-mode" {
			net.KubeProxyMode = kind.ProxyMode(mode)
			return
		}
		at.note("arg", "%s: patch the KubeProxyConfiguration with cluster.kubeadmConfigPatches instead", arg)
	case "cluster-cidr":
		net.PodSubnet = value
	case "service-cidr":
		net.ServiceSubnet = value
	case "node-label":
		k.label(value, nodes)
	case "node-taint":
		k.taint(at, arg, value, nodes)
	default:
		k.networkArgument(at, arg, name, value)
	}
}

// component returns what an argument of k3s passes arguments to; nil where it does something else.
func (k *k3d) component(name string) *component {
	switch name {
	case "kube-apiserver-arg":
		return &k.args.apiServer
	case "kube-controller-manager-arg":
		return &k.args.controllerManager
	case "kube-scheduler-arg":
		return &k.args.scheduler
	case "etcd-arg":
		return &k.args.etcd
	}
	return nil
}

// networkArgument maps what is about the parts of k3s that cove has others for.
func (k *k3d) networkArgument(at section, arg, name, value string) {
	switch name {
	case "disable-kube-proxy":
		k.doc.Cluster.Networking.KubeProxyMode = "none"
	case "flannel-backend":
		if value == "none" {
			k.doc.CNI = "none"
			at.note("arg", "%s: cni is none now; nodes are not Ready until you apply a pod network of your own", arg)
			return
		}
		at.note("arg", "%s: cove's flannel has the backend host-gw", arg)
	case "disable-network-policy", "disable-cloud-controller", "disable-helm-controller":
		// cove has none of them.
	case "cluster-domain", "cluster-dns":
		at.note("arg", "%s: the domain is cluster.local, and the DNS has the tenth address of the service subnet", arg)
	default:
		at.note("arg", "%s: it is k3s' own, which cove's nodes do not run", arg)
	}
}

func (k *k3d) disable(at section, arg, value string) {
	for component := range strings.SplitSeq(value, ",") {
		switch component = strings.TrimSpace(component); component {
		case k3sTraefik, k3sServiceLB, k3sMetrics, k3sStorage:
			k.disabled[component] = true
		case k3sDNS:
			at.note("arg", "%s: patch it away with cluster.kubeadmConfigPatches: {kind: ClusterConfiguration, dns: {disabled: true}}", arg)
		default:
			at.note("arg", "%s: cove has no %s", arg, component)
		}
	}
}

// kubeletArgument adds KEY=VALUE to kubelets: with a patch of the cluster where it is for all of them.
func (k *k3d) kubeletArgument(assigned string, nodes []int) {
	name, value := assignment(strings.TrimLeft(assigned, "-"))
	if len(nodes) == len(k.nodes) {
		k.args.kubelet = setArgument(k.args.kubelet, name, value)
		return
	}
	for _, i := range nodes {
		k.kubelet[i] = setArgument(k.kubelet[i], name, value)
	}
}

// taint reads KEY[=VALUE]:EFFECT.
func (k *k3d) taint(at section, arg, value string, nodes []int) {
	i := strings.LastIndex(value, ":")
	if i < 0 {
		at.note("arg", "%s: it has no effect; write it as KEY=VALUE:NoSchedule", arg)
		return
	}
	key, v := assignment(value[:i])
	for _, n := range nodes {
		k.nodes[n].Taints = append(k.nodes[n].Taints, v1alpha1.Taint{Key: key, Value: v, Effect: value[i+1:]})
	}
}

package importer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// kubernetes reads the settings of Kubernetes, but for its version.
func (m *minikube) kubernetes(s section, cluster string) {
	s.usual("ClusterName", cluster)
	s.usual("Namespace", "default")
	s.usual("APIServerName", "minikubeCA")
	s.usual("DNSDomain", "cluster.local")
	s.usual("ContainerRuntime", "containerd")
	s.skip("CRISocket", "NetworkPlugin", "ShouldLoadCachedImages", "EnableDefaultCNI", "NodeIP", "NodePort", "NodeName", "APIServerHAVIP")
	s.drop("the cluster's name is Name", "ClusterName")
	s.drop("the context's namespace is default; change it with `kubectl config set-context --current --namespace`", "Namespace")
	s.drop("the domain is cluster.local", "DNSDomain")
	if runtime := s.text("ContainerRuntime"); runtime != "" {
		s.note("ContainerRuntime", "%s: nodes have containerd; build images on the host and load them with `cove image load`", runtime)
	}
	if service := s.text("ServiceCIDR"); service != "10.96.0.0/12" { // minikube's default, which cove's is a part of
		m.doc.Cluster.Networking.ServiceSubnet = service
	}
	m.args.apiServer.CertSANs = slices.Concat(s.texts("APIServerNames"), s.texts("APIServerIPs"))
	if name := s.text("APIServerName"); name != "" {
		m.args.apiServer.CertSANs = append(m.args.apiServer.CertSANs, name)
	}
	m.featureGates(s)
	m.network(s)
	for _, o := range s.sections("ExtraOptions") {
		m.extraOption(o, o.text("Component"), o.text("Key"), o.text("Value"))
		o.rest()
	}
	s.drop("name the repository under registries.mirrors: that of registry.k8s.io for the images of Kubernetes", "ImageRepository", "RegistryAliases")
	s.drop("addon metallb has addresses of the cluster's own network; its parameter pool names others", "LoadBalancerStartIP", "LoadBalancerEndIP")
	s.drop("make a Secret of the certificate, and name it in the Ingress", "CustomIngressCert")
}

func (m *minikube) featureGates(s section) {
	for gate := range strings.SplitSeq(s.text("FeatureGates"), ",") {
		name, value := assignment(gate)
		if name == "" {
			continue
		}
		on, err := strconv.ParseBool(value)
		if err != nil {
			s.note("FeatureGates", "%s is neither true nor false", gate)
			continue
		}
		if m.doc.Cluster.FeatureGates == nil {
			m.doc.Cluster.FeatureGates = map[string]bool{}
		}
		m.doc.Cluster.FeatureGates[name] = on
	}
}

// network chooses the addon for the pod network.
func (m *minikube) network(s section) {
	switch cni := s.text("CNI"); cni {
	case "", "auto", "true", "flannel":
	case "calico", "cilium":
		m.doc.CNI = cni
	case "false":
		m.doc.CNI = "none"
		s.note("CNI", "cni is none now; nodes are not Ready until you apply a pod network of your own")
	case "bridge", "kindnet":
		s.note("CNI", "%s: cove's pod network is flannel, which does the same with routes", cni)
	default:
		s.note("CNI", "%s: to have it, set cni: none and name it under addons: {name: NAME, path: %s}", cni, cni)
	}
}

// extraOption maps one of minikube's --extra-config (https://minikube.sigs.k8s.io/docs/handbook/config/#kubernetes-configuration).
func (m *minikube) extraOption(o section, component, key, value string) {
	assigned := key + "=" + value
	switch component {
	case "apiserver":
		m.args.apiServer.add(assigned)
	case "controller-manager":
		m.args.controllerManager.add(assigned)
	case "scheduler":
		m.args.scheduler.add(assigned)
	case "etcd":
		m.args.etcd.add(assigned)
	case "kubelet":
		if assigned != "housekeeping-interval=5m" { // minikube's own
			m.args.kubelet = setArgument(m.args.kubelet, key, value)
		}
	case "kube-proxy":
		if key == "mode" {
			m.doc.Cluster.Networking.KubeProxyMode = kind.ProxyMode(value)
			return
		}
		if m.args.kubeProxy == nil {
			m.args.kubeProxy = map[string]any{}
		}
		m.args.kubeProxy[key] = plain(value)
	case "kubeadm":
		if key == "pod-network-cidr" {
			m.doc.Cluster.Networking.PodSubnet = value
			return
		}
		if key != "ignore-preflight-errors" { // cove has no preflight checks of kubeadm's
			o.note("Key", "kubeadm.%s: cove has kubeadm's flags of its own; set cluster.kubeadmConfigPatches", assigned)
		}
	default:
		o.note("Component", "%s.%s: there is no such component", component, assigned)
	}
}

// plain returns a value as YAML has it: a number or true where it reads as one.
func plain(value string) any {
	if n, err := strconv.Atoi(value); err == nil {
		return n
	}
	if yes, err := strconv.ParseBool(value); err == nil {
		return yes
	}
	return value
}

// addons names those that are on. The profile has the pod network only, as minikube without addons.
func (m *minikube) addons(s section) {
	m.doc.Profile = "minimal"
	same := map[string]string{
		"default-storageclass": "local-path", "storage-provisioner": "local-path", "storage-provisioner-rancher": "local-path",
		"metrics-server": "metrics-server", "metallb": "metallb", "ingress": "ingress-nginx", "headlamp": "headlamp", "dashboard": "headlamp",
	}
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		if !s.yes(name, false) {
			continue
		}
		addon, hint := same[name], addonHint(name)
		if addon != "" {
			m.addAddon(v1alpha1.Addon{Name: addon})
		} else if hint == "" {
			hint = fmt.Sprintf("cove's catalogue has no such addon; if it has a chart, name that under addons: {name: %s, helm: {chart, repository}}", name)
		}
		if hint != "" {
			s.note(name, "%s", hint)
		}
	}
	sortAddons(m.doc.Addons)
}

// addonHint says what to do about one of minikube's addons that is not the same here; "" where there is nothing to say.
func addonHint(name string) string {
	const gpu = "cove's nodes have no GPUs"
	return map[string]string{
		"dashboard":                "addon headlamp is in its place",
		"ingress":                  "addon ingress-nginx pulls its image and its chart; traefik is the other addon for Ingress, which cove can build",
		"ingress-dns":              "names below localhost lead to this machine without it",
		"registry":                 "load images with `cove image load`, or name a registry under registries.mirrors",
		"auto-pause":               "nothing pauses a cluster by itself; stop it when it is not used",
		"gcp-auth":                 "make a Secret of the credentials",
		"gvisor":                   "nodes have runc only",
		"helm-tiller":              "Helm needs no Tiller any more",
		"csi-hostpath-driver":      "addon local-path has volumes, but no snapshots",
		"nvidia-device-plugin":     gpu,
		"nvidia-gpu-device-plugin": gpu,
		"nvidia-driver-installer":  gpu,
		"amd-gpu-device-plugin":    gpu,
	}[name]
}

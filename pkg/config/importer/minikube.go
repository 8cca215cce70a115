package importer

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// minikube converts the config.json of a profile of minikube's: its ClusterConfig
// (https://pkg.go.dev/k8s.io/minikube/pkg/minikube/config#ClusterConfig), which holds every field, with minikube's defaults where
// the user has said nothing.
type minikube struct {
	*reader
	nodes []v1alpha1.NodeSpec
	args  arguments
}

func convertMinikube(top section) {
	m := &minikube{reader: top.r}
	name := top.text("Name")
	top.name("Name", name)
	usualMinikube(top)
	kubernetes := top.section("KubernetesConfig")
	m.kubernetes(kubernetes, name)
	m.list(top, kubernetes.text("KubernetesVersion"))
	kubernetes.rest()
	m.size(top)
	m.mounts(top)
	m.publish(top)
	m.registries(top)
	m.addons(top.section("Addons"))
	m.engine(top)
	m.options(top)
	m.args.write(&m.doc)
	m.reader.nodes(m.nodes)
}

// usualMinikube passes over what minikube writes by itself, and what only drivers of virtual machines read.
func usualMinikube(top section) {
	top.skip("EmbedCerts", "MinikubeISO", "KicBaseImage", "VMDriver", "UUID", "MultiNodeRequested", "VerifyComponents", "DisableOptimizations",
		"DisableMetrics", "MountGID", "MountUID", "MountIP", "MountPort", "MountMSize", "MountType", "MountOptions", "Mount9PVersion",
		"NFSSharesRoot", "HostOnlyCIDR", "HostOnlyNicType", "NatNicType", "NoVTXCheck", "DNSProxy", "HostDNSResolver", "DisableDriverMounts",
		"HypervVirtualSwitch", "HypervUseExternalSwitch", "HypervExternalAdapter", "HyperkitVpnKitSock", "HyperkitVSockPorts",
		"KVMNetwork", "KVMQemuURI", "KVMGPU", "KVMHidden", "KVMNUMACount", "SSHIPAddress", "SSHUser", "SSHKey", "SSHPort", "SSHAuthSock",
		"SSHAgentPID", "CustomQemuFirmwarePath", "SocketVMnetClientPath", "SocketVMnetPath", "VmnetOffloading", "Rosetta")
	top.usual("DiskSize", 20000)
	top.usual("APIServerPort", 8443)
	top.usual("StartHostTimeout", 360000000000)    // 6m
	top.usual("CertExpiration", 94608000000000000) // three years
	top.usual("AutoPauseInterval", 60000000000)    // 1m, of an addon
	top.usual("Network", "nat")
}

// list makes the nodes, with the names that minikube gives all but the first.
func (m *minikube) list(top section, version string) {
	if version != "" {
		top.version("KubernetesConfig.KubernetesVersion", version)
	}
	list, control, takesPods := top.sections("Nodes"), 0, false
	for _, n := range list {
		if own := n.text("KubernetesVersion"); own != "" && own != version {
			n.note("KubernetesVersion", "all nodes run the cluster's version, unless they have an image of their own")
		}
		n.skip("IP", "Port", "ContainerRuntime")
		spec := v1alpha1.NodeSpec{Name: n.text("Name"), Role: kind.WorkerRole}
		worker := n.yes("Worker", true)
		if n.yes("ControlPlane", false) {
			spec.Role = kind.ControlPlaneRole
			control++
			takesPods = takesPods || worker
		}
		n.rest()
		m.nodes = append(m.nodes, spec)
	}
	if control == 0 {
		m.nodes = slices.Insert(m.nodes, 0, v1alpha1.NodeSpec{Role: kind.ControlPlaneRole})
		control++
	}
	odd, why := oddNumber(control)
	if why != "" {
		top.note("Nodes", "%s", why)
	}
	for i := len(m.nodes) - 1; i >= 0 && control > odd; i-- {
		if m.nodes[i].Role == kind.ControlPlaneRole {
			m.nodes[i].Role = kind.WorkerRole
			control--
		}
	}
	if takesPods && control < len(m.nodes) {
		top.note("Nodes", "control planes take no pods where there are workers, as kubeadm has it")
	}
}

// size gives every node the size that minikube has for each of them.
func (m *minikube) size(top section) {
	cpus, megabytes := top.number("CPUs", 0), top.number("Memory", 0)
	for i := range m.nodes {
		n := &m.nodes[i]
		if cpus > 0 {
			n.CPUs = strconv.Itoa(cpus)
		}
		if megabytes > 0 {
			size, problem := atLeast(int64(megabytes)<<20, n.Role == kind.ControlPlaneRole)
			if n.Memory = size; problem != "" && i == 0 {
				top.note("Memory", "%s", problem)
			}
		}
	}
	top.drop("nodes have what disk the engine has", "DiskSize", "ExtraDisks")
}

// mounts makes them of the folders that minikube mounts.
func (m *minikube) mounts(top section) {
	mounted := top.text("MountString")
	if !top.yes("Mount", mounted != "") {
		mounted = "" // then it is the default, which nothing uses
	}
	volumes := top.texts("ContainerVolumeMounts")
	if mounted != "" {
		volumes = append(volumes, mounted)
	}
	for _, volume := range volumes {
		one, problem := mount(volume)
		if problem != "" {
			top.note("ContainerVolumeMounts", "%s: %s", volume, problem)
			continue
		}
		for i := range m.nodes {
			if !slices.Contains(m.nodes[i].ExtraMounts, one) {
				m.nodes[i].ExtraMounts = append(m.nodes[i].ExtraMounts, one)
			}
		}
	}
	top.drop("cove mounts no NFS shares; mount them on the engine's host and name them under extraMounts", "NFSShare")
}

// publish makes ports of those that minikube publishes of its first node.
func (m *minikube) publish(top section) {
	address := top.text("ListenAddress")
	m.doc.Cluster.Networking.APIServerAddress = address
	for i, port := range top.texts("ExposedPorts") {
		mappings, err := portMappings(port, address)
		if err != nil {
			top.wrong(fmt.Sprintf("ExposedPorts[%d]", i), "a port as 8080:80", port)
			continue
		}
		first := slices.IndexFunc(m.nodes, func(n v1alpha1.NodeSpec) bool { return n.Role == kind.ControlPlaneRole })
		m.nodes[first].ExtraPortMappings = append(m.nodes[first].ExtraPortMappings, mappings...)
	}
	top.drop("the API server listens on 6443 in its node; set cluster.networking.apiServerPort for the port of the host", "APIServerPort")
}

func (m *minikube) registries(top section) {
	m.mirrors(top)
	for i, registry := range top.texts("InsecureRegistry") {
		if strings.Contains(registry, "/") {
			top.note("InsecureRegistry", "[%d] %s: name registries one by one under registries.mirrors, with skipVerify", i, registry)
			continue
		}
		// As docker does it: with TLS, whoever the certificate is of, else without.
		if problem := m.addInsecure(registry, "https://"+registry, "http://"+registry); problem != "" {
			top.note("InsecureRegistry", "[%d] %s: %s", i, registry, problem)
		}
	}
}

func (m *minikube) mirrors(top section) {
	for i, endpoint := range top.texts("RegistryMirror") {
		if !strings.Contains(endpoint, "://") {
			endpoint = "https://" + endpoint
		}
		switch u, err := url.Parse(endpoint); {
		case err != nil || u.Hostname() == "":
			top.note("RegistryMirror", "[%d] it is no URL", i)
		case isLoopback(u.Hostname()):
			top.note("RegistryMirror", "[%d] %s: %s", i, endpoint, onNode)
		default:
			m.addMirror("docker.io", false, strings.TrimSuffix(endpoint, "/"))
		}
	}
}

// engine reads what minikube tells the container engine within its nodes.
func (m *minikube) engine(top section) {
	for i, variable := range top.texts("DockerEnv") {
		if problem := m.addProxy(assignment(variable)); problem != "" {
			top.note("DockerEnv", "[%d] %s", i, problem)
		}
	}
	top.drop("nodes have containerd; set cluster.containerdConfigPatches", "DockerOpt")
	if driver := top.text("Driver"); driver != "" && driver != "docker" {
		top.note("Driver", "%s: cove's nodes are containers of a Docker Engine", driver)
	}
	top.drop("cove's nodes have no GPUs", "GPUs")
}

// options reads what is about minikube itself.
func (m *minikube) options(top section) {
	if top.yes("KeepContext", false) {
		top.note("KeepContext", "give `cove create` --keep-context")
	}
	top.drop("a cluster of cove's has a network of its own, in which each node has a fixed address", "Network", "Subnet", "StaticIP")
	top.drop("give `cove create` --timeout", "StartHostTimeout")
	top.drop("certificates are good for as long as kubeadm has it", "CertExpiration")
	top.drop("nothing stops a cluster by itself", "ScheduledStop")
	top.drop("nothing pauses a cluster by itself", "AutoPauseInterval")
	top.drop("addons have the images of cove's catalogue", "CustomAddonImages", "CustomAddonRegistries")
	top.drop("the binaries are in the node image", "BinaryMirror")
}

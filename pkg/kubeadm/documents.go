package kubeadm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kinds and versions of the documents.
const (
	groupKubeadm     = "kubeadm.k8s.io"
	versionKubeadm   = groupKubeadm + "/v1beta4"
	versionKubelet   = "kubelet.config.k8s.io/v1beta1"
	versionKubeProxy = "kubeproxy.config.k8s.io/v1alpha1"

	roleControlPlane = "control-plane"

	kindInit      = "InitConfiguration"
	kindCluster   = "ClusterConfiguration"
	kindJoin      = "JoinConfiguration"
	kindKubelet   = "KubeletConfiguration"
	kindKubeProxy = "KubeProxyConfiguration"
)

// tokenTTL is how long the token of the first joins is good. What joins later gets a token of its own.
const tokenTTL = "1h0m0s"

// object is a JSON object. kubeadm's own Go types live in a module that must not be imported.
type object = map[string]any

// clusterDocuments returns all documents of an init but the InitConfiguration.
func clusterDocuments(c Cluster, n Node) ([]object, error) {
	if err := check(c, n); err != nil {
		return nil, err
	}
	docs := []object{clusterDocument(c), kubeletDocument(c)}
	if c.KubeProxyMode != ModeNone {
		docs = append(docs, kubeProxyDocument(c))
	}
	return docs, nil
}

func initDocument(c Cluster, n Node) object {
	registration := registrationOf(n)
	if n.Taints == nil && c.Workers == 0 {
		registration["taints"] = []Taint{} // pods must run somewhere; kind does the same
	}
	return object{
		"apiVersion":       versionKubeadm,
		"kind":             kindInit,
		"bootstrapTokens":  []any{object{"token": c.Token, "ttl": tokenTTL}},
		"localAPIEndpoint": object{"advertiseAddress": n.IPs[0].String(), "bindPort": apiPort},
		"nodeRegistration": registration,
	}
}

func joinDocument(c Cluster, n Node, discoveryFile string) object {
	registration := registrationOf(n)
	doc := object{
		"apiVersion":       versionKubeadm,
		"kind":             kindJoin,
		"discovery":        object{"file": object{"kubeConfigPath": discoveryFile}, "tlsBootstrapToken": c.Token},
		"nodeRegistration": registration,
		"skipPhases":       []any{"preflight"},
	}
	if n.Role == roleControlPlane {
		doc["controlPlane"] = object{"localAPIEndpoint": object{"advertiseAddress": n.IPs[0].String(), "bindPort": apiPort}}
		if n.Taints == nil && c.Workers == 0 {
			registration["taints"] = []Taint{} // as on the first one
		}
	}
	return doc
}

// housekeeping is the shortest time between two samples of what a container uses. With the kubelet's default of ten
// seconds, metrics of a new pod, and of all pods of a new cluster, come that much later. Containers whose figures stand
// still are looked at less and less often, so idle ones cost no more than before.
const housekeeping = "2s"

// registrationOf says how a node's kubelet registers it.
func registrationOf(n Node) object {
	ips := make([]string, len(n.IPs))
	for i, ip := range n.IPs {
		ips[i] = ip.String()
	}
	args := []any{arg("node-ip", strings.Join(ips, ","))}
	own := maps.Clone(n.Labels)
	maps.DeleteFunc(own, func(key, _ string) bool { return !IsKubeletLabel(key) })
	if len(own) > 0 {
		args = append(args, arg("node-labels", joined(own)))
	}
	args = append(args, arg("housekeeping-interval", housekeeping))
	r := object{"criSocket": criSocket, "name": n.Name, "kubeletExtraArgs": args}
	if n.Taints != nil {
		r["taints"] = n.Taints
	}
	return r
}

func clusterDocument(c Cluster) object {
	var apiArgs []any
	if len(c.RuntimeConfig) > 0 {
		apiArgs = append(apiArgs, arg("runtime-config", joined(c.RuntimeConfig)))
	}
	controllerArgs, schedulerArgs := clientArgs(c), clientArgs(c)
	if len(c.FeatureGates) > 0 {
		gates := arg("feature-gates", joined(c.FeatureGates))
		apiArgs = append(apiArgs, gates)
		controllerArgs = append(controllerArgs, gates)
		schedulerArgs = append(schedulerArgs, gates)
	}
	// A crash of the host may cost etcd its last writes; a disk that is slow to flush would cost every user seconds.
	etcd := object{"extraArgs": []any{arg("unsafe-no-fsync", "true")}}
	if c.EtcdTag != "" {
		etcd["imageTag"] = c.EtcdTag
	}
	api := object{"certSANs": c.CertSANs}
	if len(apiArgs) > 0 {
		api["extraArgs"] = apiArgs
	}
	doc := object{
		"apiVersion":           versionKubeadm,
		"kind":                 kindCluster,
		"clusterName":          c.Name,
		"kubernetesVersion":    c.KubernetesVersion,
		"controlPlaneEndpoint": fmt.Sprintf("%s:%d", c.Endpoint, apiPort),
		"encryptionAlgorithm":  "ECDSA-P256", // an RSA key takes a second to make
		"apiServer":            api,
		"controllerManager":    object{"extraArgs": controllerArgs},
		"scheduler":            object{"extraArgs": schedulerArgs},
		"etcd":                 object{"local": etcd},
		"networking":           object{"podSubnet": c.PodSubnet, "serviceSubnet": c.ServiceSubnet},
	}
	if c.CoreDNSTag != "" {
		doc["dns"] = object{"imageTag": c.CoreDNSTag}
	}
	if c.KubeProxyMode == ModeNone {
		doc["proxy"] = object{"disabled": true}
	}
	return doc
}

// clientArgs are the arguments of the components that are clients of the API server. The default limit of 20 requests a
// second keeps the controller manager from its work for five seconds, and an election takes time with nobody to win from.
func clientArgs(c Cluster) []any {
	args := []any{arg("kube-api-qps", "1000"), arg("kube-api-burst", "2000")}
	if c.SingleControlPlane {
		args = append(args, arg("leader-elect", "false"))
	}
	return args
}

func kubeletDocument(c Cluster) object {
	gates := object{}
	for name, on := range c.FeatureGates {
		gates[name] = on
	}
	if c.Restricted {
		gates["KubeletInUserNamespace"] = true
	}
	doc := object{
		"apiVersion":          versionKubelet,
		"kind":                kindKubelet,
		"cgroupDriver":        c.CgroupDriver,
		"cgroupRoot":          "/kubelet",
		"failSwapOn":          false,
		"serializeImagePulls": false,
		// The disk is the host's: what is on it is no business of the kubelet's, and evicting pods does not help.
		"imageGCHighThresholdPercent": 100,
		"evictionHard":                object{"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
	}
	if c.CgroupVersion == 1 && c.atLeast("v1.35.0") { // which refuses cgroup v1 unless told
		doc["failCgroupV1"] = false
	}
	if len(gates) > 0 {
		doc["featureGates"] = gates
	}
	return doc
}

// proxySync is the shortest time between two rewrites of kube-proxy's rules. Its default of a second would delay the
// first answer of DNS by as much; the rules of a local cluster are few.
const proxySync = "100ms"

func kubeProxyDocument(c Cluster) object {
	mode := c.KubeProxyMode
	if mode == "" {
		mode = "nftables"
	}
	// The limits on tracked connections belong to the host, and a node may not change all of them.
	conntrack := object{"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
	if mode == "nftables" && !c.Restricted {
		conntrack["tcpBeLiberal"] = true // as kind has it: https://github.com/kubernetes/kubernetes/issues/117924
	}
	doc := object{
		"apiVersion": versionKubeProxy,
		"kind":       kindKubeProxy,
		"mode":       mode,
		"conntrack":  conntrack,
	}
	if mode == "nftables" || mode == "iptables" {
		doc[mode] = object{"minSyncPeriod": proxySync}
	}
	if len(c.FeatureGates) > 0 {
		doc["featureGates"] = c.FeatureGates
	}
	return doc
}

// arg is an argument as v1beta4 has it: a list of them, so that one may be given twice.
func arg(name, value string) object { return object{"name": name, "value": value} }

// joined writes "a=1,b=2", sorted.
func joined[V any](m map[string]V) string {
	parts := make([]string, 0, len(m))
	for _, k := range sortedKeys(m) {
		parts = append(parts, fmt.Sprintf("%s=%v", k, m[k]))
	}
	return strings.Join(parts, ",")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// IsKubeletLabel reports whether a kubelet may give its own node the label: any outside of kubernetes.io and k8s.io, and
// of those the ones that k8s.io/kubelet/pkg/apis lists. A kubelet that is asked for another one ends at once.
func IsKubeletLabel(key string) bool {
	namespace, _, ok := strings.Cut(key, "/")
	if !ok || !within(namespace, "kubernetes.io") && !within(namespace, "k8s.io") {
		return true
	}
	if within(namespace, "kubelet.kubernetes.io") || within(namespace, "node.kubernetes.io") {
		return true
	}
	return slices.Contains([]string{
		"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch",
		"topology.kubernetes.io/zone", "topology.kubernetes.io/region",
		"failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
		"beta.kubernetes.io/instance-type", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
	}, key)
}

// within reports whether the DNS name is domain or below it.
func within(name, domain string) bool { return name == domain || strings.HasSuffix(name, "."+domain) }

// Package kubeadm turns the facts of a cluster into what kubeadm reads: its v1beta4 configuration, the cluster's CA,
// a bootstrap token and the file by which a node finds the API. It is pure: it never touches a file, a node or the
// network.
package kubeadm

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/fault"
)

// OldestVersion is the first Kubernetes version whose kubeadm reads v1beta4.
const OldestVersion = "v1.31.0"

// ModeNone is the kube-proxy mode that stands for no kube-proxy.
const ModeNone = "none"

// Cgroup drivers of the kubelet: cove's own images run without systemd, images of kind's layout with it.
const (
	DriverCgroupfs = "cgroupfs"
	DriverSystemd  = "systemd"
)

// PatchesDir is where kubeadm join looks for KubeletPatchFile. InitConfig never names it, JoinConfig only for a node
// that has a KubeletPatch.
const (
	PatchesDir       = "/etc/cove/kubeadm-patches"
	KubeletPatchFile = PatchesDir + "/kubeletconfiguration+merge.yaml"
)

// apiPort is where the API server listens in its node.
const apiPort = 6443

// criSocket is where containerd listens, in cove's images and in kind's.
const criSocket = "unix:///run/containerd/containerd.sock"

// Cluster is what kubeadm must know of a whole cluster, all of it resolved.
type Cluster struct {
	Name              string
	KubernetesVersion string            // "v1.36.3"; OldestVersion or later
	Endpoint          string            // the API's stable name, in the /etc/hosts of each node
	CertSANs          []string          // more names and addresses that the API server's certificate is good for
	PodSubnet         string            // one, or two behind a comma
	ServiceSubnet     string            //
	KubeProxyMode     string            // "iptables", "nftables", "ipvs" or ModeNone; empty is "nftables"
	FeatureGates      map[string]bool   // for every component, as kind does
	RuntimeConfig     map[string]string // of the API server
	EtcdTag           string            // image tag; empty: kubeadm's own
	CoreDNSTag        string            // image tag; empty: kubeadm's own
	Token             string            // of NewToken
	CgroupVersion     int               // 1 or 2, of the engine's host
	// Restricted: nodes lack capabilities (CAP_SYS_RESOURCE, or all of them in a rootless engine), so that the kubelet
	// must bear that it may not change some settings of the kernel.
	Restricted         bool
	CgroupDriver       string // DriverCgroupfs or DriverSystemd
	SingleControlPlane bool   // there is one control plane only, which needs no leader
	Workers            int    // how many workers the cluster starts with; 0 makes the control plane take pods
	// Founders are the control planes that a new cluster starts with at once, by name; nil where there is one, or where they join it.
	Founders map[string]netip.Addr
	// Patches and JSON6902Patches are the document's kubeadmConfigPatches, for every node.
	Patches         []string
	JSON6902Patches []v1alpha4.PatchJSON6902
}

// Taint is a taint that a node registers with.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// Node is what kubeadm must know of one node.
type Node struct {
	Name            string
	Role            string            // "control-plane" or "worker"
	IPs             []netip.Addr      // one, or in a cluster of both families one of each, the main family's first
	Labels          map[string]string // those that IsKubeletLabel refuses are the API's to set
	Taints          []Taint           // nil: kubeadm's own choice, or none on a control plane that stands alone
	Patches         []string          // applied after the cluster's
	JSON6902Patches []v1alpha4.PatchJSON6902
}

// InitConfig returns the configuration for `kubeadm init` on n, as YAML documents. Its skipPhases are complete: the
// command needs no --skip-phases. Errors are ConfigUnsupported (a version before OldestVersion) or ConfigInvalid (a
// patch, named).
func InitConfig(c Cluster, n Node) ([]byte, error) {
	docs, err := clusterDocuments(c, n)
	if err != nil {
		return nil, err
	}
	docs = slices.Insert(docs, 0, initDocument(c, n))
	if err := patchAll(docs, c, n); err != nil {
		return nil, err
	}
	if err := foundEtcd(find(docs, kindCluster), c.Founders); err != nil {
		return nil, err
	}
	if err := addSkipPhases(docs[0], SkipPhases()); err != nil {
		return nil, err
	}
	return encode(docs...)
}

// JoinConfig returns the configuration for `kubeadm join` of a worker, as a YAML document. discoveryFile is the path of
// Discovery's file in the node. Where KubeletPatch returns something for n, it must be written to KubeletPatchFile.
func JoinConfig(c Cluster, n Node, discoveryFile string) ([]byte, error) {
	if err := check(c, n); err != nil {
		return nil, err
	}
	kubelet, err := KubeletPatch(c, n)
	if err != nil {
		return nil, err
	}
	doc := joinDocument(c, n, discoveryFile)
	if kubelet != nil {
		doc["patches"] = object{"directory": PatchesDir}
	}
	if err := patchAll([]object{doc}, c, n); err != nil {
		return nil, err
	}
	return encode(doc)
}

// KubeletPatch returns what the node's own patches change of the cluster's KubeletConfiguration, as a merge patch in
// YAML; nil where they change nothing. kubeadm join takes the kubelet's settings from the cluster and would otherwise
// leave the node's patches out, as it does with kind.
func KubeletPatch(c Cluster, n Node) ([]byte, error) {
	if len(n.Patches) == 0 && len(n.JSON6902Patches) == 0 {
		return nil, nil
	}
	base, own := []object{kubeletDocument(c)}, []object{kubeletDocument(c)}
	if err := patchAll(base, c, Node{}); err != nil {
		return nil, err
	}
	if err := patchAll(own, c, n); err != nil {
		return nil, err
	}
	diff, err := mergeDiff(base[0], own[0])
	if err != nil || len(diff) == 0 {
		return nil, err
	}
	diff["apiVersion"], diff["kind"] = own[0]["apiVersion"], own[0]["kind"]
	return encode(diff)
}

// SkipPhases returns the phases of kubeadm init that cove leaves out, sorted: it has checked the host itself, applies the
// addons beside kubeadm, has no reason to restart a kubelet that has just begun, and needs no command to join by.
func SkipPhases() []string {
	return []string{phaseAddon, "kubelet-finalize", "preflight", "show-join-command"}
}

// Phases of kubeadm init that deploy addons.
const (
	phaseAddon     = "addon"
	phaseCoreDNS   = "addon/coredns"
	phaseKubeProxy = "addon/kube-proxy"
)

// Addons returns which of kubeadm's addons ("coredns", "kube-proxy") the user wants, by a configuration that InitConfig
// returned: all, unless patches skip their phases or disable them, or there is no kube-proxy.
func Addons(initConfig []byte) ([]string, error) {
	var skipped []string
	disabled := map[string]bool{}
	for _, raw := range bytes.Split(initConfig, []byte(separator)) {
		var doc struct {
			Kind       string   `json:"kind"`
			SkipPhases []string `json:"skipPhases"`
			DNS        struct {
				Disabled bool `json:"disabled"`
			} `json:"dns"`
			Proxy struct {
				Disabled bool `json:"disabled"`
			} `json:"proxy"`
		}
		if err := yaml.Unmarshal(raw, &doc); err != nil {
			return nil, fault.Wrap(fault.Internal, err, "cannot read kubeadm's configuration")
		}
		switch doc.Kind {
		case kindInit:
			skipped = doc.SkipPhases
		case kindCluster:
			disabled[phaseCoreDNS], disabled[phaseKubeProxy] = doc.DNS.Disabled, doc.Proxy.Disabled
		}
	}
	var names []string
	for _, a := range []struct{ name, phase string }{{"coredns", phaseCoreDNS}, {"kube-proxy", phaseKubeProxy}} {
		if !disabled[a.phase] && !slices.Contains(skipped, a.phase) {
			names = append(names, a.name)
		}
	}
	return names, nil
}

// check refuses what kubeadm or the kubelet would refuse later, and less clearly.
func check(c Cluster, n Node) error {
	v, err := version.ParseSemantic(c.KubernetesVersion)
	if err != nil {
		return fault.Wrap(fault.ConfigInvalid, err, "cannot read the Kubernetes version %q", c.KubernetesVersion)
	}
	if v.LessThan(version.MustParseSemantic(OldestVersion)) {
		return fault.New(fault.ConfigUnsupported, "cannot bootstrap Kubernetes %s: cove needs %s or later", c.KubernetesVersion, OldestVersion).
			WithHint("use a node image of Kubernetes %s or later", OldestVersion)
	}
	if len(n.IPs) == 0 || slices.Contains(n.IPs, netip.Addr{}) {
		return fault.New(fault.Internal, "node %s has no address", n.Name)
	}
	return nil
}

// NodeMasks returns the sizes of the nodes' shares of the pod subnets that patches want, by the arguments' names, in a configuration that
// InitConfig returned.
func NodeMasks(initConfig []byte) (map[string]string, error) {
	masks := map[string]string{}
	for _, raw := range bytes.Split(initConfig, []byte(separator)) {
		var doc struct {
			ControllerManager struct{ ExtraArgs []extraArg }
		}
		if err := yaml.Unmarshal(raw, &doc); err != nil {
			return nil, fault.Wrap(fault.ConfigInvalid, err, "kubeadmConfigPatches: controllerManager.extraArgs")
		}
		for _, a := range doc.ControllerManager.ExtraArgs {
			if strings.HasPrefix(a.Name, "node-cidr-mask-size") {
				masks[a.Name] = a.Value
			}
		}
	}
	return masks, nil
}

// atLeast reports whether the cluster's version, which check has read, is v or later.
func (c Cluster) atLeast(v string) bool {
	have, err := version.ParseSemantic(c.KubernetesVersion)
	return err == nil && have.AtLeast(version.MustParseSemantic(v))
}

// separator stands between YAML documents.
const separator = "---\n"

// encode writes documents as YAML, keys sorted.
func encode(docs ...object) ([]byte, error) {
	var out bytes.Buffer
	for i, doc := range docs {
		raw, err := yaml.Marshal(doc)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "cannot write kubeadm's configuration")
		}
		if i > 0 {
			out.WriteString(separator)
		}
		out.Write(raw)
	}
	return out.Bytes(), nil
}

// Discovery returns the file by which a node finds the API at server ("https://NAME:6443") and trusts it: a kubeconfig
// with a cluster that has no name and nothing else, which is the form of kubeadm's own cluster-info, for the
// discovery.file of a JoinConfiguration.
func Discovery(server string, caPEM []byte) []byte {
	// Neither part can fail to be written: a string and bytes in base64.
	raw, _ := yaml.Marshal(object{
		"apiVersion": "v1", "kind": "Config",
		"clusters": []any{object{"name": "", "cluster": object{"server": server, "certificate-authority-data": caPEM}}},
	})
	return raw
}

// addSkipPhases adds cove's phases to those that patches named.
func addSkipPhases(doc object, phases []string) error {
	list, ok := doc["skipPhases"].([]any)
	if !ok && doc["skipPhases"] != nil {
		return fault.New(fault.ConfigInvalid, "kubeadmConfigPatches: skipPhases of %s is not a list", kindInit)
	}
	var all []string
	for _, p := range list {
		name := fmt.Sprint(p)
		if name == phaseAddon { // told apart from cove's own, see Addons
			all = append(all, phaseCoreDNS, phaseKubeProxy)
		}
		all = append(all, name)
	}
	all = append(all, phases...)
	slices.Sort(all)
	doc["skipPhases"] = slices.Compact(all)
	return nil
}

// SetLeaderElection returns a ClusterConfiguration, as kubeadm keeps it in its ConfigMap, that lets controller manager and scheduler
// elect leaders, or, for a control plane that stands alone, lead without: what joins later starts them by it.
func SetLeaderElection(clusterConfiguration []byte, on bool) ([]byte, error) {
	const name = "leader-elect"
	doc := object{}
	if err := yaml.Unmarshal(clusterConfiguration, &doc); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot read kubeadm's configuration")
	}
	for _, component := range []string{"controllerManager", "scheduler"} {
		c, _ := doc[component].(object)
		if c == nil {
			c = object{}
		}
		list, _ := c["extraArgs"].([]any)
		list = slices.DeleteFunc(slices.Clone(list), func(a any) bool {
			m, ok := a.(object)
			return ok && m["name"] == name
		})
		if !on {
			list = append(list, arg(name, "false"))
		}
		c["extraArgs"] = list
		doc[component] = c
	}
	return yaml.Marshal(doc)
}

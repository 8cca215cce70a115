package kubeadm

import (
	"bytes"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Nodes that start together need not join one another: with the same CAs, and addresses that are known before any of them runs, each
// control plane can do what kubeadm init does, etcd can begin with all of its members
// (https://etcd.io/docs/latest/op-guide/clustering/#static), and a worker's kubelet can begin with the certificate that a join would ask
// the cluster for. Joins are slower: etcd takes in one learner at a time, and a worker waits for all that a join reads.

// etcdPeerPort is where etcd's members speak to each other.
const etcdPeerPort = "2380"

// Arguments of etcd that hold for its first start only.
const (
	argInitialCluster      = "initial-cluster"
	argInitialClusterState = "initial-cluster-state"
)

// FounderConfig returns the configuration for `kubeadm init` on a control plane that starts beside the first one, and for its phase
// kubelet-start on a worker. What is done once for a cluster is left to the first. The node registers as it would by a join. Errors are
// those of InitConfig.
func FounderConfig(c Cluster, n Node) ([]byte, error) {
	docs, err := clusterDocuments(c, n)
	if err != nil {
		return nil, err
	}
	join := joinDocument(c, n, "")
	if err := patchAll(append(slices.Clone(docs), join), c, n); err != nil {
		return nil, err
	}
	if err := foundEtcd(find(docs, kindCluster), c.Founders); err != nil {
		return nil, err
	}
	if n.Role != roleControlPlane {
		hideCA(docs)
	}
	doc := initDocument(c, n)
	delete(doc, "bootstrapTokens")
	if doc["nodeRegistration"], err = founderRegistration(n, join); err != nil {
		return nil, err
	}
	if err := addSkipPhases(doc, append(SkipPhases(), "bootstrap-token", "upload-certs", "upload-config")); err != nil {
		return nil, err
	}
	return encode(slices.Insert(docs, 0, doc)...)
}

// hideCA keeps kubeadm from a worker's directory of certificates, which has the CA's and not its key: kubeadm would take that for an init
// with a CA that is kept elsewhere, and want all certificates of a control plane. The kubelet finds it where a join would put it.
func hideCA(docs []object) {
	find(docs, kindCluster)["certificatesDir"] = "/run/cove/no-pki"
	kubelet := find(docs, kindKubelet)
	authentication := below(kubelet, "authentication")
	if x509 := below(authentication, "x509"); x509["clientCAFile"] == nil {
		x509["clientCAFile"] = "/etc/kubernetes/pki/ca.crt"
	}
}

// below returns the object at a key, which it makes where there is none.
func below(o object, key string) object {
	child, ok := o[key].(object)
	if !ok {
		child = object{}
		o[key] = child
	}
	return child
}

// CanFound reports whether a node may start without a join: not where patches want more of its join than how the node registers. Of the
// node, name, role and patches are read.
func CanFound(c Cluster, n Node) bool {
	n.IPs = []netip.Addr{netip.IPv4Unspecified()}
	plain, patched := joinDocument(c, n, ""), joinDocument(c, n, "")
	if patchAll([]object{patched}, c, n) != nil {
		return false
	}
	delete(plain, "nodeRegistration")
	delete(patched, "nodeRegistration")
	a, err1 := encode(plain)
	b, err2 := encode(patched)
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}

// founderRegistration is how a join would register the node. Of a worker's taints a join tells its kubelet by an argument, which kubeadm
// init does not.
func founderRegistration(n Node, join object) (object, error) {
	registration, _ := join["nodeRegistration"].(object)
	if n.Role == roleControlPlane {
		return registration, nil
	}
	r, err := registrationIn(n, join)
	if err != nil || len(r.Taints) == 0 || slices.ContainsFunc(r.KubeletExtraArgs, func(a extraArg) bool { return a.Name == argTaints }) {
		return registration, err
	}
	var taints []string
	for _, t := range r.Taints {
		text := t.Key
		if t.Value != "" {
			text += "=" + t.Value
		}
		taints = append(taints, text+":"+t.Effect)
	}
	args, _ := registration["kubeletExtraArgs"].([]any)
	registration["kubeletExtraArgs"] = append(args, arg(argTaints, strings.Join(taints, ",")))
	return registration, nil
}

// Arguments of the kubelet by which it registers its node.
const (
	argLabels = "node-labels"
	argTaints = "register-with-taints"
)

type extraArg struct{ Name, Value string }

// registration is the part of kubeadm's NodeRegistrationOptions that says what a Node object gets.
type registration struct {
	Taints           []Taint
	KubeletExtraArgs []extraArg
}

// registrationIn reads how a document lets the node register.
func registrationIn(n Node, doc object) (registration, error) {
	var out struct{ NodeRegistration registration }
	raw, err := encode(doc)
	if err == nil {
		err = yaml.Unmarshal(raw, &out)
	}
	return out.NodeRegistration, fault.Wrap(fault.ConfigInvalid, err, "kubeadmConfigPatches: nodeRegistration of node %s", n.Name)
}

// InitRegistration returns the labels and taints that the first control plane's kubelet would register it with, by the document and its
// patches. Errors are those of InitConfig.
func InitRegistration(c Cluster, n Node) (map[string]string, []Taint, error) {
	return registered(c, n, initDocument(c, n))
}

// JoinRegistration returns the same of any other node.
func JoinRegistration(c Cluster, n Node) (map[string]string, []Taint, error) {
	return registered(c, n, joinDocument(c, n, ""))
}

func registered(c Cluster, n Node, doc object) (map[string]string, []Taint, error) {
	if err := patchAll([]object{doc}, c, n); err != nil {
		return nil, nil, err
	}
	r, err := registrationIn(n, doc)
	if err != nil {
		return nil, nil, err
	}
	labels, taints := maps.Clone(n.Labels), r.Taints
	if labels == nil {
		labels = map[string]string{}
	}
	for _, a := range r.KubeletExtraArgs {
		switch a.Name {
		case argLabels:
			for pair := range strings.SplitSeq(a.Value, ",") {
				if key, value, _ := strings.Cut(pair, "="); key != "" {
					labels[key] = value
				}
			}
		case argTaints:
			for text := range strings.SplitSeq(a.Value, ",") {
				pair, effect, _ := strings.Cut(text, ":")
				key, value, _ := strings.Cut(pair, "=")
				taints = append(taints, Taint{Key: key, Value: value, Effect: effect})
			}
		}
	}
	return labels, taints, nil
}

// foundEtcd tells etcd who its members are from the start. An etcd that is not kubeadm's is left alone.
func foundEtcd(doc object, founders map[string]netip.Addr) error {
	if len(founders) < 2 {
		return nil
	}
	asked, _ := doc["etcd"].(object)
	etcd, err := plain(asked)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot read kubeadm's configuration")
	}
	local, ok := etcd["local"].(object)
	if !ok {
		return nil
	}
	have, err := argList(local["extraArgs"])
	if err != nil {
		return fault.Wrap(fault.ConfigInvalid, err, "kubeadmConfigPatches: etcd.local.extraArgs")
	}
	var members []string
	for _, name := range sortedKeys(founders) {
		peer := url.URL{Scheme: "https", Host: net.JoinHostPort(founders[name].String(), etcdPeerPort)}
		members = append(members, name+"="+peer.String())
	}
	local["extraArgs"] = mergeArgs(have, []object{arg(argInitialCluster, strings.Join(members, ",")), arg(argInitialClusterState, "new")})
	doc["etcd"] = etcd
	return nil
}

// ForgetFounders returns a ClusterConfiguration, as kubeadm keeps it in its ConfigMap, without what holds for etcd's first start only: what
// joins later is told by kubeadm who the members are.
func ForgetFounders(clusterConfiguration []byte) ([]byte, error) {
	doc := object{}
	if err := yaml.Unmarshal(clusterConfiguration, &doc); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot read kubeadm's configuration")
	}
	etcd, _ := doc["etcd"].(object)
	local, _ := etcd["local"].(object)
	list, _ := local["extraArgs"].([]any)
	if len(list) == 0 {
		return clusterConfiguration, nil
	}
	local["extraArgs"] = slices.DeleteFunc(slices.Clone(list), func(a any) bool {
		m, ok := a.(object)
		return ok && (m["name"] == argInitialCluster || m["name"] == argInitialClusterState)
	})
	return yaml.Marshal(doc)
}

package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeadm"
)

// Paths in a node.
const (
	kubeadmConf    = "/kind/kubeadm.conf"       // as kind has it, so that people find it
	discoveryConf  = "/etc/cove/discovery.conf" // a worker's way to the API
	cniConf        = "/etc/cni/net.d/10-cove.conflist"
	containerdToml = "/etc/containerd/config.toml"
)

// earlyFiles are those that must be there when the node's PID 1 starts: the cluster's CA, so that a node and cove trust
// the same key from the first second; the pod network's configuration, so that the kubelet is Ready at its first look;
// containerd's own.
func earlyFiles(ctx context.Context, rc *Context, n v1alpha1.Node) ([]engine.File, error) {
	var files []engine.File
	if n.Role == engine.RoleControlPlane {
		files = append(files, rc.sharedKeys...)
	}
	switch {
	case n.Name == rc.first:
	case rc.founds(n.Name):
		own, err := founderFiles(rc, n)
		if err != nil {
			return nil, err
		}
		files = append(files, own...)
	default:
		files = append(files, engine.File{Path: discoveryConf, Mode: 0o644, Data: kubeadm.Discovery(rc.endpointURL(), rc.ca.CertPEM())})
	}
	serving, err := kubeletFiles(rc, n)
	if err != nil {
		return nil, err
	}
	files = append(files, serving...)
	if rc.images[n.Name].native() && !rc.Doc.Cluster.Networking.DisableDefaultCNI {
		shares, err := podCIDRs(rc.Doc, rc.places[n.Name].share)
		if err != nil {
			return nil, err
		}
		conf, err := cniConfig(shares)
		if err != nil {
			return nil, err
		}
		files = append(files, engine.File{Path: cniConf, Mode: 0o644, Data: conf})
	}
	trusted, err := trustFiles(ctx, rc, n)
	if err != nil {
		return nil, err
	}
	files = append(files, trusted...)
	runtime, err := runtimeFiles(ctx, rc, n)
	return append(files, runtime...), err
}

// runtimeFiles are the configuration of containerd where it must be another one than the image's own.
func runtimeFiles(ctx context.Context, rc *Context, n v1alpha1.Node) ([]engine.File, error) {
	merges, operations := rc.Doc.Cluster.ContainerdConfigPatches, rc.Doc.Cluster.ContainerdConfigPatchesJSON6902
	if len(merges)+len(operations) == 0 && (rc.images[n.Name].native() || len(rc.Doc.Registries.Mirrors) == 0) {
		return nil, nil
	}
	base, err := rc.Engine.ReadFile(ctx, n.Name, containerdToml)
	if err != nil {
		return nil, fault.Wrap(fault.ImageBroken, err, "cannot read %s of image %s", containerdToml, rc.images[n.Name].ref)
	}
	merged, err := patchTOML(base, merges, operations)
	if err != nil {
		return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot patch %s", containerdToml)
	}
	merged, files, err := splitRegistries(merged, rc.Doc.Registries)
	if err != nil {
		return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot patch %s", containerdToml)
	}
	return append(files, engine.File{Path: containerdToml, Mode: 0o644, Data: merged}), nil
}

// endpointURL is where the nodes find the API.
func (rc *Context) endpointURL() string {
	return fmt.Sprintf("https://%s:%d", endpointName(rc.Name()), apiServerPort)
}

// kubeletFiles are the key and the certificate by which a kubelet serves, where it looks for them
// (https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#certificate-rotation): of the
// cluster's CA, so that who reads metrics or logs can verify the kubelet, which signs one for itself otherwise.
func kubeletFiles(rc *Context, n v1alpha1.Node) ([]engine.File, error) {
	ips := append(rc.nodeIPs(n.Name), netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
	cert, key, err := rc.ca.ServingCert([]string{"system:nodes"}, []string{n.Name, "localhost"}, ips, 0)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot make a certificate for node %s", n.Name)
	}
	return []engine.File{
		{Path: "/var/lib/kubelet/pki/kubelet.crt", Mode: 0o644, Data: cert},
		{Path: "/var/lib/kubelet/pki/kubelet.key", Mode: 0o600, Data: key},
	}, nil
}

// cniConfig is the pod network's configuration of a node: the file that cove's flannel would write once it runs, so
// that it finds its work done.
func cniConfig(shares []netip.Prefix) ([]byte, error) {
	type object = map[string]any
	var ranges, routes []any
	for _, s := range shares {
		all := "0.0.0.0/0"
		if s.Addr().Is6() {
			all = "::/0"
		}
		ranges, routes = append(ranges, []any{object{"subnet": s.String()}}), append(routes, object{"dst": all})
	}
	return json.MarshalIndent(object{
		"cniVersion": "0.4.0",
		"name":       "cove",
		"plugins": []any{
			object{
				"type": "ptp", "ipMasq": false, "mtu": 1500,
				"ipam": object{"type": "host-local", "ranges": ranges, "routes": routes},
			},
			object{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
}

// kubeadmFiles writes the node's kubeadm configuration. It holds the bootstrap token: only root may read it.
func kubeadmFiles(ctx context.Context, rc *Context, n v1alpha1.Node) ([]engine.File, error) {
	version, err := kubernetesVersion(ctx, rc, n.Name)
	if err != nil {
		return nil, err
	}
	c, k := kubeadmCluster(rc, version, rc.images[n.Name]), kubeadmNode(rc, n)
	switch {
	case n.Name == rc.first:
		data, err := kubeadm.InitConfig(c, k)
		rc.initConfig = data
		return []engine.File{{Path: kubeadmConf, Mode: 0o600, Data: data}}, err
	case rc.founds(n.Name):
		data, err := kubeadm.FounderConfig(c, k)
		return []engine.File{{Path: kubeadmConf, Mode: 0o600, Data: data}}, err
	}
	data, err := kubeadm.JoinConfig(c, k, discoveryConf)
	if err != nil {
		return nil, err
	}
	patch, err := kubeletPatch(c, k)
	return append([]engine.File{{Path: kubeadmConf, Mode: 0o600, Data: data}}, patch...), err
}

// kubeletPatch is the file by which kubeadm adapts the kubelet's settings to the node; nil where there is nothing to adapt.
func kubeletPatch(c kubeadm.Cluster, n kubeadm.Node) ([]engine.File, error) {
	patch, err := kubeadm.KubeletPatch(c, n)
	if patch == nil || err != nil {
		return nil, err
	}
	return []engine.File{{Path: kubeadm.KubeletPatchFile, Mode: 0o600, Data: patch}}, nil
}

// kubeadmNode gathers what kubeadm must know of one node.
func kubeadmNode(rc *Context, n v1alpha1.Node) kubeadm.Node {
	k := plannedNode(rc, n)
	k.IPs = rc.nodeIPs(n.Name)
	return k
}

// plannedNode is kubeadmNode with an address that stands for the node's.
func plannedNode(rc *Context, n v1alpha1.Node) kubeadm.Node {
	doc := rc.Doc.Nodes()
	return kubeadm.Node{
		Name: n.Name, Role: n.Role, IPs: []netip.Addr{netip.IPv4Unspecified()}, Labels: n.Labels, Taints: taintsOf(n, len(doc)-len(controlPlanes(doc))),
		Patches: n.KubeadmConfigPatches, JSON6902Patches: n.KubeadmConfigPatchesJSON6902,
	}
}

// kubeadmCluster gathers what kubeadm must know of the whole cluster.
func kubeadmCluster(rc *Context, version string, img nodeImage) kubeadm.Cluster {
	c := plannedCluster(rc, version, img)
	c.CertSANs, c.Founders = apiSANs(rc), rc.etcdFounders()
	return c
}

// plannedCluster is kubeadmCluster without addresses, which are known when there is a network.
func plannedCluster(rc *Context, version string, img nodeImage) kubeadm.Cluster {
	net := rc.Doc.Cluster.Networking
	c := kubeadm.Cluster{
		Name: rc.Name(), KubernetesVersion: version, Endpoint: endpointName(rc.Name()), CertSANs: []string{endpointName(rc.Name())},
		PodSubnet: net.PodSubnet, ServiceSubnet: net.ServiceSubnet, KubeProxyMode: kubeProxyMode(rc.Doc),
		FeatureGates: rc.Doc.Cluster.FeatureGates, RuntimeConfig: rc.Doc.Cluster.RuntimeConfig,
		EtcdTag: img.facts.EtcdTag, CoreDNSTag: img.facts.CoreDNSTag, Token: rc.token,
		CgroupVersion: rc.engineInfo().CgroupVersion, Restricted: rc.engineInfo().Restricted || rc.engineInfo().Rootless,
		CgroupDriver: kubeadm.DriverSystemd, SingleControlPlane: standsAlone(rc),
		Workers: len(rc.Doc.Nodes()) - len(controlPlanes(rc.Doc.Nodes())),
		Patches: rc.Doc.Cluster.KubeadmConfigPatches, JSON6902Patches: rc.Doc.Cluster.KubeadmConfigPatchesJSON6902,
	}
	if img.native() {
		c.CgroupDriver = kubeadm.DriverCgroupfs
	}
	return c
}

// standsAlone reports whether there is one control plane, and will be: those that are to go lead until they do.
func standsAlone(rc *Context) bool {
	return len(controlPlanes(rc.Doc.Nodes())) == 1 && len(controlPlanes(rc.record.nodes())) <= 1
}

// taintsOf returns the node's taints for kubeadm, which has those of a control plane from it then, too; nil leaves them to kubeadm.
func taintsOf(n v1alpha1.Node, workers int) []kubeadm.Taint {
	var taints []kubeadm.Taint
	if n.Role == engine.RoleControlPlane && workers > 0 && len(n.Taints) > 0 {
		taints = append(taints, kubeadm.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"})
	}
	for _, t := range n.Taints {
		taints = append(taints, kubeadm.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
	}
	return taints
}

// randomPort returns a port of the range that Linux hands out to clients by default.
func randomPort() uint16 {
	const low, count = 32768, 28232 // net.ipv4.ip_local_port_range
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand.Read
	return uint16(low + binary.LittleEndian.Uint32(b[:])%count)
}

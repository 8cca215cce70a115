package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

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
func earlyFiles(ctx context.Context, rc *Context, n v1alpha1.Node, index int) ([]engine.File, error) {
	var files []engine.File
	if n.Role == engine.RoleControlPlane {
		files = append(files,
			engine.File{Path: "/etc/kubernetes/pki/ca.crt", Mode: 0o644, Data: rc.ca.CertPEM()},
			engine.File{Path: "/etc/kubernetes/pki/ca.key", Mode: 0o600, Data: rc.ca.KeyPEM()})
	} else {
		server := fmt.Sprintf("https://%s:%d", endpointName(rc.Name()), apiServerPort)
		files = append(files, engine.File{Path: discoveryConf, Mode: 0o644, Data: kubeadm.Discovery(server, rc.ca.CertPEM())})
	}
	serving, err := kubeletFiles(rc, n, index)
	if err != nil {
		return nil, err
	}
	files = append(files, serving...)
	if rc.images[n.Name].native() && !rc.Doc.Cluster.Networking.DisableDefaultCNI {
		subnet, err := podSubnet(rc.Doc)
		if err != nil {
			return nil, err
		}
		conf, err := cniConfig(podCIDR(subnet, index))
		if err != nil {
			return nil, err
		}
		files = append(files, engine.File{Path: cniConf, Mode: 0o644, Data: conf})
	}
	if patches := rc.Doc.Cluster.ContainerdConfigPatches; len(patches) > 0 {
		base, err := rc.Engine.ReadFile(ctx, n.Name, containerdToml)
		if err != nil {
			return nil, fault.Wrap(fault.ImageBroken, err, "cannot read %s of image %s", containerdToml, rc.images[n.Name].ref)
		}
		merged, err := mergeTOML(base, patches)
		if err != nil {
			return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot apply containerdConfigPatches")
		}
		files = append(files, engine.File{Path: containerdToml, Mode: 0o644, Data: merged})
	}
	return files, nil
}

// kubeletFiles are the key and the certificate by which a kubelet serves, where it looks for them
// (https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#certificate-rotation): of the
// cluster's CA, so that who reads metrics or logs can verify the kubelet, which signs one for itself otherwise.
func kubeletFiles(rc *Context, n v1alpha1.Node, index int) ([]engine.File, error) {
	ip := nodeIP(rc.network.Subnet, nodesOf(rc.Doc), index)
	cert, key, err := rc.ca.ServingCert([]string{"system:nodes"}, []string{n.Name, "localhost"}, []netip.Addr{ip, netip.AddrFrom4([4]byte{127, 0, 0, 1})}, 0)
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
func cniConfig(cidr netip.Prefix) ([]byte, error) {
	type object = map[string]any
	return json.MarshalIndent(object{
		"cniVersion": "0.4.0",
		"name":       "cove",
		"plugins": []any{
			object{
				"type": "ptp", "ipMasq": false, "mtu": 1500,
				"ipam": object{
					"type":   "host-local",
					"ranges": []any{[]any{object{"subnet": cidr.String()}}},
					"routes": []any{object{"dst": "0.0.0.0/0"}},
				},
			},
			object{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
}

// kubeadmFiles writes the node's kubeadm configuration. It holds the bootstrap token: only root may read it.
func kubeadmFiles(ctx context.Context, rc *Context, n v1alpha1.Node, index int) ([]engine.File, error) {
	version, err := kubernetesVersion(ctx, rc, n.Name)
	if err != nil {
		return nil, err
	}
	c := kubeadmCluster(rc, version, rc.images[n.Name])
	k := kubeadm.Node{
		Name: n.Name, Role: n.Role, IP: nodeIP(rc.network.Subnet, nodesOf(rc.Doc), index), Labels: n.Labels,
		Patches: n.KubeadmConfigPatches, JSON6902Patches: n.KubeadmConfigPatchesJSON6902,
	}
	if n.Role == engine.RoleControlPlane {
		data, err := kubeadm.InitConfig(c, k)
		rc.initConfig = data
		return []engine.File{{Path: kubeadmConf, Mode: 0o600, Data: data}}, err
	}
	data, err := kubeadm.JoinConfig(c, k, discoveryConf)
	if err != nil {
		return nil, err
	}
	files := []engine.File{{Path: kubeadmConf, Mode: 0o600, Data: data}}
	patch, err := kubeadm.KubeletPatch(c, k)
	if patch != nil {
		files = append(files, engine.File{Path: kubeadm.KubeletPatchFile, Mode: 0o600, Data: patch})
	}
	return files, err
}

// kubeadmCluster gathers what kubeadm must know of the whole cluster.
func kubeadmCluster(rc *Context, version string, img nodeImage) kubeadm.Cluster {
	net := rc.Doc.Cluster.Networking
	sans := []string{"localhost", "127.0.0.1", endpointName(rc.Name()), endpointIP(rc.network.Subnet).String()}
	for _, a := range []string{net.APIServerAddress, rc.engineInfo().Host} {
		if a != "" && a != "0.0.0.0" && a != "127.0.0.1" {
			sans = append(sans, a)
		}
	}
	c := kubeadm.Cluster{
		Name: rc.Name(), KubernetesVersion: version, Endpoint: endpointName(rc.Name()), CertSANs: sans,
		PodSubnet: net.PodSubnet, ServiceSubnet: net.ServiceSubnet, KubeProxyMode: kubeProxyMode(rc.Doc),
		FeatureGates: rc.Doc.Cluster.FeatureGates, RuntimeConfig: rc.Doc.Cluster.RuntimeConfig,
		EtcdTag: img.facts.EtcdTag, CoreDNSTag: img.facts.CoreDNSTag, Token: rc.token,
		CgroupVersion: rc.engineInfo().CgroupVersion, Restricted: rc.engineInfo().Restricted || rc.engineInfo().Rootless,
		CgroupDriver: kubeadm.DriverSystemd, SingleControlPlane: true, Workers: len(nodesOf(rc.Doc)) - 1,
		Patches: rc.Doc.Cluster.KubeadmConfigPatches, JSON6902Patches: rc.Doc.Cluster.KubeadmConfigPatchesJSON6902,
	}
	if img.native() {
		c.CgroupDriver = kubeadm.DriverCgroupfs
	}
	return c
}

// podSubnet returns the first IPv4 subnet of the document's pod subnets.
func podSubnet(doc v1alpha1.Cluster) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(strings.Split(doc.Cluster.Networking.PodSubnet, ",")[0])
	return p, fault.Wrap(fault.ConfigInvalid, err, "cannot read networking.podSubnet")
}

// randomPort returns a port of the range that Linux hands out to clients by default.
func randomPort() uint16 {
	const low, count = 32768, 28232 // net.ipv4.ip_local_port_range
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand.Read
	return uint16(low + binary.LittleEndian.Uint32(b[:])%count)
}

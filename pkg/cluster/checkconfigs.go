package cluster

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeadm"
)

// checkConfigs writes the configurations of nodes that kubeadm is to run on, for nothing but to see whether the document's patches can be
// applied to them, before a container is made. It warns of what the nodes' images cannot do.
func checkConfigs(ctx context.Context, rc *Context, nodes []v1alpha1.Node) error {
	for _, n := range nodes {
		img := rc.images[n.Name]
		if !img.native() && (n.NanoCPUs > 0 || n.Memory > 0) {
			reporter(ctx).Warn("with a node image of cove's own it does",
				"image %s does not tell the kubelet of %s how many CPUs and how much memory the node has: Kubernetes sees those of the host", img.ref, n.Name)
		}
		if err := checkKubeadm(rc, n, img); err != nil {
			return err
		}
		if err := checkContainerd(rc, img); err != nil {
			return err
		}
	}
	return nil
}

func checkKubeadm(rc *Context, n v1alpha1.Node, img nodeImage) error {
	version := img.facts.KubernetesVersion
	if version == "" { // only its container tells
		version = rc.Doc.KubernetesVersion
	}
	c, k := plannedCluster(rc, version, img), plannedNode(rc, n)
	switch {
	case n.Name == controlPlane(rc.Doc).Name:
		conf, err := kubeadm.InitConfig(c, k)
		if err != nil {
			return err
		}
		return checkMasks(rc, img, conf)
	case rc.founds(n.Name):
		_, err := kubeadm.FounderConfig(c, k)
		return err
	}
	_, err := kubeadm.JoinConfig(c, k, discoveryConf)
	return err
}

// checkMasks refuses shares of the pod subnet that have another size than those which cove's own pod network is configured with.
func checkMasks(rc *Context, img nodeImage, initConfig []byte) error {
	if !img.native() || rc.Doc.Cluster.Networking.DisableDefaultCNI {
		return nil
	}
	masks, err := kubeadm.NodeMasks(initConfig)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(masks)) {
		if size := masks[name]; size != strconv.Itoa(podCIDRBits) && size != strconv.Itoa(podCIDRBits6) {
			return fault.New(fault.ConfigUnsupported, "kubeadmConfigPatches: %s is %s, but cove's pod network gives each node a /%d, or a /%d of IPv6",
				name, size, podCIDRBits, podCIDRBits6).WithHint("leave it out, or bring a pod network of your own with networking.disableDefaultCNI")
		}
	}
	return nil
}

// checkContainerd applies the patches of containerd to what the images of cove's own have in any case.
func checkContainerd(rc *Context, img nodeImage) error {
	if !img.native() {
		return nil
	}
	merged, err := patchTOML([]byte("version = 3\n[plugins.'"+imagesTable+"'.registry]\nconfig_path = '/etc/containerd/certs.d'\n"),
		rc.Doc.Cluster.ContainerdConfigPatches, nil)
	if err == nil {
		_, _, err = splitRegistries(merged, rc.Doc.Registries)
	}
	return fault.Wrap(fault.ConfigInvalid, err, "cannot patch %s", containerdToml)
}

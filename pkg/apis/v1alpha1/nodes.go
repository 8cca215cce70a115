package v1alpha1

import (
	"strconv"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// Node is a node of a cluster as its document asks for it.
type Node struct {
	// Name is the node's: of its container, its host name and in Kubernetes. As kind names them: NAME-control-plane,
	// NAME-worker, NAME-worker2.
	Name string
	// Role is "control-plane" or "worker".
	Role string
	// Image is the node's own image, else the cluster's; "" where the document names none.
	Image string
	// Labels are the Kubernetes node's.
	Labels            map[string]string
	ExtraMounts       []kind.Mount
	ExtraPortMappings []kind.PortMapping
	// KubeadmConfigPatches are the node's own, to be applied after both kinds of patches of the cluster; merge patches
	// come before JSON 6902 patches.
	KubeadmConfigPatches         []string
	KubeadmConfigPatchesJSON6902 []kind.PatchJSON6902
}

// Nodes resolves the list of nodes, in the document's order. A document without nodes has one control plane, and a node
// without a role is a control plane: kind's defaults. What is in the list is a copy.
func (c *Cluster) Nodes() []Node {
	specs := c.DeepCopy().Cluster.Nodes
	if len(specs) == 0 {
		specs = []kind.Node{{}}
	}
	name := c.Name
	if name == "" {
		name = DefaultName
	}
	count := make(map[string]int, 2)
	out := make([]Node, 0, len(specs))
	for _, spec := range specs {
		role := string(spec.Role)
		if role == "" {
			role = string(kind.ControlPlaneRole)
		}
		count[role]++
		n := Node{
			Name:                         NodeName(name, role, count[role]),
			Role:                         role,
			Image:                        spec.Image,
			Labels:                       spec.Labels,
			ExtraMounts:                  spec.ExtraMounts,
			ExtraPortMappings:            spec.ExtraPortMappings,
			KubeadmConfigPatches:         spec.KubeadmConfigPatches,
			KubeadmConfigPatchesJSON6902: spec.KubeadmConfigPatchesJSON6902,
		}
		if n.Image == "" {
			n.Image = c.Image
		}
		out = append(out, n)
	}
	return out
}

// NodeName returns the name of the n-th node (from 1) of a role, as kind has it: the first one has no number.
func NodeName(cluster, role string, n int) string {
	name := cluster + "-" + role
	if n > 1 {
		name += strconv.Itoa(n)
	}
	return name
}

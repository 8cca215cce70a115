package v1alpha1

import (
	"maps"
	"slices"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// NodeSpec is an item of cove's own list of nodes: kind's fields of a node, but for the role's default, and what kind's
// lacks.
type NodeSpec struct {
	// Name is what follows the cluster's name and a hyphen in the node's: web is the node dev-web of the cluster dev. The
	// full name is accepted, too. Defaults to the next free standard name of the role, as kind counts: control-plane,
	// control-plane2, worker, worker2.
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	// Role is the node's. Defaults to worker.
	Role kind.NodeRole `yaml:"role,omitempty" json:"role,omitempty"`
	// Count is how many nodes of the kind there are. Where a name is given, they are called NAME, NAME2, NAME3. Defaults
	// to 1.
	Count int `yaml:"count,omitempty" json:"count,omitempty"`
	// Image is the node image. A worker's may be up to three minor versions of Kubernetes older than the cluster. Defaults
	// to the cluster's image.
	Image string `yaml:"image,omitempty" json:"image,omitempty"`
	// Labels are the Kubernetes node's.
	Labels map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
	// Taints are the Kubernetes node's, beside those that its role gives it.
	Taints []Taint `yaml:"taints,omitempty" json:"taints,omitempty"`
	// CPUs is how many the node may use, as Kubernetes writes it: 2, 1.5 or 500m. At least 500m for a control plane, 100m
	// for a worker. Defaults to all that the engine's host has.
	CPUs string `yaml:"cpus,omitempty" json:"cpus,omitempty"`
	// Memory is how much the node may use, as Kubernetes writes it: 2Gi or 512Mi. At least 512Mi for a control plane, 128Mi
	// for a worker. Defaults to all that the engine's host has.
	Memory string `yaml:"memory,omitempty" json:"memory,omitempty"`
	// ExtraMounts are paths of the engine's host to mount into the node.
	ExtraMounts []kind.Mount `yaml:"extraMounts,omitempty" json:"extraMounts,omitempty"`
	// ExtraPortMappings are ports of the node to publish on the engine's host.
	ExtraPortMappings []kind.PortMapping `yaml:"extraPortMappings,omitempty" json:"extraPortMappings,omitempty"`
	// KubeadmConfigPatches are merge patches of kubeadm's configuration.
	KubeadmConfigPatches []string `yaml:"kubeadmConfigPatches,omitempty" json:"kubeadmConfigPatches,omitempty"`
	// KubeadmConfigPatchesJSON6902 are JSON patches of kubeadm's configuration.
	KubeadmConfigPatchesJSON6902 []kind.PatchJSON6902 `yaml:"kubeadmConfigPatchesJSON6902,omitempty" json:"kubeadmConfigPatchesJSON6902,omitempty"`
}

// Taint is a taint of a Kubernetes node.
type Taint struct {
	// Key is the taint's name.
	Key string `yaml:"key" json:"key"`
	// Value is the taint's value.
	Value string `yaml:"value,omitempty" json:"value,omitempty"`
	// Effect is what it does to pods that do not tolerate it.
	Effect string `yaml:"effect" json:"effect"`
}

// NodeSpecOf returns an item of kind's list as one of cove's. The role is filled in, for the lists differ in its default.
func NodeSpecOf(n kind.Node) NodeSpec {
	if n.Role == "" {
		n.Role = kind.ControlPlaneRole
	}
	return NodeSpec{
		Role: n.Role, Image: n.Image, Labels: n.Labels, ExtraMounts: n.ExtraMounts, ExtraPortMappings: n.ExtraPortMappings,
		KubeadmConfigPatches: n.KubeadmConfigPatches, KubeadmConfigPatchesJSON6902: n.KubeadmConfigPatchesJSON6902,
	}
}

// KindNode returns the item as one of kind's list, and whether that list has a place for all that it says.
func (n NodeSpec) KindNode() (kind.Node, bool) {
	fits := n.Name == "" && n.Count == 0 && len(n.Taints) == 0 && n.CPUs == "" && n.Memory == ""
	if n.Role == "" {
		n.Role = kind.WorkerRole
	}
	return kind.Node{
		Role: n.Role, Image: n.Image, Labels: n.Labels, ExtraMounts: n.ExtraMounts, ExtraPortMappings: n.ExtraPortMappings,
		KubeadmConfigPatches: n.KubeadmConfigPatches, KubeadmConfigPatchesJSON6902: n.KubeadmConfigPatchesJSON6902,
	}, fits
}

// Singles returns the item as items for one node each, with names where it has one. They share its mappings and lists. A
// count that is beyond MaxListed, or below 1, counts as that.
func (n NodeSpec) Singles() []NodeSpec {
	out := make([]NodeSpec, min(max(n.Count, 1), MaxListed))
	for i := range out {
		out[i] = n
		out[i].Count = 0
		if n.Name != "" {
			out[i].Name = numbered(n.Name, i+1)
		}
	}
	return out
}

// DeepCopy returns a copy that shares nothing with n.
func (n NodeSpec) DeepCopy() NodeSpec {
	n.Labels = maps.Clone(n.Labels)
	n.Taints = slices.Clone(n.Taints)
	n.ExtraMounts = slices.Clone(n.ExtraMounts)
	n.ExtraPortMappings = slices.Clone(n.ExtraPortMappings)
	n.KubeadmConfigPatches = slices.Clone(n.KubeadmConfigPatches)
	n.KubeadmConfigPatchesJSON6902 = slices.Clone(n.KubeadmConfigPatchesJSON6902)
	return n
}

package v1alpha1

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// Node is a node of a cluster as its document asks for it.
type Node struct {
	// Name is the node's: of its container, its host name and in Kubernetes. As kind names them: NAME-control-plane,
	// NAME-worker, NAME-worker2; or the cluster's name and one of the node's own.
	Name string
	// Role is "control-plane" or "worker".
	Role string
	// Image is the node's own image, else the cluster's; "" where the document names none.
	Image string
	// Labels are the Kubernetes node's.
	Labels map[string]string
	// Taints are the Kubernetes node's, beside those that its role gives it.
	Taints []Taint
	// NanoCPUs is how many CPUs the node may use, in billionths of one; 0 is no limit.
	NanoCPUs int64
	// Memory is how much the node may use, in bytes; 0 is no limit.
	Memory            int64
	ExtraMounts       []kind.Mount
	ExtraPortMappings []kind.PortMapping
	// KubeadmConfigPatches are the node's own, to be applied after both kinds of patches of the cluster; merge patches
	// come before JSON 6902 patches.
	KubeadmConfigPatches         []string
	KubeadmConfigPatchesJSON6902 []kind.PatchJSON6902
}

// MaxListed is how many nodes Nodes resolves of cove's list at most, so that a mistaken count costs nothing. It is beyond
// what a cluster can have, so that what is left out is found to be too much anyway.
const MaxListed = 1000

// Nodes resolves the list of nodes, cove's or else kind's, in the document's order. A document without nodes has one
// control plane, and so has first a list of cove's that names none. A node without a role is a worker in cove's list, and
// a control plane in kind's. A size that is no quantity counts as none. What is in the list is a copy.
func (c *Cluster) Nodes() []Node {
	specs := c.singles()
	out := make([]Node, 0, len(specs))
	names := c.newNamer(specs)
	for _, spec := range specs {
		spec = spec.DeepCopy()
		n := Node{
			Name:                         names.name(spec),
			Role:                         string(spec.Role),
			Image:                        spec.Image,
			Labels:                       spec.Labels,
			Taints:                       spec.Taints,
			NanoCPUs:                     quantity(spec.CPUs, resource.Nano),
			Memory:                       quantity(spec.Memory, 0),
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

// SetNodes writes the nodes as cove's list, each as an item with its name, so that Nodes gives the same ones back, and
// empties kind's list. They must be as Nodes gives them, of this cluster; no nodes at all stand for one control plane.
func (c *Cluster) SetNodes(nodes []Node) {
	c.Cluster.Nodes, c.NodeSpecs = nil, nil
	for _, n := range nodes {
		spec := NodeSpec{
			Name: c.ShortName(n.Name), Role: kind.NodeRole(n.Role), Labels: n.Labels, Taints: n.Taints, ExtraMounts: n.ExtraMounts,
			ExtraPortMappings: n.ExtraPortMappings, KubeadmConfigPatches: n.KubeadmConfigPatches,
			KubeadmConfigPatchesJSON6902: n.KubeadmConfigPatchesJSON6902,
		}.DeepCopy()
		if strings.HasPrefix(spec.Name, c.prefix()) {
			spec.Name = n.Name // what is left would be taken for the full name of another node
		}
		if n.Image != c.Image {
			spec.Image = n.Image
		}
		if n.NanoCPUs > 0 {
			spec.CPUs = resource.NewScaledQuantity(n.NanoCPUs, resource.Nano).String()
		}
		if n.Memory > 0 {
			spec.Memory = resource.NewQuantity(n.Memory, resource.BinarySI).String()
		}
		c.NodeSpecs = append(c.NodeSpecs, spec)
	}
}

// ShortName returns what follows the cluster's name in a node's: worker2 of dev-worker2. A name that is not of this cluster
// stays as it is.
func (c *Cluster) ShortName(node string) string { return strings.TrimPrefix(node, c.prefix()) }

// NodeName returns the name of the n-th node (from 1) of a role, as kind has it: the first one has no number.
func NodeName(cluster, role string, n int) string {
	return cluster + "-" + numbered(role, n)
}

// numbered appends n, unless it is the first one's.
func numbered(name string, n int) string {
	if n > 1 {
		name += strconv.Itoa(n)
	}
	return name
}

// prefix is what the names of all nodes begin with.
func (c *Cluster) prefix() string {
	if c.Name == "" {
		return DefaultName + "-"
	}
	return c.Name + "-"
}

// singles returns the list that counts, an item a node, with all roles filled in and with a control plane. It shares the
// document's mappings and lists.
func (c *Cluster) singles() []NodeSpec {
	var out []NodeSpec
	if len(c.NodeSpecs) == 0 {
		for _, n := range c.Cluster.Nodes {
			out = append(out, NodeSpecOf(n))
		}
		if len(out) == 0 {
			out = append(out, NodeSpecOf(kind.Node{}))
		}
		return out
	}
	isControlPlane := func(n NodeSpec) bool { return n.Role == kind.ControlPlaneRole }
	if !slices.ContainsFunc(c.NodeSpecs, isControlPlane) {
		out = append(out, NodeSpecOf(kind.Node{}))
	}
	for _, n := range c.NodeSpecs {
		if n.Role == "" {
			n.Role = kind.WorkerRole
		}
		if out = append(out, n.Singles()...); len(out) > MaxListed {
			return out[:MaxListed]
		}
	}
	return out
}

// quantity reads a quantity in units of ten to the power of scale; 0 of what is none, or negative.
func quantity(s string, scale resource.Scale) int64 {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return 0
	}
	return max(q.ScaledValue(scale), 0)
}

// namer gives nodes their names.
type namer struct {
	prefix string
	given  map[string]bool // the names that items have themselves, without the prefix
	last   map[string]int  // the number of the last one of each role
}

// newNamer notes the names that are given, so that no standard name is one of them, wherever in the list it stands.
func (c *Cluster) newNamer(singles []NodeSpec) *namer {
	out := &namer{prefix: c.prefix(), given: map[string]bool{}, last: map[string]int{}}
	for _, n := range singles {
		if n.Name != "" {
			out.given[c.ShortName(n.Name)] = true
		}
	}
	return out
}

// name returns the full name of the next node.
func (m *namer) name(n NodeSpec) string {
	if n.Name != "" {
		return m.prefix + strings.TrimPrefix(n.Name, m.prefix)
	}
	role := string(n.Role)
	for m.last[role]++; m.given[numbered(role, m.last[role])]; {
		m.last[role]++
	}
	return m.prefix + numbered(role, m.last[role])
}

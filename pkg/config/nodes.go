package config

import (
	"fmt"
	"path/filepath"
	"slices"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// item is one of the list of nodes that a document has, kind's or cove's, with its role, and where it stands there: lists
// are changed by flags, and errors must name what was written.
type item struct {
	v1alpha1.NodeSpec
	path string
}

// number returns how many nodes the item stands for.
func (i item) number() int { return max(i.Count, 1) }

// nodesPath returns the path of the list that the document has.
func nodesPath(doc *v1alpha1.Cluster) string {
	switch {
	case len(doc.NodeSpecs) > 0, doc.FromKind:
		return "nodes"
	default:
		return "cluster.nodes"
	}
}

// itemsOf returns the nodes of a document: none where it leaves them open. Where it has cove's list, that counts, with a
// control plane first if it has none.
func itemsOf(doc *v1alpha1.Cluster) []item {
	out, path := []item{}, nodesPath(doc)
	if len(doc.NodeSpecs) == 0 {
		for i, n := range doc.Cluster.Nodes {
			out = append(out, item{v1alpha1.NodeSpecOf(n), itemPath(path, i)})
		}
		return out
	}
	for i, n := range doc.NodeSpecs {
		if n.Role == "" {
			n.Role = kind.WorkerRole
		}
		out = append(out, item{n, itemPath(path, i)})
	}
	if firstControlPlane(out) < 0 {
		out = append([]item{controlPlane(path)}, out...)
	}
	return out
}

func itemPath(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// controlPlane is a plain one that the list at path does not have.
func controlPlane(path string) item {
	return item{v1alpha1.NodeSpec{Role: kind.ControlPlaneRole}, path}
}

// store writes the nodes into the document: as kind's list where it had none of cove's and that one has a place for all
// that is said of them. Where the document has both lists, which is refused, both stay.
func store(doc *v1alpha1.Cluster, items []item) {
	plain, specs := make([]kind.Node, 0, len(items)), make([]v1alpha1.NodeSpec, 0, len(items))
	fit := len(doc.NodeSpecs) == 0
	for _, n := range items {
		k, fits := n.KindNode()
		plain, specs, fit = append(plain, k), append(specs, n.NodeSpec), fit && fits
	}
	switch {
	case fit:
		doc.Cluster.Nodes = plain
	case len(doc.NodeSpecs) == 0:
		doc.NodeSpecs, doc.Cluster.Nodes = specs, nil
	default:
		doc.NodeSpecs = specs
	}
}

// firstControlPlane returns the index of the first control plane, -1 where there is none.
func firstControlPlane(items []item) int {
	return slices.IndexFunc(items, func(n item) bool { return n.Role == kind.ControlPlaneRole })
}

// single makes an item that stands for several nodes one item a node, and so the i-th one that of its first node alone.
func single(items []item, i int) []item {
	var singles []item
	for _, n := range items[i].Singles() {
		singles = append(singles, item{n.DeepCopy(), items[i].path})
	}
	return slices.Concat(items[:i:i], singles, items[i+1:])
}

// resize makes the list have n nodes of a role: the last ones go, plain ones are added at the end. Nil and negative
// numbers say nothing. path is where the list of the document is.
func resize(items []item, role kind.NodeRole, n *int, path string) []item {
	if n == nil || *n < 0 {
		return items
	}
	if len(items) == 0 {
		items = []item{controlPlane(path)}
	}
	out, room := []item{}, *n
	for _, one := range items {
		if one.Role == role {
			if room == 0 {
				continue
			}
			if one.number() > room {
				one.Count = room
			}
			room -= one.number()
		}
		out = append(out, one)
	}
	for ; room > 0; room-- {
		out = append(out, item{v1alpha1.NodeSpec{Role: role}, path})
	}
	return out
}

// publish adds what flags say of ports and mounts. Where the document has no control plane, it is refused later.
func publish(items []item, flags Overrides, path string) []item {
	if len(flags.Ports)+len(flags.Mounts) == 0 {
		return items
	}
	if len(items) == 0 {
		items = []item{controlPlane(path)}
	}
	if first := firstControlPlane(items); first >= 0 && len(flags.Ports) > 0 {
		items = single(items, first)
		items[first].ExtraPortMappings = append(items[first].ExtraPortMappings, flags.Ports...)
	}
	for i := range items {
		items[i].ExtraMounts = append(items[i].ExtraMounts, flags.Mounts...)
	}
	return items
}

// size gives all nodes the size that flags have, and those that have none that of the settings.
func size(items []item, settings, flags Overrides, path string) []item {
	if settings.CPUs+settings.Memory+flags.CPUs+flags.Memory == "" {
		return items
	}
	if len(items) == 0 {
		items = []item{controlPlane(path)}
	}
	choose := func(values ...string) string {
		i := slices.IndexFunc(values, func(s string) bool { return s != "" })
		return values[max(i, 0)]
	}
	for i := range items {
		n := &items[i]
		n.CPUs, n.Memory = choose(flags.CPUs, n.CPUs, settings.CPUs), choose(flags.Memory, n.Memory, settings.Memory)
	}
	return items
}

// absolute makes the paths of the host absolute that start at dir.
func absolute(items []item, dir string) {
	for i := range items {
		for j := range items[i].ExtraMounts {
			m := &items[i].ExtraMounts[j]
			if dir != "" && m.HostPath != "" && !isAbsolute(m.HostPath) {
				m.HostPath = filepath.Join(dir, m.HostPath)
			}
		}
	}
}

// defaultItems fills in what nodes leave open.
func defaultItems(items []item, path string) []item {
	if len(items) == 0 {
		items = []item{controlPlane(path)}
	}
	for i := range items {
		n := &items[i]
		for j := range n.ExtraMounts {
			if m := &n.ExtraMounts[j]; m.Propagation == "" {
				m.Propagation = kind.MountPropagationNone
			}
		}
		for j := range n.ExtraPortMappings {
			if p := &n.ExtraPortMappings[j]; p.Protocol == "" {
				p.Protocol = kind.PortMappingProtocolTCP
			}
		}
	}
	return items
}

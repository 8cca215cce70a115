package cli

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strconv"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/fault"
)

// update returns the document with the nodes named as the flags have them.
func (o *nodeOptions) update(doc v1alpha1.Cluster) (v1alpha1.Cluster, error) {
	out := *doc.DeepCopy()
	out.SetNodes(doc.Nodes()) // each node an item of its own
	for _, name := range o.nodes {
		i := slices.IndexFunc(out.NodeSpecs, func(n v1alpha1.NodeSpec) bool { return fullNodeName(doc, n.Name) == fullNodeName(doc, name) })
		if i < 0 {
			return out, fault.New(fault.NodeNotFound, "cluster %q has no node %q", doc.Name, name)
		}
		if err := o.updateNode(&out.NodeSpecs[i]); err != nil {
			return out, err
		}
	}
	if reflect.DeepEqual(out.Nodes(), doc.Nodes()) {
		return doc, nil // as it is written
	}
	return out, nil
}

// updateNode changes one node: what is to go goes first.
func (o *nodeOptions) updateNode(n *v1alpha1.NodeSpec) (err error) {
	if o.set["cpus"] {
		n.CPUs = o.spec.CPUs
	}
	if o.set["memory"] {
		n.Memory = o.spec.Memory
	}
	if o.set["image"] {
		n.Image = o.spec.Image
	}
	if err := o.updateLabels(n); err != nil {
		return err
	}
	n.Taints, err = without(n.Taints, o.removeTaints, "taint", n.Name, func(t v1alpha1.Taint, s string) bool {
		return t.Key == s || t.Key+":"+t.Effect == s
	})
	if err != nil {
		return err
	}
	for _, t := range o.spec.Taints { // key and effect are what a taint is known by
		n.Taints = slices.DeleteFunc(n.Taints, func(old v1alpha1.Taint) bool { return old.Key == t.Key && old.Effect == t.Effect })
	}
	n.Taints = append(n.Taints, o.spec.Taints...)
	n.ExtraPortMappings, err = without(n.ExtraPortMappings, o.removePorts, "port", n.Name, func(p kind.PortMapping, s string) bool {
		return strconv.Itoa(int(p.HostPort)) == s || strconv.Itoa(int(p.ContainerPort)) == s
	})
	if err != nil {
		return err
	}
	n.ExtraPortMappings = withoutPorts(n.ExtraPortMappings, o.spec.ExtraPortMappings)
	n.ExtraPortMappings = append(n.ExtraPortMappings, o.spec.ExtraPortMappings...)
	n.ExtraMounts, err = without(n.ExtraMounts, o.removeMounts, "mount", n.Name, func(m kind.Mount, s string) bool { return m.ContainerPath == s })
	n.ExtraMounts = withoutMounts(n.ExtraMounts, o.spec.ExtraMounts)
	n.ExtraMounts = append(n.ExtraMounts, o.spec.ExtraMounts...)
	return err
}

func (o *nodeOptions) updateLabels(n *v1alpha1.NodeSpec) error {
	for _, key := range o.removeLabels {
		if _, there := n.Labels[key]; !there {
			return absent("label", key, n.Name)
		}
		delete(n.Labels, key)
	}
	if n.Labels == nil {
		n.Labels = maps.Clone(o.spec.Labels)
	} else {
		maps.Copy(n.Labels, o.spec.Labels)
	}
	return nil
}

// without returns the list without what matches the words; each of them must match something.
func without[T any](list []T, words []string, what, node string, matches func(T, string) bool) ([]T, error) {
	for _, word := range words {
		kept := slices.DeleteFunc(slices.Clone(list), func(v T) bool { return matches(v, word) })
		if len(kept) == len(list) {
			return list, absent(what, word, node)
		}
		list = kept
	}
	return list, nil
}

func absent(what, value, node string) error {
	return fault.New(fault.Usage, "node %s has no %s %s", node, what, value).WithHint("`cove config get` shows what it has")
}

// changeAgain changes a cluster; the nodes that `cove node replace` names are made anew.
func (f *Factory) changeAgain(ctx context.Context, name string, o *nodeOptions, change changeOptions, want cluster.Want) error {
	if o.again {
		for _, n := range o.nodes {
			change.apply.Again = append(change.apply.Again, fullNodeName(v1alpha1.Cluster{Name: name}, n))
		}
	}
	return f.change(ctx, name, change, want)
}

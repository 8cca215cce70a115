package cluster

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Document returns the document that the cluster follows: applied to it again, it changes nothing.
func Document(ctx context.Context, e engine.Engine, name string) (v1alpha1.Cluster, error) {
	f, err := lookup(ctx, e, name)
	if err != nil {
		return v1alpha1.Cluster{}, err
	}
	record, err := readCreated(ctx, e, f)
	if errors.Is(err, fs.ErrNotExist) {
		return v1alpha1.Cluster{}, f.unreadable()
	}
	if err != nil {
		return v1alpha1.Cluster{}, err
	}
	return *record.Document, nil
}

// AddNodes returns a copy of the document with count more nodes like n. Without a name they get the next free standard ones of
// their role; a name is for one node. NameTaken where the cluster has a node of that name.
func AddNodes(doc v1alpha1.Cluster, n v1alpha1.Node, count int) (v1alpha1.Cluster, []string, error) {
	out, nodes := *doc.DeepCopy(), doc.Nodes()
	var added []string
	for i := range count {
		one := n
		switch {
		case n.Name == "":
			one.Name = freeName(doc.Name, n.Role, nodes)
		case count > 1:
			one.Name = fullName(doc.Name, n.Name) + suffix(i+1)
		default:
			one.Name = fullName(doc.Name, n.Name)
		}
		if slices.ContainsFunc(nodes, func(m v1alpha1.Node) bool { return m.Name == one.Name }) {
			return out, nil, fault.New(fault.NameTaken, "cluster %q has a node %s", doc.Name, one.Name).WithHint("choose another --node-name, or leave it out")
		}
		nodes, added = append(nodes, one), append(added, one.Name)
	}
	out.SetNodes(nodes)
	return out, added, nil
}

func suffix(n int) string {
	if n == 1 {
		return ""
	}
	return portNumber(uint16(n)) //nolint:gosec // a count of nodes
}

// freeName returns the first standard name of the role that no node has.
func freeName(cluster, role string, nodes []v1alpha1.Node) string {
	for i := 1; ; i++ {
		name := v1alpha1.NodeName(cluster, role, i)
		if !slices.ContainsFunc(nodes, func(n v1alpha1.Node) bool { return n.Name == name }) {
			return name
		}
	}
}

// RemoveNodes returns a copy of the document without these nodes, which may be called by what follows the cluster's name.
// NodeNotFound where there is none of that name. Of those in left a run that was cut off has removed a part: any run removes the rest.
func RemoveNodes(doc v1alpha1.Cluster, names []string, left ...string) (v1alpha1.Cluster, error) {
	out, nodes := *doc.DeepCopy(), doc.Nodes()
	for _, name := range names {
		full := fullName(doc.Name, name)
		i := slices.IndexFunc(nodes, func(n v1alpha1.Node) bool { return n.Name == full })
		if i < 0 && slices.Contains(left, full) {
			continue
		}
		if i < 0 {
			return out, fault.New(fault.NodeNotFound, "cluster %q has no node %q", doc.Name, name).WithHint("`cove node list --name %s` shows its nodes", doc.Name)
		}
		nodes = slices.Delete(nodes, i, i+1)
	}
	if len(controlPlanes(nodes)) == 0 {
		return out, fault.New(fault.ConfigUnsupported, "cannot remove the last control plane of cluster %q", doc.Name).
			WithHint("`cove delete %s` removes the cluster", doc.Name)
	}
	out.SetNodes(nodes)
	return out, nil
}

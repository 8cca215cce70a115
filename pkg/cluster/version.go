package cluster

import (
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// version compares the Kubernetes versions. Control planes go up one minor version at a time, and never down
// (https://kubernetes.io/releases/version-skew-policy/).
func (d *delta) version() error {
	if d.doc.KubernetesVersion == "" {
		d.doc.KubernetesVersion = d.was.record.KubernetesVersion
	}
	from, err := version.ParseSemantic(d.was.record.KubernetesVersion)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot read the cluster's version")
	}
	to, err := version.ParseSemantic(d.doc.KubernetesVersion)
	if err != nil {
		return fault.Wrap(fault.ConfigInvalid, err, "cannot read kubernetesVersion")
	}
	if half := d.was.record.Upgrading; half != "" && half != tag(to) {
		return cutOff(d.doc.Name, half)
	}
	switch {
	case to.EqualTo(from):
		return nil
	case to.LessThan(from):
		return fault.New(fault.ConfigUnsupported, "cluster %q runs Kubernetes %s and cannot go back to %s: etcd's data and the API's objects cannot", d.doc.Name, tag(from), tag(to)).
			WithHint("make a new cluster of %s", tag(to))
	case to.Major() != from.Major() || to.Minor() > from.Minor()+1:
		return fault.New(fault.ConfigUnsupported, "cluster %q runs Kubernetes %s and cannot go to %s at once: control planes go up one minor version at a time", d.doc.Name, tag(from), tag(to)).
			WithHint("go to the newest 1.%d first", from.Minor()+1)
	}
	d.from, d.to = tag(from), tag(to)
	return nil
}

// cutOff refuses what cannot be done to a cluster that is half-way to another version.
func cutOff(cluster, to string) error {
	return fault.New(fault.ConfigUnsupported, "an upgrade of cluster %q to Kubernetes %s was cut off", cluster, to).
		WithHint("go on with it first: `%s`", upgradeCommand(cluster, to))
}

func upgradeCommand(cluster, to string) string {
	return "cove upgrade " + cluster + " --kubernetes-version " + to
}

// upgradeEffect says what an upgrade means for what runs on a node.
func (d *delta) upgradeEffect() string {
	if len(d.was.record.nodes()) == 1 {
		return "container replaced; the cluster is away for some seconds"
	}
	return "drained, container replaced"
}

// upgradable refuses an upgrade that would stop in the middle.
func (d *delta) upgradable() error {
	if d.to == "" {
		return nil
	}
	for _, n := range nodesOf(d.doc) {
		upgraded := slices.ContainsFunc(d.upgrade, func(u v1alpha1.Node) bool { return u.Name == n.Name })
		container, there := d.was.node(n.Name)
		if !there {
			continue
		}
		if n.Role == engine.RoleControlPlane && !upgraded {
			return fault.New(fault.ConfigUnsupported, "cannot bring cluster %q to Kubernetes %s: control plane %s keeps its own image %s", d.doc.Name, d.to, n.Name, n.Image).
				WithHint("take the image out of the document, or give one of %s", d.to)
		}
		if upgraded && container.Labels[labelImage] == "" {
			return fault.New(fault.ConfigUnsupported, "cannot bring cluster %q to Kubernetes %s: the image %s of node %s is not cove's own", d.doc.Name, d.to, container.Image, n.Name).
				WithHint("make a new cluster of %s", d.to)
		}
	}
	return nil
}

func tag(v *version.Version) string { return "v" + v.String() }

func portNumber(p uint16) string { return strconv.Itoa(int(p)) }

package cluster

import (
	"strconv"

	"k8s.io/apimachinery/pkg/util/version"

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

func tag(v *version.Version) string { return "v" + v.String() }

func portNumber(p uint16) string { return strconv.Itoa(int(p)) }

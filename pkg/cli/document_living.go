package cli

import (
	"slices"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
)

// keep returns the document with what it leaves open of image, version, proxy and profile as the cluster has it: a newer cove has
// newer defaults, and they are no wish of the user's.
func (o *documentOptions) keep(doc v1alpha1.Cluster, current *v1alpha1.Cluster) v1alpha1.Cluster {
	doc = *doc.DeepCopy()
	if current == nil {
		return doc
	}
	if o.flags.Image == "" && o.flags.KubernetesVersion == "" {
		switch {
		case doc.Image == "" && leavesOpen(doc.KubernetesVersion, current.KubernetesVersion):
			doc.Image, doc.KubernetesVersion = current.Image, current.KubernetesVersion
		case doc.Image == current.Image && leavesOpen(doc.KubernetesVersion, current.KubernetesVersion):
			doc.KubernetesVersion = current.KubernetesVersion
		}
	}
	if doc.Proxy == nil {
		doc.Proxy = current.Proxy
	}
	if doc.Profile == "" && o.flags.Profile == "" {
		doc.Profile = current.Profile
	}
	return doc
}

// leavesOpen reports whether a cluster of the version is what the document wants: it names none, that one, or its minor version
// alone, of which newer coves know newer releases.
func leavesOpen(wanted, version string) bool {
	bare := strings.TrimPrefix(version, "v")
	wanted = strings.TrimPrefix(wanted, "v")
	return wanted == "" || wanted == bare || strings.Count(wanted, ".") == 1 && strings.HasPrefix(bare, wanted+".")
}

// resolveLiving resolves a document. The sizes that settings have are those of the nodes of new clusters: where a cluster is there, they
// count only as long as they are what it was made with.
func resolveLiving(in config.Input) (v1alpha1.Cluster, error) {
	with, err := config.Resolve(in)
	if err != nil || in.Current == nil || in.Settings.CPUs+in.Settings.Memory == "" {
		return with, err
	}
	in.Settings.CPUs, in.Settings.Memory = "", ""
	without, err := config.Resolve(in)
	if err != nil {
		return without, err
	}
	was := map[string]v1alpha1.Node{}
	for _, n := range in.Current.Nodes() {
		was[n.Name] = n
	}
	made := false
	own := without.Nodes() // the same nodes, with the sizes that the document gives them
	for i, n := range with.Nodes() {
		there, ok := was[n.Name]
		bySettings := n.NanoCPUs != own[i].NanoCPUs || n.Memory != own[i].Memory
		if !ok || !bySettings {
			continue
		}
		if made = n.NanoCPUs == there.NanoCPUs && n.Memory == there.Memory; !made {
			break
		}
	}
	if made {
		return with, nil
	}
	return without, nil
}

// refine returns the document of a cluster that is there, to be changed by flags alone. Ports and mounts that flags are about to add
// are taken out, so that the same command can be given again.
func (o *documentOptions) refine(current v1alpha1.Cluster) v1alpha1.Cluster {
	if len(o.ports)+len(o.mounts) == 0 {
		return current
	}
	doc, nodes := *current.DeepCopy(), current.Nodes()
	first := slices.IndexFunc(nodes, func(n v1alpha1.Node) bool { return n.Role == string(kind.ControlPlaneRole) })
	for i := range nodes {
		n := &nodes[i]
		if i == first { // which the flag is about
			n.ExtraPortMappings = withoutPorts(n.ExtraPortMappings, o.ports)
		}
		n.ExtraMounts = withoutMounts(n.ExtraMounts, o.mounts)
	}
	doc.SetNodes(nodes)
	return doc
}

// withoutPorts returns the ports but for those that are about to be added.
func withoutPorts(ports, added []kind.PortMapping) []kind.PortMapping {
	return slices.DeleteFunc(ports, func(p kind.PortMapping) bool {
		return slices.ContainsFunc(added, func(q kind.PortMapping) bool { return samePort(p, q) })
	})
}

// withoutMounts returns the mounts but for those where others are about to be added.
func withoutMounts(mounts, added []kind.Mount) []kind.Mount {
	return slices.DeleteFunc(mounts, func(m kind.Mount) bool {
		return slices.ContainsFunc(added, func(q kind.Mount) bool { return m.ContainerPath == q.ContainerPath })
	})
}

// samePort compares ports as they count, whatever is left to the defaults.
func samePort(a, b kind.PortMapping) bool {
	for _, p := range []*kind.PortMapping{&a, &b} {
		if p.Protocol == "" {
			p.Protocol = kind.PortMappingProtocolTCP
		}
		if p.ListenAddress == "" {
			p.ListenAddress = "0.0.0.0"
		}
	}
	return a == b
}

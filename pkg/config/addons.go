package config

import (
	"fmt"
	"path/filepath"
	"slices"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// Addons opens the addons of a document that Resolve made, in its order; those that are disabled are left out. dir is where
// relative paths start, which such a document has none of. Errors are those of profile.Catalogue.Addon and OpenOwn.
func Addons(c profile.Catalogue, doc v1alpha1.Cluster, dir string) ([]*profile.Addon, error) {
	out := []*profile.Addon{}
	for _, entry := range doc.Addons {
		if entry.Disabled {
			continue
		}
		opened, err := c.Open(entry, dir)
		if err != nil {
			return nil, err
		}
		out = append(out, opened)
	}
	return out, nil
}

// resolver puts profile and addons into a document.
type resolver struct {
	Input
	doc      *v1alpha1.Cluster
	profile  profile.Profile
	problems Problems
	items    []item // the nodes, which the document has only in the end
	// dropsCNI says that the document's own disableDefaultCNI is set.
	dropsCNI bool
	// isSettled says that the profile's layer is left out.
	isSettled bool
}

// useProfile finds the profile, and gives the document what it leaves open and the profile says.
func (r *resolver) useProfile() error {
	if r.Catalogue.IsZero() {
		return nil
	}
	name := profile.DefaultProfile
	switch {
	case r.Flags.Profile != "":
		name = from(r.Flags.Profile, r.Dir)
	case r.doc.Profile != "":
		name = from(r.doc.Profile, r.documentDir())
	case r.Settings.Profile != "":
		name = from(r.Settings.Profile, r.Dir)
	}
	doc := r.doc
	r.dropsCNI = doc.Cluster.Networking.DisableDefaultCNI
	if r.isSettled = r.settled(name); r.isSettled {
		doc.Profile = name
		return nil
	}
	var err error
	if r.profile, err = r.Catalogue.Resolve(name); err != nil {
		return err
	}
	p := r.profile
	doc.Profile = name
	if !choosesImage(doc, r.Flags) {
		doc.Image, doc.KubernetesVersion = p.Image, p.KubernetesVersion
	}
	below := p.Cluster
	if len(doc.NodeSpecs) > 0 {
		below.Nodes = nil // nodes come as a whole
	}
	doc.Cluster = profile.MergeCluster(below, doc.Cluster)
	return nil
}

func (r *resolver) documentDir() string {
	if r.DocumentDir != "" {
		return r.DocumentDir
	}
	return r.Dir
}

// from makes the path of a profile absolute; a name stays one.
func from(nameOrPath, dir string) string {
	if dir == "" || !profile.IsPath(nameOrPath) || filepath.IsAbs(nameOrPath) {
		return nameOrPath
	}
	return filepath.Join(dir, nameOrPath)
}

// addons joins what profile, settings, document and flags say of addons. The document names them all afterwards.
func (r *resolver) addons() profile.Set {
	if r.Catalogue.IsZero() {
		return profile.Set{}
	}
	doc := r.doc
	item := func(i int) string { return fmt.Sprintf("addons[%d]", i) }
	for _, p := range profile.CheckAddons(r.Flags.Addons) {
		p.Path = "--addon"
		r.problems = append(r.problems, p)
	}
	if len(r.problems)+len(profile.CheckAddons(doc.Addons)) > 0 {
		return profile.Set{} // check says what is wrong with the document's
	}
	list := []profile.Layer{
		{Addons: r.profile.Addons, CNI: r.profile.CNI, CNIPath: "profile " + doc.Profile, Path: func(i int) string {
			return fmt.Sprintf("profile %s: addon %s", doc.Profile, r.profile.Addons[i].Name)
		}},
		{CNI: r.Settings.CNI, CNIPath: "cni in the settings"},
		{Addons: doc.Addons, Path: item, Dir: r.documentDir(), CNI: doc.CNI, CNIPath: "cni", DropCNI: r.dropsCNI, There: r.there()},
		{
			Addons: r.Flags.Addons, Path: func(i int) string { return "--addon " + r.Flags.Addons[i].Name }, Dir: r.Dir,
			CNI: r.Flags.CNI, CNIPath: "--cni",
			Assignments: r.Flags.Parameters, AssignmentPath: func(addon string) string { return "--set " + addon },
		},
	}
	set, problems := r.Catalogue.Join(list...)
	if len(problems) > 0 {
		r.problems = append(r.problems, problems...)
		return profile.Set{}
	}
	if r.dropsCNI && r.Flags.CNI == "" && set.CNI == profile.DefaultCNI {
		at := newValidator(doc, nil).in("networking.disableDefaultCNI")
		r.problems.Invalid(at, "it is true, but the pod network is %s, the default one; leave one of them out", profile.DefaultCNI)
	}
	left := r.leftOut(set, doc.Addons)
	doc.CNI, doc.Addons = set.CNI, slices.Concat(set.Addons, left)
	doc.Cluster.Networking.DisableDefaultCNI = set.CNI != profile.DefaultCNI
	return set
}

// finish completes the parameters and does what follows from them, and from the version, which now is known.
func (r *resolver) finish(set profile.Set) Problems {
	problems := Problems{}
	for i, a := range set.Opened {
		if err := a.Fits(r.doc.KubernetesVersion); err != nil {
			problems.Add(fault.CodeOf(err), set.Paths[i], "%s", err)
		}
		values := set.Addons[i].Parameters
		if !profile.Has(r.there(), set.Addons[i]) { // else it is complete, for the addon as the cluster has it
			var err error
			if values, err = a.Values(values); err != nil {
				problems.Add(fault.CodeOf(err), set.Paths[i], "%s", err)
				continue
			}
			if len(values) == 0 {
				values = nil
			}
		}
		r.doc.Addons[i].Parameters = values
		for _, h := range a.HostPorts {
			port := number(values, h.Parameter)
			r.unpublish(a.Name, h, port)
			if port != 0 {
				problems = append(problems, r.publish(set.Paths[i], h, port)...)
			}
		}
	}
	return append(problems, r.portsAgain(problems)...)
}

// publish has the first control plane publish a port of an addon, unless it is published already.
func (r *resolver) publish(path string, h profile.HostPort, port int) Problems {
	problems, first := Problems{}, firstControlPlane(r.items)
	path += ".parameters." + h.Parameter
	if port < 1 || port > maxPort {
		problems.Add(fault.AddonParameter, path, "%d is no port; name one from 1 to %d, or 0 for none", port, maxPort)
		return problems
	}
	r.items = single(r.items, first)
	node := &r.items[first]
	published := hostPorts(node.ExtraPortMappings, h)
	switch {
	case slices.Contains(published, port):
	case len(published) > 0:
		problems.Invalid(path, "it is %d, but port %d of the control plane is published as %d; make them agree", port, h.ContainerPort, published[0])
	default:
		node.ExtraPortMappings = append(node.ExtraPortMappings, mapping(h, port))
	}
	return problems
}

// mapping is how an addon's port is published.
func mapping(h profile.HostPort, port int) kind.PortMapping {
	return kind.PortMapping{
		ContainerPort: h.ContainerPort, HostPort: int32(port), ListenAddress: "127.0.0.1", //nolint:gosec // it is a port
		Protocol: kind.PortMappingProtocolTCP,
	}
}

// hostPorts returns the ports of the host that a port of an addon is published as.
func hostPorts(mappings []kind.PortMapping, h profile.HostPort) []int {
	var out []int
	for _, m := range mappings {
		if m.ContainerPort == h.ContainerPort && (m.Protocol == kind.PortMappingProtocolTCP || m.Protocol == "") {
			out = append(out, int(m.HostPort))
		}
	}
	return out
}

// portsAgain checks the ports once more, now that addons have theirs.
func (r *resolver) portsAgain(before Problems) Problems {
	if len(before) > 0 {
		return nil
	}
	v := newValidator(r.doc, r.items)
	v.ports()
	return v.problems
}

// number returns an integer parameter of complete values, whose name may have dots.
func number(values map[string]any, name string) int {
	n, _ := profile.Lookup(values, name).(int)
	return n
}

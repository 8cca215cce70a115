package config

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

const maxPort = 65535

// Bounds of a cluster: so many nodes of each role have an address in its network.
const (
	maxControlPlanes = 9
	maxWorkers       = 180
)

// reservedName is the load balancer's.
const reservedName = "external-load-balancer"

func (v *validator) nodes() {
	path := nodesPath(v.doc)
	if len(v.doc.NodeSpecs) > 0 && len(v.doc.Cluster.Nodes) > 0 {
		v.problems.Invalid(path, "there is %s, too; write one of the two lists", v.in("nodes"))
	}
	for _, n := range v.items {
		switch n.Role {
		case kind.ControlPlaneRole:
			checkSize(&v.problems, n.path+".", "a control plane", n.CPUs, n.Memory, minControlPlane())
		case kind.WorkerRole:
			checkSize(&v.problems, n.path+".", "a worker", n.CPUs, n.Memory, minWorker())
		default:
			v.problems.Invalid(n.path+".role", "%q is not one of control-plane, worker", n.Role)
		}
		if n.Count < 0 {
			v.problems.Invalid(n.path+".count", "%d is no number of nodes", n.Count)
		}
		v.labels(n.path, n.Labels)
		v.taints(n.path, n.Taints)
		v.mounts(n.path, n.ExtraMounts)
	}
	v.names()
	control := v.number(kind.ControlPlaneRole)
	if problem := wrongNumber(control); control == 0 {
		v.problems.Invalid(path, "none of them is a control plane; add an item with role: control-plane")
	} else if problem != "" {
		v.problems.Invalid(path, "%s", problem)
	}
	if workers := v.number(kind.WorkerRole); workers > maxWorkers {
		v.problems.Invalid(path, "%d workers are too many; a cluster has up to %d", workers, maxWorkers)
	}
}

// number returns how many nodes of a role there are; of any role, where it is "".
func (v *validator) number(role kind.NodeRole) int {
	out := 0
	for _, n := range v.items {
		if role == "" || n.Role == role {
			out += min(n.number(), v1alpha1.MaxListed) // which is too many as well, and adds up to a number
		}
	}
	return out
}

// wrongNumber says what is wrong with a number of control planes; "" where nothing is. etcd needs more than half of its
// members, so that an even number bears the loss of no more members than the odd one below it.
func wrongNumber(controlPlanes int) string {
	switch n := controlPlanes; {
	case n < 1:
		return fmt.Sprintf("%d is too few; a cluster has at least one control plane", n)
	case n > maxControlPlanes:
		return fmt.Sprintf("%d control planes are too many; a cluster has up to %d", n, maxControlPlanes)
	case n == 2:
		return "2 control planes have no majority when one is lost: choose 1 or 3"
	case n%2 == 0:
		return fmt.Sprintf("%d control planes bear no more losses than %d: choose %d or %d", n, n-1, n-1, n+1)
	}
	return ""
}

// names checks the names that nodes are given. Standard names never clash with them.
func (v *validator) names() {
	taken := map[string]string{}
	for _, n := range v.items {
		if n.Name == "" {
			continue
		}
		for _, one := range n.Singles() {
			short, path := v.doc.ShortName(one.Name), n.path+".name"
			full := v.doc.Name + "-" + short
			first, again := taken[short]
			switch {
			case len(content.IsDNS1123Label(short)) > 0 && len(short) <= content.DNS1123LabelMaxLength:
				v.problems.Invalid(path, "%q cannot be part of a host name; use lower-case letters, digits and hyphens, and start and end with a letter or digit", n.Name)
			case len(full) > content.DNS1123LabelMaxLength:
				v.problems.Invalid(path, "%q makes the node %s, whose name is longer than %d characters", n.Name, full, content.DNS1123LabelMaxLength)
			case short == reservedName:
				v.problems.Invalid(path, "%s is the name of the cluster's load balancer; choose another one", full)
			case again:
				v.problems.Invalid(path, "%s is taken by %s", full, first)
			default:
				taken[short] = path
				continue
			}
			break // the others of the item have the same problem
		}
	}
}

func (v *validator) taints(at string, taints []v1alpha1.Taint) {
	taken := map[[2]string]int{}
	for i, taint := range taints {
		at := fmt.Sprintf("%s.taints[%d]", at, i)
		if errs := content.IsLabelKey(taint.Key); len(errs) > 0 {
			v.problems.Invalid(at+".key", "%q is no name of a taint: %s", taint.Key, brief(errs[0]))
		}
		if errs := content.IsLabelValue(taint.Value); len(errs) > 0 {
			v.problems.Invalid(at+".value", "%q is no value of a taint: %s", taint.Value, brief(errs[0]))
		}
		if !slices.Contains(taintEffects(), taint.Effect) {
			v.problems.Invalid(at+".effect", "%q is not one of %s", taint.Effect, strings.Join(taintEffects(), ", "))
		}
		what := [2]string{taint.Key, taint.Effect}
		if first, again := taken[what]; again {
			v.problems.Invalid(at, "%s with the effect %s is taints[%d] already", taint.Key, taint.Effect, first)
			continue
		}
		taken[what] = i
	}
}

func taintEffects() []string { return []string{"NoSchedule", "PreferNoSchedule", "NoExecute"} }

func (v *validator) labels(at string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		at := fmt.Sprintf("%s.labels[%q]", at, key)
		if errs := content.IsLabelKey(key); len(errs) > 0 {
			v.problems.Invalid(at, "it is no name of a label: %s", brief(errs[0]))
		}
		if errs := content.IsLabelValue(labels[key]); len(errs) > 0 {
			v.problems.Invalid(at, "%q is no value of a label: %s", labels[key], brief(errs[0]))
		}
	}
}

// brief cuts the examples and the expression off what Kubernetes says of a value.
func brief(message string) string {
	message, _, _ = strings.Cut(message, " (e.g.")
	return message
}

func (v *validator) mounts(at string, mounts []kind.Mount) {
	taken := map[string]int{}
	for i, m := range mounts {
		at := fmt.Sprintf("%s.extraMounts[%d]", at, i)
		switch {
		case m.HostPath == "":
			v.problems.Invalid(at+".hostPath", "it is missing; name a path of the engine's host")
		case !isAbsolute(m.HostPath):
			v.problems.Invalid(at+".hostPath", "%q is not absolute", m.HostPath)
		}
		target := path.Clean(m.ContainerPath)
		first, again := taken[target]
		switch {
		case m.ContainerPath == "":
			v.problems.Invalid(at+".containerPath", "it is missing; name a path in the node")
		case !path.IsAbs(m.ContainerPath):
			v.problems.Invalid(at+".containerPath", "%q is not absolute", m.ContainerPath)
		case target == "/":
			v.problems.Invalid(at+".containerPath", "the root of the node cannot be a mount; name a path below it")
		case again:
			v.problems.Invalid(at+".containerPath", "%s is taken by extraMounts[%d] of the same node", m.ContainerPath, first)
		default:
			taken[target] = i
		}
		switch m.Propagation {
		case kind.MountPropagationNone, kind.MountPropagationHostToContainer, kind.MountPropagationBidirectional:
		default:
			v.problems.Invalid(at+".propagation", "%q is not one of None, HostToContainer, Bidirectional", m.Propagation)
		}
	}
}

// isAbsolute reports whether a path is absolute on the engine's host, which may be another system than this one.
func isAbsolute(p string) bool {
	return path.IsAbs(p) || strings.HasPrefix(p, `\\`) || regexp.MustCompile(`^[A-Za-z]:[\\/]`).MatchString(p)
}

// binding is a port that is to be published on the engine's host.
type binding struct {
	path     string
	addr     netip.Addr // unspecified: all addresses, of both families, as Go and Docker listen
	port     int32
	protocol kind.PortMappingProtocol
}

func (b binding) clashes(o binding) bool {
	return b.port == o.port && b.protocol == o.protocol &&
		(b.addr == o.addr || b.addr.IsUnspecified() || o.addr.IsUnspecified())
}

// ports checks what is published; all nodes share the host's ports. Ports 0 and -1 are picked at random, so they never
// clash.
func (v *validator) ports() {
	bindings := []binding{}
	net := v.doc.Cluster.Networking
	if addr, ok := v.port(v.in("networking.apiServerPort"), net.APIServerPort, v.in("networking.apiServerAddress"), net.APIServerAddress); ok {
		bindings = append(bindings, binding{v.in("networking.apiServerPort"), addr, net.APIServerPort, kind.PortMappingProtocolTCP})
	}
	for _, n := range v.items {
		for j, p := range n.ExtraPortMappings {
			at := fmt.Sprintf("%s.extraPortMappings[%d]", n.path, j)
			if p.ContainerPort < 1 || p.ContainerPort > maxPort {
				v.problems.Invalid(at+".containerPort", "%d is no port; name one from 1 to %d", p.ContainerPort, maxPort)
			}
			protocol := kind.PortMappingProtocol(strings.ToUpper(string(p.Protocol)))
			if !slices.Contains([]kind.PortMappingProtocol{"TCP", "UDP", "SCTP"}, protocol) {
				v.problems.Invalid(at+".protocol", "%q is not one of TCP, UDP, SCTP", p.Protocol)
			}
			if addr, ok := v.port(at+".hostPort", p.HostPort, at+".listenAddress", p.ListenAddress); ok {
				if number := n.number(); number > 1 {
					v.problems.Invalid(at+".hostPort", "%d nodes cannot share port %d of the host; leave it out, or write an item for each node", number, p.HostPort)
				}
				bindings = append(bindings, binding{at + ".hostPort", addr, p.HostPort, protocol})
			}
		}
	}
	for i, b := range bindings {
		if j := slices.IndexFunc(bindings[:i], b.clashes); j >= 0 {
			v.problems.Invalid(b.path, "%d/%s is taken by %s", b.port, b.protocol, bindings[j].path)
		}
	}
}

// port checks a port and the address that it is published on, and reports whether it is one that others can clash with.
func (v *validator) port(path string, port int32, addrPath, address string) (netip.Addr, bool) {
	addr, err := netip.IPv4Unspecified(), error(nil)
	if address != "" {
		addr, err = netip.ParseAddr(address)
	}
	if err != nil {
		v.problems.Invalid(addrPath, "%q is no IP address", address)
	}
	if port < -1 || port > maxPort {
		v.problems.Invalid(path, "%d is no port; name one from 1 to %d, or 0 for any", port, maxPort)
		return addr, false
	}
	return addr, err == nil && port > 0
}

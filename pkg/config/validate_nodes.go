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
)

const maxPort = 65535

func (v *validator) nodes() {
	control := 0
	for i, n := range v.doc.Cluster.Nodes {
		at := v.in("nodes[%d]", i)
		switch n.Role {
		case kind.WorkerRole:
		case kind.ControlPlaneRole:
			if control++; control > 1 {
				v.unsupported(at+".role", "more than one control plane is not supported yet; make it a worker")
			}
		default:
			v.problems.Invalid(at+".role", "%q is not one of control-plane, worker", n.Role)
		}
		v.labels(at, n.Labels)
		v.mounts(at, n.ExtraMounts)
	}
	if control == 0 {
		v.problems.Invalid(v.in("nodes"), "none of them is a control plane; add an item with role: control-plane")
	}
}

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
	for i, n := range v.doc.Cluster.Nodes {
		for j, p := range n.ExtraPortMappings {
			at := v.in("nodes[%d].extraPortMappings[%d]", i, j)
			if p.ContainerPort < 1 || p.ContainerPort > maxPort {
				v.problems.Invalid(at+".containerPort", "%d is no port; name one from 1 to %d", p.ContainerPort, maxPort)
			}
			protocol := kind.PortMappingProtocol(strings.ToUpper(string(p.Protocol)))
			if !slices.Contains([]kind.PortMappingProtocol{"TCP", "UDP", "SCTP"}, protocol) {
				v.problems.Invalid(at+".protocol", "%q is not one of TCP, UDP, SCTP", p.Protocol)
			}
			if addr, ok := v.port(at+".hostPort", p.HostPort, at+".listenAddress", p.ListenAddress); ok {
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

package importer

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-connections/nat"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// selection is what node filters stand for.
type selection struct {
	nodes    []int // indexes, ordered
	balancer bool
	direct   bool // not through the load balancer
	given    bool // there are filters
}

// filter reads nodeFilters, as "server:0", "agent:*", "agents:1-2:direct", "all" or "loadbalancer".
func (k *k3d) filter(s section) selection {
	out := selection{}
	group := regexp.MustCompile(`^(server|agent|loadbalancer|all)s?(?::((?:[0-9]+,?)+|[0-9]*-[0-9]*|\*))?(?::([a-z]+))?$`)
	for _, f := range s.texts("nodeFilters") {
		out.given = true
		m := group.FindStringSubmatch(f)
		if m == nil {
			s.wrong("nodeFilters", "filters as server:0, agent:*, loadbalancer or all", f)
			continue
		}
		out.direct = out.direct || m[3] == "direct"
		first, last := 0, len(k.nodes)
		switch m[1] {
		case "loadbalancer":
			out.balancer = true
			continue
		case "server":
			last = k.servers
		case "agent":
			first = k.servers
		}
		for i := range last - first {
			if inSubset(m[2], i) {
				out.nodes = append(out.nodes, first+i)
			}
		}
	}
	slices.Sort(out.nodes)
	out.nodes = slices.Compact(out.nodes)
	return out
}

// inSubset reports whether the i-th node (from 0) of a group is in the subset: "", "*", "0,2", "1-", "0-1".
func inSubset(subset string, i int) bool {
	if subset == "" || subset == "*" {
		return true
	}
	if low, high, isRange := strings.Cut(subset, "-"); isRange {
		first, err := strconv.Atoi(low)
		if err != nil {
			first = 0 // left out
		}
		last, err := strconv.Atoi(high)
		return i >= first && (err != nil || i <= last)
	}
	return slices.Contains(strings.Split(subset, ","), strconv.Itoa(i))
}

// all returns the indexes of all nodes.
func (k *k3d) all() []int {
	out := make([]int, len(k.nodes))
	for i := range out {
		out[i] = i
	}
	return out
}

// volumes makes mounts of them.
func (k *k3d) volumes(top section) {
	for _, v := range top.sections("volumes") {
		volume, to := v.text("volume"), k.filter(v)
		v.rest()
		if !to.given {
			to.nodes = k.all()
		}
		m, problem := mount(k.fromHome(volume))
		switch {
		case volume == "":
			continue
		case problem == "" && strings.HasPrefix(m.ContainerPath, "/var/lib/rancher/k3s/server/manifests"):
			problem = "name the manifest under addons: {name: NAME, path: " + m.HostPath + "}"
		case problem == "" && (strings.HasPrefix(m.ContainerPath, "/var/lib/rancher/") || strings.HasPrefix(m.ContainerPath, "/etc/rancher/")):
			problem = m.ContainerPath + " is k3s' own, which cove's nodes do not run"
		case problem == "" && to.balancer && len(to.nodes) == 0:
			problem = "cove's load balancer takes no mounts"
		}
		if problem != "" {
			v.note("volume", "%s: %s", volume, problem)
			continue
		}
		for _, i := range to.nodes {
			k.nodes[i].ExtraMounts = append(k.nodes[i].ExtraMounts, m)
		}
	}
}

// fromHome puts the user's folder in the place of ~.
func (k *k3d) fromHome(volume string) string {
	if k.getenv == nil || k.getenv("HOME") == "" || !strings.HasPrefix(volume, "~/") {
		return volume
	}
	return k.getenv("HOME") + volume[1:]
}

// mount reads a volume as docker has it: SOURCE:PATH[:OPTIONS].
func mount(volume string) (m kind.Mount, problem string) {
	source, target := volume, ""
	for i := strings.LastIndex(source, ":"); i > 0; i = strings.LastIndex(source, ":") {
		part := source[i+1:]
		source = source[:i]
		if strings.HasPrefix(part, "/") {
			target = part
			break
		}
		for option := range strings.SplitSeq(part, ",") {
			switch option {
			case "ro":
				m.Readonly = true
			case "z", "Z":
				m.SelinuxRelabel = true
			case "rshared", "shared":
				m.Propagation = kind.MountPropagationBidirectional
			case "rslave", "slave":
				m.Propagation = kind.MountPropagationHostToContainer
			}
		}
	}
	m.HostPath, m.ContainerPath = source, target
	switch {
	case target == "":
		return m, "it has no path of the host; nodes keep what is in /var by themselves"
	case !strings.ContainsAny(source, `/\.~`):
		return m, "it is a volume with a name; cove mounts paths of the host"
	case strings.HasPrefix(source, "~"):
		return m, "nothing tells what ~ is; write the path in full"
	}
	return m, ""
}

// ports publishes them. What k3d publishes on its load balancer, which has its backends on several nodes, cove publishes on
// the first of these.
func (k *k3d) ports(top section) {
	for _, p := range top.sections("ports") {
		port, to := p.text("port"), k.filter(p)
		p.rest()
		if port == "" {
			continue
		}
		mappings, err := portMappings(port, "")
		if err != nil {
			p.wrong("port", "a port as 8080:80", port)
			continue
		}
		if !to.given || to.balancer {
			to.nodes = k.all() // as k3d has it
		}
		if len(to.nodes) == 0 {
			p.note("port", "%s: its filters are about no node", port)
			continue
		}
		first := to.nodes[0]
		if len(k.nodes) > 1 && !to.direct && len(to.nodes) > 1 {
			p.note("port", "%s is published on the first of its nodes: cove has no load balancer for it", port)
		}
		for _, m := range mappings {
			k.nodes[first].ExtraPortMappings = append(k.nodes[first].ExtraPortMappings, m)
			if first == 0 {
				k.toTraefik(m)
			}
			if !to.direct && k.byServiceLB(m) {
				p.note("port", "%s: nothing listens on port %d of the node unless a pod has it as hostPort; for Services of type LoadBalancer, k3s does. "+
					"Publish a NodePort, or use the address that metallb gives", port, m.ContainerPort)
			}
		}
	}
}

// byServiceLB reports whether a port is one that Services of type LoadBalancer may have, which k3s' servicelb has the nodes listen on.
func (k *k3d) byServiceLB(m kind.PortMapping) bool {
	const firstNodePort, lastNodePort = 30000, 32767
	if k.disabled[k3sServiceLB] || m.ContainerPort >= firstNodePort && m.ContainerPort <= lastNodePort {
		return false
	}
	return k.disabled[k3sTraefik] || m.ContainerPort != 80 && m.ContainerPort != 443
}

// toTraefik has traefik listen on the node where a port of k3s' traefik was published.
func (k *k3d) toTraefik(m kind.PortMapping) {
	name := map[int32]string{80: "http", 443: "https"}[m.ContainerPort]
	if name == "" || m.HostPort == 0 || m.Protocol != kind.PortMappingProtocolTCP || k.disabled[k3sTraefik] {
		return
	}
	ports := map[string]any{name: int(m.HostPort)}
	for _, a := range k.doc.Addons {
		if have, ok := a.Parameters["hostPorts"].(map[string]any); ok && a.Name == k3sTraefik {
			maps.Copy(ports, have) // of several ports of the host, the first one is traefik's
		}
	}
	k.addAddon(v1alpha1.Addon{Name: k3sTraefik, Parameters: map[string]any{"hostPorts": ports}})
}

// portMappings reads a port as docker has it: [[ADDRESS:]HOSTPORT:]PORT[/PROTOCOL], or ranges of them. address is the one to
// listen on where none is named.
func portMappings(s, address string) ([]kind.PortMapping, error) {
	parsed, err := nat.ParsePortSpec(s)
	if err != nil {
		return nil, err
	}
	out := make([]kind.PortMapping, 0, len(parsed))
	for _, p := range parsed {
		m := kind.PortMapping{
			ContainerPort: int32(p.Port.Int()), ListenAddress: p.Binding.HostIP, //nolint:gosec // nat checks that it is a port
			Protocol: kind.PortMappingProtocol(strings.ToUpper(p.Port.Proto())),
		}
		if m.ListenAddress == "" {
			m.ListenAddress = address
		}
		if p.Binding.HostPort != "" {
			n, err := strconv.ParseUint(p.Binding.HostPort, 10, 16)
			if err != nil {
				return nil, err
			}
			m.HostPort = int32(n)
		}
		if _, err := netip.ParseAddr(m.ListenAddress); m.ListenAddress != "" && err != nil {
			return nil, fmt.Errorf("%q is no address", m.ListenAddress)
		}
		out = append(out, m)
	}
	return out, nil
}

package docker

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/go-connections/nat"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// modulesPath is where a node looks for kernel modules: the host's, because the kernel is the host's.
const modulesPath = "/lib/modules"

// body is what the engine is asked to create.
type body struct {
	config *container.Config
	host   *container.HostConfig
	net    *network.NetworkingConfig
}

// newBody turns a node's spec into what the engine's API wants.
func (e *Engine) newBody(spec engine.NodeSpec, sys *system.Info) (body, error) {
	ports, err := portMap(spec.Ports)
	if err != nil {
		return body{}, fault.Wrap(fault.ConfigInvalid, err, "cannot create node %s", spec.Name)
	}
	if sys.NCPU > 0 && spec.NanoCPUs > int64(sys.NCPU)*1e9 { // the engine refuses it, without a word of what to do
		return body{}, fault.New(fault.ConfigInvalid, "cannot create node %s: cpus is %g, and the engine's host has %d",
			spec.Name, float64(spec.NanoCPUs)/1e9, sys.NCPU).WithHint("give the node no more CPUs than the host has")
	}
	b := body{
		config: &container.Config{
			Hostname: spec.Name, Image: spec.Image, Entrypoint: spec.Entrypoint, Env: environment(spec.Env), Labels: nodeLabels(spec),
			ExposedPorts: nat.PortSet{},
			Tty:          true, // a systemd that is PID 1 writes to the log only where it has a terminal
		},
		host: &container.HostConfig{
			PortBindings: ports,
			// A node comes back when the engine does; one that is to stay down, KeepDown keeps down.
			// Not unless-stopped: an engine of version 20.10 that was killed takes the containers that lived on for stopped ones.
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyAlways},
			CgroupnsMode:  container.CgroupnsModePrivate,
			Tmpfs:         map[string]string{"/tmp": "", "/run": ""},
			ExtraHosts:    extraHosts(spec.Hosts),
			DNSSearch:     spec.DNSSearch,
			LogConfig:     logConfig(sys),
			Init:          new(bool), // the image has a PID 1 of its own
			Resources:     container.Resources{NanoCPUs: spec.NanoCPUs, Memory: spec.Memory, MemorySwap: e.swapLimit(spec.Memory, sys)},
		},
		net: &network.NetworkingConfig{},
	}
	for port := range ports {
		b.config.ExposedPorts[port] = struct{}{}
	}
	if spec.Network != "" {
		b.host.NetworkMode = container.NetworkMode(spec.Network)
		b.net.EndpointsConfig = map[string]*network.EndpointSettings{spec.Network: endpointSettings(spec.IP, spec.IP6)}
		b.host.Sysctls = sysctls(spec)
	}
	if err := addMounts(b.host, spec); err != nil {
		return body{}, fault.Wrap(fault.ConfigInvalid, err, "cannot create node %s", spec.Name)
	}
	if spec.Unprivileged {
		return b, nil
	}
	if !e.noModules.Load() {
		b.host.Mounts = append(b.host.Mounts, mount.Mount{Type: mount.TypeBind, Source: modulesPath, Target: modulesPath, ReadOnly: true})
	}
	e.privileges(b.host, sys)
	return b, nil
}

// swapLimit is the limit of memory and swap together: that of memory, so that swap does not extend a node's size. Where the host
// does not account swap, some engines try to limit it all the same, and then cannot start the container.
func (e *Engine) swapLimit(memory int64, sys *system.Info) int64 {
	if memory > 0 && (!sys.SwapLimit || e.noSwap.Load()) {
		return noLimit
	}
	return memory
}

// noLimit is the engine's word for swap without a limit.
const noLimit = -1

// privileges gives the container --privileged, or what comes nearest to it on an engine that cannot.
func (e *Engine) privileges(host *container.HostConfig, sys *system.Info) {
	if hasSecurity(sys, "userns") {
		host.UsernsMode = "host" // a remapped root cannot be privileged
	}
	if !e.restricted.Load() {
		host.Privileged = true
		return
	}
	host.Privileged = false
	host.CapAdd = []string{allCapabilities}
	host.CapDrop = e.lackedCapabilities()
	host.SecurityOpt = []string{"seccomp=unconfined", "apparmor=unconfined"}
	if hasSecurity(sys, "selinux") {
		host.SecurityOpt = append(host.SecurityOpt, "label=disable")
	}
	// Not nil: nil asks for the defaults. Together they are systempaths=unconfined.
	host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
	host.DeviceCgroupRules = []string{"a *:* rwm"}
}

// allCapabilities is the engine's word for all of them.
const allCapabilities = "ALL"

// lackedCapabilities returns what a container cannot get. Where it is not known, it is the one that sandboxes withhold.
func (e *Engine) lackedCapabilities() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.lacks) > 0 {
		return slices.Clone(e.lacks)
	}
	return []string{"SYS_RESOURCE"}
}

// nodeLabels are the spec's labels and those that make it a node.
func nodeLabels(spec engine.NodeSpec) map[string]string {
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[engine.LabelCluster], labels[engine.LabelRole], labels[engine.LabelRun] = spec.Cluster, spec.Role, spec.Run
	return labels
}

// environment returns the variables as the engine wants them, in a stable order.
func environment(env map[string]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

func extraHosts(hosts map[string]netip.Addr) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		list = append(list, name+":"+hosts[name].String())
	}
	return list
}

func endpointSettings(ips ...netip.Addr) *network.EndpointSettings {
	s := &network.EndpointSettings{}
	for _, ip := range ips {
		if !ip.IsValid() {
			continue
		}
		if s.IPAMConfig == nil {
			s.IPAMConfig = &network.EndpointIPAMConfig{}
		}
		if ip.Is4() {
			s.IPAMConfig.IPv4Address = ip.String()
		} else {
			s.IPAMConfig.IPv6Address = ip.String()
		}
	}
	return s
}

// sysctls let a container with IPv6 have it on all its links, and a host of pods pass it on between them: an engine turns IPv6 off
// but on the link to its network, and the kernel forwards IPv4 alone.
func sysctls(spec engine.NodeSpec) map[string]string {
	if !spec.IP6.IsValid() {
		return nil
	}
	settings := map[string]string{"net.ipv6.conf.all.disable_ipv6": "0"}
	if !spec.Unprivileged {
		settings["net.ipv6.conf.all.forwarding"] = "1"
	}
	return settings
}

// logConfig bounds what a node's log may fill of the engine's disk. A driver that cannot be read back, and one that an
// administrator chose to ship logs elsewhere, stays as it is; "none" would leave no evidence of a failed boot.
func logConfig(sys *system.Info) container.LogConfig {
	switch driver := sys.LoggingDriver; driver {
	case "json-file", "local":
		return container.LogConfig{Type: driver, Config: map[string]string{"max-size": "10m", "max-file": "3"}}
	case "none":
		return container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "3"}}
	}
	return container.LogConfig{}
}

// portMap turns ports into the engine's shape.
func portMap(ports []engine.Port) (nat.PortMap, error) {
	m := nat.PortMap{}
	for _, p := range ports {
		protocol := cmp.Or(strings.ToLower(p.Protocol), "tcp")
		if p.ContainerPort == 0 || (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
			return nil, fault.New(fault.ConfigInvalid, "port %d/%s cannot be published: want a container port above 0 and tcp, udp or sctp",
				p.ContainerPort, p.Protocol)
		}
		key := nat.Port(strconv.Itoa(int(p.ContainerPort)) + "/" + protocol)
		m[key] = append(m[key], nat.PortBinding{HostIP: p.HostIP, HostPort: hostPort(p.HostPort)})
	}
	return m, nil
}

// hostPort leaves the choice of port 0 to the engine.
func hostPort(port uint16) string {
	if port == 0 {
		return ""
	}
	return strconv.Itoa(int(port))
}

// addMounts adds the named volumes, and the paths of the engine's host.
func addMounts(host *container.HostConfig, spec engine.NodeSpec) error {
	for _, v := range spec.Volumes {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeVolume, Source: v.Name, Target: v.Target})
	}
	for i, m := range spec.Mounts {
		// A bind is written "source:target:options", and only it can relabel and make a missing source, as kind's users
		// expect; a source with a colon needs the other form.
		if strings.Contains(m.Source, ":") || strings.Contains(m.Target, ":") {
			if m.SELinuxRelabel {
				return fault.New(fault.ConfigInvalid, "mounts[%d]: %q with a colon cannot be relabelled for SELinux", i, m.Source)
			}
			host.Mounts = append(host.Mounts, mount.Mount{
				Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly,
				BindOptions: &mount.BindOptions{Propagation: mount.Propagation(m.Propagation)},
			})
			continue
		}
		var options []string
		if m.ReadOnly {
			options = append(options, "ro")
		}
		if m.SELinuxRelabel {
			options = append(options, "Z")
		}
		if m.Propagation != "" {
			options = append(options, m.Propagation)
		}
		bind := m.Source + ":" + m.Target
		if len(options) > 0 {
			bind += ":" + strings.Join(options, ",")
		}
		host.Binds = append(host.Binds, bind)
	}
	return nil
}

// bindsOf returns the paths of the host that were asked for: what addMounts wrote, read back. Those that name what binds cannot
// write come last.
func bindsOf(host *container.HostConfig) []engine.Mount {
	var mounts []engine.Mount
	for _, bind := range host.Binds {
		source, rest, _ := strings.Cut(bind, ":")
		target, options, _ := strings.Cut(rest, ":")
		m := engine.Mount{Source: source, Target: target}
		for o := range strings.SplitSeq(options, ",") {
			switch o {
			case "":
			case "ro":
				m.ReadOnly = true
			case "Z":
				m.SELinuxRelabel = true
			default:
				m.Propagation = o
			}
		}
		mounts = append(mounts, m)
	}
	for _, m := range host.Mounts {
		if m.Type != mount.TypeBind || isModules(m) {
			continue
		}
		one := engine.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
		if m.BindOptions != nil {
			one.Propagation = string(m.BindOptions.Propagation)
		}
		mounts = append(mounts, one)
	}
	return mounts
}

// ports turns the engine's port map back, ordered by container port.
func ports(m nat.PortMap) []engine.Port {
	var list []engine.Port
	for key, bindings := range m {
		number, err := strconv.ParseUint(key.Port(), 10, 16)
		if err != nil {
			continue
		}
		for _, b := range bindings {
			host, err := strconv.ParseUint(cmp.Or(b.HostPort, "0"), 10, 16)
			if err != nil {
				continue
			}
			list = append(list, engine.Port{HostIP: b.HostIP, HostPort: uint16(host), ContainerPort: uint16(number), Protocol: key.Proto()})
		}
	}
	slices.SortFunc(list, func(a, b engine.Port) int {
		return cmp.Or(cmp.Compare(a.ContainerPort, b.ContainerPort), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(len(a.HostIP), len(b.HostIP)), cmp.Compare(a.HostIP, b.HostIP), cmp.Compare(a.HostPort, b.HostPort))
	})
	return list
}

// portName is a published port as messages name it.
func portName(p engine.Port) string {
	return net.JoinHostPort(cmp.Or(p.HostIP, "0.0.0.0"), strconv.Itoa(int(p.HostPort)))
}

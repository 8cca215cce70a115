package enginetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// node is a container.
type node struct {
	Spec  engine.NodeSpec `json:"spec"` // without Files
	Node  engine.Node     `json:"node"`
	Files map[string]file `json:"files"`
	Log   string          `json:"log"`
	Down  bool            `json:"down,omitempty"` // KeepDown
	// Network and IP are where it is now: the spec's, until somebody changes that.
	Network string     `json:"network,omitempty"`
	IP      netip.Addr `json:"ip"`
	// NetworkID is that of the network that it was started in. Docker looks for it again, and takes no other one of the name.
	NetworkID string `json:"networkID,omitempty"`
}

// CreateNode makes a node.
func (f *Fake) CreateNode(ctx context.Context, spec engine.NodeSpec) (engine.Node, error) {
	var made engine.Node
	err := f.mutate(ctx, "CreateNode "+spec.Name, func(s *state) error {
		n, err := s.createNode(spec)
		if err == nil {
			n.put(s, spec.Files)
			made = n.public()
		}
		return err
	}, func(s *state) { _, _ = s.createNode(spec) })
	return made, err
}

// createNode makes the container and the volumes that are not there, or nothing.
func (s *state) createNode(spec engine.NodeSpec) (*node, error) {
	if s.Nodes[spec.Name] != nil {
		return nil, fault.New(fault.NameTaken, "cannot create node %s: its name is in use", spec.Name)
	}
	img, ok := s.findImage(spec.Image)
	if !ok {
		return nil, fault.New(fault.ImageNotFound, "cannot create node %s: no such image: %s", spec.Name, spec.Image)
	}
	if spec.NanoCPUs > int64(s.Info.CPUs)*1e9 {
		return nil, fault.New(fault.ConfigInvalid, "cannot create node %s: cpus is %g, and the engine's host has %d", spec.Name, float64(spec.NanoCPUs)/1e9, s.Info.CPUs)
	}
	for _, v := range spec.Volumes {
		if found := s.Volumes[v.Name]; found != nil && found.Cluster != spec.Cluster {
			return nil, fault.New(fault.NameTaken, "cannot create volume %s: there is one of that name that is not the cluster's", v.Name)
		}
	}
	for _, v := range spec.Volumes {
		if s.Volumes[v.Name] == nil {
			s.Volumes[v.Name] = &volume{
				Volume: engine.Volume{Name: v.Name, Cluster: spec.Cluster, Run: spec.Run, Node: spec.Name, Labels: volumeLabels(spec)}, Files: map[string]file{},
			}
		}
	}
	labels := map[string]string{}
	maps.Copy(labels, img.Labels) // as Docker has it
	maps.Copy(labels, spec.Labels)
	labels[engine.LabelCluster], labels[engine.LabelRole], labels[engine.LabelRun] = spec.Cluster, spec.Role, spec.Run
	n := &node{Spec: spec, Network: spec.Network, IP: spec.IP, Files: map[string]file{}, Node: engine.Node{
		ID: s.id(), Name: spec.Name, Cluster: spec.Cluster, Role: spec.Role, Run: spec.Run, Labels: labels,
		State: engine.StateCreated, Image: spec.Image, Ports: slices.Clone(spec.Ports), Volumes: slices.Clone(spec.Volumes), Created: now(),
		Mounts: slices.Clone(spec.Mounts), NanoCPUs: spec.NanoCPUs, Memory: spec.Memory,
	}}
	n.Spec.Files = nil
	for path, content := range img.Files {
		n.Files[path] = content
	}
	hosts := "127.0.0.1\tlocalhost\n"
	for _, name := range slices.Sorted(maps.Keys(spec.Hosts)) {
		hosts += spec.Hosts[name].String() + "\t" + name + "\n"
	}
	n.Files["/etc/hosts"], n.Files["/etc/hostname"] = file{Data: []byte(hosts)}, file{Data: []byte(spec.Name + "\n")}
	n.Files["/etc/resolv.conf"] = file{Data: []byte(resolvConf(spec.DNSSearch))}
	s.Nodes[spec.Name] = n
	return n, nil
}

// resolvConf is as Docker writes it: where no search domains are asked for they are those of the engine's host, and "." asks for none.
func resolvConf(search []string) string {
	text := "nameserver 127.0.0.11\n"
	switch {
	case len(search) == 0:
		text += "search host.example\n"
	case !slices.Equal(search, []string{"."}):
		text += "search " + strings.Join(search, " ") + "\n"
	}
	return text
}

// public is a copy of what is known of the node.
func (n *node) public() engine.Node {
	p := n.Node
	p.Labels, p.Ports, p.Volumes, p.Mounts = maps.Clone(p.Labels), slices.Clone(p.Ports), slices.Clone(p.Volumes), slices.Clone(p.Mounts)
	p.KeptDown = n.Down
	if n.Network != "" {
		p.Networks = []engine.Attachment{{Network: n.Network, IP: p.IP, IP6: p.IP6}}
	}
	return p
}

// Attach is what `docker network disconnect` and `docker network connect --ip` do: the node is on that network alone, with that address;
// on none where the name is empty.
func (f *Fake) Attach(name, network string, ip netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.state.node(name, "attach")
	if err != nil {
		return err
	}
	n.Network, n.IP = network, ip
	if n.runs() {
		n.Node.IP, n.Node.IP6 = ip, netip.Addr{}
	}
	return f.keep()
}

// Break makes a container dead: it can be removed, and nothing else.
func (f *Fake) Break(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.state.node(name, "break")
	if err != nil {
		return err
	}
	n.end(137, "fake node broken\n")
	n.Node.State = engine.StateDead
	return f.keep()
}

// node returns a node, or NodeNotFound.
func (s *state) node(name, doing string) (*node, error) {
	if n := s.Nodes[name]; n != nil {
		return n, nil
	}
	return nil, fault.New(fault.NodeNotFound, "cannot %s %s: there is no node of that name", doing, name)
}

// Nodes lists nodes.
func (f *Fake) Nodes(ctx context.Context, sel engine.Selector) ([]engine.Node, error) {
	if err := interrupted(ctx, "list nodes"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []engine.Node{}
	for _, n := range f.state.Nodes {
		if selects(sel, n.Node.Cluster, n.Node.Run) && (sel.Role == "" || sel.Role == n.Node.Role) {
			list = append(list, n.public())
		}
	}
	slices.SortFunc(list, func(a, b engine.Node) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// selects tells whether a thing of that cluster and run is chosen.
func selects(sel engine.Selector, cluster, run string) bool {
	return cluster != "" && (sel.Cluster == "" || sel.Cluster == cluster) && (sel.Run == "" || sel.Run == run)
}

// Node returns a node.
func (f *Fake) Node(ctx context.Context, name string) (engine.Node, error) {
	if err := interrupted(ctx, "look at node "+name); err != nil {
		return engine.Node{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.state.node(name, "find node")
	if err != nil {
		return engine.Node{}, err
	}
	return n.public(), nil
}

// StartNode starts a node. Ports and addresses are taken only now, as by Docker.
func (f *Fake) StartNode(ctx context.Context, name string) error {
	return f.mutate(ctx, "StartNode "+name, func(s *state) error {
		n, err := s.node(name, "start node")
		if err != nil || n.Node.State == engine.StateRunning {
			return err
		}
		if n.Node.State == engine.StatePaused { // as Docker has it
			return fault.New(fault.NodeStart, "cannot start node %s: it is paused", name)
		}
		if n.Node.State == engine.StateDead {
			return fault.New(fault.NodeStart, "cannot start node %s: it is dead", name)
		}
		if err := s.startNode(n); err != nil {
			n.Node.Error = err.Error()
			return err
		}
		n.begin()
		return nil
	}, nil)
}

// startNode gives the node its address and its ports.
func (s *state) startNode(n *node) error {
	subnet, six, id := netip.MustParsePrefix("172.17.0.0/16"), netip.Prefix{}, ""
	if n.Network != "" {
		net, ok := s.Networks[n.Network]
		if !ok || n.NetworkID != "" && n.NetworkID != net.ID {
			return fault.New(fault.EngineFailed, "cannot start node %s: network %s not found", n.Node.Name, n.Network)
		}
		subnet, six, id = net.Subnet, net.Subnet6, net.ID
	}
	cutOff := n.Network != n.Spec.Network
	var ip netip.Addr
	if !cutOff || n.Network != "" {
		var err error
		if ip, err = s.address(n, subnet); err != nil {
			return err
		}
	}
	ip6 := n.Spec.IP6
	if cutOff {
		ip6 = netip.Addr{}
	}
	if ip := ip6; ip.IsValid() && (!six.Contains(ip) || s.hasIP6(n, ip)) {
		return fault.New(fault.NetworkTaken, "cannot start node %s: address %s is in use or not of %s", n.Node.Name, ip, six)
	}
	ports, err := s.publish(n)
	if err != nil {
		return err
	}
	n.Node.IP, n.Node.IP6, n.Node.Ports, n.NetworkID = ip, ip6, ports, id
	return nil
}

// publish takes the node's ports of the host.
func (s *state) publish(n *node) ([]engine.Port, error) {
	ports := slices.Clone(n.Spec.Ports)
	for i := range ports {
		for ports[i].HostPort == 0 {
			ports[i].HostPort = s.NextPort
			s.NextPort++
			if s.portTaken(n, ports[i]) || slices.ContainsFunc(ports[:i], func(p engine.Port) bool { return samePort(p, ports[i]) }) {
				ports[i].HostPort = 0
			}
		}
		if s.portTaken(n, ports[i]) {
			return nil, fault.New(fault.PortTaken, "cannot start node %s: port %s is in use", n.Node.Name,
				net.JoinHostPort(cmp.Or(ports[i].HostIP, "0.0.0.0"), strconv.Itoa(int(ports[i].HostPort))))
		}
	}
	return ports, nil
}

// hasIP6 tells whether a node other than n has the address.
func (s *state) hasIP6(n *node, ip netip.Addr) bool {
	for _, other := range s.Nodes {
		if other != n && other.Node.IP6 == ip {
			return true
		}
	}
	return false
}

// address returns the address that a node gets: its own, or the first free one behind the gateway.
func (s *state) address(n *node, subnet netip.Prefix) (netip.Addr, error) {
	used := map[netip.Addr]bool{subnet.Addr().Next(): true}
	for _, other := range s.Nodes {
		if other != n && other.Node.IP.IsValid() {
			used[other.Node.IP] = true
		}
	}
	if ip := n.IP; ip.IsValid() {
		if used[ip] || !subnet.Contains(ip) {
			return ip, fault.New(fault.NetworkTaken, "cannot start node %s: address %s is in use or not of %s", n.Node.Name, ip, subnet)
		}
		return ip, nil
	}
	ip := subnet.Addr().Next()
	for used[ip] {
		ip = ip.Next()
	}
	return ip, nil
}

// portTaken tells whether somebody other than the node has the port.
func (s *state) portTaken(n *node, port engine.Port) bool {
	for _, other := range s.Nodes {
		if other != n && other.runs() && slices.ContainsFunc(other.Node.Ports, func(p engine.Port) bool { return samePort(p, port) }) {
			return true
		}
	}
	return slices.ContainsFunc(s.Taken, func(p engine.Port) bool { return samePort(p, port) })
}

// samePort tells whether two ports cannot be published both.
func samePort(a, b engine.Port) bool {
	all := func(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
	return a.HostPort == b.HostPort && cmp.Or(a.Protocol, "tcp") == cmp.Or(b.Protocol, "tcp") &&
		(a.HostIP == b.HostIP || all(a.HostIP) || all(b.HostIP))
}

// TakePort lets a process that is not the engine's have a port of the host.
func (f *Fake) TakePort(port engine.Port) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.Taken = append(f.state.Taken, port)
}

// StopNode stops a node; what does not run stays as it is.
func (f *Fake) StopNode(ctx context.Context, name string, _ time.Duration) error {
	return f.mutate(ctx, "StopNode "+name, func(s *state) error {
		n, err := s.node(name, "stop node")
		if err == nil && n.runs() {
			n.end(0, "fake node stopped\n")
		}
		return err
	}, nil)
}

// volumeLabels are the labels of the volumes that are made for a node.
func volumeLabels(spec engine.NodeSpec) map[string]string {
	labels := maps.Clone(spec.VolumeLabels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[engine.LabelCluster], labels[engine.LabelRun], labels[engine.LabelNode] = spec.Cluster, spec.Run, spec.Name
	return labels
}

// runs tells whether the node has processes, be they frozen.
func (n *node) runs() bool {
	return n.Node.State == engine.StateRunning || n.Node.State == engine.StatePaused
}

// begin is the begin of a node's PID 1.
func (n *node) begin() {
	n.Node.State, n.Node.Error, n.Node.ExitCode, n.Node.StartedAt = engine.StateRunning, "", 0, now()
	n.Log += "fake node started\n"
}

// end is the end of a node's PID 1.
func (n *node) end(code int, last string) {
	n.Node.State, n.Node.ExitCode, n.Node.Ports = engine.StateExited, code, slices.Clone(n.Spec.Ports)
	n.Node.IP, n.Node.IP6 = netip.Addr{}, netip.Addr{}
	n.Node.FinishedAt = now()
	n.Log += last
}

// Crash ends a node's PID 1 by itself, with that exit code; its log gets that last line.
func (f *Fake) Crash(name string, code int, last string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.state.node(name, "crash")
	if err != nil {
		return err
	}
	n.end(code, strings.TrimSuffix(last, "\n")+"\n")
	return f.keep()
}

// RemoveNode removes a node; its named volumes stay.
func (f *Fake) RemoveNode(ctx context.Context, name string) error {
	return f.mutate(ctx, "RemoveNode "+name, func(s *state) error {
		delete(s.Nodes, name)
		return nil
	}, nil)
}

// String is for messages of tests that fail.
func (n *node) String() string { return fmt.Sprintf("%s (%s)", n.Node.Name, n.Node.State) }

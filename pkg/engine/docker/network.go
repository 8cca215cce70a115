package docker

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/docker/docker/api/types/network"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// mtuOption is how a bridge network's MTU is set.
const mtuOption = "com.docker.network.driver.mtu"

// pickTries bounds how often a picked subnet may turn out to be taken meanwhile.
const pickTries = 16

// networkLimit is how long an engine may take to make a network.
const networkLimit = 30 * time.Second

// CreateNetwork makes a bridge network, with the MTU of the engine's default one: who lowered that did so because the way
// out is narrower. A picked subnet is a /24 that overlaps neither a network of the engine nor, where that is local, a
// route of the host.
func (e *Engine) CreateNetwork(ctx context.Context, spec engine.NetworkSpec) (engine.Network, error) {
	var tried []netip.Prefix
	for {
		existing, err := e.api.NetworkList(ctx, network.ListOptions{})
		if err != nil {
			return engine.Network{}, e.fail(fault.EngineFailed, err, "cannot create network %s", spec.Name)
		}
		// The engine lets two networks have one name where they are made at the same time, and older ones always.
		if slices.ContainsFunc(existing, func(n network.Summary) bool { return n.Name == spec.Name }) {
			return engine.Network{}, fault.New(fault.NameTaken, "cannot create network %s: there is one of that name", spec.Name)
		}
		if other := overlapping(existing, spec.Subnet, spec.Subnet6); other != "" {
			return engine.Network{}, fault.New(fault.NetworkTaken, "cannot create network %s: its subnet overlaps that of network %s", spec.Name, other)
		}
		subnet := spec.Subnet.Masked()
		if !spec.Subnet.IsValid() {
			avoid := slices.Concat(tried, spec.Avoid, subnetsOf(existing), e.hostRoutes())
			if subnet = engine.FreeSubnet(avoid); !subnet.IsValid() || len(tried) == pickTries {
				return engine.Network{}, fault.New(fault.NetworkExhausted, "cannot create network %s: no private /24 is free", spec.Name)
			}
		}
		subnets := []netip.Prefix{subnet}
		if spec.IPv6 {
			six := spec.Subnet6.Masked()
			if !spec.Subnet6.IsValid() {
				six = engine.FreeSubnet6(slices.Concat(spec.Avoid, subnetsOf(existing)))
			}
			if !six.IsValid() {
				return engine.Network{}, fault.New(fault.NetworkExhausted, "cannot create network %s: no local /64 is free", spec.Name)
			}
			subnets = append(subnets, six)
		}
		err = e.createNetwork(ctx, spec, subnets, defaultMTU(existing))
		if fault.Is(err, fault.NetworkTaken) && !spec.Subnet.IsValid() {
			tried = append(tried, subnet) // somebody else was faster, or the host uses it in a way that is not seen
			continue
		}
		if err != nil {
			return engine.Network{}, err
		}
		return e.network(ctx, spec.Name)
	}
}

// createNetwork asks the engine for the network, and waits for its answer also when ctx ends meanwhile: an engine that has
// begun makes it all the same, and maybe later than a roll-back looks for it.
func (e *Engine) createNetwork(ctx context.Context, spec engine.NetworkSpec, subnets []netip.Prefix, mtu string) error {
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[engine.LabelCluster], labels[engine.LabelRun] = spec.Cluster, spec.Run
	options := network.CreateOptions{
		Driver: "bridge", Labels: labels, Options: map[string]string{}, IPAM: &network.IPAM{},
	}
	for _, s := range subnets {
		// The gateway is named: some engines leave it out of what they tell where they chose it themselves.
		options.IPAM.Config = append(options.IPAM.Config, network.IPAMConfig{Subnet: s.String(), Gateway: s.Addr().Next().String()})
	}
	if spec.IPv6 {
		options.EnableIPv6 = new(bool)
		*options.EnableIPv6 = true
	}
	if mtu != "" {
		options.Options[mtuOption] = mtu
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), networkLimit)
	defer cancel()
	_, err := e.api.NetworkCreate(asking, spec.Name, options)
	if spec.IPv6 && lacksIPv6(err) {
		return fault.New(fault.EngineUnsupported, "cannot create network %s: the engine or its host has no IPv6: %s", spec.Name, trimPrefixes(err.Error())).
			WithHint("turn IPv6 on in the kernel of the engine's host and in the engine, or set networking.ipFamily to ipv4")
	}
	return e.fail(fault.EngineFailed, err, "cannot create network %s with subnet %s", spec.Name, subnets[0])
}

// network returns the network of that name.
func (e *Engine) network(ctx context.Context, name string) (engine.Network, error) {
	n, err := e.api.NetworkInspect(ctx, name, network.InspectOptions{})
	if err != nil {
		return engine.Network{}, e.fail(fault.EngineFailed, err, "cannot look at network %s", name)
	}
	return toNetwork(n), nil
}

// Networks lists the networks that match, ordered by name.
func (e *Engine) Networks(ctx context.Context, sel engine.Selector) ([]engine.Network, error) {
	found, err := e.api.NetworkList(ctx, network.ListOptions{Filters: labelFilter(sel, false)})
	if err != nil {
		return nil, e.fail(fault.EngineFailed, err, "cannot list networks")
	}
	networks := []engine.Network{}
	for _, n := range found {
		networks = append(networks, toNetwork(n))
	}
	slices.SortFunc(networks, func(a, b engine.Network) int { return cmp.Compare(a.Name, b.Name) })
	return networks, nil
}

// RemoveNetwork removes cove's network of that name. One that is not cove's is left alone. Containers that others have connected to it, such
// as a registry, are disconnected, and stay.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	found, err := e.Networks(ctx, engine.Selector{})
	if err != nil {
		return e.fail(fault.EngineFailed, err, "cannot remove network %s", name)
	}
	for _, n := range found {
		if n.Name != name {
			continue
		}
		err := e.api.NetworkRemove(ctx, n.ID)
		if err != nil && !isNotFound(err) && e.disconnectForeign(ctx, n.ID) {
			err = e.api.NetworkRemove(ctx, n.ID)
		}
		if err != nil && !isNotFound(err) {
			return e.fail(fault.EngineFailed, err, "cannot remove network %s", name)
		}
	}
	return nil
}

// disconnectForeign disconnects the containers of a network that are not cove's, and reports whether there were any.
func (e *Engine) disconnectForeign(ctx context.Context, id string) (found bool) {
	n, err := e.api.NetworkInspect(ctx, id, network.InspectOptions{})
	if err != nil {
		return false
	}
	for container := range n.Containers {
		c, err := e.api.ContainerInspect(ctx, container)
		if err != nil || c.Config == nil || c.Config.Labels[engine.LabelCluster] != "" {
			continue
		}
		found = e.api.NetworkDisconnect(ctx, id, container, true) == nil || found
	}
	return found
}

// toNetwork turns what the engine knows of a network into ours.
func toNetwork(n network.Inspect) engine.Network {
	out := engine.Network{
		ID: n.ID, Name: n.Name, Cluster: n.Labels[engine.LabelCluster], Run: n.Labels[engine.LabelRun], Labels: maps.Clone(n.Labels),
		Created: n.Created,
	}
	for _, c := range n.IPAM.Config {
		subnet, err := netip.ParsePrefix(c.Subnet)
		if err != nil {
			continue
		}
		gateway, _ := netip.ParseAddr(c.Gateway) // zero where the engine does not say
		if subnet.Addr().Is4() {
			out.Subnet, out.Gateway = subnet.Masked(), gateway
		} else {
			out.Subnet6, out.Gateway6 = subnet.Masked(), gateway
		}
	}
	return out
}

// defaultMTU returns the MTU that is set for the engine's default network; "" where none is.
func defaultMTU(networks []network.Summary) string {
	for _, n := range networks {
		if n.Name == network.NetworkBridge {
			return n.Options[mtuOption]
		}
	}
	return ""
}

// overlapping returns the name of a network that one of the subnets overlaps; empty where there is none.
func overlapping(networks []network.Summary, subnets ...netip.Prefix) string {
	for _, n := range networks {
		for _, s := range subnetsOf([]network.Summary{n}) {
			if slices.ContainsFunc(subnets, s.Overlaps) {
				return n.Name
			}
		}
	}
	return ""
}

// subnetsOf returns every subnet of the networks.
func subnetsOf(networks []network.Summary) []netip.Prefix {
	var subnets []netip.Prefix
	for _, n := range networks {
		for _, c := range n.IPAM.Config {
			if subnet, err := netip.ParsePrefix(c.Subnet); err == nil {
				subnets = append(subnets, subnet)
			}
		}
	}
	return subnets
}

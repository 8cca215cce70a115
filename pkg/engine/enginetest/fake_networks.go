package enginetest

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// network is a network.
type network = engine.Network

// volume is a named volume with its files.
type volume struct {
	engine.Volume
	Files map[string]file `json:"files"` // by path on the volume
}

// CreateNetwork makes a network.
func (f *Fake) CreateNetwork(ctx context.Context, spec engine.NetworkSpec) (engine.Network, error) {
	var made engine.Network
	create := func(s *state) (err error) {
		made, err = s.createNetwork(spec)
		return err
	}
	err := f.mutate(ctx, "CreateNetwork "+spec.Name, create, func(s *state) { _ = create(s) })
	if err != nil {
		return engine.Network{}, err
	}
	return made, nil
}

func (s *state) createNetwork(spec engine.NetworkSpec) (engine.Network, error) {
	if _, ok := s.Networks[spec.Name]; ok || spec.Name == "bridge" {
		return engine.Network{}, fault.New(fault.NameTaken, "cannot create network %s: there is one of that name", spec.Name)
	}
	taken := []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")} // the default network's
	for _, n := range s.Networks {
		if n.Subnet.Overlaps(spec.Subnet) || n.Subnet6.Overlaps(spec.Subnet6) {
			return engine.Network{}, fault.New(fault.NetworkTaken, "cannot create network %s: its subnet overlaps that of network %s", spec.Name, n.Name)
		}
		taken = append(taken, n.Subnet)
		if n.Subnet6.IsValid() {
			taken = append(taken, n.Subnet6)
		}
	}
	subnet := spec.Subnet.Masked()
	if !spec.Subnet.IsValid() {
		subnet = engine.FreeSubnet(slices.Concat(taken, spec.Avoid))
	}
	switch {
	case !subnet.IsValid():
		return engine.Network{}, fault.New(fault.NetworkExhausted, "cannot create network %s: no private /24 is free", spec.Name)
	case slices.ContainsFunc(taken, subnet.Overlaps):
		return engine.Network{}, fault.New(fault.NetworkTaken, "cannot create network %s: subnet %s overlaps another network", spec.Name, subnet)
	}
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[engine.LabelCluster], labels[engine.LabelRun] = spec.Cluster, spec.Run
	n := engine.Network{
		ID: s.id(), Name: spec.Name, Cluster: spec.Cluster, Run: spec.Run, Labels: labels, Subnet: subnet, Gateway: subnet.Addr().Next(),
		Created: time.Now(),
	}
	if spec.IPv6 {
		if n.Subnet6 = spec.Subnet6.Masked(); !spec.Subnet6.IsValid() {
			n.Subnet6 = engine.FreeSubnet6(slices.Concat(taken, spec.Avoid))
		}
		n.Gateway6 = n.Subnet6.Addr().Next()
	}
	s.Networks[spec.Name] = n
	return n, nil
}

// Networks lists networks.
func (f *Fake) Networks(ctx context.Context, sel engine.Selector) ([]engine.Network, error) {
	if err := interrupted(ctx, "list networks"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []engine.Network{}
	for _, n := range f.state.Networks {
		if selects(sel, n.Cluster, n.Run) {
			n.Labels = maps.Clone(n.Labels)
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b engine.Network) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// RemoveNetwork removes a network that no running node uses.
func (f *Fake) RemoveNetwork(ctx context.Context, name string) error {
	return f.mutate(ctx, "RemoveNetwork "+name, func(s *state) error {
		for _, n := range s.Nodes {
			if n.Spec.Network == name && n.Node.State == engine.StateRunning {
				return fault.New(fault.EngineFailed, "cannot remove network %s: node %s uses it", name, n.Node.Name)
			}
		}
		delete(s.Networks, name)
		return nil
	}, nil)
}

// Volumes lists volumes.
func (f *Fake) Volumes(ctx context.Context, sel engine.Selector) ([]engine.Volume, error) {
	if err := interrupted(ctx, "list volumes"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []engine.Volume{}
	for _, v := range f.state.Volumes {
		if selects(sel, v.Cluster, v.Run) {
			list = append(list, v.Volume)
		}
	}
	slices.SortFunc(list, func(a, b engine.Volume) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// RemoveVolume removes a volume that no node has.
func (f *Fake) RemoveVolume(ctx context.Context, name string) error {
	return f.mutate(ctx, "RemoveVolume "+name, func(s *state) error {
		for _, n := range s.Nodes {
			if slices.ContainsFunc(n.Spec.Volumes, func(v engine.VolumeMount) bool { return v.Name == name }) {
				return fault.New(fault.EngineFailed, "cannot remove volume %s: node %s has it", name, n.Node.Name)
			}
		}
		delete(s.Volumes, name)
		return nil
	}, nil)
}

package docker

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// undoTimeout bounds the removal of what a failed creation made; the caller's context may have ended by then.
const undoTimeout = 20 * time.Second

// CreateNode makes the node's container and puts spec.Files into it. Volumes that it finds are used as they are if they
// are the cluster's, and are NameTaken if not.
func (e *Engine) CreateNode(ctx context.Context, spec engine.NodeSpec) (_ engine.Node, err error) {
	sys, err := e.about(ctx)
	if err != nil {
		return engine.Node{}, err
	}
	var undo []func(context.Context) error
	defer func() {
		if err == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		for _, f := range slices.Backward(undo) {
			_ = f(ctx) // the first error tells more, and the roll-back by label tries again
		}
	}()
	for _, v := range spec.Volumes {
		made, err := e.ensureVolume(ctx, v.Name, spec)
		if made {
			undo = append(undo, func(ctx context.Context) error { return e.RemoveVolume(ctx, v.Name) })
		}
		if err != nil {
			return engine.Node{}, err
		}
	}
	id, err := e.createContainer(ctx, spec, func() (body, error) { return e.newBody(spec, sys) })
	if err != nil {
		return engine.Node{}, err
	}
	undo = append(undo, func(ctx context.Context) error { return e.removeContainer(ctx, id) })
	if err := e.PutFiles(ctx, spec.Name, spec.Files); err != nil {
		return engine.Node{}, err
	}
	return e.Node(ctx, spec.Name)
}

// createContainer creates a container, without the host's modules where the engine says that it has none. Several nodes
// that are made at once may all be told so.
func (e *Engine) createContainer(ctx context.Context, spec engine.NodeSpec, build func() (body, error)) (string, error) {
	for first := true; ; first = false {
		b, err := build()
		if err != nil {
			return "", err
		}
		if ctx.Err() != nil {
			return "", e.fail(fault.EngineFailed, context.Cause(ctx), "cannot create node %s", spec.Name)
		}
		made, err := e.askContainer(ctx, b, spec.Name)
		if err == nil {
			return made.ID, nil
		}
		if first && wantsNoModules(err) {
			e.noModules.Store(true)
			continue
		}
		if made.ID == "" && ctx.Err() != nil {
			// The engine may have finished what the caller gave up on; it is this spec's if it carries its run.
			e.removeStray(ctx, spec)
		}
		return "", e.fail(fault.EngineFailed, err, "cannot create node %s", spec.Name)
	}
}

// createLimit is how long an engine may take to make a container.
const createLimit = 60 * time.Second

// askContainer asks the engine for the container, and waits for its answer also when ctx ends meanwhile: an engine that has begun makes it
// all the same, and maybe later than a roll-back looks for it.
func (e *Engine) askContainer(ctx context.Context, b body, name string) (container.CreateResponse, error) {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), createLimit)
	defer cancel()
	return e.api.ContainerCreate(asking, b.config, b.host, b.net, nil, name)
}

// removeStray removes the container that an interrupted creation may have left.
func (e *Engine) removeStray(ctx context.Context, spec engine.NodeSpec) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	found, err := e.api.ContainerInspect(ctx, spec.Name)
	if err == nil && found.Config != nil && spec.Run != "" && found.Config.Labels[engine.LabelRun] == spec.Run {
		_ = e.removeContainer(ctx, found.ID) // best effort: the roll-back by label tries again
	}
}

// wantsNoModules tells the error of a host without /lib/modules.
func wantsNoModules(err error) bool { return strings.Contains(err.Error(), modulesPath) }

// Nodes lists the nodes that match, ordered by name.
func (e *Engine) Nodes(ctx context.Context, sel engine.Selector) ([]engine.Node, error) {
	found, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: labelFilter(sel, true)})
	if err != nil {
		return nil, e.fail(fault.EngineFailed, err, "cannot list nodes")
	}
	// The list lacks how a container ended, and why.
	nodes := make([]engine.Node, len(found))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range found {
		group.Go(func() error {
			c, err := e.api.ContainerInspect(groupCtx, found[i].ID)
			if isNotFound(err) {
				return nil // removed meanwhile
			}
			if err != nil {
				return e.fail(fault.EngineFailed, err, "cannot list nodes")
			}
			nodes[i] = toNode(c)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(n engine.Node) bool { return n.ID == "" })
	slices.SortFunc(nodes, func(a, b engine.Node) int { return cmp.Compare(a.Name, b.Name) })
	return nodes, nil
}

// Node returns the node of that name. A container that is not cove's is none.
func (e *Engine) Node(ctx context.Context, name string) (engine.Node, error) {
	c, err := e.inspect(ctx, name)
	if err != nil {
		return engine.Node{}, err
	}
	return toNode(c), nil
}

// inspect returns the container of the node of that name.
func (e *Engine) inspect(ctx context.Context, name string) (container.InspectResponse, error) {
	c, err := e.api.ContainerInspect(ctx, name)
	if err != nil && !isNotFound(err) {
		return c, e.fail(fault.EngineFailed, err, "cannot look at node %s", name)
	}
	// The engine also finds containers by the beginning of their ID.
	if err != nil || c.Config == nil || c.Config.Labels[engine.LabelCluster] == "" || strings.TrimPrefix(c.Name, "/") != name {
		return c, fault.New(fault.NodeNotFound, "cannot find node %s: there is none of that name", name)
	}
	return c, nil
}

// RemoveNode kills and removes the node's container. A container that is not cove's is left alone.
func (e *Engine) RemoveNode(ctx context.Context, name string) error {
	c, err := e.inspect(ctx, name)
	if fault.Is(err, fault.NodeNotFound) {
		return nil
	}
	if err == nil {
		err = e.removeContainer(ctx, c.ID)
	}
	return e.fail(fault.EngineFailed, err, "cannot remove node %s", name)
}

// removeContainer removes a container and its nameless volumes; one that is gone is no error.
func (e *Engine) removeContainer(ctx context.Context, id string) error {
	err := e.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err == nil || isNotFound(err) {
		return nil
	}
	// Somebody else removes it now: wait for them, so that its name and its network are free when this returns.
	if strings.Contains(err.Error(), "is already in progress") {
		removed, failed := e.api.ContainerWait(ctx, id, container.WaitConditionRemoved)
		select {
		case <-removed:
			return nil
		case err = <-failed:
			if isNotFound(err) {
				return nil
			}
		}
	}
	return err
}

// labelFilter is the engine's filter for a selector.
func labelFilter(sel engine.Selector, nodes bool) filters.Args {
	args := filters.NewArgs(filters.Arg("label", engine.LabelCluster))
	for label, value := range map[string]string{engine.LabelCluster: sel.Cluster, engine.LabelRun: sel.Run} {
		if value != "" {
			args.Add("label", label+"="+value)
		}
	}
	if nodes && sel.Role != "" {
		args.Add("label", engine.LabelRole+"="+sel.Role)
	}
	return args
}

// toNode turns what the engine knows of a container into a node.
func toNode(c container.InspectResponse) engine.Node {
	labels := c.Config.Labels
	n := engine.Node{
		ID: c.ID, Name: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image, Labels: maps.Clone(labels),
		Cluster: labels[engine.LabelCluster], Role: labels[engine.LabelRole], Run: labels[engine.LabelRun],
	}
	if created, err := time.Parse(time.RFC3339Nano, c.Created); err == nil {
		n.Created = created
	}
	if c.State != nil {
		n.State, n.ExitCode, n.Error = engine.State(c.State.Status), c.State.ExitCode, trimPrefixes(c.State.Error)
		if c.State.Status == container.StateRemoving {
			n.State = engine.StateDead
		}
		if n.Error == "" && c.State.OOMKilled {
			n.Error = "killed for want of memory"
		}
		n.StartedAt, n.FinishedAt = when(c.State.StartedAt), when(c.State.FinishedAt)
	}
	n.Restarts = c.RestartCount
	if c.HostConfig != nil {
		n.KeptDown = c.HostConfig.RestartPolicy.IsNone()
		n.NanoCPUs, n.Memory, n.Mounts = c.HostConfig.NanoCPUs, c.HostConfig.Memory, bindsOf(c.HostConfig)
		n.Ports = ports(c.HostConfig.PortBindings)
		for _, m := range c.HostConfig.Mounts {
			if m.Type == mount.TypeVolume {
				n.Volumes = append(n.Volumes, engine.VolumeMount{Name: m.Source, Target: m.Target})
			}
		}
	}
	if c.NetworkSettings != nil {
		if published := ports(c.NetworkSettings.Ports); len(published) > 0 {
			n.Ports = published
		}
		n.Networks = attachments(c.NetworkSettings.Networks)
	}
	for i, a := range n.Networks { // the network that it was made on counts, where it is on others too
		if i == 0 || c.HostConfig != nil && a.Network == string(c.HostConfig.NetworkMode) {
			n.IP, n.IP6 = a.IP, a.IP6
		}
	}
	return n
}

// attachments returns a container's places on networks, ordered by their names.
func attachments(endpoints map[string]*network.EndpointSettings) []engine.Attachment {
	var all []engine.Attachment
	for name, ep := range endpoints {
		a := engine.Attachment{Network: name}
		if ep != nil { // what is not set is no address
			a.IP, _ = netip.ParseAddr(ep.IPAddress)
			a.IP6, _ = netip.ParseAddr(ep.GlobalIPv6Address)
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b engine.Attachment) int { return cmp.Compare(a.Network, b.Network) })
	return all
}

// when reads a time of the engine's; it writes the year 1 for never.
func when(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"

	"github.com/cove-k8s/cove/pkg/fault"
)

// StartNode starts the node's container. Whether an engine can give --privileged shows only here; where it cannot, the
// container is replaced by one with the capabilities that the engine has (its ID is a new one), and the engine is
// remembered as restricted. So it is with the host's modules and with a limit on swap. A paused node is NodeStart.
func (e *Engine) StartNode(ctx context.Context, name string) error {
	c, err := e.inspect(ctx, name)
	if err != nil {
		return err
	}
	// Each round takes away one thing that the engine cannot give, so there are few.
	for {
		err := e.api.ContainerStart(ctx, c.ID, container.StartOptions{})
		if err == nil {
			return nil
		}
		switch {
		case lacksCapabilities(err) && c.HostConfig.Privileged:
			e.restricted.Store(true)
		case wantsNoModules(err) && hasModules(c.HostConfig):
			e.noModules.Store(true)
		case lacksSwap(err) && c.HostConfig.MemorySwap > 0:
			e.noSwap.Store(true)
		default:
			return e.startError(name, c, err)
		}
		if c, err = e.replace(ctx, c); err != nil {
			return e.fail(fault.NodeStart, err, "cannot start node %s with what the engine can give", name)
		}
	}
}

// startError says why a node did not start.
func (e *Engine) startError(name string, c container.InspectResponse, cause error) error {
	err := e.fail(fault.NodeStart, cause, "cannot start node %s", name)
	// Not all engines say which port is taken. Where only one is asked for, it is that one.
	if fault.Is(err, fault.PortTaken) && takenPort(cause.Error()) == "" {
		if asked := ports(c.HostConfig.PortBindings); len(asked) == 1 {
			return fault.Wrap(fault.PortTaken, err, "port %s is in use", portName(asked[0]))
		}
	}
	return err
}

// replace makes the container anew as the engine can run it: the same name, spec, address and volumes, and the files
// that were put into it.
func (e *Engine) replace(ctx context.Context, old container.InspectResponse) (container.InspectResponse, error) {
	sys, err := e.about(ctx)
	if err != nil {
		return old, err
	}
	files, err := e.additions(ctx, old)
	if err != nil {
		return old, err
	}
	name := strings.TrimPrefix(old.Name, "/")
	b := body{config: old.Config, host: old.HostConfig, net: &network.NetworkingConfig{}}
	if old.NetworkSettings != nil && len(old.NetworkSettings.Networks) > 0 {
		b.net.EndpointsConfig = map[string]*network.EndpointSettings{}
		for network, s := range old.NetworkSettings.Networks {
			b.net.EndpointsConfig[network] = endpointSettings()
			b.net.EndpointsConfig[network].IPAMConfig = s.IPAMConfig
		}
	}
	if e.noModules.Load() {
		b.host.Mounts = slices.DeleteFunc(b.host.Mounts, isModules)
	}
	if e.noSwap.Load() {
		b.host.MemorySwap = e.swapLimit(b.host.Memory, sys)
	}
	if b.host.Privileged || slices.Contains(b.host.CapAdd, allCapabilities) { // not one that was made without privileges
		e.privileges(b.host, sys)
	}
	if err := e.removeContainer(ctx, old.ID); err != nil {
		return old, err
	}
	made, err := e.api.ContainerCreate(ctx, b.config, b.host, b.net, nil, name)
	if err != nil {
		return old, err
	}
	if len(files) > 0 {
		if err := e.api.CopyToContainer(ctx, made.ID, "/", bytes.NewReader(files), container.CopyToContainerOptions{}); err != nil {
			return old, err
		}
	}
	return e.inspect(ctx, name)
}

func isModules(m mount.Mount) bool { return m.Type == mount.TypeBind && m.Target == modulesPath }

func hasModules(host *container.HostConfig) bool { return slices.ContainsFunc(host.Mounts, isModules) }

// additions returns, as one archive, the files that a container has and its image has not. What is on its volumes is left
// out, for they stay, and so is what the engine itself puts there.
func (e *Engine) additions(ctx context.Context, c container.InspectResponse) ([]byte, error) {
	changes, err := e.api.ContainerDiff(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	var paths []string
	added := map[string]bool{}
	for _, change := range changes {
		if change.Kind != container.ChangeDelete && !engineOwned(c, change.Path) {
			paths = append(paths, change.Path)
			added[change.Path] = change.Kind == container.ChangeAdd
		}
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, p := range paths {
		// Only leaves: a directory is made for what is in it.
		if slices.ContainsFunc(paths, func(q string) bool { return strings.HasPrefix(q, p+"/") }) {
			continue
		}
		if err := e.copyEntry(ctx, c.ID, p, added[p], w); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// engineOwned tells the paths that are no file of the node's own root file system.
func engineOwned(c container.InspectResponse, p string) bool {
	owned := []string{"/dev", "/proc", "/sys", "/run", "/tmp", modulesPath, "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv"}
	for _, m := range c.Mounts {
		owned = append(owned, m.Destination)
	}
	return slices.ContainsFunc(owned, func(o string) bool {
		return p == o || strings.HasPrefix(p, strings.TrimSuffix(o, "/")+"/") || strings.HasPrefix(o, p+"/")
	})
}

// copyEntry copies one file, with its whole path, from a container into w. Of a directory it copies nothing but that it was
// added: what is in it is the image's or a volume's.
func (e *Engine) copyEntry(ctx context.Context, id, p string, added bool, w *tar.Writer) error {
	body, _, err := e.api.CopyFromContainer(ctx, id, p)
	if err != nil {
		return err
	}
	defer body.Close()
	r := tar.NewReader(body)
	h, err := r.Next()
	if err != nil {
		return err
	}
	h.Name = strings.TrimPrefix(p, "/")
	if h.Typeflag == tar.TypeDir {
		if !added {
			return nil
		}
		h.Name += "/"
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(w, r, h.Size)
	return err
}

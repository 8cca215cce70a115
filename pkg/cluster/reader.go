package cluster

import (
	"context"
	"errors"
	"slices"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// labelReader marks a container that stands in for a control plane's: it never runs, and only lets the files on its volumes
// be read. A run that replaces the container of the only control plane may be killed when the old one is gone and the new one
// is not there yet.
const labelReader = "cove.dev/reader"

// observeAnyway looks at a cluster as observe does, also where no control plane has a container: then one that is never
// started is made on a control plane's volumes, for a comparison that finds its container gone. drop removes it, where nothing
// is done about that.
func observeAnyway(ctx context.Context, d Deps, name string) (was observed, drop func(context.Context) error, err error) {
	drop = func(context.Context) error { return nil }
	was, err = observe(ctx, d, name)
	if !fault.Is(err, fault.ClusterIncomplete) || len(was.controlPlanes()) > 0 || len(was.networks) == 0 {
		return was, drop, err
	}
	node, found := was.keptControlPlane()
	if !found {
		return was, drop, err
	}
	doc, docErr := was.document()
	if docErr != nil {
		return was, drop, err
	}
	spec := engine.NodeSpec{
		Name: node, Cluster: name, Role: engine.RoleControlPlane, Network: was.networks[0].Name, Volumes: volumes(node),
		Labels: map[string]string{labelReader: "true"},
	}
	if others := was.containers(); len(others) > 0 {
		spec.Image = others[0].Image
	} else if spec.Image, err = anyImage(ctx, d, doc.KubernetesVersion); err != nil {
		return was, drop, err
	}
	if _, err := d.Engine.CreateNode(ctx, spec); err != nil {
		return was, drop, fault.Wrap(fault.EngineFailed, err, "cannot read the volumes of %s", node)
	}
	drop = func(ctx context.Context) error { return d.Engine.RemoveNode(ctx, node) }
	was, err = observe(ctx, d, name)
	return was, drop, err
}

func anyImage(ctx context.Context, d Deps, version string) (string, error) {
	img, err := d.EnsureImage(ctx, d.Engine, reporter(ctx), "", version)
	if err != nil {
		return "", err
	}
	return firstName(img), nil
}

// keptControlPlane returns the name of a control plane whose volumes are all there, the first one by its name.
func (o observed) keptControlPlane() (string, bool) {
	var names []string
	for _, v := range o.volumes {
		if v.Labels[engine.LabelRole] == engine.RoleControlPlane && o.whole(v.Node) {
			names = append(names, v.Node)
		}
	}
	if len(names) == 0 {
		return "", false
	}
	return slices.Min(names), true
}

// completeOnVolumes reports whether the volumes that are left of a cluster without a control plane's container are those of a
// complete one.
func completeOnVolumes(ctx context.Context, d Deps, f found) (bool, error) {
	if len(f.controlPlanes()) > 0 || len(f.volumes) == 0 {
		return false, nil
	}
	_, drop, err := observeAnyway(ctx, d, f.name)
	if fault.Is(err, fault.ClusterIncomplete) {
		return false, drop(ctx)
	}
	return err == nil, errors.Join(err, drop(ctx))
}

// noReader refuses to work on a container that only stands in for a node's.
func (o observed) noReader() error {
	for _, n := range o.nodes {
		if isReader(n) {
			return o.unreadable()
		}
	}
	return nil
}

// isReader reports whether a container only stands in for a node's.
func isReader(n engine.Node) bool { return n.Labels[labelReader] != "" }

package cluster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// labelReader marks a container that stands in for a control plane's: it never runs, and only lets the files on its volumes
// be read. A run that replaces the container of the only control plane may be killed when the old one is gone and the new one
// is not there yet.
const labelReader = "cove.dev/reader"

// observeAnyway looks at a cluster as observe does, also where no control plane that has a container has a record: then containers
// that are never started are made on the volumes of the others, for a comparison that finds their containers gone. They need no
// network, which may be gone as well. drop removes them, where nothing is done about that.
func observeAnyway(ctx context.Context, d Deps, name string) (was observed, drop func(context.Context) error, err error) {
	var readers []string
	drop = func(ctx context.Context) error {
		var failed []error
		for _, node := range readers {
			failed = append(failed, d.Engine.RemoveNode(ctx, node))
		}
		return errors.Join(failed...)
	}
	was, err = observe(ctx, d, name)
	unread := was.unread()
	if len(unread) == 0 || !was.noRecord && !slices.ContainsFunc(was.nodes, isReader) {
		return was, drop, err
	}
	image, err := readerImage(ctx, d, was)
	if err != nil {
		return was, drop, err
	}
	for _, node := range unread {
		_, err := d.Engine.CreateNode(ctx, engine.NodeSpec{
			Name: node, Cluster: name, Role: engine.RoleControlPlane, Image: image, Volumes: volumes(node),
			Labels: map[string]string{labelReader: "true"},
		})
		if err != nil {
			return was, drop, fault.Wrap(fault.EngineFailed, err, "cannot read the volumes of %s", node)
		}
		readers = append(readers, node)
	}
	was, err = observe(ctx, d, name)
	return was, drop, err
}

// readerImage returns an image to read volumes with. Any one will do: that of a container of the cluster's, or a node image that the
// engine has.
func readerImage(ctx context.Context, d Deps, was observed) (string, error) {
	if others := was.containers(); len(others) > 0 {
		return others[0].Image, nil
	}
	images, err := d.Engine.ImageList(ctx)
	if err != nil {
		return "", err
	}
	for _, img := range images {
		if img.Labels[engine.LabelNodeImage] != "" && len(img.Names) > 0 {
			return img.Names[0], nil
		}
	}
	version := v1alpha1.DefaultKubernetesVersion()
	if doc, err := was.document(); err == nil {
		version = doc.KubernetesVersion
	}
	img, err := d.EnsureImage(ctx, d.Engine, reporter(ctx), "", version)
	return firstName(img), err
}

// without returns the names of the control planes whose volumes are all there, and that have no container of the kind, ordered.
func (f found) without(counts func(engine.Node) bool) []string {
	kept := map[string]int{}
	for _, v := range f.volumes {
		if v.Labels[engine.LabelRole] == engine.RoleControlPlane {
			kept[v.Node]++
		}
	}
	for node, n := range kept {
		if c, ok := f.node(node); ok && counts(c) || n < len(volumes(node)) {
			delete(kept, node)
		}
	}
	return slices.Sorted(maps.Keys(kept))
}

// unread returns the names of the control planes whose volumes nothing can be read from, for want of a container.
func (f found) unread() []string {
	return f.without(func(engine.Node) bool { return true })
}

// lost returns the names of the control planes that nothing but their volumes is left of.
func (f found) lost() []string {
	return f.without(func(n engine.Node) bool { return !isReader(n) })
}

// unreadable says why a cluster has no record: no run completed it, or it may be on volumes of control planes whose containers are gone.
func (f found) unreadable() error {
	lost := f.lost()
	if len(lost) == 0 {
		return incomplete(f.name)
	}
	return fault.New(fault.ClusterIncomplete, "no container of %s is left, and no other control plane of cluster %q has its record", strings.Join(lost, ", "), f.name).
		WithHint("`cove apply %s` brings back what is on the volumes; `cove delete %s` removes it all", f.name, f.name)
}

// neverComplete reports whether all control planes that left their volumes have been read, and none has a record.
func (o observed) neverComplete(err error) bool {
	return fault.Is(err, fault.ClusterIncomplete) && o.noRecord && len(o.unread()) == 0
}

// completeOnVolumes reports whether the volumes that are left of a cluster are those of a complete one. What cannot be read is an
// error, and no proof that it was not.
func completeOnVolumes(ctx context.Context, d Deps, f found) (bool, error) {
	was, drop, err := observeAnyway(ctx, d, f.name)
	if dropErr := drop(ctx); dropErr != nil {
		return false, errors.Join(err, dropErr)
	}
	if was.neverComplete(err) || fault.Is(err, fault.ClusterNotFound) {
		return false, nil
	}
	return err == nil, err
}

// noReader refuses to work on a container that only stands in for a node's, and on those that cannot be started, since their network
// is gone.
func (o observed) noReader() error {
	if o.pruned {
		return fault.New(fault.ClusterIncomplete, "the network of cluster %q is gone", o.name).
			WithHint("`cove apply %s` makes it again, and containers on the volumes that are there", o.name)
	}
	if slices.ContainsFunc(o.nodes, isReader) {
		return o.unreadable()
	}
	return nil
}

// isReader reports whether a container only stands in for a node's.
func isReader(n engine.Node) bool { return n.Labels[labelReader] != "" }

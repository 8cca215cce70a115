package docker

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/docker/docker/api/types/volume"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// ensureVolume makes a node's volume where there is none, and says whether it did.
func (e *Engine) ensureVolume(ctx context.Context, name string, spec engine.NodeSpec) (made bool, err error) {
	found, err := e.api.VolumeInspect(ctx, name)
	switch {
	case err == nil && found.Labels[engine.LabelCluster] != spec.Cluster:
		return false, fault.New(fault.NameTaken, "cannot create volume %s: there is one of that name that is not the cluster's", name)
	case err == nil:
		return false, nil
	case !isNotFound(err):
		return false, e.fail(fault.EngineFailed, err, "cannot look at volume %s", name)
	}
	labels := maps.Clone(spec.VolumeLabels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[engine.LabelCluster], labels[engine.LabelRun], labels[engine.LabelNode] = spec.Cluster, spec.Run, spec.Name
	_, err = e.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Labels: labels})
	// Also when the caller gave up the engine may have made it.
	return err == nil || ctx.Err() != nil, e.fail(fault.EngineFailed, err, "cannot create volume %s", name)
}

// Volumes lists the volumes that match, ordered by name.
func (e *Engine) Volumes(ctx context.Context, sel engine.Selector) ([]engine.Volume, error) {
	found, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: labelFilter(sel, false)})
	if err != nil {
		return nil, e.fail(fault.EngineFailed, err, "cannot list volumes")
	}
	volumes := []engine.Volume{}
	for _, v := range found.Volumes {
		volumes = append(volumes, engine.Volume{
			Name: v.Name, Cluster: v.Labels[engine.LabelCluster], Run: v.Labels[engine.LabelRun], Node: v.Labels[engine.LabelNode],
			Labels: maps.Clone(v.Labels),
		})
	}
	slices.SortFunc(volumes, func(a, b engine.Volume) int { return cmp.Compare(a.Name, b.Name) })
	return volumes, nil
}

// RemoveVolume removes a volume. One that is not cove's is left alone.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	found, err := e.api.VolumeInspect(ctx, name)
	if isNotFound(err) || (err == nil && found.Labels[engine.LabelCluster] == "") {
		return nil
	}
	if err == nil {
		err = e.api.VolumeRemove(ctx, name, false)
	}
	if isNotFound(err) {
		return nil
	}
	return e.fail(fault.EngineFailed, err, "cannot remove volume %s", name)
}

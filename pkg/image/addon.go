package image

import (
	"context"
	"fmt"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// AddonImage says how an image of an addon gets into nodes.
type AddonImage struct {
	Ref string // as pods name it
	// From is the engine's own name of the image, which is loaded into the nodes; empty where the nodes pull it.
	From string
}

// Recipes builds images of addons from source.
type Recipes interface {
	// Tag returns the engine's name of what the recipe makes, Content the hash of what it is made from.
	Tag(recipe string) (string, error)
	Content(recipe, arch string) (string, error)
	// Build makes the image on the engine.
	Build(ctx context.Context, recipe string) error
}

// labelContent is the label of cove's own images that holds the hash of what they were made from.
const labelContent = "cove.dev/content"

// EnsureAddon finds a way for the image to get into nodes. In this order: the engine has cove's own build of it, made from
// the same content; the engine has it; a registry answers, so that the nodes pull it; the engine can pull it; it is
// built. recipe may be empty: nothing is built then. What takes long is said before. The error is ImageUnavailable, or
// the build's.
func (c Chooser) EnsureAddon(ctx context.Context, e engine.Engine, rep *event.Reporter, ref, recipe string) (AddonImage, error) {
	info, err := e.Info(ctx)
	if err != nil {
		return AddonImage{}, err
	}
	own, err := c.ownBuild(ctx, e, recipe, info.Architecture)
	if err != nil || own.there {
		return AddonImage{Ref: ref, From: own.tag}, err
	}
	img, err := e.Image(ctx, ref)
	if err == nil && fits(img, info.Architecture) {
		return AddonImage{Ref: ref, From: ref}, nil
	}
	if err != nil && !fault.Is(err, fault.ImageNotFound) {
		return AddonImage{}, err
	}
	rep.Waiting("a registry that has %s", ref)
	if _, err := c.size(ctx, ref, info.Architecture); err == nil {
		return AddonImage{Ref: ref}, nil
	}
	pulled, why := c.tryPull(ctx, e, rep, ref, "the engine has no "+ref, info.Architecture)
	switch {
	case ctx.Err() != nil:
		return AddonImage{}, context.Cause(ctx)
	case pulled:
		return AddonImage{Ref: ref, From: ref}, nil
	case recipe == "":
		return AddonImage{}, &fault.Error{Code: fault.ImageUnavailable, Msg: "cannot get image " + ref, Err: why}
	}
	rep.Warn("", "building %s from source, which takes minutes the first time: no registry gives it (%v)", ref, why)
	if err := c.Recipes.Build(ctx, recipe); err != nil {
		return AddonImage{}, fault.Wrap(fault.ImageUnavailable, err, "cannot get image %s: no registry gives it (%v), and it cannot be built", ref, why)
	}
	return AddonImage{Ref: ref, From: own.tag}, nil
}

// ownBuild looks for what the recipe makes.
func (c Chooser) ownBuild(ctx context.Context, e engine.Images, recipe, arch string) (own struct {
	tag   string
	there bool
}, err error,
) {
	if recipe == "" {
		return own, nil
	}
	if own.tag, err = c.Recipes.Tag(recipe); err != nil {
		return own, err
	}
	want, err := c.Recipes.Content(recipe, arch)
	if err != nil {
		return own, err
	}
	img, err := e.Image(ctx, own.tag)
	if fault.Is(err, fault.ImageNotFound) {
		return own, nil
	}
	own.there = err == nil && img.Labels[labelContent] == want
	return own, err
}

// LoadAddon loads those of the images that the engine has into the nodes, under the names by which pods know them. When it
// returns without an error, the kubelet of each node sees them. Errors are those of Load.
func LoadAddon(ctx context.Context, e engine.Engine, nodes []engine.Node, images []AddonImage, rep *event.Reporter) error {
	var from []string
	for _, img := range images {
		if img.From != "" {
			from = append(from, img.From)
		}
	}
	if len(from) == 0 {
		return event.Skip("the nodes pull what they need")
	}
	src, err := FromEngine(ctx, e, from...)
	if err != nil {
		return err
	}
	done, err := Load(ctx, e, nodes, src, rep)
	if err != nil {
		return err
	}
	l := &loader{engine: e, source: src, rep: rep}
	err = each(nodes, func(_ int, n engine.Node) error { return l.rename(ctx, n.Name, images) })
	if err == nil && len(done.Nodes) == 0 {
		return event.Skip("the nodes have them")
	}
	return err
}

// rename gives images of a node the names by which pods know them, and waits until Kubernetes sees those.
func (l *loader) rename(ctx context.Context, node string, images []AddonImage) error {
	var want []wanted
	for _, img := range images {
		if img.From == "" || img.From == img.Ref {
			continue
		}
		from, err := normal(img.From)
		if err != nil {
			return err
		}
		to, err := normal(img.Ref)
		if err != nil {
			return err
		}
		if _, err := engine.Output(ctx, l.engine, node, "ctr", "--namespace=k8s.io", "images", "tag", "--force", from, to); err != nil {
			return fault.Wrap(fault.ImageLoad, err, "cannot name image %s %s in node %s", from, to, node)
		}
		for _, w := range l.source.images {
			if w.name == from {
				want = append(want, wanted{name: to, digests: w.digests, arch: w.arch})
			}
		}
	}
	if len(want) == 0 {
		return nil
	}
	return l.verify(ctx, node, want)
}

// String says what becomes of the image.
func (i AddonImage) String() string {
	if i.From == "" {
		return i.Ref + " (pulled by the nodes)"
	}
	return fmt.Sprintf("%s (loaded from %s)", i.Ref, i.From)
}

package image

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// patience is how long a registry may take to answer before it counts as none.
const patience = 5 * time.Second

// Chooser gets images onto engines: those of nodes and of addons.
type Chooser struct {
	// Build builds the node image of a Kubernetes version and returns its name.
	Build func(ctx context.Context, rep *event.Reporter, version string) (ref string, err error)
	// Size asks a registry for the bytes of a pull; nil asks the one that the image's name says.
	Size func(ctx context.Context, ref, arch string) (int64, error)
	// Recipes builds images of addons.
	Recipes Recipes
}

// Ensure returns the image of that name, pulled where the engine lacks it. An empty name leaves the choice: cove's own
// image of the Kubernetes version, else kind's, where the engine has one; else kind's from a registry, where one answers;
// else cove's own, built from source. Which and why is a warning of the reporter's, unless it is the first choice. Errors
// are ImagePull, ImageBroken, ImageNotFound, and those of Build.
func (c Chooser) Ensure(ctx context.Context, e engine.Engine, rep *event.Reporter, name, version string) (engine.Image, error) {
	info, err := e.Info(ctx)
	if err != nil {
		return engine.Image{}, err
	}
	if name != "" {
		return c.named(ctx, e, rep, name, info.Architecture)
	}
	names := NodeImages(version)
	var odd []string // those that are there, and not for this engine
	for i, ref := range names {
		img, err := e.Image(ctx, ref)
		switch {
		case fault.Is(err, fault.ImageNotFound):
			continue
		case err != nil:
			return engine.Image{}, err
		case !fits(img, info.Architecture):
			odd = append(odd, fmt.Sprintf("%s is for %s", ref, img.Architecture))
			continue
		case i == 0:
			rep.Waiting("%s, which the engine has", ref)
		default:
			rep.Warn("`cove build node-image` builds one, which starts faster", "using %s, because the engine has no %s", ref, names[0])
		}
		return withName(img, ref), nil
	}
	lacks := fmt.Sprintf("the engine has no node image for Kubernetes %s", version)
	if len(odd) > 0 {
		lacks += " (" + strings.Join(odd, ", ") + ")"
	}
	return c.get(ctx, e, rep, version, lacks, info.Architecture)
}

// named returns the image of a name that the user chose.
func (c Chooser) named(ctx context.Context, e engine.Engine, rep *event.Reporter, ref, arch string) (engine.Image, error) {
	img, err := e.Image(ctx, ref)
	if fault.Is(err, fault.ImageNotFound) {
		if isOwn(ref) {
			return img, fault.New(fault.ImageNotFound, "the engine has no image %s, and no registry serves cove's own", ref).
				WithHint("`cove build node-image --tag %s` builds it", ref)
		}
		how := ""
		if size, err := c.size(ctx, ref, arch); err == nil {
			how = fmt.Sprintf(" (%s to download)", megabytes(size))
		}
		rep.Warn("", "pulling %s%s, because the engine does not have it", ref, how)
		if err := e.PullImage(ctx, ref, counter(rep)); err != nil {
			return img, fault.Wrap(fault.ImagePull, err, "cannot get the node image")
		}
		img, err = e.Image(ctx, ref)
	}
	if err != nil {
		return img, err
	}
	if !fits(img, arch) {
		return img, fault.New(fault.ImageBroken, "image %s is for %s, and the engine's host is %s", ref, img.Architecture, arch).
			WithHint("choose an image for linux/%s, or let cove choose one", arch)
	}
	return withName(img, ref), nil
}

// get pulls kind's image where a registry has it, and builds cove's own where none does.
func (c Chooser) get(ctx context.Context, e engine.Engine, rep *event.Reporter, version, lacks, arch string) (engine.Image, error) {
	ref := kindRepository + ":" + version
	rep.Waiting("a registry that has %s", ref)
	pulled, why := c.tryPull(ctx, e, rep, ref, lacks, arch)
	if ctx.Err() != nil {
		return engine.Image{}, context.Cause(ctx)
	}
	if pulled {
		img, err := e.Image(ctx, ref)
		return withName(img, ref), err
	}
	if fault.Is(why, fault.DiskFull) || fault.Is(why, fault.EngineUnreachable) {
		return engine.Image{}, why
	}
	rep.Warn("", "building %s:%s from source, which takes minutes the first time: %s, and no registry gives %s (%v)",
		Repository, version, lacks, ref, why)
	built, err := c.Build(ctx, rep, version)
	if err != nil {
		return engine.Image{}, fault.Wrap(fault.ImageBuild, err, "%s, and none can be pulled (%v) or built", lacks, why)
	}
	img, err := e.Image(ctx, built)
	return withName(img, built), err
}

// tryPull pulls the image if a registry answers in time, and says why it did not. The registry is asked from here first,
// for the size. That fails where only the engine has a way to it (a mirror, another host), so the engine may try as well:
// for as long as it takes if the registry has answered, else until its own answer is due.
func (c Chooser) tryPull(ctx context.Context, e engine.Engine, rep *event.Reporter, ref, lacks, arch string) (bool, error) {
	size, sizeErr := c.size(ctx, ref, arch)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	const hint = "interrupt it and run `cove build node-image` to build one from source instead"
	if sizeErr == nil {
		rep.Warn(hint, "pulling %s (%s to download), because %s", ref, megabytes(size), lacks)
		err := e.PullImage(ctx, ref, counter(rep))
		return err == nil, err
	}
	pulling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(patience, func() { cancel(errors.New("no answer")) })
	defer silent.Stop()
	var begun atomic.Bool
	count := counter(rep)
	err := e.PullImage(pulling, ref, func(done, total int64) {
		if begun.CompareAndSwap(false, true) {
			silent.Stop()
			rep.Warn(hint, "pulling %s (%s or more to download), because %s", ref, megabytes(total), lacks)
		}
		count(done, total)
	})
	if err != nil && pulling.Err() != nil && ctx.Err() == nil {
		err = context.Cause(pulling)
	}
	return err == nil, err
}

// size asks how large a pull is, in bounded time.
func (c Chooser) size(ctx context.Context, ref, arch string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ask := c.Size
	if ask == nil {
		ask = registrySize
	}
	return ask(ctx, ref, arch)
}

func counter(rep *event.Reporter) func(done, total int64) {
	return func(done, total int64) { rep.Count(done, total, "bytes") }
}

// fits reports whether an image is for the architecture, as far as it says.
func fits(img engine.Image, arch string) bool {
	return img.Architecture == "" || arch == "" || img.Architecture == arch
}

// withName puts the name by which the image was found first: that is how the cluster is to know it.
func withName(img engine.Image, ref string) engine.Image {
	names := []string{ref}
	for _, n := range img.Names {
		if n != ref {
			names = append(names, n)
		}
	}
	img.Names = names
	return img
}

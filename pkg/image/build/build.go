// Package build makes the node image, and images for tests, from sources: it compiles what a node runs, makes the root
// file system with the machine's own package tools, and hands the result to an engine. It never runs a container, and it
// needs no image registry.
package build

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// LabelContent is the image label that holds the hash of everything that the image was made from.
const LabelContent = "cove.dev/content"

// Options say what to build, and where.
type Options struct {
	Engine            engine.Engine // where the image is loaded
	Emitter           *event.Emitter
	KubernetesVersion string // "v1.36.3" or "1.36.3"; "" is the newest one
	Tag               string // "" is cove-node:VERSION
	CacheDir          string // "" is the folder cove of the user's cache
	Arch              string // "" is the engine's; another one than this machine's is refused
	Fresh             bool   // build every part anew, also those that have not changed
	Compressed        bool   // measure the image's size after gzip, too: some seconds more
}

// Result is what came of it.
type Result struct {
	Tag               string
	KubernetesVersion string // with "v"
	Content           string // the hash in LabelContent
	Skipped           bool   // the engine had the image of this content already
	Size              int64  // bytes, unpacked: as the engine tells, hard links counted once
	Compressed        int64  // bytes after gzip; 0 where it was not asked for
}

// NodeImage builds the node image of a Kubernetes version and loads it into the engine. Parts that have not changed come
// from the cache. An error has code ImageBuildTools where the machine lacks a tool, VersionUnknown for a version that has
// no recipe, ImageBuild for a part that failed.
func NodeImage(ctx context.Context, o Options) (Result, error) {
	version, err := versionOf(o.KubernetesVersion)
	if err != nil {
		return Result{}, err
	}
	b, err := newBuilder(ctx, o)
	if err != nil {
		return Result{}, err
	}
	tag := o.Tag
	if tag == "" {
		tag = "cove-node:" + version.Kubernetes
	}
	result := Result{Tag: tag, KubernetesVersion: version.Kubernetes, Content: b.content(version)}
	if !o.Fresh && upToDate(ctx, o, "image/load", &result) {
		if o.Compressed {
			result.Compressed, err = archiveSize(ctx, o.Engine, tag)
		}
		return result, err
	}
	parts, err := b.parts(ctx, nodeParts(version))
	if err != nil {
		return Result{}, err
	}
	return b.assemble(ctx, version, parts, result)
}

// upToDate reports whether the engine has the image already, made from the same content, and says so in a step of that ID.
func upToDate(ctx context.Context, o Options, id string, r *Result) bool {
	image, err := o.Engine.Image(ctx, r.Tag)
	if err != nil || image.Labels[LabelContent] != r.Content {
		return false
	}
	r.Skipped, r.Size = true, image.Size
	return o.Emitter.Step(ctx, id, "Load image "+r.Tag, func(context.Context, *event.Reporter) error {
		return event.Skip("the engine has it, made from the same content")
	}) == nil
}

// builder is one build.
type builder struct {
	Options
	arch   string
	cache  *cache
	tree   sourceTree
	golang goTool
}

// arch is the architecture to build for: the one that was asked for, else the engine's, else this machine's.
func (o Options) arch(ctx context.Context) (string, error) {
	if o.Arch != "" {
		return o.Arch, nil
	}
	if o.Engine == nil {
		return runtime.GOARCH, nil
	}
	info, err := o.Engine.Info(ctx)
	return info.Architecture, err
}

// newBuilder checks that the machine can build everything, and opens the cache.
func newBuilder(ctx context.Context, o Options) (*builder, error) {
	arch, err := o.arch(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkPlatform(runtime.GOOS, runtime.GOARCH, arch); err != nil {
		return nil, err
	}
	if err := checkTools(hostLookup{}); err != nil {
		return nil, err
	}
	return openBuilder(ctx, o, arch)
}

// openBuilder is a builder on a machine that has what it takes.
func openBuilder(ctx context.Context, o Options, arch string) (*builder, error) {
	tree, err := packedSources()
	if err != nil {
		return nil, err
	}
	c, err := openCache(o.CacheDir)
	if err != nil {
		return nil, err
	}
	tool, err := findGo(ctx, tree)
	if err != nil {
		return nil, err
	}
	return &builder{Options: o, arch: arch, cache: c, tree: tree, golang: tool}, nil
}

// checkPlatform refuses machines that cannot build an image for the architecture.
func checkPlatform(goos, goarch, arch string) error {
	switch {
	case goos != "linux":
		return fault.New(fault.ImageBuildTools, "cannot build an image on %s: it takes Linux", goos).
			WithHint("give --image kindest/node:…, or build on Linux and bring the image over with `docker save` and `docker load`")
	case goarch != arch:
		return fault.New(fault.ImageBuildTools, "cannot build an image for %s on %s", arch, goarch).
			WithHint("build on a machine of the engine's kind, or give --image kindest/node:…")
	}
	return nil
}

// bare returns a version without its "v".
func bare(version string) string { return strings.TrimPrefix(version, "v") }

// archiveSize returns the size of the engine's archive of an image after gzip.
func archiveSize(ctx context.Context, e engine.Engine, tag string) (int64, error) {
	in, err := e.SaveImages(ctx, tag)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	count := &counter{}
	out := gzip.NewWriter(count)
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Close())
	return count.n, fault.Wrap(fault.ImageBuild, err, "cannot measure image %s", tag)
}

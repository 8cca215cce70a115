package build

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// recipeVersion is part of the content of every image of a recipe. It changes when the code below makes other images of the
// same recipe and part.
const recipeVersion = "1"

// recipeOf finds the recipe of that name, among those that ok accepts. An unknown name is a Usage error.
func recipeOf(image string, ok func(recipe) bool) (recipe, error) {
	var names []string
	for _, r := range recipes() {
		if !ok(r) {
			continue
		}
		if names = append(names, r.Name); r.Name == image {
			return r, nil
		}
	}
	return recipe{}, fault.New(fault.Usage, "cannot build image %s: there is a recipe for %s", image, strings.Join(names, ", "))
}

// Image builds one of the images that have a recipe, such as "agnhost", and writes it to w as `docker save` does, under the
// name o.Tag ("" is cove.dev/NAME:VERSION; for agnhost, which is for tests, cove.dev/agnhost:test). o.Engine may be nil:
// nothing is loaded. An unknown name is a Usage error; the others are those of NodeImage.
func Image(ctx context.Context, o Options, image string, w io.Writer) (Result, error) {
	r, err := recipeOf(image, func(recipe) bool { return true })
	if err != nil {
		return Result{}, err
	}
	b, err := r.builder(ctx, o)
	if err != nil {
		return Result{}, err
	}
	result := Result{Tag: o.Tag, Content: r.content(b.tree, b.arch)}
	if result.Tag == "" {
		result.Tag = r.tag()
	}
	ref, err := name.NewTag(result.Tag)
	if err != nil {
		return Result{}, fault.Wrap(fault.Usage, err, "cannot name the image %s", result.Tag)
	}
	parts, err := b.recipeParts(ctx, r)
	if err != nil {
		return Result{}, err
	}
	err = o.Emitter.Step(ctx, "image/write", "Write image "+result.Tag, func(context.Context, *event.Reporter) error {
		img, size, err := r.image(b.arch, result.Content, parts)
		if err != nil {
			return err
		}
		result.Size = size
		return fault.Wrap(fault.FileUnwritable, tarball.Write(ref, img, w), "cannot write image %s", r.Name)
	})
	return result, err
}

// builder checks the machine for what the recipe needs: all of it for one that takes Debian's packages, else Go alone.
func (r recipe) builder(ctx context.Context, o Options) (*builder, error) {
	if r.Root.Shell {
		return newBuilder(ctx, o)
	}
	arch, err := o.arch(ctx)
	if err != nil {
		return nil, err
	}
	return goBuilder(ctx, o, arch)
}

// recipeParts builds what the recipe's image is made of.
func (b *builder) recipeParts(ctx context.Context, r recipe) (map[string]string, error) {
	if r.Root.Shell {
		return b.parts(ctx, []part{r.Part})
	}
	dir, err := b.compile(ctx, r.Part)
	return map[string]string{r.Part.Name: dir}, err
}

// tag is the image's name.
func (r recipe) tag() string {
	if r.Version == "" {
		return coveRegistry + r.Name + ":test"
	}
	return coveRegistry + r.Name + ":" + r.Version
}

// content is the hash of all that decides what the image is, but for the version of Go: an image that was built by another
// one is as good.
func (r recipe) content(sources sourceTree, arch string) string {
	root, err := json.Marshal(r.Root)
	if err != nil { // it has no value that JSON lacks: a test marshals every recipe
		root = fmt.Append(nil, err)
	}
	h := newHasher()
	h.add("image", recipeVersion, r.Name, r.Version, r.Part.key(sources, arch, ""), string(root))
	if r.Root.Shell {
		h.add(rootfsKey(arch))
	}
	return h.sum()
}

// image makes the image of finished parts, and tells the size of its archive.
func (r recipe) image(arch, content string, parts map[string]string) (v1.Image, int64, error) {
	t, err := r.tree(parts)
	if err != nil {
		return nil, 0, fault.Wrap(fault.ImageBuild, err, "cannot lay out image %s", r.Name)
	}
	l, err := newLayer(t)
	if err != nil {
		return nil, 0, fault.Wrap(fault.ImageBuild, err, "cannot lay out image %s", r.Name)
	}
	config := r.Root.Config
	config.Env = []string{defaultPath}
	config.Labels = map[string]string{LabelContent: content, "org.opencontainers.image.title": r.Name}
	if r.Version != "" {
		config.Labels["org.opencontainers.image.version"] = r.Version
	}
	img, err := newImage(config, arch, types.DockerManifestSchema2, types.DockerConfigJSON, []mutate.Addendum{addendum(l, r.Part.Title)})
	return img, l.size, fault.Wrap(fault.ImageBuild, err, "cannot make image %s", r.Name)
}

// tree lays out the image's files.
func (r recipe) tree(parts map[string]string) (tree, error) {
	t, dir := skeleton(), parts[r.Part.Name]
	if r.Root.Shell {
		rootfs, err := readRootfs(filepath.Join(parts[partRootfs], "base.tar"))
		if err != nil {
			return nil, err
		}
		busybox(t, rootfs)
	}
	for to, mode := range r.Root.Folders {
		t.dir(to, mode)
	}
	for to, binary := range r.Root.Programs {
		if err := t.file(to, filepath.Join(dir, binary)); err != nil {
			return nil, err
		}
	}
	for to, file := range r.Root.Texts {
		data, err := os.ReadFile(filepath.Join(dir, file)) //nolint:gosec // a part in the cache
		if err != nil {
			return nil, err
		}
		t.bytes(to, data)
	}
	return t, addLicenses(t, "usr/share/cove/licenses", parts)
}

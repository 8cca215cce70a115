package build

import (
	"context"
	"runtime"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// isAddon reports whether the recipe is for an addon's image: it has a version, and takes nothing but Go.
func isAddon(r recipe) bool { return r.Version != "" }

// AddonRecipes lists the images that AddonImage builds, in the order of the recipes.
func AddonRecipes() []string {
	var names []string
	for _, r := range recipes() {
		if isAddon(r) {
			names = append(names, r.Name)
		}
	}
	return names
}

// AddonTag returns the name that a recipe's image has on an engine, cove.dev/RECIPE:VERSION. Nothing is ever pulled from
// there. An unknown recipe is a Usage error.
func AddonTag(recipe string) (string, error) {
	r, err := recipeOf(recipe, isAddon)
	if err != nil {
		return "", err
	}
	return r.tag(), nil
}

// AddonContent returns the hash of all that decides what a recipe's image for the architecture ("amd64") is, apart from the
// version of Go. An image with it in LabelContent is up to date. It needs no tools and no network. An unknown recipe is a
// Usage error.
func AddonContent(recipe, arch string) (string, error) {
	r, err := recipeOf(recipe, isAddon)
	if err != nil {
		return "", err
	}
	sources, err := packedSources()
	if err != nil {
		return "", err
	}
	return r.content(sources, arch), nil
}

// AddonImage builds an addon's image and loads it into o.Engine under the name o.Tag ("" is AddonTag's), unless the engine
// has it, made from the same content. It takes Go and no other tool. Several may be built at once: what two recipes have in
// common is compiled once, and the steps are named image/build/RECIPE and image/load/RECIPE. An unknown recipe is a Usage
// error; code ImageBuildTools says that the machine cannot build it, ImageBuild that the build failed.
func AddonImage(ctx context.Context, o Options, recipe string) (Result, error) {
	r, err := recipeOf(recipe, isAddon)
	if err != nil {
		return Result{}, err
	}
	arch, err := o.arch(ctx)
	if err != nil {
		return Result{}, err
	}
	result := Result{Tag: o.Tag}
	if result.Tag == "" {
		result.Tag = r.tag()
	}
	if result.Content, err = AddonContent(recipe, arch); err != nil {
		return Result{}, err
	}
	if !o.Fresh && upToDate(ctx, o, "image/load/"+r.Name, &result) { // before anything that takes a tool
		if o.Compressed {
			result.Compressed, err = archiveSize(ctx, o.Engine, result.Tag)
		}
		return result, err
	}
	b, err := goBuilder(ctx, o, arch)
	if err != nil {
		return Result{}, err
	}
	dir, err := b.compileAs(ctx, "image/build/"+r.Name, "Build "+r.Name+" "+r.Version, r.Part)
	if err != nil {
		return Result{}, err
	}
	return b.loadAddon(ctx, r, dir, result)
}

// goBuilder is a builder for parts that take nothing but Go: for any architecture, and not on Linux only.
func goBuilder(ctx context.Context, o Options, arch string) (*builder, error) {
	if err := checkGo(runtime.GOOS, hostLookup{}); err != nil {
		return nil, err
	}
	return openBuilder(ctx, o, arch)
}

// loadAddon makes the image of the recipe's part, which lies in dir, and loads it.
func (b *builder) loadAddon(ctx context.Context, r recipe, dir string, result Result) (Result, error) {
	err := b.Emitter.Step(ctx, "image/load/"+r.Name, "Load image "+result.Tag, func(ctx context.Context, rep *event.Reporter) error {
		img, _, err := r.image(b.arch, result.Content, map[string]string{r.Part.Name: dir})
		if err != nil {
			return err
		}
		if result.Size, err = b.replace(ctx, rep, result.Tag, img); err != nil {
			return err
		}
		if b.Compressed {
			result.Compressed, err = compressedSize(img)
		}
		return fault.Wrap(fault.ImageBuild, err, "cannot measure image %s", r.Name)
	})
	return result, err
}

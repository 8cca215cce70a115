package build

import (
	"context"
	"io"
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

// recipe is an image that is built on demand, outside of the node image.
type recipe struct {
	Name string
	Part part
	Tree func(t tree, dir string, rootfs tree) error
	Args v1.Config
}

// recipes lists the images that Image builds.
func recipes() []recipe {
	kube := versions()[0]
	return []recipe{{
		Name: "agnhost", // the server that Kubernetes' own tests use
		Part: part{Name: "agnhost", Title: "agnhost of Kubernetes " + kube.Kubernetes, Module: "agnhost", Binaries: []binary{
			{Name: "agnhost", Package: "k8s.io/kubernetes/test/images/agnhost"},
		}},
		Tree: func(t tree, dir string, rootfs tree) error {
			busybox(t, rootfs)
			t.dir("uploads", 0o777)
			return t.file("agnhost", filepath.Join(dir, "agnhost"))
		},
		Args: v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}},
	}}
}

// Image builds one of the images for tests, such as "agnhost", and writes it to w as `docker save` does, under the name
// o.Tag ("" is cove.dev/NAME:test). o.Engine may be nil: nothing is loaded. An unknown name is a Usage error.
func Image(ctx context.Context, o Options, image string, w io.Writer) (Result, error) {
	var names []string
	for _, r := range recipes() {
		if names = append(names, r.Name); r.Name == image {
			return buildImage(ctx, o, r, w)
		}
	}
	return Result{}, fault.New(fault.Usage, "cannot build image %s: there is a recipe for %s", image, strings.Join(names, ", "))
}

func buildImage(ctx context.Context, o Options, recipe recipe, w io.Writer) (Result, error) {
	b, err := newBuilder(ctx, o)
	if err != nil {
		return Result{}, err
	}
	result := Result{Tag: o.Tag, Content: b.key(recipe.Part)}
	if result.Tag == "" {
		result.Tag = coveRegistry + recipe.Name + ":test"
	}
	ref, err := name.NewTag(result.Tag)
	if err != nil {
		return Result{}, fault.Wrap(fault.Usage, err, "cannot name the image %s", result.Tag)
	}
	parts, err := b.parts(ctx, []part{recipe.Part})
	if err != nil {
		return Result{}, err
	}
	err = o.Emitter.Step(ctx, "image/write", "Write image "+result.Tag, func(context.Context, *event.Reporter) error {
		rootfs, err := readRootfs(filepath.Join(parts[partRootfs], "base.tar"))
		if err != nil {
			return fault.Wrap(fault.ImageBuild, err, "cannot read the root file system")
		}
		t := skeleton()
		if err := recipe.Tree(t, parts[recipe.Part.Name], rootfs); err != nil {
			return fault.Wrap(fault.ImageBuild, err, "cannot lay out image %s", recipe.Name)
		}
		if err := addLicenses(t, "usr/share/cove/licenses", parts); err != nil {
			return fault.Wrap(fault.ImageBuild, err, "cannot lay out image %s", recipe.Name)
		}
		l, err := newLayer(t)
		if err != nil {
			return fault.Wrap(fault.ImageBuild, err, "cannot lay out image %s", recipe.Name)
		}
		result.Size = l.size
		config := recipe.Args
		config.Env = []string{defaultPath}
		config.Labels = map[string]string{LabelContent: result.Content}
		img, err := newImage(config, b.arch, types.DockerManifestSchema2, types.DockerConfigJSON, []mutate.Addendum{addendum(l, recipe.Part.Title)})
		if err != nil {
			return fault.Wrap(fault.ImageBuild, err, "cannot make image %s", recipe.Name)
		}
		return fault.Wrap(fault.FileUnwritable, tarball.Write(ref, img, w), "cannot write image %s", recipe.Name)
	})
	return result, err
}

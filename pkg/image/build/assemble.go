package build

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// layoutVersion is part of an image's content hash. It changes when the code below makes other images of the same parts.
const layoutVersion = "4"

// nodeProgram is where the node's PID 1 is.
const nodeProgram = "usr/local/bin/cove-node"

// assemble stacks the node image of finished parts and loads it.
func (b *builder) assemble(ctx context.Context, v version, parts map[string]string, result Result) (Result, error) {
	trees, sums, err := b.layout(ctx, parts)
	if err != nil {
		return Result{}, err
	}
	state, err := b.seed(ctx, components(v), sums, filepath.Join(parts[partContainerd], "seed"))
	if err != nil {
		return Result{}, err
	}
	err = b.Emitter.Step(ctx, "image/load", "Load image "+result.Tag, func(ctx context.Context, r *event.Reporter) error {
		layers, err := b.nodeLayers(v, result.Content, parts, trees, state)
		if err != nil {
			return fault.Wrap(fault.ImageBuild, err, "cannot lay out the node image")
		}
		img, err := b.nodeConfig(v, layers, result.Content)
		if err != nil {
			return fault.Wrap(fault.ImageBuild, err, "cannot make the node image")
		}
		if result.Size, err = b.replace(ctx, r, result.Tag, img); err != nil {
			return err
		}
		if b.Compressed {
			r.Waiting("the size after gzip")
			result.Compressed, err = compressedSize(img)
		}
		return fault.Wrap(fault.ImageBuild, err, "cannot measure the node image")
	})
	return result, err
}

// layout makes the trees of the component images, the root file system among them, and their layers.
func (b *builder) layout(ctx context.Context, parts map[string]string) (trees map[string]tree, sums map[string]*layer, err error) {
	err = b.Emitter.Step(ctx, "image/layout", "Lay out the images", func(_ context.Context, r *event.Reporter) error {
		rootfs, err := readRootfs(filepath.Join(parts[partRootfs], "base.tar"))
		if err != nil {
			return err
		}
		if trees, err = layerTrees(parts, rootfs); err != nil {
			return err
		}
		sums = map[string]*layer{}
		for name, t := range trees {
			r.Waiting("%s", name)
			if sums[name], err = newLayer(t); err != nil {
				return err
			}
		}
		trees[partRootfs] = rootfs
		return nil
	})
	return trees, sums, fault.Wrap(fault.ImageBuild, err, "cannot lay out the images")
}

// nodeLayers returns the node image's layers: what changes least comes first. Snapshots lie in the layer that has the
// same files as the node's own, because only inside one layer two paths can be one file.
func (b *builder) nodeLayers(v version, content string, parts map[string]string, trees map[string]tree, s seed) ([]mutate.Addendum, error) {
	base := trees[partRootfs]
	kube, others := tree{}, tree{}
	if err := kube.file("usr/local/bin/kube", filepath.Join(parts[partKubernetes], "kube")); err != nil {
		return nil, err
	}
	for _, name := range kubePrograms() {
		kube.symlink("usr/local/bin/"+name, "kube")
	}
	if err := nodePrograms(others, parts); err != nil {
		return nil, err
	}
	for place, name := range s.layers {
		into := others
		switch name {
		case layerTools, layerBusybox:
			into = base
		case partKubernetes:
			into = kube
		}
		into.under(filepath.Join(prebaked, place, "fs"), trees[name])
	}
	top, err := b.topTree(v, parts, s)
	if err == nil {
		err = addPapers(top, v, content, parts, trees[partRootfs])
	}
	if err != nil {
		return nil, err
	}
	var layers []mutate.Addendum
	for _, x := range []struct {
		tree tree
		what string
	}{{base, "root file system"}, {kube, "Kubernetes " + v.Kubernetes}, {others, "containerd, CNI plugins, etcd, CoreDNS, flannel, storage"}, {top, "the node's init, state and files"}} {
		l, err := newLayer(x.tree)
		if err != nil {
			return nil, err
		}
		layers = append(layers, addendum(l, x.what))
	}
	return layers, nil
}

// nodePrograms adds what runs on the node itself.
func nodePrograms(t tree, parts map[string]string) error {
	files := []struct{ to, part, binary string }{
		{"usr/local/bin/containerd", partContainerd, "containerd"},
		{"usr/local/bin/containerd-shim-runc-v2", partContainerd, "containerd-shim-runc-v2"},
		{"usr/local/sbin/runc", partRunc, "runc"},
		{"opt/cni/bin/host-local", partCNI, "host-local"},
		{"opt/cni/bin/loopback", partCNI, "loopback"},
		{"opt/cni/bin/portmap", partCNI, "portmap"},
		{"opt/cni/bin/ptp", partCNI, "ptp"},
	}
	for _, f := range files {
		if err := t.file(f.to, filepath.Join(parts[f.part], f.binary)); err != nil {
			return err
		}
	}
	t.symlink("usr/local/bin/ctr", "containerd")
	t.symlink("usr/local/bin/containerd-graft", "containerd")
	return nil
}

// topTree is the last layer: the node's init, the state, configuration and manifests. It is small, so that a change to any
// of them makes a new image in seconds.
func (b *builder) topTree(v version, parts map[string]string, s seed) (tree, error) {
	t := tree{}
	if err := t.file(nodeProgram, filepath.Join(parts[partNode], "cove-node")); err != nil {
		return nil, err
	}
	t.symlink("usr/local/bin/entrypoint", "cove-node")
	t.symlink("usr/local/bin/systemctl", "cove-node")
	t.symlink("usr/local/bin/journalctl", "cove-node")
	t.bytes(seedArchive, s.archive)
	t.bytes(seedImages, s.images)
	files, err := b.nodeFiles(v)
	if err != nil {
		return nil, err
	}
	for name, data := range files {
		t.bytes(name, data)
	}
	for _, dir := range []string{"etc/cni/net.d", "etc/containerd/certs.d", "etc/kubernetes/manifests", "opt/cni/bin"} {
		t.dir(dir, 0o755)
	}
	return t, nil
}

// nodeFiles are the node's configuration and what it says of itself, by path.
func (b *builder) nodeFiles(v version) (map[string][]byte, error) {
	facts, err := factsJSON(v.facts(b.arch))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"kind/cove-image.json": append(facts, '\n'),
		"kind/version":         []byte(v.Kubernetes + "\n"),
	}
	values := map[string]string{"PAUSE": v.pauseImage(), "FLANNEL": flannelImage(), "LOCAL_PATH": localPathImage(), "HELPER": helperImage()}
	for to, file := range map[string]string{
		"etc/containerd/config.toml":          "containerd.toml",
		"kind/manifests/default-cni.yaml":     "default-cni.yaml",
		"kind/manifests/default-storage.yaml": "default-storage.yaml",
	} {
		if files[to], err = b.tree.file(file, values); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// addPapers adds the licences of all that is compiled, and the bill of materials. Debian's own copyright files are where
// Debian has them.
func addPapers(t tree, v version, content string, parts map[string]string, rootfs tree) error {
	if err := addLicenses(t, "usr/share/cove/licenses", parts); err != nil {
		return err
	}
	modules, err := partModules(parts)
	if err != nil {
		return err
	}
	debian, err := debianPackages(rootfs)
	if err != nil {
		return err
	}
	data, err := sbom(v, content, debian, modules)
	t.bytes("usr/share/cove/sbom.spdx.json", data)
	return err
}

// nodeConfig makes the image of the layers.
func (b *builder) nodeConfig(v version, layers []mutate.Addendum, content string) (v1.Image, error) {
	facts, err := factsJSON(v.facts(b.arch))
	if err != nil {
		return nil, err
	}
	return newImage(v1.Config{
		Entrypoint: []string{"/usr/local/bin/entrypoint"},
		Env:        []string{defaultPath, "container=docker"},
		Labels: map[string]string{
			LabelContent: content, engine.LabelNodeImage: string(facts),
			"org.opencontainers.image.title": "cove node", "org.opencontainers.image.version": v.Kubernetes,
		},
	}, b.arch, types.DockerManifestSchema2, types.DockerConfigJSON, layers)
}

// replace loads the image and removes the one that had its name before, unless that has other names or a container. It
// returns the image's size in the engine.
func (b *builder) replace(ctx context.Context, r *event.Reporter, tag string, img v1.Image) (int64, error) {
	old, missing := b.Engine.Image(ctx, tag)
	if err := load(ctx, b.Engine, r, tag, img); err != nil {
		return 0, err
	}
	loaded, err := b.Engine.Image(ctx, tag)
	if err != nil {
		return 0, err
	}
	if missing == nil && old.ID != loaded.ID && len(old.Names) < 2 {
		_ = b.Engine.RemoveImage(ctx, old.ID) // a node that still runs on it keeps it
	}
	return loaded.Size, nil
}

// loader is what load needs of an engine.
type loader interface {
	LoadImage(ctx context.Context, archive io.Reader) ([]string, error)
}

// load streams the image to the engine.
func load(ctx context.Context, e loader, r *event.Reporter, tag string, img v1.Image) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return fault.Wrap(fault.Usage, err, "cannot name the image %s", tag)
	}
	read, write := io.Pipe()
	updates := make(chan v1.Update, 100)
	go func() {
		for u := range updates {
			r.Count(u.Complete, u.Total, "bytes")
		}
	}()
	go func() {
		write.CloseWithError(tarball.Write(ref, img, write, tarball.WithProgress(updates)))
	}()
	_, err = e.LoadImage(ctx, read)
	_ = read.CloseWithError(io.ErrClosedPipe) // lets the writer end where the engine stopped reading
	return fault.Wrap(fault.ImageBuild, err, "cannot load image %s", tag)
}

// compressedSize is the size of the image's layers after gzip, as a registry would hold them.
func compressedSize(img v1.Image) (int64, error) {
	layers, err := img.Layers()
	if err != nil {
		return 0, err
	}
	count := &counter{}
	for _, l := range layers {
		in, err := l.Uncompressed()
		if err != nil {
			return 0, err
		}
		out := gzip.NewWriter(count)
		if _, err := io.Copy(out, in); err != nil {
			return 0, fmt.Errorf("cannot read a layer: %w", err)
		}
		if err := out.Close(); err != nil {
			return 0, err
		}
	}
	return count.n, nil
}

package state

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// testImage makes an image of layers that exist only by their digests.
func testImage(t *testing.T, name string, pinned bool, layers ...string) Image {
	t.Helper()
	var config ocispec.Image
	config.OS, config.Architecture = "linux", "amd64"
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, l := range layers {
		d := digest.FromString(l)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d)
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: 1000})
	}
	config.Author = name // so that two images differ
	c, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(c), Size: int64(len(c))}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return Image{Names: []string{name}, Manifest: data, Config: c, Pinned: pinned}
}

func testSpec(t *testing.T) Spec {
	t.Helper()
	return Spec{Root: t.TempDir(), Files: "/prebaked/snapshots", Version: SpecVersion, Images: []Image{
		testImage(t, "example.org/pause:1", true, "pause"),
		testImage(t, "example.org/tool:1", false, "base", "tool"),
		testImage(t, "example.org/base:1", false, "base"),
	}}
}

func write(t *testing.T, s Spec) map[string]string {
	t.Helper()
	places, err := Write(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return places
}

func chain(layers ...string) string {
	var ids []digest.Digest
	for _, l := range layers {
		ids = append(ids, digest.FromString(l))
	}
	return identity.ChainID(ids).String()
}

// The state is what containerd's own libraries read as pulled and unpacked images.
func TestStateIsContainerds(t *testing.T) {
	spec := testSpec(t)
	places := write(t, spec)
	want := map[string]string{chain("pause"): "1", chain("base"): "2", chain("base", "tool"): "3"}
	for c, id := range want {
		if places[c] != strings.TrimPrefix(c, "sha256:")[:16] {
			t.Errorf("snapshot %s has its files in %q", c, places[c])
		}
		path := filepath.Join(spec.Root, snapshotterDir, "snapshots", id)
		if target, err := os.Readlink(path); err != nil || target != "/prebaked/snapshots/"+places[c] {
			t.Errorf("%s points at %q (%v)", path, target, err)
		}
	}
	if len(places) != len(want) {
		t.Errorf("places %v", places)
	}

	ctx := namespaces.WithNamespace(t.Context(), namespace)
	st, err := reopen(t, spec)
	if err != nil {
		t.Fatal(err)
	}
	store := metadata.NewImageStore(st.db)
	for _, i := range spec.Images {
		got, err := store.Get(ctx, i.Names[0])
		if err != nil {
			t.Fatal(err)
		}
		if got.Target.Digest != digest.FromBytes(i.Manifest) || got.Labels[labelManaged] != "managed" || (got.Labels[labelPinned] == "pinned") != i.Pinned {
			t.Errorf("%s: %+v", i.Names, got)
		}
		if _, err := store.Get(ctx, digest.FromBytes(i.Config).String()); err != nil {
			t.Errorf("%s has no name by its ID: %v", i.Names, err)
		}
		config, err := images.Config(ctx, st.db.ContentStore(), got.Target, nil)
		if err != nil || config.Digest != digest.FromBytes(i.Config) {
			t.Errorf("%s: config %v, %v", i.Names, config, err)
		}
	}
	info, err := st.db.Snapshotter(snapshotter).Stat(ctx, chain("base", "tool"))
	if err != nil || info.Kind != snapshots.KindCommitted || info.Parent != chain("base") {
		t.Errorf("snapshot %+v, %v", info, err)
	}
}

// Garbage collection finds nothing to take away, and takes an image that was removed.
func TestGarbageCollectionKeepsTheImages(t *testing.T) {
	spec := testSpec(t)
	write(t, spec)
	ctx := namespaces.WithNamespace(t.Context(), namespace)
	st, err := reopen(t, spec)
	if err != nil {
		t.Fatal(err)
	}
	count := func() (blobs, committed int) {
		t.Helper()
		err := st.db.ContentStore().Walk(ctx, func(content.Info) error { blobs++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		err = st.db.Snapshotter(snapshotter).Walk(ctx, func(context.Context, snapshots.Info) error { committed++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return blobs, committed
	}
	if _, err := st.db.GarbageCollect(ctx); err != nil {
		t.Fatal(err)
	}
	if blobs, committed := count(); blobs != 6 || committed != 3 {
		t.Errorf("after garbage collection: %d blobs, %d snapshots; want 6 and 3", blobs, committed)
	}
	store := metadata.NewImageStore(st.db)
	for _, name := range []string{"example.org/tool:1", digest.FromBytes(spec.Images[1].Config).String()} {
		if err := store.Delete(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.db.GarbageCollect(ctx); err != nil {
		t.Fatal(err)
	}
	if blobs, committed := count(); blobs != 4 || committed != 2 {
		t.Errorf("after a removal: %d blobs, %d snapshots; want 4 and 2", blobs, committed)
	}
}

func TestSameImagesGiveTheSameBytes(t *testing.T) {
	read := func() map[string]string {
		spec := testSpec(t)
		write(t, spec)
		files := map[string]string{}
		err := filepath.WalkDir(spec.Root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			files[strings.TrimPrefix(path, spec.Root)] = string(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	a, b := read(), read()
	if len(a) != len(b) || len(a) < 8 {
		t.Errorf("%d and %d files", len(a), len(b))
	}
	for name, data := range a {
		if b[name] != data {
			t.Errorf("%s differs", name)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	broken := testImage(t, "x:1", false, "a")
	broken.Config = append(broken.Config, ' ')
	for want, spec := range map[string]Spec{
		"version 2":                        {Version: 2},
		"the manifest names configuration": {Root: t.TempDir(), Version: SpecVersion, Images: []Image{broken}},
	} {
		if _, err := Write(t.Context(), spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// reopen opens a state that was written. The snapshots' files are not there: links point at nothing.
func reopen(t *testing.T, s Spec) (*state, error) {
	t.Helper()
	st, err := open(s.Root, s.Files)
	if err == nil {
		t.Cleanup(func() {
			if err := st.close(); err != nil {
				t.Error(err)
			}
		})
	}
	return st, err
}

package state

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// nodeImage makes the files that a node image has for these images, in place of those of another one.
func nodeImage(t *testing.T, files string, stacks ...[]string) {
	t.Helper()
	if err := os.RemoveAll(files); err != nil {
		t.Fatal(err)
	}
	for _, layers := range stacks {
		for i := range layers {
			dir := filepath.Join(files, place(chain(layers[:i+1]...)), "fs")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "layer"), []byte(layers[i]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// node is a volume that the first node image's containerd has run on, below a second one's root file system.
type node struct {
	spec Spec // of the second image
}

const (
	userImage    = "example.org/user:1"
	oldContainer = "c0ffee"
)

// upgraded makes the volume: the seed of the first image, an image that the user loaded, a container of an image whose files the
// second one lacks, and one of an image that both have.
func upgraded(t *testing.T) *node {
	t.Helper()
	files := filepath.Join(t.TempDir(), "prebaked")
	first := Spec{Root: t.TempDir(), Files: files, Version: SpecVersion, Images: []Image{
		testImage(t, "example.org/pause:1", true, "pause"),
		testImage(t, "example.org/api:1", false, "kube 1"),
		testImage(t, "example.org/proxy:1", false, "base", "kube 1"),
		testImage(t, "example.org/etcd:1", false, "etcd"),
	}}
	nodeImage(t, files, []string{"pause"}, []string{"kube 1"}, []string{"base", "kube 1"}, []string{"etcd"})
	write(t, first)
	use(t, first)
	second := first
	second.Images = []Image{
		testImage(t, "example.org/pause:1", true, "pause"),
		testImage(t, "example.org/api:2", false, "kube 2"),
		testImage(t, "example.org/proxy:2", false, "base", "kube 2"),
		testImage(t, "example.org/etcd:1", false, "etcd, built anew"), // the same name
	}
	nodeImage(t, files, []string{"pause"}, []string{"kube 2"}, []string{"base", "kube 2"}, []string{"etcd, built anew"})
	return &node{second}
}

// noSpec is the runtime specification of a container that never ran.
type noSpec struct{}

func (noSpec) GetTypeUrl() string { return "none" } //nolint:revive,staticcheck // the interface calls it so
func (noSpec) GetValue() []byte   { return []byte("{}") }

// use does with the first image's state what a cluster does.
func use(t *testing.T, s Spec) {
	t.Helper()
	st, err := open(s.Root, s.Files)
	if err != nil {
		t.Fatal(err)
	}
	ctx := namespaces.WithNamespace(t.Context(), namespace)
	user := testImage(t, userImage, false, "user's layer")
	if err := st.add(ctx, user); err != nil {
		t.Fatal(err)
	}
	sn := st.db.Snapshotter(snapshotter)
	store := metadata.NewContainerStore(st.db)
	for id, parent := range map[string]string{oldContainer: chain("base", "kube 1"), "5a7d": chain("pause")} {
		if _, err := sn.Prepare(ctx, id, parent); err != nil {
			t.Fatal(err)
		}
		_, err := store.Create(ctx, containers.Container{ID: id, Snapshotter: snapshotter, SnapshotKey: id, Runtime: containers.RuntimeInfo{Name: "runc"}, Spec: noSpec{}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := st.close(); err != nil {
		t.Fatal(err)
	}
}

func (n *node) graft(t *testing.T) Grafted {
	t.Helper()
	done, err := Graft(t.Context(), n.spec)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// names lists the images, and says of each whether all of its layers' files can be read.
func (n *node) names(t *testing.T) map[string]bool {
	t.Helper()
	st, ctx := n.open(t)
	defer n.close(t, st)
	all, err := metadata.NewImageStore(st.db).List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := st.ids(ctx)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, i := range all {
		if strings.HasPrefix(i.Name, "sha256:") {
			continue
		}
		config, err := images.Config(ctx, st.db.ContentStore(), i.Target, nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := st.db.ContentStore().Info(ctx, config.Digest)
		if err != nil {
			t.Fatal(err)
		}
		key := info.Labels["containerd.io/gc.ref.snapshot.overlayfs"]
		found[i.Name] = true
		for key != "" {
			s, err := st.db.Snapshotter(snapshotter).Stat(ctx, key)
			if err != nil || len(ids[key]) == 0 {
				t.Fatalf("%s needs snapshot %s: %v", i.Name, key, err)
			}
			if _, err := os.Stat(filepath.Join(n.spec.Root, snapshotterDir, "snapshots", ids[key][0], "fs")); err != nil {
				found[i.Name] = false
			}
			key = s.Parent
		}
	}
	return found
}

func (n *node) open(t *testing.T) (*state, context.Context) {
	t.Helper()
	st, err := open(n.spec.Root, n.spec.Files)
	if err != nil {
		t.Fatal(err)
	}
	return st, namespaces.WithNamespace(t.Context(), namespace)
}

func (n *node) close(t *testing.T, st *state) {
	t.Helper()
	if err := st.close(); err != nil {
		t.Fatal(err)
	}
}

// check wants what a node on the second image needs, no matter what happened on the way.
func (n *node) check(t *testing.T) {
	t.Helper()
	want := []string{"example.org/api:2", "example.org/etcd:1", "example.org/pause:1", "example.org/proxy:2", userImage}
	var got []string
	for name, whole := range n.names(t) {
		got = append(got, name)
		if !whole {
			t.Errorf("%s has no files", name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("images %v, want %v", got, want)
	}
	st, ctx := n.open(t)
	defer n.close(t, st)
	ids, err := st.ids(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for c, layer := range map[string]string{chain("kube 2"): "kube 2", chain("pause"): "pause", chain("base"): "base", chain("etcd, built anew"): "etcd, built anew"} {
		for _, id := range ids[c] {
			text, err := os.ReadFile(filepath.Join(n.spec.Root, snapshotterDir, "snapshots", id, "fs", "layer"))
			if err != nil || string(text) != layer {
				t.Errorf("snapshot %s of %s has %q, %v", id, layer, text, err)
			}
		}
	}
	for _, c := range []string{oldContainer, "5a7d"} {
		if _, err := st.db.Snapshotter(snapshotter).Stat(ctx, c); err != nil {
			t.Errorf("what container %s wrote is gone: %v", c, err)
		}
	}
	// A container of a new image starts, one of an old image cannot.
	if _, err := st.db.Snapshotter(snapshotter).Prepare(ctx, "try", chain("base", "kube 2")); err != nil {
		t.Errorf("a container of a new image: %v", err)
	}
	if err := st.db.Snapshotter(snapshotter).Remove(ctx, "try"); err != nil {
		t.Error(err)
	}
	if _, err := st.db.Snapshotter(snapshotter).Prepare(ctx, "try", chain("kube 1")); err == nil && len(ids[chain("kube 1")]) > 0 {
		t.Error("a container of an old image finds files of another layer")
	}
}

func TestGraft(t *testing.T) {
	n := upgraded(t)
	done := n.graft(t)
	if want := []string{"example.org/pause:1", "example.org/api:2", "example.org/proxy:2", "example.org/etcd:1"}; !slices.Equal(done.Images, want) {
		t.Errorf("has %v", done.Images)
	}
	slices.Sort(done.Dropped)
	if want := []string{"example.org/api:1", "example.org/proxy:1"}; !slices.Equal(done.Dropped, want) {
		t.Errorf("dropped %v", done.Dropped)
	}
	n.check(t)
}

// The second time there is nothing to do.
func TestGraftAgain(t *testing.T) {
	n := upgraded(t)
	n.graft(t)
	count := func() (keys int) {
		st, _ := n.open(t)
		defer n.close(t, st)
		err := st.bolt.View(func(tx *bolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { keys += b.Stats().KeyN; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	before := count()
	if done := n.graft(t); len(done.Dropped) > 0 {
		t.Errorf("dropped %v", done.Dropped)
	}
	if after := count(); after != before {
		t.Errorf("%d keys, then %d", before, after)
	}
	n.check(t)
}

// The first image again: its own images come back, and the second one's go.
func TestGraftBack(t *testing.T) {
	n := upgraded(t)
	n.graft(t)
	back := n.spec
	back.Images = []Image{testImage(t, "example.org/pause:1", true, "pause"), testImage(t, "example.org/api:1", false, "kube 1")}
	nodeImage(t, n.spec.Files, []string{"pause"}, []string{"kube 1"})
	n.spec = back
	n.graft(t)
	want := map[string]bool{"example.org/api:1": true, "example.org/pause:1": true, userImage: true}
	if got := n.names(t); len(got) != len(want) || !got["example.org/api:1"] || !got[userImage] || !got["example.org/pause:1"] {
		t.Errorf("images %v, want %v", got, want)
	}
}

// Links of an older layout, which named places by snapshots' IDs, would lead to files of other layers.
func TestGraftMovesLinksOfTheOldLayout(t *testing.T) {
	n := upgraded(t)
	dir := filepath.Join(n.spec.Root, snapshotterDir, "snapshots")
	for id := range 5 {
		name := fmt.Sprint(id + 1)
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(n.spec.Files, name), path); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(n.spec.Files, name, "fs"), 0o755); err != nil { // where something else is now
			t.Fatal(err)
		}
	}
	if done := n.graft(t); len(done.Dropped) != 2 {
		t.Errorf("dropped %v", done.Dropped)
	}
	n.check(t)
}

// Garbage collection takes the old snapshots once the containers on them are removed, and nothing else.
func TestGraftLeavesTheRestToGarbageCollection(t *testing.T) {
	n := upgraded(t)
	n.graft(t)
	st, ctx := n.open(t)
	collect := func() []string {
		t.Helper()
		if _, err := st.db.GarbageCollect(ctx); err != nil {
			t.Fatal(err)
		}
		var keys []string
		err := st.db.Snapshotter(snapshotter).Walk(ctx, func(_ context.Context, i snapshots.Info) error {
			keys = append(keys, i.Name)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	keys := collect()
	if !slices.Contains(keys, chain("base", "kube 1")) || !slices.Contains(keys, oldContainer) || !slices.Contains(keys, chain("user's layer")) {
		t.Errorf("what a container needs is gone: %v", keys)
	}
	if slices.Contains(keys, chain("etcd")) {
		t.Error("what nothing needs is still there")
	}
	if err := metadata.NewContainerStore(st.db).Delete(ctx, oldContainer); err != nil {
		t.Fatal(err)
	}
	if err := st.db.Snapshotter(snapshotter).Remove(ctx, oldContainer); err != nil {
		t.Fatal(err)
	}
	if keys := collect(); slices.Contains(keys, chain("base", "kube 1")) || slices.Contains(keys, oldContainer) || !slices.Contains(keys, chain("base")) {
		t.Errorf("after the container: %v", keys)
	}
	err := st.db.ContentStore().Walk(ctx, func(i content.Info) error {
		_, err := st.db.ContentStore().Info(ctx, i.Digest)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	n.close(t, st)
	if left, err := filepath.Glob(filepath.Join(n.spec.Root, snapshotterDir, "snapshots", "*")); err != nil || len(left) != 7 {
		t.Errorf("%d snapshots on disk, %v", len(left), err) // pause, user, base, two of kube 2, etcd, one container's
	}
	if st, ctx = n.open(t); true {
		if _, err := metadata.NewImageStore(st.db).Get(ctx, userImage); err != nil {
			t.Error(err)
		}
		n.close(t, st)
	}
}

func TestGraftRefuses(t *testing.T) {
	n := upgraded(t)
	if _, err := Graft(t.Context(), Spec{Version: 2}); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Error(err)
	}
	nodeImage(t, n.spec.Files, []string{"pause"}) // the specification is of another image
	if _, err := Graft(t.Context(), n.spec); err == nil || !strings.Contains(err.Error(), "lacks the files") {
		t.Error(err)
	}
	if got := n.names(t); len(got) < 5 {
		t.Errorf("a refused graft took images: %v", got)
	}
	st, ctx := n.open(t)
	if _, err := metadata.NewImageStore(st.db).Get(ctx, "example.org/api:2"); !errdefs.IsNotFound(err) {
		t.Errorf("an image without files has a name: %v", err)
	}
	n.close(t, st)
}

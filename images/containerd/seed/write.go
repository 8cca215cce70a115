package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// The places and names that containerd 2 and its CRI plugin use.
const (
	namespace      = "k8s.io"
	snapshotter    = "overlayfs"
	contentDir     = "io.containerd.content.v1.content"
	metadataDir    = "io.containerd.metadata.v1.bolt"
	snapshotterDir = "io.containerd.snapshotter.v1.overlayfs"
	labelManaged   = "io.cri-containerd.image"  // value "managed"
	labelPinned    = "io.cri-containerd.pinned" // value "pinned"
	labelGCRef     = "containerd.io/gc.ref."    // + "content.…" or "snapshot.…": what a blob keeps alive
)

// state is containerd's metadata while it is written.
type state struct {
	bolt      *bolt.DB
	snapshots snapshots.Snapshotter // the files' own, closed at the end
	store     *storage.MetaStore
	db        *metadata.DB
	ids       map[string]string // chain ID → snapshot ID
}

// write makes the whole state and returns the snapshots' IDs.
func write(ctx context.Context, s Spec) (map[string]string, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	st, err := open(s.Root)
	if err != nil {
		return nil, err
	}
	if err := st.layOut(ctx); err != nil {
		return nil, errors.Join(err, st.close())
	}
	for _, image := range s.Images {
		if err := st.add(ctx, image); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot add image %v: %w", image.Names, err), st.close())
		}
	}
	if err := st.close(); err != nil {
		return nil, err
	}
	if err := point(filepath.Join(s.Root, snapshotterDir, "snapshots"), s.Files); err != nil {
		return nil, err
	}
	for _, file := range []string{filepath.Join(metadataDir, "meta.db"), filepath.Join(snapshotterDir, "metadata.db")} {
		if err := settle(filepath.Join(s.Root, file)); err != nil {
			return nil, err
		}
	}
	return st.ids, nil
}

// open opens the state below root, or a new one.
func open(root string) (*state, error) {
	if err := os.MkdirAll(filepath.Join(root, metadataDir), 0o711); err != nil { //nolint:gosec // as containerd has it
		return nil, fmt.Errorf("cannot make the state's directory: %w", err)
	}
	blobs, err := local.NewStore(filepath.Join(root, contentDir))
	if err != nil {
		return nil, fmt.Errorf("cannot open the content store: %w", err)
	}
	dir := filepath.Join(root, snapshotterDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the snapshotter's directory: %w", err)
	}
	store, err := storage.NewMetaStore(filepath.Join(dir, "metadata.db"))
	if err != nil {
		return nil, fmt.Errorf("cannot open the snapshotter's metadata: %w", err)
	}
	sn, err := overlay.NewSnapshotter(dir, overlay.WithMetaStore(store))
	if err != nil {
		return nil, fmt.Errorf("cannot open the snapshotter: %w", err)
	}
	db, err := bolt.Open(filepath.Join(root, metadataDir, "meta.db"), 0o644, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot open the metadata: %w", err)
	}
	st := &state{bolt: db, store: store, snapshots: sn, ids: map[string]string{}}
	st.db = metadata.NewDB(db, blobs, map[string]snapshots.Snapshotter{snapshotter: sn})
	return st, nil
}

// layOut makes an empty database what containerd expects.
func (st *state) layOut(ctx context.Context) error {
	if err := st.db.Init(ctx); err != nil {
		return fmt.Errorf("cannot lay out the metadata: %w", err)
	}
	err := st.db.Update(func(tx *bolt.Tx) error {
		return metadata.NewNamespaceStore(tx).Create(ctx, namespace, nil)
	})
	if err != nil {
		return fmt.Errorf("cannot make namespace %s: %w", namespace, err)
	}
	return nil
}

func (st *state) close() error {
	if err := st.snapshots.Close(); err != nil { // closes the store, too
		return fmt.Errorf("cannot close the snapshotter: %w", err)
	}
	if err := st.bolt.Close(); err != nil {
		return fmt.Errorf("cannot close the metadata: %w", err)
	}
	return nil
}

// add does what a pull with unpacking does, except that layers bring no blobs.
func (st *state) add(ctx context.Context, image Image) error {
	var manifest ocispec.Manifest
	if err := json.Unmarshal(image.Manifest, &manifest); err != nil {
		return fmt.Errorf("cannot read the manifest: %w", err)
	}
	var config ocispec.Image
	if err := json.Unmarshal(image.Config, &config); err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	if got := digest.FromBytes(image.Config); got != manifest.Config.Digest {
		return fmt.Errorf("the manifest names configuration %s, not %s", manifest.Config.Digest, got)
	}
	chain, err := st.unpack(ctx, config.RootFS.DiffIDs)
	if err != nil {
		return err
	}
	target := ocispec.Descriptor{MediaType: manifest.MediaType, Digest: digest.FromBytes(image.Manifest), Size: int64(len(image.Manifest))}
	refs := map[string]string{labelGCRef + "content.config": manifest.Config.Digest.String()}
	if err := st.blob(ctx, manifest.Config, image.Config, map[string]string{labelGCRef + "snapshot." + snapshotter: chain}); err != nil {
		return err
	}
	if err := st.blob(ctx, target, image.Manifest, refs); err != nil {
		return err
	}
	labels := map[string]string{labelManaged: "managed"}
	if image.Pinned {
		labels[labelPinned] = "pinned"
	}
	store := metadata.NewImageStore(st.db)
	for _, name := range append(image.Names, manifest.Config.Digest.String()) { // the CRI plugin also wants the ID as a name
		_, err := store.Create(ctx, images.Image{Name: name, Target: target, Labels: labels})
		if err != nil && !errdefs.IsAlreadyExists(err) {
			return fmt.Errorf("cannot name it %s: %w", name, err)
		}
	}
	return nil
}

func (st *state) blob(ctx context.Context, d ocispec.Descriptor, data []byte, labels map[string]string) error {
	err := content.WriteBlob(ctx, st.db.ContentStore(), d.Digest.String(), bytes.NewReader(data), d, content.WithLabels(labels))
	if err != nil {
		return fmt.Errorf("cannot store %s: %w", d.Digest, err)
	}
	return nil
}

// unpack commits a snapshot per layer and returns the chain ID of the last one.
func (st *state) unpack(ctx context.Context, layers []digest.Digest) (string, error) {
	sn := st.db.Snapshotter(snapshotter)
	parent := ""
	for i := range layers {
		chain := identity.ChainID(layers[:i+1]).String()
		if _, known := st.ids[chain]; known {
			parent = chain
			continue
		}
		labels := snapshots.WithLabels(map[string]string{"containerd.io/snapshot.ref": chain})
		mounts, err := sn.Prepare(ctx, "seed-"+chain, parent, labels)
		if err != nil {
			return "", fmt.Errorf("cannot prepare snapshot %s: %w", chain, err)
		}
		if err := sn.Commit(ctx, chain, "seed-"+chain, labels); err != nil {
			return "", fmt.Errorf("cannot commit snapshot %s: %w", chain, err)
		}
		st.ids[chain] = idOf(mounts)
		parent = chain
	}
	return parent, nil
}

// idOf returns the ID of the snapshot that the mounts are of: they name the directory ROOT/snapshots/ID/fs, as the source
// of a bind mount where the snapshot has no parent, else as the upper directory.
func idOf(mounts []mount.Mount) string {
	path := ""
	for _, m := range mounts {
		path = m.Source
		for _, o := range m.Options {
			if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
				path = dir
			}
		}
	}
	return filepath.Base(filepath.Dir(path))
}

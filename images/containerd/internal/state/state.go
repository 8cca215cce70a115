package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
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
	placeLength    = 16                         // of a hash: enough for a few dozen
	labelGCRef     = "containerd.io/gc.ref."    // + "content.…" or "snapshot.…": what a blob keeps alive
)

// openGrace is how long a database may be in use by somebody else: nobody should.
const openGrace = 5 * time.Second

// state is containerd's metadata while it is written.
type state struct {
	root      string
	files     string // where the snapshots' files are
	bolt      *bolt.DB
	snapshots snapshots.Snapshotter // the files' own, closed at the end
	store     *storage.MetaStore
	db        *metadata.DB
	chains    map[string]bool // the chain IDs of the snapshots that were asked for
	placed    func(ctx context.Context, chain string) error
}

// open opens the state below root, or a new one, whose snapshots' files are below files.
func open(root, files string) (*state, error) {
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
	store, err := storage.NewMetaStore(filepath.Join(dir, "metadata.db"), func(o *bolt.Options) error {
		o.Timeout = openGrace
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open the snapshotter's metadata: %w", err)
	}
	sn, err := overlay.NewSnapshotter(dir, overlay.WithMetaStore(store))
	if err != nil {
		return nil, fmt.Errorf("cannot open the snapshotter: %w", err)
	}
	db, err := bolt.Open(filepath.Join(root, metadataDir, "meta.db"), 0o644, &bolt.Options{Timeout: openGrace})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the metadata: %w", err), sn.Close())
	}
	st := &state{root: root, files: files, bolt: db, store: store, snapshots: sn, chains: map[string]bool{}}
	st.db = metadata.NewDB(db, blobs, map[string]snapshots.Snapshotter{snapshotter: sn})
	return st, nil
}

// layOut makes a database what containerd expects: one that is empty, or of an older containerd.
func (st *state) layOut(ctx context.Context) error {
	if err := st.db.Init(ctx); err != nil {
		return fmt.Errorf("cannot lay out the metadata: %w", err)
	}
	err := st.db.Update(func(tx *bolt.Tx) error {
		return metadata.NewNamespaceStore(tx).Create(ctx, namespace, nil)
	})
	if err != nil && !errdefs.IsAlreadyExists(err) {
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
	for _, name := range append(image.Names, manifest.Config.Digest.String()) { // the CRI plugin also wants the ID as a name
		if err := st.name(ctx, images.Image{Name: name, Target: target, Labels: labels}); err != nil {
			return err
		}
	}
	return nil
}

// name lets a name stand for an image, whatever it stood for before.
func (st *state) name(ctx context.Context, image images.Image) error {
	store := metadata.NewImageStore(st.db)
	_, err := store.Create(ctx, image)
	if errdefs.IsAlreadyExists(err) {
		_, err = store.Update(ctx, image)
	}
	if err != nil {
		return fmt.Errorf("cannot name it %s: %w", image.Name, err)
	}
	return nil
}

// blob stores data with these labels. Data that is there already gets the labels.
func (st *state) blob(ctx context.Context, d ocispec.Descriptor, data []byte, labels map[string]string) error {
	store := st.db.ContentStore()
	if err := content.WriteBlob(ctx, store, d.Digest.String(), bytes.NewReader(data), d, content.WithLabels(labels)); err != nil {
		return fmt.Errorf("cannot store %s: %w", d.Digest, err)
	}
	fields := make([]string, 0, len(labels))
	for name := range labels {
		fields = append(fields, "labels."+name)
	}
	if _, err := store.Update(ctx, content.Info{Digest: d.Digest, Labels: labels}, fields...); err != nil {
		return fmt.Errorf("cannot label %s: %w", d.Digest, err)
	}
	return nil
}

// unpack commits a snapshot per layer, where there is none, and returns the chain ID of the last one.
func (st *state) unpack(ctx context.Context, layers []digest.Digest) (string, error) {
	parent := ""
	for i := range layers {
		chain := identity.ChainID(layers[:i+1]).String()
		if !st.chains[chain] {
			if err := st.snapshot(ctx, chain, parent); err != nil {
				return "", err
			}
			st.chains[chain] = true
		}
		parent = chain
	}
	return parent, nil
}

func (st *state) snapshot(ctx context.Context, chain, parent string) error {
	sn := st.db.Snapshotter(snapshotter)
	_, err := sn.Stat(ctx, chain)
	if errdefs.IsNotFound(err) {
		err = commit(ctx, sn, chain, parent)
	}
	if err != nil {
		return fmt.Errorf("cannot commit snapshot %s: %w", chain, err)
	}
	if st.placed == nil {
		return nil
	}
	return st.placed(ctx, chain)
}

func commit(ctx context.Context, sn snapshots.Snapshotter, chain, parent string) error {
	key := "seed-" + chain
	if err := sn.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) { // of a try that was cut off
		return err
	}
	labels := snapshots.WithLabels(map[string]string{"containerd.io/snapshot.ref": chain})
	if _, err := sn.Prepare(ctx, key, parent, labels); err != nil {
		return err
	}
	return sn.Commit(ctx, chain, key, labels)
}

// ids returns the IDs of the snapshots in the namespace by their keys; those of images are chain IDs. A key can have several:
// what was cut off leaves snapshots that only garbage collection finds.
func (st *state) ids(ctx context.Context) (map[string][]string, error) {
	byKey := map[string][]string{}
	err := st.store.WithTransaction(ctx, false, func(ctx context.Context) error {
		all, err := storage.IDMap(ctx)
		if errdefs.IsNotFound(err) {
			return nil // there never was one
		}
		for id, name := range all { // "k8s.io/12/sha256:…": the key below its namespace and a number
			parts := strings.SplitN(name, "/", 3)
			if len(parts) == 3 && parts[0] == namespace {
				byKey[parts[2]] = append(byKey[parts[2]], id)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the snapshots: %w", err)
	}
	return byKey, nil
}

// place is where the files of a snapshot are, below the folder of all. It is named by what it holds, not by the snapshot's ID:
// two node images have the same place for the same layers alone.
func place(chain string) string {
	_, hex, _ := strings.Cut(chain, ":")
	return hex[:min(placeLength, len(hex))]
}

// link makes the directory of a snapshot a link to its files.
func (st *state) link(id, chain string) error {
	path, target := filepath.Join(st.root, snapshotterDir, "snapshots", id), filepath.Join(st.files, place(chain))
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("cannot replace snapshot %s: %w", id, err)
	}
	if err := os.Symlink(target, path); err != nil {
		return fmt.Errorf("cannot replace snapshot %s: %w", id, err)
	}
	return nil
}

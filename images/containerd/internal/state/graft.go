package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// Grafted says what Graft changed: names of images, without the ones by ID.
type Grafted struct {
	Images  []string // that the node image brings along
	Dropped []string // whose files were those of another node image, and are gone
}

// Graft gives a state that is in use the images of the Spec, as a pull would, whose files must be in place, and takes away the
// images of an earlier node image whose files are gone. Everything else stays as it is: images that somebody loaded, and the
// containers of pods. Of a container whose image is gone, what it wrote stays until the kubelet removes it; containerd then
// collects the snapshots below. It can be done again, also after a kill at any moment. containerd must not run.
func Graft(ctx context.Context, s Spec) (Grafted, error) {
	if err := s.check(); err != nil {
		return Grafted{}, err
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	st, err := open(s.Root, s.Files)
	if err != nil {
		return Grafted{}, err
	}
	done, err := st.graft(ctx, s.Images)
	return done, errors.Join(err, st.close())
}

func (st *state) graft(ctx context.Context, list []Image) (Grafted, error) {
	var done Grafted
	if err := st.layOut(ctx); err != nil {
		return done, err
	}
	st.placed = st.relinkOne // its children cannot be prepared without its files
	for _, image := range list {
		if err := st.add(ctx, image); err != nil {
			return done, fmt.Errorf("cannot add image %v: %w", image.Names, err)
		}
		done.Images = append(done.Images, image.Names...)
	}
	gone, err := st.relink(ctx)
	if err != nil {
		return done, err
	}
	done.Dropped, err = st.drop(ctx, gone)
	return done, err
}

// relinkOne leads a snapshot to its files.
func (st *state) relinkOne(ctx context.Context, chain string) error {
	if _, err := os.Stat(filepath.Join(st.files, place(chain), "fs")); err != nil {
		return fmt.Errorf("the node image lacks the files of snapshot %s: %w", chain, err)
	}
	ids, err := st.ids(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids[chain] {
		if err := st.link(id, chain); err != nil {
			return err
		}
	}
	return nil
}

// relink leads every snapshot that has its files in the node image to its place there, and returns the chain IDs of those
// that this image has no files of. Their links point at nothing then, and never at files of another layer that lie where
// theirs were: so a container on them fails, and does not run something else.
func (st *state) relink(ctx context.Context) (gone map[string]bool, err error) {
	ids, err := st.ids(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(st.root, snapshotterDir, "snapshots")
	gone = map[string]bool{}
	for chain, list := range ids {
		for _, id := range list {
			target, err := os.Readlink(filepath.Join(dir, id))
			if err != nil || !strings.HasPrefix(target, st.files+"/") {
				continue // files of its own
			}
			if err := st.link(id, chain); err != nil {
				return nil, err
			}
			if _, err := os.Stat(filepath.Join(dir, id, "fs")); errors.Is(err, os.ErrNotExist) {
				gone[chain] = true
			}
		}
	}
	return gone, syncDir(dir)
}

// drop takes away the images that need a snapshot which is gone, and returns their names. Their blobs and snapshots are left to
// containerd's garbage collection, which knows what containers still hold.
func (st *state) drop(ctx context.Context, gone map[string]bool) ([]string, error) {
	store := metadata.NewImageStore(st.db)
	all, err := store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list the images: %w", err)
	}
	var dropped []string
	for _, image := range all {
		if !st.needs(ctx, image, gone) {
			continue
		}
		if err := store.Delete(ctx, image.Name); err != nil {
			return nil, fmt.Errorf("cannot drop image %s: %w", image.Name, err)
		}
		if !strings.HasPrefix(image.Name, digest.SHA256.String()+":") {
			dropped = append(dropped, image.Name)
		}
	}
	return dropped, nil
}

// needs reports whether the image has a layer that is gone. One that cannot be read, such as one whose pull was cut off, is
// not the seed's.
func (st *state) needs(ctx context.Context, image images.Image, gone map[string]bool) bool {
	store := st.db.ContentStore()
	config, err := images.Config(ctx, store, image.Target, platforms.All)
	if err != nil {
		return false
	}
	layers, err := images.RootFS(ctx, store, config)
	if err != nil {
		return false
	}
	for i := range layers {
		if gone[identity.ChainID(layers[:i+1]).String()] {
			return true
		}
	}
	return false
}

func syncDir(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // containerd's own
	if err != nil {
		return fmt.Errorf("cannot flush %s: %w", dir, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cannot flush %s: %w", dir, err)
	}
	return nil
}

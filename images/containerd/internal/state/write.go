// Package state writes containerd's own state, with containerd's own libraries and without running it: that of images which
// are pulled and unpacked, but whose files are somewhere else. It never sees these files: the state only points at them.
package state

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// Spec says what images the state is to have.
type Spec struct {
	Root    string  // containerd's root
	Files   string  // where the node image has the snapshots' files: Files/PLACE/fs
	Images  []Image // in the order that gives the snapshots of a new state their IDs
	Version int     // of this shape; SpecVersion
}

// Image is one image. Layers are known by the config's diff IDs, and have no blobs.
type Image struct {
	Names    []string // full references
	Manifest []byte   // an OCI image manifest
	Config   []byte   // the OCI image configuration that the manifest names
	Pinned   bool     // the kubelet never removes it
}

// SpecVersion is the only one that is known.
const SpecVersion = 1

func (s Spec) check() error {
	if s.Version != SpecVersion {
		return fmt.Errorf("cannot use a specification of version %d: this program knows version %d", s.Version, SpecVersion)
	}
	return nil
}

// Write makes the state of a containerd that has the images and nothing else, in Root, which must be empty. The same images
// give the same bytes. It returns where the files of each snapshot belong, below Files, by the snapshot's chain ID. Files need
// not be there.
func Write(ctx context.Context, s Spec) (map[string]string, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	st, err := open(s.Root, s.Files)
	if err != nil {
		return nil, err
	}
	places, err := st.write(ctx, s.Images)
	if err := errors.Join(err, st.close()); err != nil {
		return nil, err
	}
	for _, file := range []string{filepath.Join(metadataDir, "meta.db"), filepath.Join(snapshotterDir, "metadata.db")} {
		if err := settle(filepath.Join(s.Root, file)); err != nil {
			return nil, err
		}
	}
	return places, nil
}

func (st *state) write(ctx context.Context, list []Image) (map[string]string, error) {
	if err := st.layOut(ctx); err != nil {
		return nil, err
	}
	for _, image := range list {
		if err := st.add(ctx, image); err != nil {
			return nil, fmt.Errorf("cannot add image %v: %w", image.Names, err)
		}
	}
	ids, err := st.ids(ctx)
	if err != nil {
		return nil, err
	}
	places := map[string]string{}
	for chain := range st.chains {
		places[chain] = place(chain)
		for _, id := range ids[chain] {
			if err := st.link(id, chain); err != nil {
				return nil, err
			}
		}
	}
	return places, nil
}

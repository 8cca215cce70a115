// Package seed gives a new node the containerd state that its image was built with: unpacked images, ready to run. Where
// another image's containerd has run before, it has these images added to its state; how that is done is not known here.
package seed

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Where the seed is, and what is kept about it, below the node's root.
const (
	Archive = "usr/share/cove/seed.tar"
	Marker  = "var/lib/cove/seeded" // the sum of the seed whose images containerd has
	begun   = "var/lib/cove/seeding"
	// metadata is containerd's database: where it is, containerd has run or the seed was unpacked. The directory alone says
	// nothing, for the engine fills a fresh volume with what the image has at its path.
	metadata = "var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"
)

// Result says what Plant did.
type Result string

// The results.
const (
	None    Result = "the image has no seed"
	Kept    Result = "containerd has the image's state already"
	Planted Result = "unpacked"
	Grafted Result = "added to the state that another image's containerd left"
)

// Plant unpacks the image's seed into root unless containerd has state there. A node that is killed in the middle starts it
// again at its next start: a note is made before and taken away after, and containerd has not run in between. Nothing
// is synced: after a crash of the whole host within seconds of a node's first start, the node is made anew.
//
// State that another seed made, or none, stays, and graft is to add to it; its error is handed on. It is called again at the
// next start until it has succeeded once.
func Plant(root string, graft func() error) (Result, error) {
	f, err := os.Open(filepath.Join(root, Archive)) //nolint:gosec // of a name that the code has
	if errors.Is(err, fs.ErrNotExist) {
		return None, nil
	}
	if err != nil {
		return None, fmt.Errorf("cannot read the seed: %w", err)
	}
	defer f.Close()
	hash := sha256.New()
	if !exists(filepath.Join(root, begun)) && exists(filepath.Join(root, metadata)) {
		if _, err := io.Copy(hash, f); err != nil {
			return None, fmt.Errorf("cannot read the seed: %w", err)
		}
		return match(root, hex.EncodeToString(hash.Sum(nil)), graft)
	}
	if err := put(filepath.Join(root, begun), ""); err != nil {
		return None, err
	}
	tee := io.TeeReader(f, hash)
	if err := unpack(root, tar.NewReader(tee)); err != nil {
		return None, fmt.Errorf("cannot unpack the seed: %w", err)
	}
	if _, err := io.Copy(io.Discard, tee); err != nil { // the padding after the last entry counts for the sum
		return None, fmt.Errorf("cannot read the seed: %w", err)
	}
	if err := put(filepath.Join(root, Marker), hex.EncodeToString(hash.Sum(nil))+"\n"); err != nil {
		return None, err
	}
	return Planted, os.Remove(filepath.Join(root, begun))
}

// match keeps state that has what the seed of this sum has, and grafts onto any other.
func match(root, sum string, graft func() error) (Result, error) {
	marker, err := os.ReadFile(filepath.Join(root, Marker)) //nolint:gosec // of a name that the code has
	if err == nil && strings.TrimSpace(string(marker)) == sum {
		return Kept, nil
	}
	if err := graft(); err != nil {
		return None, fmt.Errorf("cannot add the image's images to containerd's state: %w", err)
	}
	return Grafted, put(filepath.Join(root, Marker), sum+"\n")
}

func put(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("cannot note the state of the seed: %w", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("cannot note the state of the seed: %w", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

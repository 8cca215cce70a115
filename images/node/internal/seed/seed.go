// Package seed gives a new node the containerd state that its image was built with: unpacked images, ready to run. It never
// touches state that is already there.
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
	Archive  = "usr/share/cove/seed.tar"
	Checksum = "usr/share/cove/seed.sha256"
	Marker   = "var/lib/cove/seeded"
	begun    = "var/lib/cove/seeding"
	// metadata is containerd's database: where it is, containerd has run or the seed was unpacked. The directory alone says
	// nothing, for the engine fills a fresh volume with what the image has at its path.
	metadata = "var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"
)

// Result says what Plant did.
type Result string

// The results.
const (
	None    Result = "the image has no seed"
	Kept    Result = "containerd has state already"
	Changed Result = "containerd's state is of another image's seed; left as it is"
	Planted Result = "unpacked"
)

// Plant unpacks the image's seed into root unless containerd has state there. A node that is killed in the middle starts it
// again at its next start: a note is made before and taken away after, and containerd has not run in between. Nothing
// is synced: after a crash of the whole host within seconds of a node's first start, the node is made anew.
func Plant(root string) (Result, error) {
	files := os.DirFS(root)
	f, err := files.Open(Archive)
	if errors.Is(err, fs.ErrNotExist) {
		return None, nil
	}
	if err != nil {
		return None, fmt.Errorf("cannot read the seed: %w", err)
	}
	defer f.Close()
	if !exists(filepath.Join(root, begun)) && exists(filepath.Join(root, metadata)) {
		return compare(files, f)
	}
	if err := put(filepath.Join(root, begun), ""); err != nil {
		return None, err
	}
	hash := sha256.New()
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

// compare says whether the state was made from this seed.
func compare(root fs.FS, archive io.Reader) (Result, error) {
	marker, err := fs.ReadFile(root, Marker)
	if err != nil {
		return Kept, nil //nolint:nilerr // state that no seed made
	}
	want, err := fs.ReadFile(root, Checksum)
	sum, _, _ := strings.Cut(strings.TrimSpace(string(want)), " ") // sha256sum's format, or the sum alone
	if err != nil || sum == "" {
		hash := sha256.New()
		if _, err := io.Copy(hash, archive); err != nil {
			return Kept, fmt.Errorf("cannot read the seed: %w", err)
		}
		sum = hex.EncodeToString(hash.Sum(nil))
	}
	if strings.TrimSpace(string(marker)) != sum {
		return Changed, nil
	}
	return Kept, nil
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

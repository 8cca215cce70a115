package build

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of everything in an image: the same content gives the same image.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// layer is a tree as a layer of an image. It is written when it is read, and never compressed: nobody fetches it from a
// registry, and an engine that loads it would only have to unpack it.
type layer struct {
	tree   tree
	digest v1.Hash
	size   int64
}

// newLayer finds out the layer's digest.
func newLayer(t tree) (*layer, error) {
	sum, count := sha256.New(), &counter{}
	if err := t.write(io.MultiWriter(sum, count)); err != nil {
		return nil, err
	}
	return &layer{t, v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, count.n}, nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// Digest, DiffID, Size, MediaType, Compressed and Uncompressed make it a v1.Layer.
func (l *layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID is the same: nothing is compressed.
func (l *layer) DiffID() (v1.Hash, error) { return l.digest, nil }

// Size is the archive's.
func (l *layer) Size() (int64, error) { return l.size, nil }

// MediaType is that of a plain archive.
func (l *layer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Compressed returns the archive as it is.
func (l *layer) Compressed() (io.ReadCloser, error) { return l.Uncompressed() }

// Uncompressed writes the archive while it is read.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(l.tree.write(w)) }()
	return r, nil
}

package build

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/event"
)

// archived is a file of an archive.
type archived struct {
	tar.Header
	data string
}

// unpack reads an archive: the files by name, and their order.
func unpack(t *testing.T, r io.Reader) (files map[string]archived, order []string) {
	t.Helper()
	files = map[string]archived{}
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, order
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name], order = archived{*h, string(data)}, append(order, h.Name)
	}
}

// written writes a tree and reads it back.
func written(t *testing.T, tr tree) (files map[string]archived, order []string) {
	t.Helper()
	var b bytes.Buffer
	if err := tr.write(&b); err != nil {
		t.Fatal(err)
	}
	return unpack(t, &b)
}

// writeFile writes a file on disk, and returns its path.
func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// testBuilder is a builder with the packed sources, an empty cache and no engine.
func testBuilder(t *testing.T) *builder {
	t.Helper()
	sources, err := packedSources()
	if err != nil {
		t.Fatal(err)
	}
	c, err := openCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	emitter := event.NewEmitter("test", "", time.Now)
	return &builder{Options: Options{Emitter: emitter}, arch: "amd64", cache: c, tree: sources, golang: goTool{version: "go1.26.8"}}
}

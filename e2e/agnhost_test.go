//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/cove-k8s/cove/e2e/testbed"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/image/build"
)

// agnhostImage is the image that test pods run. No registry has it.
const agnhostImage = "cove.test/agnhost:e2e"

// built is what is made once for all tests.
var built struct {
	sync.Mutex
	agnhost []byte // the archive of agnhostImage
	loaded  bool   // it is on the machine's engine
}

// agnhostArchive returns an archive with agnhostImage, as `docker save` makes it: the program of Kubernetes' own tests,
// compiled from source. A second call, and a second run, takes it from the build's cache.
func agnhostArchive(t *testing.T) []byte {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.agnhost == nil {
		var b bytes.Buffer
		o := build.Options{Tag: agnhostImage, Arch: runtime.GOARCH, Emitter: event.NewEmitter("e2e", "", time.Now)}
		if _, err := build.Image(t.Context(), o, "agnhost", &b); err != nil {
			t.Fatalf("cannot build agnhost: %v", err)
		}
		built.agnhost = b.Bytes()
	}
	return built.agnhost
}

// agnhost puts agnhostImage on the machine's engine and returns its name.
func agnhost(t *testing.T) string {
	t.Helper()
	data := agnhostArchive(t)
	built.Lock()
	defer built.Unlock()
	if !built.loaded {
		load := exec.CommandContext(t.Context(), "docker", "load", "--quiet")
		load.Stdin = bytes.NewReader(data)
		if out, err := load.CombinedOutput(); err != nil {
			t.Fatalf("docker load: %v: %s", err, out)
		}
		built.loaded = true
	}
	return agnhostImage
}

// forgetAgnhost takes the image off the machine's engine again.
func forgetAgnhost() error {
	if !built.loaded {
		return nil
	}
	if out, err := exec.Command("docker", "rmi", agnhostImage).CombinedOutput(); err != nil {
		return fmt.Errorf("docker rmi %s: %w: %s", agnhostImage, err, out)
	}
	return nil
}

// tarOf returns an archive with one executable file.
func tarOf(t *testing.T, path string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func layerOf(t *testing.T, data []byte) v1.Layer {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// image makes an image for this machine's architecture.
func image(t *testing.T, config v1.Config, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	return img
}

// archive packs images as `docker save` does.
func archive(t *testing.T, images map[string]v1.Image) []byte {
	t.Helper()
	refs := map[name.Reference]v1.Image{}
	for ref, img := range images {
		tag, err := name.NewTag(ref)
		if err != nil {
			t.Fatal(err)
		}
		refs[tag] = img
	}
	var b bytes.Buffer
	if err := tarball.MultiRefWrite(refs, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// agnhostOn puts agnhostImage on a throw-away engine.
func agnhostOn(t *testing.T, e *testbed.Engine) {
	t.Helper()
	if err := e.Load(t.Context(), bytes.NewReader(agnhostArchive(t))); err != nil {
		t.Fatal(err)
	}
}

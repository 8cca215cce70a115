package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image"
)

// nodes returns a fake engine with running nodes, and what runs in them.
func nodes(t *testing.T, names ...string) (*clustertest.World, []engine.Node) {
	t.Helper()
	w := clustertest.New(enginetest.NewFake())
	clustertest.AddNodeImage(w.Engine, "node:1", true)
	for _, name := range names {
		if _, err := w.Engine.CreateNode(t.Context(), engine.NodeSpec{Name: name, Cluster: "dev", Image: "node:1"}); err != nil {
			t.Fatal(err)
		}
		if err := w.Engine.StartNode(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.Engine.Nodes(t.Context(), engine.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	return w, list
}

// names returns the images of a node, without those that it began with.
func names(t *testing.T, w *clustertest.World, node string) []string {
	t.Helper()
	images, err := image.List(t.Context(), w.Engine, node)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, i := range images {
		if i.Name != "registry.k8s.io/pause" {
			list = append(list, i.Name+":"+i.Tag)
		}
	}
	return list
}

// archive makes what `docker save` does: files, and padding so that it is many chunks long.
func archive(t *testing.T, files map[string]string, padding int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, data []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	add("layer.tar", bytes.Repeat([]byte("0123456789abcdef"), padding/16))
	for name, data := range files {
		add(name, []byte(data))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dockerArchive(t *testing.T, tag string, padding int) []byte {
	t.Helper()
	const config = "{}"
	name := fmt.Sprintf("blobs/sha256/%x", sha256.Sum256([]byte(config)))
	return archive(t, map[string]string{name: config, "manifest.json": fmt.Sprintf(`[{"Config":%q,"RepoTags":[%q]}]`, name, tag)}, padding)
}

// loadRef loads an image of the engine.
func loadRef(t *testing.T, w *clustertest.World, ref string, list []engine.Node) (image.Loaded, error) {
	t.Helper()
	src, err := image.FromEngine(t.Context(), w.Engine, ref)
	if err != nil {
		return image.Loaded{}, err
	}
	return image.Load(t.Context(), w.Engine, list, src, nil)
}

func TestLoadFromEngine(t *testing.T) {
	w, list := nodes(t, "dev-a", "dev-b")
	both := []string{"dev-a", "dev-b"}
	w.Engine.AddImage(engine.Image{Names: []string{"app:1"}}, nil)
	for _, step := range []struct {
		name            string
		list            []engine.Node
		loaded, skipped []string
	}{
		{"into one", list[:1], both[:1], nil},
		{"the one that has it is left out", list, both[1:], both[:1]},
		{"both have it", list, nil, both},
	} {
		got, err := loadRef(t, w, "app:1", step.list)
		if err != nil || !slices.Equal(got.Nodes, step.loaded) || !slices.Equal(got.Skipped, step.skipped) ||
			(got.Bytes > 0) != (len(step.loaded) > 0) || !slices.Equal(got.Images, []string{"docker.io/library/app:1"}) {
			t.Fatalf("%s: %+v, %v", step.name, got, err)
		}
	}
	// Another image of the same name is another image.
	w.Engine.AddImage(engine.Image{Names: []string{"app:1"}, Labels: map[string]string{"new": "1"}}, nil)
	if got, err := loadRef(t, w, "app:1", list); err != nil || !slices.Equal(got.Nodes, both) {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, n := range both {
		if got := names(t, w, n); !slices.Equal(got, []string{"docker.io/library/app:1"}) {
			t.Errorf("%s has %v", n, got)
		}
	}
}

// An image by its ID is loaded by its names; one without any cannot be found by pods.
func TestLoadByID(t *testing.T) {
	w, list := nodes(t, "dev-a")
	img := w.Engine.AddImage(engine.Image{Names: []string{"app:1"}}, nil)
	if got, err := loadRef(t, w, img.ID, list); err != nil || !slices.Equal(got.Images, []string{"docker.io/library/app:1"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	bare := w.Engine.AddImage(engine.Image{Labels: map[string]string{"bare": "1"}}, nil)
	if _, err := loadRef(t, w, bare.ID, list); !fault.Is(err, fault.ImageLoad) || !strings.Contains(fault.ReportOf(err).Hint, "docker tag") {
		t.Errorf("got %v", err)
	}
	if _, err := loadRef(t, w, "no:such", list); !fault.Is(err, fault.ImageNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestLoadWarnsOfOtherPlatforms(t *testing.T) {
	w, list := nodes(t, "dev-a")
	w.Engine.AddImage(engine.Image{Names: []string{"arm:1"}, Architecture: "arm64"}, nil)
	src, err := image.FromEngine(t.Context(), w.Engine, "arm:1")
	if err != nil {
		t.Fatal(err)
	}
	s := &said{}
	err = event.NewEmitter("run", "dev", time.Now, s).Step(t.Context(), "load", "Load", func(ctx context.Context, rep *event.Reporter) error {
		_, err := image.Load(ctx, w.Engine, list, src, rep)
		return err
	})
	if err != nil || len(s.warnings) != 1 || !strings.Contains(s.warnings[0], "docker.io/library/arm:1 is for arm64") {
		t.Errorf("said %q, %v", s.warnings, err)
	}
}

func TestLoadArchives(t *testing.T) {
	big := dockerArchive(t, "registry.example/team/app:2", 20<<20)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(big); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "app.tar")
	packed := plain + ".gz"
	if err := errors.Join(os.WriteFile(plain, big, 0o600), os.WriteFile(packed, zipped.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]func() (image.Source, error){
		"file":         func() (image.Source, error) { return image.FromFile(plain) },
		"file, gzip":   func() (image.Source, error) { return image.FromFile(packed) },
		"stream":       func() (image.Source, error) { return image.FromReader("stdin", bytes.NewReader(big)), nil },
		"stream, gzip": func() (image.Source, error) { return image.FromReader("stdin", &zipped), nil },
	} {
		t.Run(name, func(t *testing.T) {
			w, list := nodes(t, "dev-a", "dev-b", "dev-c")
			src, err := source()
			if err != nil {
				t.Fatal(err)
			}
			got, err := image.Load(t.Context(), w.Engine, list, src, nil)
			if err != nil || len(got.Nodes) != 3 || !slices.Equal(got.Images, []string{"registry.example/team/app:2"}) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if got.Bytes != int64(len(big)) {
				t.Errorf("sent %d of %d bytes", got.Bytes, len(big))
			}
		})
	}
	t.Run("a second time", func(t *testing.T) {
		w, list := nodes(t, "dev-a")
		for i := range 2 {
			src, err := image.FromFile(plain)
			if err != nil {
				t.Fatal(err)
			}
			got, err := image.Load(t.Context(), w.Engine, list, src, nil)
			if err != nil || len(got.Skipped) != i {
				t.Fatalf("got %+v, %v", got, err)
			}
		}
	})
}

// TestLoadForms wants the images of an archive to be known whatever the tool that wrote it calls their configuration.
func TestLoadForms(t *testing.T) {
	for _, form := range []string{"blobs/sha256/%x", "%x.json", "sha256:%x"} {
		t.Run(form, func(t *testing.T) {
			w, list := nodes(t, "dev-a")
			config := fmt.Sprintf(form, sha256.Sum256([]byte("{}")))
			data := archive(t, map[string]string{config: "{}", "manifest.json": fmt.Sprintf(`[{"Config":%q,"RepoTags":["app:2"]}]`, config)}, 0)
			got, err := image.Load(t.Context(), w.Engine, list, image.FromReader("stdin", bytes.NewReader(data)), nil)
			if err != nil || !slices.Equal(got.Images, []string{"docker.io/library/app:2"}) {
				t.Fatalf("got %+v, %v", got, err)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	good := dockerArchive(t, "app:2", 4<<20)
	unnamed := archive(t, map[string]string{"manifest.json": `[{"Config":"x.json","RepoTags":null}]`}, 0)
	for _, tt := range []struct {
		name string
		data []byte
		says string
	}{
		{"no archive", []byte("hello, this is no archive at all"), "it is no image archive"},
		{"empty", nil, "it is no image archive"},
		{"another archive", archive(t, map[string]string{"README": "x"}, 0), "neither a manifest.json nor an index.json"},
		{"cut off", good[:len(good)/2], "unexpected EOF"},
		{"without names", unnamed, "have no names"},
		{"broken table", archive(t, map[string]string{"manifest.json": "["}, 0), "manifest.json cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, list := nodes(t, "dev-a", "dev-b")
			_, err := image.Load(t.Context(), w.Engine, list, image.FromReader("stdin", bytes.NewReader(tt.data)), nil)
			if !fault.Is(err, fault.ImageLoad) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "cannot load stdin") {
				t.Errorf("stream: got %v", err)
			}
			path := filepath.Join(t.TempDir(), "a.tar")
			if err := os.WriteFile(path, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err = image.FromFile(path); !fault.Is(err, fault.ImageLoad) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("file: got %v", err)
			}
			if got := names(t, w, "dev-a"); got != nil {
				t.Errorf("the node has %v", got)
			}
		})
	}
	if _, err := image.FromFile(filepath.Join(t.TempDir(), "none.tar")); !fault.Is(err, fault.FileUnwritable) {
		t.Errorf("got %v", err)
	}
	w, list := nodes(t, "dev-a", "dev-b")
	if err := w.Engine.StopNode(t.Context(), "dev-b", time.Second); err != nil {
		t.Fatal(err)
	}
	list[1].State = engine.StateExited
	if _, err := image.Load(t.Context(), w.Engine, list, image.FromReader("stdin", bytes.NewReader(good)), nil); !fault.Is(err, fault.ClusterNotRunning) || !strings.Contains(err.Error(), "dev-b") {
		t.Errorf("got %v", err)
	}
}

// A node that fails is named, and keeps the image from no other, however early it stops reading.
func TestLoadNamesTheNodeThatFails(t *testing.T) {
	w, list := nodes(t, "dev-a", "dev-b", "dev-c")
	w.OnExec = func(node string, cmd engine.Command) (bool, error) {
		if node != "dev-b" || !slices.Contains(cmd.Args, "import") {
			return false, nil
		}
		fmt.Fprintln(cmd.Stderr, "ctr: no space left on device")
		return true, &engine.ExitError{Code: 1}
	}
	_, err := image.Load(t.Context(), w.Engine, list, image.FromReader("stdin", bytes.NewReader(dockerArchive(t, "app:2", 20<<20))), nil)
	if !fault.Is(err, fault.ImageLoad) || !strings.Contains(err.Error(), "node dev-b: ctr: no space left on device") || strings.Contains(err.Error(), "dev-a") {
		t.Fatalf("got %v", err)
	}
	if r := fault.ReportOf(err); !strings.Contains(r.Output, "no space left") || !strings.Contains(r.Command, "images import") {
		t.Errorf("got %+v", r)
	}
	for _, n := range []string{"dev-a", "dev-c"} {
		if got := names(t, w, n); !slices.Equal(got, []string{"docker.io/library/app:2"}) {
			t.Errorf("%s has %v", n, got)
		}
	}
}

// Where every node has stopped reading there is no use in reading on.
func TestLoadStopsWhenNobodyReads(t *testing.T) {
	w, list := nodes(t, "dev-a")
	w.OnExec = func(_ string, cmd engine.Command) (bool, error) {
		return slices.Contains(cmd.Args, "import"), &engine.ExitError{Code: 1}
	}
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "layer.tar", Size: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	endless := io.MultiReader(&head, zeros{})
	_, err := image.Load(t.Context(), w.Engine, list, image.FromReader("stdin", endless), nil)
	if !fault.Is(err, fault.ImageLoad) || !strings.Contains(err.Error(), "dev-a") {
		t.Errorf("got %v", err)
	}
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// An import that took nothing, as of an image for another platform, is no success.
func TestLoadChecksWhatTheNodeHas(t *testing.T) {
	w, list := nodes(t, "dev-a")
	w.OnExec = func(_ string, cmd engine.Command) (bool, error) {
		if !slices.Contains(cmd.Args, "import") {
			return false, nil
		}
		_, err := io.Copy(io.Discard, cmd.Stdin)
		return true, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := image.Load(ctx, w.Engine, list, image.FromReader("stdin", bytes.NewReader(dockerArchive(t, "app:2", 0))), nil)
	if !fault.Is(err, fault.ImageLoad) || !strings.Contains(err.Error(), "it lacks docker.io/library/app:2 for linux/amd64") {
		t.Errorf("got %v", err)
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	w, list := nodes(t, "dev-a", "dev-b")
	ctx, cancel := context.WithCancel(t.Context())
	w.OnExec = func(_ string, cmd engine.Command) (bool, error) {
		if !slices.Contains(cmd.Args, "import") {
			return false, nil
		}
		cancel() // and nobody reads
		<-t.Context().Done()
		return true, nil
	}
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "layer.tar", Size: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	_, err := image.Load(ctx, w.Engine, list, image.FromReader("stdin", io.MultiReader(&head, zeros{})), nil)
	if !errors.Is(err, context.Canceled) || fault.ReportOf(err).Code != fault.Interrupted {
		t.Errorf("got %v", err)
	}
}

// What comes from the engine is taken apart by ctr itself, where it is cove's own and known to be able to.
func TestLoadReadsLocally(t *testing.T) {
	for name, tt := range map[string]struct {
		node    string // its image
		archive bool
		want    bool
	}{
		"from the engine":        {"node:1", false, true},
		"into a node of kind's":  {"kind:1", false, false},
		"an archive of a user's": {"node:1", true, false},
	} {
		w, list := nodes(t, "dev-a")
		if tt.node != "node:1" {
			list[0].Labels = nil
		}
		app := w.Engine.AddImage(engine.Image{Names: []string{"app:2"}, Architecture: "amd64"}, nil)
		local, imported := false, false
		w.OnExec = func(_ string, cmd engine.Command) (bool, error) {
			imported = imported || slices.Contains(cmd.Args, "import")
			local = local || slices.Contains(cmd.Args, "--local")
			return false, nil
		}
		src, err := image.FromEngine(t.Context(), w.Engine, app.Names[0])
		if tt.archive {
			src, err = image.FromReader("stdin", bytes.NewReader(dockerArchive(t, "app:2", 0))), nil
		}
		if err == nil {
			_, err = image.Load(t.Context(), w.Engine, list, src, nil)
		}
		if err != nil || !imported || local != tt.want {
			t.Errorf("%s: imported %v, locally %v, %v", name, imported, local, err)
		}
	}
}

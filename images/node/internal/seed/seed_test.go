package seed

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

const other = "var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/aa"

func archive(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		text := "content of " + h.Name
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		h.Uid, h.Gid = os.Getuid(), os.Getgid()
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func usual(t *testing.T) []byte {
	t.Helper()
	return archive(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o700},
		tar.Header{Typeflag: tar.TypeDir, Name: "var/lib/containerd/", Mode: 0o711},
		tar.Header{Typeflag: tar.TypeReg, Name: metadata, Mode: 0o640},
		tar.Header{Typeflag: tar.TypeReg, Name: other, Mode: 0o444},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "var/lib/containerd/snapshots/1", Linkname: "/prebaked/snapshots/1"},
		tar.Header{Typeflag: tar.TypeLink, Name: "var/lib/containerd/hard", Linkname: other},
	)
}

func lay(t *testing.T, root, name string, text []byte) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func plant(t *testing.T, root string, want Result) {
	t.Helper()
	grafts := 0
	got, err := Plant(root, func() error { grafts++; return nil })
	if err != nil || got != want || (grafts == 1) != (want == Grafted) {
		t.Fatalf("got %q, %v after %d grafts, want %q", got, err, grafts, want)
	}
}

// noGraft is for roots that have no state.
func noGraft() error { return errors.New("there is nothing to graft onto") }

func content(t *testing.T, root, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPlant(t *testing.T) {
	root := t.TempDir()
	plant(t, root, None)
	lay(t, root, Archive, usual(t))
	if err := os.MkdirAll(filepath.Join(root, "var/lib/containerd/empty"), 0o755); err != nil { // what a fresh volume may have
		t.Fatal(err)
	}
	plant(t, root, Planted)
	if got := content(t, root, other); got != "content of "+other {
		t.Errorf("got %q", got)
	}
	if got, err := os.Readlink(filepath.Join(root, "var/lib/containerd/snapshots/1")); err != nil || got != "/prebaked/snapshots/1" {
		t.Errorf("link %q, %v", got, err)
	}
	for name, want := range map[string]fs.FileMode{"var/lib/containerd": 0o711, metadata: 0o640, other: 0o444} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	sum := sha256.Sum256(usual(t))
	if got := content(t, root, Marker); got != hex.EncodeToString(sum[:])+"\n" {
		t.Errorf("marker %q", got)
	}
	lay(t, root, metadata, []byte("containerd has run"))
	plant(t, root, Kept)
	if got := content(t, root, metadata); got != "containerd has run" {
		t.Errorf("state was overwritten: %q", got)
	}
}

// A container of another image on the same volume.
func TestGraft(t *testing.T) {
	root := t.TempDir()
	lay(t, root, Archive, usual(t))
	plant(t, root, Planted)
	lay(t, root, metadata, []byte("containerd has run"))
	marker := content(t, root, Marker)
	lay(t, root, Archive, append(usual(t), 0))
	for range 2 { // until it succeeds
		broken := errors.New("broken")
		if result, err := Plant(root, func() error { return broken }); !errors.Is(err, broken) {
			t.Errorf("got %q, %v", result, err)
		}
		if got := content(t, root, Marker); got != marker {
			t.Errorf("marker %q", got)
		}
	}
	plant(t, root, Grafted)
	plant(t, root, Kept)
	if got := content(t, root, metadata); got != "containerd has run" {
		t.Errorf("state was overwritten: %q", got)
	}
	lay(t, root, Archive, usual(t)) // back
	plant(t, root, Grafted)
	plant(t, root, Kept)
}

// An archive that breaks off stands for a kill while it is read: the next start makes everything whole.
func TestKilledInTheMiddle(t *testing.T) {
	whole := usual(t)
	for cut := 100; cut < len(whole)-1024; cut += 500 { // never between two entries, where it would look complete
		root := t.TempDir()
		lay(t, root, Archive, whole[:cut])
		if result, err := Plant(root, noGraft); err == nil {
			t.Fatalf("cut at %d: %q", cut, result)
		}
		lay(t, root, Archive, whole)
		plant(t, root, Planted)
		if got := content(t, root, other); got != "content of "+other {
			t.Fatalf("cut at %d: got %q", cut, got)
		}
		plant(t, root, Kept)
	}
}

// The last moment: all is there, half of a file is not, and the note of the beginning still is.
func TestKilledBeforeTheEndWasNoted(t *testing.T) {
	root := t.TempDir()
	lay(t, root, Archive, usual(t))
	plant(t, root, Planted)
	if err := os.Remove(filepath.Join(root, other)); err != nil {
		t.Fatal(err)
	}
	lay(t, root, other, []byte("cont"))
	lay(t, root, begun, nil)
	plant(t, root, Planted)
	if got := content(t, root, other); got != "content of "+other {
		t.Errorf("got %q", got)
	}
}

// State that no seed made, such as that of an image of kind's layout, is grafted onto, too.
func TestForeignStateIsKept(t *testing.T) {
	root := t.TempDir()
	lay(t, root, Archive, usual(t))
	lay(t, root, metadata, []byte("mine"))
	plant(t, root, Grafted)
	plant(t, root, Kept)
	if got := content(t, root, metadata); got != "mine" {
		t.Errorf("got %q", got)
	}
}

func TestStateThatWasRemovedIsPlantedAgain(t *testing.T) {
	root := t.TempDir()
	lay(t, root, Archive, usual(t))
	plant(t, root, Planted)
	if err := os.RemoveAll(filepath.Join(root, "var/lib/containerd")); err != nil {
		t.Fatal(err)
	}
	plant(t, root, Planted)
}

func TestNothingLeavesTheRoot(t *testing.T) {
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: "../evil"},
		{Typeflag: tar.TypeReg, Name: "/evil"},
		{Typeflag: tar.TypeLink, Name: "x", Linkname: "../../etc/passwd"},
		{Typeflag: tar.TypeFifo, Name: "fifo"},
	} {
		root := t.TempDir()
		lay(t, root, Archive, archive(t, h))
		if result, err := Plant(root, noGraft); err == nil {
			t.Errorf("%q: %q", h.Name, result)
		}
	}
}

package build

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"
)

// overlay is a file system whose upper files hide the lower ones.
type overlay struct {
	upper fstest.MapFS
	lower fs.FS
}

func (o overlay) Open(name string) (fs.File, error) {
	if f, ok := o.upper[name]; ok && f.Mode.IsRegular() {
		return o.upper.Open(name)
	}
	return o.lower.Open(name)
}

// testTree has a program in three places, and files of equal content.
func testTree(t *testing.T) tree {
	t.Helper()
	program := writeFile(t, t.TempDir(), "kube", "program")
	tr, inner := tree{}, tree{}
	for _, x := range []tree{tr, inner} {
		if err := x.file("usr/local/bin/kube", program); err != nil {
			t.Fatal(err)
		}
		x.symlink("usr/local/bin/kubelet", "kube")
	}
	tr.under("prebaked/snapshots/2/fs", inner)
	tr.under("prebaked/snapshots/10/fs", inner)
	tr.bytes("etc/a", []byte("same"))
	tr.bytes("etc/b", []byte("same"))
	tr.shared("licenses/a", []byte("text"))
	tr.shared("licenses/b", []byte("text"))
	tr.shared("licenses/empty1", nil)
	tr.shared("licenses/empty2", nil)
	return tr
}

// expect compares the kind and the target of an entry.
func expect(t *testing.T, files map[string]archived, name string, kind byte, link string) {
	t.Helper()
	if f, ok := files[name]; !ok || f.Typeflag != kind || f.Linkname != link {
		t.Errorf("%s is of type %c, link %q (there: %t); want %c, %q", name, f.Typeflag, f.Linkname, ok, kind, link)
	}
}

func TestTreeStoresAFileOnce(t *testing.T) {
	files, order := written(t, testTree(t))
	const first = "prebaked/snapshots/10/fs/usr/local/bin/kube"
	expect(t, files, first, tar.TypeReg, "")
	expect(t, files, "prebaked/snapshots/2/fs/usr/local/bin/kube", tar.TypeLink, first)
	expect(t, files, "usr/local/bin/kube", tar.TypeLink, first)
	expect(t, files, "usr/local/bin/kubelet", tar.TypeSymlink, "kube")
	expect(t, files, "etc/a", tar.TypeReg, "")
	expect(t, files, "etc/b", tar.TypeReg, "") // files that may be written to stay two
	expect(t, files, "licenses/a", tar.TypeReg, "")
	expect(t, files, "licenses/b", tar.TypeLink, "licenses/a")
	expect(t, files, "licenses/empty2", tar.TypeReg, "")
	if f := files[first]; f.data != "program" || f.Mode != 0o755 {
		t.Errorf("%s is %q, mode %o", first, f.data, f.Mode)
	}
	for i, name := range order { // a hard link's target comes before it
		if f := files[name]; f.Typeflag == tar.TypeLink && slices.Index(order, f.Linkname) > i {
			t.Errorf("%s comes before its target", name)
		}
	}
}

func TestTreeIsTheSameEverywhere(t *testing.T) {
	files, _ := written(t, testTree(t))
	for name, f := range files {
		if !f.ModTime.Equal(epoch()) || f.Uid != 0 || f.Gid != 0 {
			t.Errorf("%s has time %v, owner %d:%d", name, f.ModTime, f.Uid, f.Gid)
		}
	}
	for _, dir := range []string{"prebaked/", "prebaked/snapshots/2/fs/usr/local/bin/", "usr/local/"} {
		expect(t, files, dir, tar.TypeDir, "")
		if files[dir].Mode != 0o755 {
			t.Errorf("%s has mode %o", dir, files[dir].Mode)
		}
	}
}

func TestTreeKeepsModesApart(t *testing.T) {
	tr := tree{}
	tr.shared("a", []byte("x"))
	tr.shared("b", []byte("x"))
	n := tr["b"]
	n.mode = 0o4755
	tr["b"] = n
	files, _ := written(t, tr)
	if files["b"].Typeflag != tar.TypeReg || files["b"].Mode != 0o4755 {
		t.Errorf("b is %+v", files["b"].Header)
	}
}

func TestTreeDirKeepsItsMode(t *testing.T) {
	tr := tree{}
	tr.dir("tmp", 0o1777)
	tr.bytes("tmp/x", nil)
	files, _ := written(t, tr)
	if files["tmp/"].Mode != 0o1777 {
		t.Errorf("tmp has mode %o", files["tmp/"].Mode)
	}
}

func TestLayerIsItsArchive(t *testing.T) {
	tr := tree{}
	tr.bytes("a", []byte("text"))
	l, err := newLayer(tr)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if l.digest.Hex != hex.EncodeToString(sum[:]) || l.size != int64(len(data)) {
		t.Errorf("layer says %s, %d bytes; it is %x, %d bytes", l.digest, l.size, sum, len(data))
	}
	again, err := newLayer(tr)
	if err != nil || again.digest != l.digest {
		t.Errorf("the same tree gives %v and %v (%v)", l.digest, again.digest, err)
	}
	if files, _ := unpack(t, bytes.NewReader(data)); files["a"].data != "text" {
		t.Errorf("a is %q", files["a"].data)
	}
}

func TestLayerHandsOnWhatFails(t *testing.T) {
	bad := errors.New("bad")
	tr := tree{"a": {path: "a", size: 3, source: "a", open: func() (io.ReadCloser, error) { return nil, bad }}}
	if _, err := newLayer(tr); !errors.Is(err, bad) {
		t.Errorf("newLayer: %v", err)
	}
	r, err := (&layer{tree: tr}).Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, bad) {
		t.Errorf("read: %v", err)
	}
}

package build

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// node is one entry of a tree: a file, a folder or a symbolic link. Everything belongs to root, as in the images of
// Kubernetes itself, unless uid and gid say otherwise.
type node struct {
	path     string // without a leading slash
	mode     int64  // permission bits, with setuid, setgid and sticky
	dir      bool
	link     string // a symbolic link's target
	uid, gid int
	size     int64
	source   string // of a regular file: equal sources have equal contents
	open     func() (io.ReadCloser, error)
}

// tree is a file tree, a node per path.
type tree map[string]node

// dir adds a folder, and those above it.
func (t tree) dir(name string, mode int64) {
	t.parents(name)
	t[name] = node{path: name, mode: mode, dir: true}
}

// parents adds the folders above name that are not there yet.
func (t tree) parents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := t[dir]; !ok {
			t[dir] = node{path: dir, mode: 0o755, dir: true}
		}
	}
}

// symlink adds a symbolic link.
func (t tree) symlink(name, target string) {
	t.parents(name)
	t[name] = node{path: name, mode: 0o777, link: target}
}

// bytes adds a file with that content.
func (t tree) bytes(name string, data []byte) {
	t.parents(name)
	t[name] = node{path: name, mode: 0o644, size: int64(len(data)), source: "path:" + name, open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// shared adds a file that may be stored once with others of the same content, because nothing ever writes to it.
func (t tree) shared(name string, data []byte) {
	t.bytes(name, data)
	h := newHasher()
	h.add(string(data))
	n := t[name]
	n.source = "content:" + h.sum()
	t[name] = n
}

// file adds a program of this machine's disk.
func (t tree) file(name, source string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	t.parents(name)
	t[name] = node{path: name, mode: 0o755, size: info.Size(), source: "file:" + source, open: func() (io.ReadCloser, error) {
		return os.Open(source) //nolint:gosec // a part in the cache
	}}
	return nil
}

// copy adds a node of another tree, and the folders above it.
func (t tree) copy(from tree, name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := t[dir]; !ok {
			t[dir] = from[dir]
		}
	}
	t[name] = from[name]
}

// under adds everything of another tree below a folder.
func (t tree) under(dir string, other tree) {
	t.dir(dir, 0o755)
	for _, n := range other {
		n.path = path.Join(dir, n.path)
		t.parents(n.path)
		t[n.path] = n
	}
}

// sorted returns the nodes by path: folders come before what is in them.
func (t tree) sorted() []node {
	nodes := make([]node, 0, len(t))
	for _, n := range t {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b node) int { return strings.Compare(a.path, b.path) })
	return nodes
}

// write writes the tree as a tar archive that depends on nothing but the tree. A file that was there before in the same
// archive, with the same mode and owner, becomes a hard link: it is stored once.
func (t tree) write(w io.Writer) error {
	out := tar.NewWriter(w)
	first := map[sameFile]string{}
	for _, n := range t.sorted() {
		if err := n.write(out, first); err != nil {
			return err
		}
	}
	return out.Close()
}

// sameFile is what files must share to be hard links of each other.
type sameFile struct {
	source   string
	mode     int64
	uid, gid int
}

func (n node) write(out *tar.Writer, first map[sameFile]string) error {
	h := &tar.Header{Name: n.path, Mode: n.mode, Uid: n.uid, Gid: n.gid, ModTime: epoch(), Format: tar.FormatPAX}
	id := sameFile{n.source, n.mode, n.uid, n.gid}
	switch {
	case n.dir:
		h.Typeflag, h.Name = tar.TypeDir, n.path+"/"
	case n.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.link
	case n.size > 0 && first[id] != "":
		h.Typeflag, h.Linkname = tar.TypeLink, first[id]
	default:
		h.Typeflag, h.Size = tar.TypeReg, n.size
		first[id] = n.path
	}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg || n.size == 0 {
		return nil
	}
	in, err := n.open()
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(out, in)
	return err
}

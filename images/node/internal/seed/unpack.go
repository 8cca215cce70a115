package seed

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// unpack writes the archive's directories, files and links below root, over what an earlier try left.
func unpack(root string, archive *tar.Reader) error {
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(h.Name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%q leads out of the root", h.Name)
		}
		if name == "." {
			continue // the root itself is not ours to change
		}
		if err := entry(root, filepath.Join(root, name), h, archive); err != nil {
			return err
		}
	}
}

func entry(root, path string, h *tar.Header, content io.Reader) error {
	if h.Typeflag != tar.TypeDir {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	mode := h.FileInfo().Mode()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	case tar.TypeReg:
		if err := file(path, content); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := os.Symlink(h.Linkname, path); err != nil {
			return err
		}
	case tar.TypeLink:
		if !filepath.IsLocal(h.Linkname) {
			return fmt.Errorf("%q leads out of the root", h.Linkname)
		}
		return os.Link(filepath.Join(root, h.Linkname), path)
	default:
		return fmt.Errorf("%q is of a kind (%c) that a seed does not have", h.Name, h.Typeflag)
	}
	// The owner first: a change of owner takes the set-user bits away.
	if err := os.Lchown(path, h.Uid, h.Gid); err != nil && os.Geteuid() == 0 {
		return err
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	return os.Chmod(path, mode.Perm()|mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
}

func file(path string, content io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

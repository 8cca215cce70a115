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

// dirMode is for directories that the archive does not list: pods of any user must get through to their layers.
const dirMode = 0o755

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
		if err := vacate(path); err != nil {
			return err
		}
	}
	if err := create(root, path, h, content); err != nil || h.Typeflag == tar.TypeLink {
		return err
	}
	// The owner first: a change of owner takes the set-user bits away.
	if err := os.Lchown(path, h.Uid, h.Gid); err != nil && os.Geteuid() == 0 {
		return err
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	mode := h.FileInfo().Mode()
	return os.Chmod(path, mode.Perm()|mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
}

// vacate makes room for an entry: its directory, and nothing at its place.
func vacate(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func create(root, path string, h *tar.Header, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, dirMode)
	case tar.TypeReg:
		return file(path, content)
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, path)
	case tar.TypeLink:
		target := filepath.Clean(h.Linkname)
		if !filepath.IsLocal(target) {
			return fmt.Errorf("%q leads out of the root", h.Linkname)
		}
		return os.Link(filepath.Join(root, target), path)
	default:
		return fmt.Errorf("%q is of a kind (%c) that a seed does not have", h.Name, h.Typeflag)
	}
}

func file(path string, content io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // checked to be below the root
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

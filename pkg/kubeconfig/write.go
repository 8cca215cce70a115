package kubeconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxLinks bounds a chain of symbolic links, as Linux does.
const maxLinks = 40

// resolve follows symbolic links to the file that the path stands for, which need not exist.
func resolve(path string) (string, error) {
	for range maxLinks {
		target, err := os.Readlink(path)
		if err != nil { // no link, or nothing there
			if info, e := os.Lstat(path); e == nil && info.Mode()&fs.ModeSymlink != 0 {
				return "", err
			}
			return path, nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// replace gives the file that path stands for the content, all at once: whoever reads it sees the old or the new one. The
// file keeps its mode and its owner. A new one is for its user alone, and belongs to the owner of its directory where
// root makes it (as under sudo).
func replace(path string, content []byte) (err error) {
	target, err := resolve(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(target)
	if err := makeDir(dir); err != nil {
		return err
	}
	mode, like := fs.FileMode(0o600), dir
	if info, err := os.Stat(target); err == nil {
		mode, like = info.Mode().Perm(), target
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(target)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the error that matters is known
		}
	}()
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(mode), own(tmp.Name(), like), tmp.Sync())
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), target)
}

// makeDir makes the directory and those above it, for the user alone, owned as the first one that was there.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return os.Mkdir(dir, 0o700)
	}
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return own(dir, parent)
}

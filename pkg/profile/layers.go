package profile

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// layers is a file system in which the files of an earlier one hide those of the same name in a later one. Folders are
// merged. One that is missing is empty.
type layers []fs.FS

// find returns the first layer that has name, and what it says of it.
func (l layers) find(op, name string) (fs.FS, fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	for _, layer := range l {
		info, err := fs.Stat(layer, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return layer, info, err
	}
	return nil, nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Stat implements fs.StatFS.
func (l layers) Stat(name string) (fs.FileInfo, error) {
	_, info, err := l.find("stat", name)
	return info, err
}

// Open implements fs.FS.
func (l layers) Open(name string) (fs.File, error) {
	layer, info, err := l.find("open", name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return layer.Open(name)
	}
	entries, err := l.ReadDir(name)
	if err != nil {
		return nil, err
	}
	return &folder{name: name, info: info, entries: entries}, nil
}

// ReadFile implements fs.ReadFileFS.
func (l layers) ReadFile(name string) ([]byte, error) {
	layer, _, err := l.find("open", name)
	if err != nil {
		return nil, err
	}
	return fs.ReadFile(layer, name)
}

// ReadDir implements fs.ReadDirFS.
func (l layers) ReadDir(name string) ([]fs.DirEntry, error) {
	if _, info, err := l.find("readdir", name); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	out, seen := []fs.DirEntry{}, map[string]bool{}
	for _, layer := range l {
		info, err := fs.Stat(layer, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			break // a file hides the folders of later layers
		}
		entries, err := fs.ReadDir(layer, name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !seen[e.Name()] {
				seen[e.Name()] = true
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// folder is an open folder of layers.
type folder struct {
	name    string
	info    fs.FileInfo
	entries []fs.DirEntry
}

func (f *folder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *folder) Close() error               { return nil }

func (f *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: path.Base(f.name), Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (f *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		out := f.entries
		f.entries = nil
		return out, nil
	}
	if len(f.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.entries))
	out := f.entries[:n]
	f.entries = f.entries[n:]
	return out, nil
}

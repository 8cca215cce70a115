// Package sources decides which files of the folder images belong to an image build, and packs them. It reads a file
// system and never writes.
package sources

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/tools/txtar"
)

// Pack returns the txtar archive of the tree: every folder with a go.mod, and the folder files. The same tree gives the
// same bytes.
func Pack(tree fs.FS) ([]byte, error) {
	folders, err := fs.ReadDir(tree, ".")
	if err != nil {
		return nil, fmt.Errorf("cannot list the images: %w", err)
	}
	a := &txtar.Archive{Comment: []byte("The sources of the images. Made by `go generate ./images`: do not edit.\n")}
	for _, f := range folders {
		_, err := fs.Stat(tree, path.Join(f.Name(), "go.mod"))
		if !f.IsDir() || (err != nil && f.Name() != "files") {
			continue
		}
		if err := add(a, tree, f.Name()); err != nil {
			return nil, err
		}
	}
	data := txtar.Format(a)
	if back := txtar.Parse(data); len(back.Files) != len(a.Files) {
		return nil, fmt.Errorf("cannot pack the sources: a file has a line that looks like a file's header")
	}
	return data, nil
}

func add(a *txtar.Archive, tree fs.FS, folder string) error {
	return fs.WalkDir(tree, folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot walk %s: %w", folder, err)
		}
		if d.IsDir() {
			if d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if !wanted(folder, d.Name()) {
			return nil
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", name, err)
		}
		if len(data) > 0 && !bytes.HasSuffix(data, []byte("\n")) {
			return fmt.Errorf("cannot pack %s: it does not end with a new line", name)
		}
		a.Files = append(a.Files, txtar.File{Name: name, Data: data})
		return nil
	})
}

// wanted reports whether a file of the folder is needed to build.
func wanted(folder, name string) bool {
	if folder == "files" {
		return true
	}
	switch path.Ext(name) {
	case ".go":
		return !strings.HasSuffix(name, "_test.go")
	case ".mod", ".sum", ".toml", ".yaml", ".json", ".conf":
		return true
	}
	return false
}

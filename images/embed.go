// Package images has the sources of what runs inside a node: one Go module per upstream that is built, and the node's own
// configuration files. They travel inside cove as one archive, and never are compiled into it.
package images

import (
	_ "embed"
	"fmt"
	"io/fs"

	"golang.org/x/tools/txtar"
)

//go:generate go run ./internal/cmd/pack -o sources.txtar

// A folder with a go.mod of its own is left out by go:embed and by module archives alike, so the sources are packed.
//
//go:embed sources.txtar
var archive []byte

// Sources returns the modules' folders (kubernetes-1.36, etcd, …) and the folder files.
func Sources() (fs.FS, error) {
	tree, err := txtar.FS(txtar.Parse(archive))
	if err != nil {
		return nil, fmt.Errorf("cannot read the packed sources: %w", err)
	}
	return tree, nil
}

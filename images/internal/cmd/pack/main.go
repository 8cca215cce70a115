// Command pack packs the sources of the images into one txtar archive: go.mod, go.sum, Go files other than tests, and
// configuration files. It never packs what is built.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/cove-k8s/cove/images/internal/sources"
)

func main() {
	out := flag.String("o", "sources.txtar", "the archive to write")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	data, err := sources.Pack(os.DirFS("."))
	if err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o644) //nolint:gosec // sources are no secret
}

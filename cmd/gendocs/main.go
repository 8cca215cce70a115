// Command gendocs writes the site's reference pages from the code: the commands, the cluster document, the settings, the
// errors and the events, and from the catalogue that is built in: addons and profiles. It never reads the clock, the user's settings or the network: the same code gives the same pages.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cove-k8s/cove/pkg/profile"
)

//go:generate go run .

func main() {
	out := flag.String("o", "", "folder for the pages (default: site/content/reference of the repository)")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// run writes all pages into dir, and removes pages that it wrote earlier and that there is no reason for any more.
func run(dir string) error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	if dir == "" {
		dir = filepath.Join(root, "site", "content", "reference")
	}
	pages, err := generate(root)
	if err != nil {
		return err
	}
	return write(dir, pages)
}

// generate makes all pages. root is the repository's: the events' comments are read from the source.
func generate(root string) ([]page, error) {
	makers := []func(string) (page, error){cliPage, configPage, errorsPage, eventsPage}
	pages := make([]page, 0, len(makers))
	for _, maker := range makers {
		p, err := maker(root)
		if err != nil {
			return nil, err
		}
		pages = append(pages, p)
	}
	for _, maker := range []func(profile.Catalogue) ([]page, error){addonPages, profilePages} {
		more, err := maker(builtIn())
		if err != nil {
			return nil, err
		}
		pages = append(pages, more...)
	}
	return pages, nil
}

// findRoot returns the folder of the module: the one with a go.mod, here or above.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the repository: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("cannot find the repository: neither %s nor a folder above it has a go.mod", dir)
		}
	}
}

package build

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// closure returns the part of the tree that its programs need to run: the programs, what their links point at, the loader
// and the libraries that they are linked with, and whole folders (named with a slash at the end).
func (t tree) closure(names ...string) (tree, error) {
	c := &closing{from: t, to: tree{}}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} { // Debian's programs are all below /usr; paths are not
		if _, ok := t[link]; ok {
			c.to.copy(t, link)
		}
	}
	for _, name := range names {
		dir, whole := strings.CutSuffix(name, "/")
		if !whole {
			if err := c.add(name); err != nil {
				return nil, err
			}
			continue
		}
		for p := range t {
			if strings.HasPrefix(p, dir+"/") && !t[p].dir {
				if err := c.add(p); err != nil {
					return nil, err
				}
			}
		}
	}
	return c.to, nil
}

type closing struct{ from, to tree }

// maxLinks is how many symbolic links in a row are followed.
const maxLinks = 10

// add copies the file, the links to it and what it is linked with.
func (c *closing) add(name string) error {
	for range maxLinks {
		name = c.resolve(name)
		n, ok := c.from[name]
		if !ok {
			return fmt.Errorf("the root file system has no %s", name)
		}
		if _, done := c.to[name]; done {
			return nil
		}
		c.to.copy(c.from, name)
		if n.link == "" {
			return c.linked(n)
		}
		name = path.Join(path.Dir(name), n.link)
		if path.IsAbs(n.link) {
			name = strings.TrimPrefix(n.link, "/")
		}
	}
	return fmt.Errorf("%s is a link to a link to a link", name)
}

// resolve follows a link in the first part of a path: /lib is /usr/lib.
func (c *closing) resolve(name string) string {
	name = strings.TrimPrefix(name, "/")
	first, rest, ok := strings.Cut(name, "/")
	if n := c.from[first]; ok && n.link != "" {
		return path.Join(n.link, rest)
	}
	return name
}

// linked adds the loader and the libraries of a program. What is no ELF file needs none.
func (c *closing) linked(n node) error {
	in, err := n.open()
	if err != nil {
		return err
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if bad := (*elf.FormatError)(nil); errors.As(err, &bad) || errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", n.path, err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		loader, err := io.ReadAll(p.Open())
		if err != nil {
			return fmt.Errorf("cannot read the loader of %s: %w", n.path, err)
		}
		if err := c.add(string(bytes.TrimRight(loader, "\x00"))); err != nil {
			return err
		}
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("cannot read the libraries of %s: %w", n.path, err)
	}
	for _, name := range libraries {
		if err := c.library(name); err != nil {
			return fmt.Errorf("cannot link %s: %w", n.path, err)
		}
	}
	return nil
}

// library finds a library in the loader's folders: /usr/lib/TRIPLET and /usr/lib.
func (c *closing) library(name string) error {
	for p := range c.from {
		dir, base := path.Split(p)
		if base == name && strings.HasPrefix(dir, "usr/lib/") && strings.Count(dir, "/") <= 3 {
			return c.add(p)
		}
	}
	return fmt.Errorf("the root file system has no library %s", name)
}

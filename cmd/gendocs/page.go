package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// marker is in every page that was generated. It is a comment of the front matter, so that no reader sees it.
const marker = "# Written by cmd/gendocs from the code: change that, then run `make generate`."

// page is one page of the site.
type page struct {
	name  string // of the file
	title string
	text  bytes.Buffer
}

// printf adds text.
func (p *page) printf(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

// para adds a paragraph.
func (p *page) para(format string, args ...any) { p.printf(format+"\n\n", args...) }

// table adds a table. Columns that are empty in every row are left out.
func (p *page) table(head []string, rows [][]string) {
	used := func(column int) bool {
		return slices.ContainsFunc(rows, func(row []string) bool { return row[column] != "" })
	}
	line := func(cells []string) {
		for i, c := range cells {
			if used(i) {
				p.printf("| %s ", c)
			}
		}
		p.printf("|\n")
	}
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
	p.printf("\n")
}

// bytes returns the page with its front matter.
func (p *page) bytes() []byte {
	text := strings.TrimRight(p.text.String(), "\n")
	return fmt.Appendf(nil, "---\n%s\ntitle: %s\n---\n%s\n", marker, p.title, text)
}

// code quotes text that has no backquote in it; nothing stays nothing.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}

// cell makes text fit into a table's cell, or a line: one line, and nothing in it is taken for HTML or a border.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.Join(strings.Fields(s), " "))
}

// anchor returns the name that a heading gets, as GitHub and Hugo make it.
func anchor(heading string) string {
	var out strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ' || r == '-':
			out.WriteByte('-')
		case r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// write makes dir hold exactly these pages, in folders as their names say. What is as it should be is not touched, and a
// page that somebody wrote by hand is an error: it would be lost the next time.
func write(dir string, pages []page) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // G301: pages are no secret
		return fmt.Errorf("cannot make the folder of the reference: %w", err)
	}
	if err := prune(dir, pages); err != nil {
		return err
	}
	for _, p := range pages {
		path := filepath.Join(dir, filepath.FromSlash(p.name))
		old, err := os.ReadFile(path) //nolint:gosec // G304: a page of the site
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot read a page: %w", err)
		}
		if bytes.Equal(old, p.bytes()) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // G301: pages are no secret
			return fmt.Errorf("cannot make a folder of the reference: %w", err)
		}
		if err := os.WriteFile(path, p.bytes(), 0o644); err != nil { //nolint:gosec // G306: pages are no secret
			return fmt.Errorf("cannot write a page: %w", err)
		}
	}
	return nil
}

// prune removes generated pages that are none of these, and the folders that have no page then.
func prune(dir string, pages []page) error {
	stale, folders := []string{}, []string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
		case d.IsDir():
			folders = append(folders, name)
		case !slices.ContainsFunc(pages, func(p page) bool { return p.name == name }):
			stale = append(stale, name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot list the reference: %w", err)
	}
	for _, name := range stale {
		path := filepath.Join(dir, filepath.FromSlash(name))
		text, err := os.ReadFile(path) //nolint:gosec // G304: a page of the site
		if err != nil {
			return fmt.Errorf("cannot read a page: %w", err)
		}
		if !bytes.Contains(text, []byte(marker)) {
			return fmt.Errorf("cannot keep %s: every page of the reference is generated; move it elsewhere", path)
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("cannot remove a page: %w", err)
		}
	}
	slices.Reverse(folders) // those within others first
	for _, name := range folders {
		if slices.ContainsFunc(pages, func(p page) bool { return strings.HasPrefix(p.name, name+"/") }) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return fmt.Errorf("cannot remove a folder of the reference: %w", err)
		}
	}
	return nil
}

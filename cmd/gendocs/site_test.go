package main

import (
	"context"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/cove-k8s/cove/pkg/doctor"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// repository is where the tests find the pages.
const repository = "../.."

// pagesOf returns the texts of the README and of all pages, by their paths in the repository.
func pagesOf(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	read := func(path string) {
		data, err := os.ReadFile(filepath.Join(repository, path))
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.ToSlash(path)] = string(data)
	}
	read("README.md")
	err := fs.WalkDir(os.DirFS(repository), "site/content", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			read(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 10 {
		t.Fatalf("found %d pages only: have they moved?", len(texts))
	}
	return texts
}

// Every command that a page, or a hint of an error, tells people to type must be one that cove takes.
func TestCommandsOfPages(t *testing.T) {
	checked := 0
	check := func(where string, lines []string) {
		for _, line := range lines {
			for _, words := range commands(line) {
				checked++
				if err := accepts(words[1:]); err != nil {
					t.Errorf("%s: %s: %v", where, strings.Join(words, " "), err)
				}
			}
		}
	}
	for path, text := range pagesOf(t) {
		// The generated pages have placeholders for their usage lines; what they show is the code itself.
		if strings.HasPrefix(path, "site/content/reference/") {
			continue
		}
		check(path, shellLines(text))
		check(path, inlineCode(withoutBlocks(text)))
	}
	for _, k := range fault.Catalogue() {
		check("hint of "+string(k.Code), inlineCode(k.Hint))
	}
	if checked < 50 {
		t.Errorf("checked %d commands only: are they not recognised?", checked)
	}
}

// Every link within the repository must lead somewhere, down to the heading.
func TestLinks(t *testing.T) {
	texts := pagesOf(t)
	anchors := map[string]map[string]bool{}
	for path, text := range texts {
		anchors[path] = map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutBlocks(text), -1) {
			anchors[path][anchor(strings.ReplaceAll(m[1], "`", ""))] = true
		}
	}
	links := 0
	for path, text := range texts {
		for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(withoutBlocks(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, heading, _ := strings.Cut(m[1], "#")
			target := path
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(path), file))
			}
			if _, err := os.Stat(filepath.Join(repository, target)); err != nil {
				t.Errorf("%s: %s: there is no %s", path, m[1], target)
			} else if heading != "" && !anchors[target][heading] {
				t.Errorf("%s: %s: there is no such heading", path, m[1])
			}
		}
	}
	if links < 20 {
		t.Errorf("found %d links only: are they not recognised?", links)
	}
}

// Every page has a front matter with a title, and nothing else that Hugo would have to know.
func TestFrontMatter(t *testing.T) {
	for path, text := range pagesOf(t) {
		if path != "README.md" && !regexp.MustCompile(`\A---\n(#.*\n)?title: .+\n---\n`).MatchString(text) {
			t.Errorf("%s begins with no title", path)
		}
	}
}

// downEngine is an engine that does not answer.
type downEngine struct{ engine.Engine }

func (downEngine) Info(context.Context) (engine.Info, error) {
	return engine.Info{}, fault.New(fault.EngineUnreachable, "it is down")
}

// Every check of doctor's has a line in the page that explains them, which says whether create makes it, too.
func TestDoctorChecks(t *testing.T) {
	const pagePath = "site/content/guides/troubleshooting.md"
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| (●?) *\\| \\S").FindAllStringSubmatch(pagesOf(t)[pagePath], -1) {
		rows[m[1]] = m[2]
	}
	for _, c := range doctor.Run(t.Context(), doctor.Env{Engine: downEngine{}, FS: os.DirFS(t.TempDir())}) {
		mark, ok := rows[c.ID]
		if !ok {
			t.Errorf("%s: no line for %s", pagePath, c.ID)
		} else if (mark != "") != c.Fatal {
			t.Errorf("%s: %s: create makes this check, and fails by it: %t", pagePath, c.ID, c.Fatal)
		}
		delete(rows, c.ID)
	}
	for id := range rows {
		t.Errorf("%s: doctor has no check %s", pagePath, id)
	}
}

// Every module that cove imports has a line that says why, and every line is about such a module.
func TestDependencies(t *testing.T) {
	const pagePath = "site/content/design/dependencies.md"
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| \\S").FindAllStringSubmatch(pagesOf(t)[pagePath], -1) {
		if rows[m[1]] {
			t.Errorf("%s: %s has two lines", pagePath, m[1])
		}
		rows[m[1]] = true
	}
	used := imported(t)
	for module := range used {
		if !rows[module] {
			t.Errorf("%s: no line for %s", pagePath, module)
		}
	}
	for module := range rows {
		if !used[module] {
			t.Errorf("%s: nothing imports %s: remove its line", pagePath, module)
		}
	}
}

// imported returns the modules that the main module's own code and tests import.
func imported(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, path := range goFiles(t) {
		for _, pkg := range importsOf(t, path) {
			first, _, _ := strings.Cut(pkg, "/")
			if module := moduleOf(mod, pkg); module != "" {
				used[module] = true
			} else if strings.Contains(first, ".") && !strings.HasPrefix(pkg, mod.Module.Mod.Path) {
				t.Errorf("%s imports %s, which no module of go.mod has", path, pkg)
			}
		}
	}
	return used
}

// moduleOf returns the module of go.mod that has the package, or nothing.
func moduleOf(mod *modfile.File, pkg string) string {
	best := ""
	for _, r := range mod.Require {
		if path := r.Mod.Path; (pkg == path || strings.HasPrefix(pkg, path+"/")) && len(path) > len(best) {
			best = path
		}
	}
	return best
}

// goFiles returns the Go files of the main module, whatever their build tags.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != repository && foreign(path, d.Name()):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".go"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// foreign says whether a folder is a module of its own, or has no code that is compiled.
func foreign(path, name string) bool {
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil || name[0] == '.' || name[0] == '_' || name == "testdata" || name == "artifacts"
}

func importsOf(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var pkgs []string
	for _, spec := range file.Imports {
		pkg, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, pkg)
	}
	return pkgs
}

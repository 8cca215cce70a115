package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

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

func TestAccepts(t *testing.T) {
	for line, want := range map[string]bool{
		"version":               true,
		"version -o json":       true,
		"version --quiet":       true,
		"--help":                true,
		"completion bash":       true,
		"versio":                false,
		"version --nope":        false,
		"version extra":         false,
		"version -o xml":        false,
		"completion nosuch":     false,
		"version -q -v":         false,
		"--docker-context":      false,
		"help version":          true,
		"--docker-context x ls": rootCommand().Commands() != nil && accepts([]string{"ls"}) == nil,
	} {
		if got := accepts(strings.Fields(line)); (got == nil) != want {
			t.Errorf("cove %s: got %v", line, got)
		}
	}
}

func TestCommands(t *testing.T) {
	tests := map[string][]string{
		"cove create dev":                         {"cove create dev"},
		"$ cove create dev":                       {"cove create dev"},
		"COVE_CLUSTER=a bin/cove status; ls":      {"cove status"},
		"docker save x | cove image load -":       {"cove image load -"},
		`cove create --image "a b" # and so on`:   {"cove create --image a b"},
		"kubectl get nodes":                       nil,
		"source <(cove completion bash)":          {"cove completion bash"},
		"cove list -o json > x.json && cove list": {"cove list -o json", "cove list"},
		"if ! cove status dev; then exit 1; fi":   {"cove status dev"},
		"make up":                                 nil,
		"covering all":                            nil,
	}
	for line, want := range tests {
		var got []string
		for _, words := range commands(line) {
			got = append(got, strings.Join(words, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	page := "a\n```sh\n# note\ncove create \\\n  --workers 2\n```\n```console\n$ cove list\ncove is said\n```\n```yaml\ncove: x\n```\nSay `cove list`.\n"
	if got := shellLines(page); !slices.Equal(got, []string{"cove create  --workers 2", "$ cove list"}) {
		t.Errorf("lines of a page: %q", got)
	}
	if got := inlineCode(withoutBlocks(page)); !slices.Equal(got, []string{"cove list"}) {
		t.Errorf("inline code of a page: %q", got)
	}
}

// accepts says whether cove takes the arguments: the command, its flags and their values, the number of arguments.
func accepts(args []string) error {
	root := rootCommand()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.DisableFlagParsing {
		return nil
	}
	if help, err := cmd.Flags().GetBool("help"); err == nil && help {
		return nil
	}
	left := cmd.Flags().Args()
	if cmd.HasAvailableSubCommands() && len(left) > 0 {
		return fmt.Errorf("%q has no command %q", cmd.CommandPath(), left[0])
	}
	if err := cmd.ValidateArgs(left); err != nil {
		return err
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	return cmd.ValidateFlagGroups()
}

// shellLines returns the lines of a page's blocks that are for a shell; of a transcript, those that were typed.
func shellLines(text string) []string {
	var out []string
	kind, joined := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			if kind == "" {
				kind = fence + " " // never empty within a block
			} else {
				kind = ""
			}
			continue
		}
		switch strings.TrimSpace(kind) {
		case "console":
			if !strings.HasPrefix(line, "$ ") && joined == "" {
				continue
			}
		case "sh", "bash", "shell":
		default:
			continue
		}
		if rest, ok := strings.CutSuffix(line, `\`); ok {
			joined += rest
			continue
		}
		line, joined = joined+strings.TrimPrefix(line, map[bool]string{true: " "}[joined != ""]), ""
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// withoutBlocks returns a page without its blocks of code.
func withoutBlocks(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(text, "")
}

// inlineCode returns what stands between backquotes.
func inlineCode(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Join(strings.Fields(m[1]), " "))
	}
	return out
}

// commands returns the calls of cove in a line for a shell, as words.
func commands(line string) [][]string {
	var calls [][]string
	for _, words := range split(line) {
		for len(words) > 0 && (strings.Contains(words[0], "=") || slices.Contains([]string{"$", "time", "sudo", "if", "!", "then", "else", "do", "while", "until", "exec"}, words[0])) {
			words = words[1:]
		}
		if len(words) > 0 && (words[0] == "cove" || strings.HasSuffix(words[0], "bin/cove")) {
			calls = append(calls, append([]string{"cove"}, words[1:]...))
		}
	}
	return calls
}

// split splits a line for a shell into commands, and these into words, as far as pages need it.
func split(line string) [][]string {
	var all [][]string
	var words []string
	word, begun, quote, redirected := "", false, rune(0), false
	endWord := func() {
		if begun && !redirected {
			words = append(words, word)
		}
		redirected = redirected && !begun
		word, begun = "", false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			all = append(all, words)
		}
		words, redirected = nil, false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '"' || r == '\'':
			quote, begun = r, true
		case r == ' ' || r == '\t':
			endWord()
		case strings.ContainsRune("|&;()", r):
			endCommand()
		case r == '>' || r == '<':
			endWord()
			redirected = true
		case r == '#' && !begun:
			endCommand()
			return all
		default:
			word, begun = word+string(r), true
		}
	}
	endCommand()
	return all
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
	moduleOf := func(pkg string) string {
		best := ""
		for _, r := range mod.Require {
			if path := r.Mod.Path; (pkg == path || strings.HasPrefix(pkg, path+"/")) && len(path) > len(best) {
				best = path
			}
		}
		return best
	}
	used := map[string]bool{}
	err = filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, statErr := os.Stat(filepath.Join(path, "go.mod"))
			if name := d.Name(); path != repository && (statErr == nil || name[0] == '.' || name == "testdata" || name == "artifacts") {
				return fs.SkipDir // a module of its own, or no code of this one
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			pkg, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			first, _, _ := strings.Cut(pkg, "/")
			if module := moduleOf(pkg); module != "" {
				used[module] = true
			} else if strings.Contains(first, ".") && !strings.HasPrefix(pkg, mod.Module.Mod.Path) {
				t.Errorf("%s imports %s, which no module of go.mod has", path, pkg)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return used
}

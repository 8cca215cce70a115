package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

func generated(t *testing.T) map[string]string {
	t.Helper()
	pages, err := generate(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, p := range pages {
		texts[p.name] = string(p.bytes())
	}
	return texts
}

// The pages must not depend on who makes them, and where.
func TestPagesDependOnTheCodeAlone(t *testing.T) {
	first := generated(t)
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "KUBECONFIG", "DOCKER_HOST"} {
		t.Setenv(name, t.TempDir())
	}
	t.Setenv("COVE_WORKERS", "7")
	t.Setenv("COVE_IMAGE", "example.com/other:v1.36.3")
	second := generated(t)
	for name, text := range first {
		if second[name] != text {
			t.Errorf("%s is another one in another environment", name)
		}
		if home, err := os.UserHomeDir(); err == nil && strings.Contains(text, home) {
			t.Errorf("%s names the home directory of this machine", name)
		}
	}
}

func TestPagesSayEverything(t *testing.T) {
	pages := generated(t)
	want := func(page, text string) {
		t.Helper()
		if !strings.Contains(pages[page], text) {
			t.Errorf("%s does not have %q", page, text)
		}
	}
	walk(rootCommand(), func(c *cobra.Command) { want("cli.md", "\n## "+c.CommandPath()+"\n") })
	want("cli.md", "```\ncove export [DIR] [flags]\ncove export COMMAND\n```")
	want("cli.md", "```\ncove addon COMMAND\n```")
	for _, k := range config.Keys() {
		want("config.md", "| `"+k.Name+"` | `"+k.Env+"` |")
	}
	for _, k := range fault.Catalogue() {
		want("errors.md", "| `"+string(k.Code)+"` | ")
	}
	want("config.md", "| `hostPort` | integer, -1 to 65535 |")
	want("config.md", "| `kubernetesVersion` | string or number |")
	for _, typ := range []string{"diff.ready", "plan.ready", "step.started", "step.progress", "step.log", "step.finished", "warning", "run.finished"} {
		want("events.md", "\n### "+typ+"\n")
		want("events.md", `"type": "`+typ+`"`)
	}
	c := builtIn()
	for _, name := range c.AddonNames() {
		a, err := c.Addon(name)
		if err != nil {
			t.Fatal(err)
		}
		own := "addons/" + name + ".md"
		want("addons/_index.md", "| [`"+name+"`]("+name+".md) | ")
		want(own, "\ntitle: "+name+"\n")
		want(own, a.Description[1:])
		want(own, strings.TrimSpace(a.Notes))
		for _, p := range a.Parameters {
			want(own, "\n| `"+p.Name+"` | `"+p.Type+"` | ")
		}
		for _, i := range a.Images {
			want(own, "\n| `"+i.Ref+"` | ")
		}
	}
	for _, name := range c.ProfileNames() {
		p, err := c.Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		want("profiles/_index.md", "| [`"+name+"`]("+name+".md) | ")
		for _, a := range p.Addons {
			want("profiles/"+name+".md", "\n| [`"+a.Name+"`](../addons/"+a.Name+".md) | ")
		}
	}
	want("addons/metallb.md", "yes, and needs `pool` there")
	want("addons/flannel.md", "no: the pod network is the cluster's own affair")
	want("addons/traefik.md", "\n| `hostPorts.https` | 443 |\n")
	want("addons/cert-manager.md", "Helm chart `cert-manager` ")
	want("profiles/workshop.md", "| Nodes | 1 control plane, 2 workers |")
	want("profiles/ci.md", "`plain`")
	for _, status := range []string{"succeeded", "failed", "skipped", "undone"} {
		want("events.md", `"status": "`+status+`"`)
	}
}

// names lists a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What is as it should be is not written again, and what is stale goes.
func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reference")
	one, two := page{name: "one.md", title: "One"}, page{name: "two.md", title: "Two"}
	one.para("text")
	if err := write(dir, []page{one, two}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"one.md", "two.md"}) {
		t.Errorf("wrote %v", got)
	}
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(filepath.Join(dir, "one.md"), old, old); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, []page{one}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "one.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !info.ModTime().Equal(old) {
		t.Error("a page was written again that had not changed")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"one.md"}) {
		t.Errorf("the stale page is still there: %v", got)
	}
	in, gone, deep := page{name: "in/in.md"}, page{name: "in/gone.md"}, page{name: "a/b/deep.md"}
	if err := write(dir, []page{one, in, gone, deep}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Join(dir, "in")); !slices.Equal(got, []string{"gone.md", "in.md"}) {
		t.Errorf("wrote %v into the folder", got)
	}
	if err := write(dir, []page{one, in}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Join(dir, "in")); !slices.Equal(got, []string{"in.md"}) {
		t.Errorf("the stale page of the folder is still there: %v", got)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"in", "one.md"}) {
		t.Errorf("folders without a page are still there: %v", got)
	}
}

// A page of somebody's own is not lost.
func TestWriteKeepsHandwrittenPages(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "own.md")
	if err := os.WriteFile(own, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, nil); err == nil || !strings.Contains(err.Error(), "own.md") {
		t.Errorf("a hand-written page gave %v", err)
	}
	if text, err := os.ReadFile(own); err != nil || string(text) != "mine" {
		t.Errorf("it is %q now (%v)", text, err)
	}
}

func TestTable(t *testing.T) {
	p := page{}
	p.table([]string{"A", "B", "C"}, [][]string{{"1", "", cell("x | <y>")}, {"2", "", ""}})
	want := "| A | C |\n| --- | --- |\n| 1 | x \\| &lt;y> |\n| 2 |  |\n\n"
	if got := p.text.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestProse(t *testing.T) {
	got := prose("Say <x>.\n\n#### Linux:\n\n\tcove x > y\n\n  indented <z>\n")
	want := "Say &lt;x>.\n\nLinux:\n\n\tcove x > y\n\n    indented <z>"
	if got != want {
		t.Errorf("got %q", got)
	}
}

func TestRunWritesBelowTheRepository(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cli.md")); err != nil {
		t.Error(err)
	}
	t.Chdir(dir)
	if err := run(dir); err == nil {
		t.Error("it found a repository where there is none")
	}
}

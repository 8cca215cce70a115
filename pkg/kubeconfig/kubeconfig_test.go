package kubeconfig

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/cove-k8s/cove/pkg/fault"
)

var update = flag.Bool("update", false, "write the goldens")

// sandbox gives the test a home and a cache of its own, and returns a directory for its files.
func sandbox(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("KUBECONFIG", "")
	return dir
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func entry(name string) Context {
	return Context{
		Name: name, Server: "https://127.0.0.1:40000",
		CA: []byte("ca of " + name), ClientCert: []byte("certificate of " + name), ClientKey: []byte("key of " + name),
	}
}

// foreign is a kubeconfig with one context of somebody else's.
func foreign(name, current string) string {
	return `apiVersion: v1
clusters:
- cluster:
    server: https://` + name + `.example.com
  name: ` + name + `
contexts:
- context:
    cluster: ` + name + `
    user: ` + name + `
  name: ` + name + `
current-context: ` + current + `
kind: Config
users:
- name: ` + name + `
  user:
    token: secret
`
}

// has checks which file has which contexts, and which is current.
func has(t *testing.T, path, current string, contexts ...string) {
	t.Helper()
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, m := range map[string][]string{
		"contexts": slices.Collect(keys(config.Contexts)), "clusters": slices.Collect(keys(config.Clusters)),
		"users": slices.Collect(keys(config.AuthInfos)),
	} {
		slices.Sort(m)
		if !slices.Equal(m, contexts) {
			t.Errorf("%s has the %s %q; want %q", path, what, m, contexts)
		}
	}
	if config.CurrentContext != current {
		t.Errorf("%s: current is %q; want %q", path, config.CurrentContext, current)
	}
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func merge(t *testing.T, explicit, name string, current bool) string {
	t.Helper()
	file, err := Merge(t.Context(), explicit, entry(name), current)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func remove(t *testing.T, explicit, name string) []string {
	t.Helper()
	touched, err := Remove(t.Context(), explicit, name)
	if err != nil {
		t.Fatal(err)
	}
	return touched
}

func TestMergeGolden(t *testing.T) {
	path := filepath.Join(sandbox(t), "config")
	put(t, path, foreign("work", "work"))
	merge(t, path, "cove-dev", true)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := Bytes(entry("cove-dev"))
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"merged.yaml": got, "alone.yaml": alone} {
		name = filepath.Join("testdata", name)
		if *update {
			put(t, name, string(got))
		}
		want, err := os.ReadFile(name)
		if err != nil || string(want) != string(got) {
			t.Errorf("%s differs (%v); got:\n%s", name, err, got)
		}
	}
	// And back: but for the order, nothing is left.
	remove(t, path, "cove-dev")
	if after, err := os.ReadFile(path); err != nil || string(after) != foreign("work", "work") {
		t.Errorf("not as before (%v):\n%s", err, after)
	}
}

func TestMergeNewFile(t *testing.T) {
	dir := sandbox(t)
	path := filepath.Join(dir, "new", ".kube", "config")
	if got := merge(t, path, "cove-dev", true); got != path {
		t.Errorf("written to %s", got)
	}
	has(t, path, "cove-dev", "cove-dev")
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700, filepath.Dir(filepath.Dir(path)): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %s (%v); want %s", p, info.Mode(), err, want)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("more than the file is there: %v, %v", left, err)
	}
}

func TestMergeKeepsMode(t *testing.T) {
	path := filepath.Join(sandbox(t), "config")
	put(t, path, foreign("work", "work"))
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	merge(t, path, "cove-dev", false)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %s, %v", info.Mode(), err)
	}
	has(t, path, "work", "cove-dev", "work")
}

// Merging again, as after a restart on another port, replaces the entry; it keeps what the user has set and what was
// current at first.
func TestMergeAgain(t *testing.T) {
	path := filepath.Join(sandbox(t), "config")
	put(t, path, foreign("work", "work"))
	merge(t, path, "cove-dev", true)
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config.Contexts["cove-dev"].Namespace = "mine"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	c := entry("cove-dev")
	c.Server = "https://127.0.0.1:50000"
	if _, err := Merge(t.Context(), path, c, true); err != nil {
		t.Fatal(err)
	}
	if config, err = clientcmd.LoadFromFile(path); err != nil {
		t.Fatal(err)
	}
	if got := config.Clusters["cove-dev"].Server; got != c.Server {
		t.Errorf("server %s", got)
	}
	if got := config.Contexts["cove-dev"].Namespace; got != "mine" {
		t.Errorf("namespace %q", got)
	}
	remove(t, path, "cove-dev")
	has(t, path, "work", "work")
}

func TestSeveralFiles(t *testing.T) {
	dir := sandbox(t)
	none, a, b := filepath.Join(dir, "none"), filepath.Join(dir, "a"), filepath.Join(dir, "b")
	t.Setenv("KUBECONFIG", strings.Join([]string{none, a, b}, string(filepath.ListSeparator)))
	put(t, a, foreign("one", `""`))
	put(t, b, foreign("two", "two"))
	if got := Path(""); got != a {
		t.Errorf("Path is %s; want the first that exists", got)
	}
	merge(t, "", "cove-dev", true)
	has(t, a, "cove-dev", "cove-dev", "one")
	has(t, b, "two", "two")
	if got := remove(t, "", "cove-dev"); !slices.Equal(got, []string{a}) {
		t.Errorf("removed from %q", got)
	}
	has(t, a, "", "one") // what b says is right again
	has(t, b, "two", "two")
	if _, err := os.Lstat(none); !os.IsNotExist(err) {
		t.Errorf("a file has come up: %v", err)
	}
}

// An entry is replaced where it is, and one that is in several files goes from all.
func TestEntryInAnotherFile(t *testing.T) {
	dir := sandbox(t)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	t.Setenv("KUBECONFIG", a+string(filepath.ListSeparator)+b)
	put(t, a, foreign("one", "one"))
	merge(t, b, "cove-dev", false)
	if got := merge(t, "", "cove-dev", true); got != b {
		t.Errorf("written to %s; want %s", got, b)
	}
	has(t, a, "cove-dev", "one")
	has(t, b, "", "cove-dev")
	remove(t, "", "cove-dev")
	has(t, a, "one", "one")
	has(t, b, "")

	put(t, a, strings.ReplaceAll(foreign("cove-dev", "cove-dev"), "contexts:", "contexts: []\nold:")) // a cluster and a user without a context
	merge(t, b, "cove-dev", false)
	merge(t, "", "cove-dev", false)
	has(t, a, "cove-dev")
	has(t, b, "", "cove-dev")
}

func TestNoFileExists(t *testing.T) {
	dir := sandbox(t)
	a, b := filepath.Join(dir, "x", "a"), filepath.Join(dir, "y", "b")
	t.Setenv("KUBECONFIG", a+string(filepath.ListSeparator)+b)
	if got := remove(t, "", "cove-dev"); got != nil {
		t.Errorf("removed from %q", got)
	}
	if _, err := os.Stat(filepath.Dir(b)); !os.IsNotExist(err) {
		t.Errorf("removing made a directory: %v", err)
	}
	if got := merge(t, "", "cove-dev", true); got != b {
		t.Errorf("written to %s; kubectl takes the last one, %s", got, b)
	}
	if _, err := os.Stat(filepath.Dir(a)); !os.IsNotExist(err) {
		t.Errorf("merging made a directory of no use: %v", err)
	}
}

// Clusters come and go in any order; what was current before the first of them is so after the last.
func TestCurrentIsRestored(t *testing.T) {
	for _, order := range [][]string{{"cove-a", "cove-b", "cove-c"}, {"cove-c", "cove-b", "cove-a"}, {"cove-b", "cove-a", "cove-c"}, {"cove-b", "cove-c", "cove-a"}} {
		path := filepath.Join(sandbox(t), "config")
		put(t, path, foreign("work", "work"))
		for _, name := range []string{"cove-a", "cove-b", "cove-c"} {
			merge(t, path, name, true)
		}
		for _, name := range order {
			remove(t, path, name)
		}
		has(t, path, "work", "work")
	}
}

func TestCurrentIsNotTouched(t *testing.T) {
	path := filepath.Join(sandbox(t), "config")
	put(t, path, foreign("work", "work"))
	merge(t, path, "cove-a", true)
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	delete(config.Contexts, "work")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	merge(t, path, "cove-b", true)
	merge(t, path, "cove-c", false) // the user chooses otherwise
	remove(t, path, "cove-c")
	if got, err := Has(path, "cove-b"); err != nil || !got {
		t.Errorf("cove-b: %v, %v", got, err)
	}
	remove(t, path, "cove-a") // not current
	remove(t, path, "cove-b") // what was current at first is gone
	if config, err = clientcmd.LoadFromFile(path); err != nil || config.CurrentContext != "" {
		t.Errorf("current is %q, %v", config.CurrentContext, err)
	}
}

func TestSymlinks(t *testing.T) {
	for name, dangling := range map[string]bool{"to a file": false, "to nothing": true} {
		t.Run(name, func(t *testing.T) {
			dir := sandbox(t)
			link, target := filepath.Join(dir, ".kube", "config"), filepath.Join(dir, "dotfiles", "kube.yaml")
			put(t, filepath.Join(dir, "dotfiles", "other"), "")
			if !dangling {
				put(t, target, foreign("work", "work"))
			}
			if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("middle", link); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join("..", "dotfiles", "kube.yaml"), filepath.Join(dir, ".kube", "middle")); err != nil {
				t.Fatal(err)
			}
			merge(t, link, "cove-dev", true)
			if got, err := os.Readlink(link); err != nil || got != "middle" {
				t.Errorf("the link leads to %q, %v", got, err)
			}
			if info, err := os.Lstat(target); err != nil || !info.Mode().IsRegular() {
				t.Errorf("the target is %v, %v", info, err)
			}
			if ok, err := Has(target, "cove-dev"); err != nil || !ok {
				t.Errorf("the target has no context: %v", err)
			}
		})
	}
}

func TestUnusable(t *testing.T) {
	dir := sandbox(t)
	broken := filepath.Join(dir, "broken")
	put(t, broken, "apiVersion: v1\nclusters: 5\n")
	put(t, filepath.Join(dir, "file"), "")
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"broken": broken, "a directory": dir, "below a file": filepath.Join(dir, "file", "config"), "a loop": filepath.Join(dir, "loop"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Merge(t.Context(), path, entry("cove-dev"), true)
			if !fault.Is(err, fault.KubeconfigUnusable) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
		})
	}
	if got, err := os.ReadFile(broken); err != nil || string(got) != "apiVersion: v1\nclusters: 5\n" {
		t.Errorf("the broken file was changed (%v):\n%s", err, got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.lock")); len(left) > 0 {
		t.Errorf("locks are left: %q", left)
	}
	t.Setenv("KUBECONFIG", broken)
	if _, err := Remove(t.Context(), "", "cove-dev"); !fault.Is(err, fault.KubeconfigUnusable) {
		t.Errorf("Remove: %v", err)
	}
}

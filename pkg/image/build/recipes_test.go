package build

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"gotest.tools/v3/golden"
)

// recipeParts makes the folder of a recipe's part, with small files for what is built, and a root file system.
func recipeParts(t *testing.T, r recipe) map[string]string {
	t.Helper()
	dir := t.TempDir()
	for _, b := range r.Part.Binaries {
		writeFile(t, dir, b.Name, "program "+b.Name)
		if b.Prints != "" {
			writeFile(t, dir, b.Prints, "text "+b.Prints)
		}
	}
	writeFile(t, dir, licensesDir+"/example.org/"+r.Part.Name+"@v1.0.0/LICENSE", "do what you like\n")
	return map[string]string{r.Part.Name: dir}
}

// A recipe's module is there, pinned to the version that the recipe names, and has what is compiled.
func TestRecipesAreModules(t *testing.T) {
	tree := testBuilder(t).tree
	for _, r := range recipes() {
		name := r.Part.Module + "/go.mod"
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		f, err := modfile.Parse(name, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range r.Part.Binaries {
			if folder := path.Clean(b.Package); b.Package == "." || strings.HasPrefix(b.Package, "./") { // a program of ours
				if _, err := fs.Stat(tree, path.Join(r.Part.Module, folder, "main.go")); err != nil {
					t.Errorf("%s: %v", r.Name, err)
				}
				if b.Package == "." && !slices.ContainsFunc(f.Require, func(x *modfile.Require) bool {
					return path.Base(x.Mod.Path) == r.Part.Name && x.Mod.Version == r.Version
				}) {
					t.Errorf("%s: %s does not pin %s to %s", r.Name, name, r.Part.Name, r.Version)
				}
				continue
			}
			if !slices.ContainsFunc(f.Tool, func(x *modfile.Tool) bool { return x.Path == b.Package }) {
				t.Errorf("%s: %s has no tool %s", r.Name, name, b.Package)
			}
			if want := r.Version; want != "" && !slices.ContainsFunc(f.Require, func(x *modfile.Require) bool {
				return strings.HasPrefix(b.Package, x.Mod.Path+"/") && x.Mod.Version == want
			}) {
				t.Errorf("%s: %s does not pin %s to %s", r.Name, name, b.Package, want)
			}
		}
	}
}

// What a recipe lays out is built by its part, and all of it can be hashed.
func TestRecipesLayOutWhatIsBuilt(t *testing.T) {
	names := map[string]bool{}
	for _, r := range recipes() {
		if names[r.Name] {
			t.Errorf("two recipes are called %s", r.Name)
		}
		names[r.Name] = true
		if _, err := json.Marshal(r.Root); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		if isAddon(r) && r.Root.Shell {
			t.Errorf("%s takes Debian's packages: AddonImage builds with Go alone", r.Name)
		}
		binaries, texts := map[string]bool{}, map[string]bool{}
		for _, b := range r.Part.Binaries {
			binaries[b.Name], texts[b.Prints] = true, true
		}
		for to, b := range r.Root.Programs {
			if !binaries[b] {
				t.Errorf("%s: nothing builds %s for %s", r.Name, b, to)
			}
		}
		for to, f := range r.Root.Texts {
			if !texts[f] {
				t.Errorf("%s: nothing prints %s for %s", r.Name, f, to)
			}
		}
		if entry := r.Root.Config.Entrypoint; len(entry) != 1 || r.Root.Programs[strings.TrimPrefix(entry[0], "/")] == "" {
			t.Errorf("%s: its entry point %v is no program of it", r.Name, entry)
		}
	}
}

// The golden lists what every addon's image has.
func TestAddonImagesHaveEverything(t *testing.T) {
	var text strings.Builder
	for _, r := range recipes() {
		if !isAddon(r) {
			continue
		}
		img, size, err := r.image("arm64", "hash", recipeParts(t, r))
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 1 || config.Architecture != "arm64" {
			t.Fatalf("%s: %d layers, %s, %v", r.Name, len(layers), config.Architecture, err)
		}
		c := config.Config
		fmt.Fprintf(&text, "%s\n  entrypoint %q user %q env %q\n", r.tag(), c.Entrypoint, c.User, c.Env)
		for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
			fmt.Fprintf(&text, "  label %s=%s\n", k, c.Labels[k])
		}
		in, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		files, order := unpack(t, in)
		for _, name := range order {
			h := files[name].Header
			fmt.Fprintf(&text, "  %s %s\n", h.FileInfo().Mode(), name)
		}
		if size < 1024 {
			t.Errorf("%s: an archive of %d bytes", r.Name, size)
		}
	}
	golden.Assert(t, text.String(), "addons.txt")
}

func TestImageNamesWhatIsMissing(t *testing.T) {
	for _, r := range recipes() {
		if _, _, err := r.image("amd64", "hash", map[string]string{r.Part.Name: t.TempDir()}); err == nil || !strings.Contains(err.Error(), r.Name) {
			t.Errorf("%s of nothing: %v", r.Name, err)
		}
	}
}

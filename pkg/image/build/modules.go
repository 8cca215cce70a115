package build

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Files of a part, beside its binaries.
const (
	modulesFile = "modules.json" // []module
	licensesDir = "licenses"     // MODULE@VERSION/LICENSE …
)

// module is a Go module that is linked into a binary.
type module struct {
	Path    string
	Version string
	Sum     string // go.sum's
}

func (m module) String() string { return m.Path + "@" + m.Version }

// recordModules writes down which modules the binaries in out are made of, and copies their licence files from Go's
// module cache.
func (b *builder) recordModules(ctx context.Context, p part, src, out string, env []string) error {
	linked := map[string]module{}
	for _, bin := range p.Binaries {
		info, err := buildinfo.ReadFile(filepath.Join(out, bin.Name))
		if err != nil {
			return fault.Wrap(fault.ImageBuild, err, "cannot read what %s is made of", bin.Name)
		}
		linked["std"] = module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}
		for _, d := range info.Deps {
			m := module{Path: d.Path, Version: d.Version, Sum: d.Sum}
			if r := d.Replace; r != nil {
				m = module{Path: r.Path, Version: r.Version, Sum: r.Sum}
			}
			linked[d.Path] = m
		}
	}
	folders, err := moduleFolders(ctx, b.cache.log(p.Name+"-licenses"), src, env, slices.Sorted(maps.Keys(linked)))
	if err != nil {
		return fault.Wrap(fault.ImageBuild, err, "cannot find the modules of %s", p.Title)
	}
	var list []module
	for _, name := range slices.Sorted(maps.Keys(linked)) {
		m := linked[name]
		list = append(list, m)
		if err := copyLicenses(folders[name], filepath.Join(out, licensesDir, filepath.FromSlash(m.String()))); err != nil {
			return fault.Wrap(fault.FileUnwritable, err, "cannot copy the licence of %s", m)
		}
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot list the modules of %s", p.Title)
	}
	err = os.WriteFile(filepath.Join(out, modulesFile), append(data, '\n'), 0o644) //nolint:gosec // public
	return fault.Wrap(fault.FileUnwritable, err, "cannot list the modules of %s", p.Title)
}

// moduleFolders asks go where the modules' files are. "std" is Go's own root.
func moduleFolders(ctx context.Context, log, src string, env, names []string) (map[string]string, error) {
	ask := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(ctx, log, command{dir: src, env: env, args: append([]string{"go"}, args...), out: &out}, func(string) {})
		return out.String(), err
	}
	root, err := ask("env", "GOROOT")
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "std" })
	folders := map[string]string{"std": strings.TrimSpace(root)}
	if len(names) == 0 {
		return folders, nil
	}
	text, err := ask(append([]string{"list", "-m", "-f", "{{.Path}}\t{{.Dir}}"}, names...)...)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			folders[path] = dir
		}
	}
	return folders, nil
}

// licenceFile reports whether a file's name is one that licences have.
func licenceFile(name string) bool {
	upper := strings.ToUpper(name)
	for _, p := range []string{"LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "PATENTS", "AUTHORS"} {
		if strings.HasPrefix(upper, p) && !strings.HasSuffix(upper, ".GO") {
			return true
		}
	}
	return false
}

// copyLicenses copies the licence files of a module's top folder.
func copyLicenses(from, to string) error {
	if from == "" { // main modules have none of their own
		return nil
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenceFile(e.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, e.Name())) //nolint:gosec // Go's module cache
		if err != nil {
			return err
		}
		if err := os.MkdirAll(to, 0o755); err != nil { //nolint:gosec // public
			return err
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o644); err != nil { //nolint:gosec // public
			return err
		}
	}
	return nil
}

// partModules reads what the parts are made of, every module once.
func partModules(parts map[string]string) ([]module, error) {
	all := map[string]module{}
	for _, dir := range parts {
		data, err := os.ReadFile(filepath.Join(dir, modulesFile)) //nolint:gosec // the cache's own file
		if errors.Is(err, fs.ErrNotExist) {                       // the root file system
			continue
		}
		if err != nil {
			return nil, err
		}
		var list []module
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("cannot read %s of %s: %w", modulesFile, dir, err)
		}
		for _, m := range list {
			all[m.String()] = m
		}
	}
	var list []module
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
	}
	return list, nil
}

// addLicenses adds the parts' licence files below dir. Equal texts are stored once.
func addLicenses(t tree, dir string, parts map[string]string) error {
	for _, part := range parts {
		root := filepath.Join(part, licensesDir)
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(name) //nolint:gosec // the cache's own file
			if err != nil {
				return err
			}
			t.shared(filepath.Join(dir, rel), data)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

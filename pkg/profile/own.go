package profile

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// IsOwn reports whether an entry of a list of addons is the user's own, not one of the catalogue.
func IsOwn(a v1alpha1.Addon) bool { return a.Path != "" || a.Helm != nil }

// Absolute returns the entry with the path of the manifests or of the chart, if it is one of this disk, made absolute; a
// relative one starts at dir. Without dir it stays as it is.
func Absolute(a v1alpha1.Addon, dir string) v1alpha1.Addon {
	a = a.DeepCopy()
	join := func(name string) string {
		if name == "" || dir == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(dir, name)
	}
	a.Path = join(a.Path)
	if a.Helm != nil && !isRemote(a.Helm.Chart, a.Helm.Repository) {
		a.Helm.Chart = join(a.Helm.Chart)
	}
	return a
}

// OpenOwn opens an addon of the user's own: what its path or its chart has. Relative paths start at dir. A folder with an
// addon.yaml is an addon as those of the catalogue; one with a kustomization or a Chart.yaml is that; any other one, and a
// file, are manifests. What cannot be used is ConfigInvalid.
func OpenOwn(a v1alpha1.Addon, dir string) (*Addon, error) {
	a = Absolute(a, dir)
	out, err := openOwn(a)
	if err != nil {
		return nil, err
	}
	out.Entry = a.DeepCopy()
	out.Entry.Parameters = nil
	return out, nil
}

// Open opens what an entry of a list of addons names: the user's own, of which relative paths start at dir, or one of the
// catalogue.
func (c Catalogue) Open(a v1alpha1.Addon, dir string) (*Addon, error) {
	if IsOwn(a) {
		return OpenOwn(a, dir)
	}
	return c.Addon(a.Name)
}

// Has reports whether a list has the entry, as it is. What the two were read from does not count: JSON has other numbers.
func Has(list []v1alpha1.Addon, a v1alpha1.Addon) bool {
	text := func(a v1alpha1.Addon) string {
		data, err := json.Marshal(a)
		if err != nil {
			return ""
		}
		return string(data)
	}
	want := text(a)
	return want != "" && slices.ContainsFunc(list, func(one v1alpha1.Addon) bool { return one.Name == a.Name && text(one) == want })
}

// unopened stands for an addon that the cluster has, and that is not here.
func unopened(a v1alpha1.Addon) *Addon {
	out := &Addon{APIVersion: v1alpha1.APIVersion, Kind: KindAddon, Name: a.Name, FS: layers{}, Own: IsOwn(a), Entry: a.DeepCopy()}
	out.Entry.Parameters = nil
	return out
}

// openOwn opens one whose paths are absolute, or cannot be made so.
func openOwn(a v1alpha1.Addon) (*Addon, error) {
	if a.Helm != nil {
		return openChart(a)
	}
	if !filepath.IsAbs(a.Path) {
		return nil, fault.New(fault.ConfigInvalid, "cannot open addon %s: %q is relative to nothing; give an absolute path", a.Name, a.Path)
	}
	info, err := os.Stat(a.Path)
	if err != nil {
		return nil, cannotOpen(a.Name, a.Path, err)
	}
	if isArchive(a.Path) && !info.IsDir() {
		return openChart(v1alpha1.Addon{Name: a.Name, Helm: &v1alpha1.HelmChart{Chart: a.Path}})
	}
	out := ownAddon(a.Name, a.Path, filepath.Dir(a.Path))
	if !info.IsDir() {
		out.Content.Manifests = filepath.Base(a.Path)
		return out, nil
	}
	out.FS, out.Dir = os.DirFS(a.Path), a.Path
	entries, err := os.ReadDir(a.Path)
	if err != nil {
		return nil, cannotOpen(a.Name, a.Path, err)
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && slices.Contains(names, e.Name()) })
	}
	switch {
	case has(addonFile):
		return openFull(a)
	case has("kustomization.yaml", "kustomization.yml", "Kustomization"):
		out.Content.Kustomization = "."
	case has("Chart.yaml"):
		out.Content.Helm, out.Version = &Helm{Chart: "."}, chartVersion(a.Path)
	case slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && isManifest(e.Name()) }):
		out.Content.Manifests = "."
	default:
		return nil, fault.New(fault.ConfigInvalid, "cannot open addon %s: %s has no manifests, kustomization.yaml, Chart.yaml or addon.yaml", a.Name, a.Path)
	}
	return out, nil
}

// ownAddon returns what is the same of all addons that have no addon.yaml.
func ownAddon(name, source, dir string) *Addon {
	return &Addon{
		APIVersion: v1alpha1.APIVersion, Kind: KindAddon, Name: name, Description: "your own, from " + source,
		FS: os.DirFS(dir), Dir: dir, Own: true,
	}
}

// openFull opens a folder that is an addon as those of the catalogue.
func openFull(a v1alpha1.Addon) (*Addon, error) {
	data, err := os.ReadFile(filepath.Join(a.Path, addonFile))
	if err != nil {
		return nil, cannotOpen(a.Name, a.Path, err)
	}
	out, err := readAddon(data, a.Name, os.DirFS(a.Path))
	if err != nil {
		return nil, err
	}
	out.Dir, out.Own = a.Path, true
	return out, nil
}

// openChart opens a chart, which is on this disk or is fetched later.
func openChart(a v1alpha1.Addon) (*Addon, error) {
	h := a.Helm
	helm := &Helm{Chart: h.Chart, Repository: h.Repository, Version: h.Version, Namespace: h.Namespace, Values: strict.PlainMap(h.Values)}
	if isRemote(h.Chart, h.Repository) {
		source := h.Chart
		if h.Repository != "" {
			source += " of " + h.Repository
		}
		return &Addon{
			APIVersion: v1alpha1.APIVersion, Kind: KindAddon, Name: a.Name, Version: h.Version, Description: "your own, chart " + source,
			Content: Content{Helm: helm}, FS: layers{}, Own: true,
		}, nil
	}
	if !filepath.IsAbs(h.Chart) {
		return nil, fault.New(fault.ConfigInvalid, "cannot open addon %s: %q is relative to nothing; give an absolute path", a.Name, h.Chart)
	}
	info, err := os.Stat(h.Chart)
	if err != nil {
		return nil, cannotOpen(a.Name, h.Chart, err)
	}
	if !info.IsDir() {
		out := ownAddon(a.Name, h.Chart, filepath.Dir(h.Chart))
		helm.Chart = filepath.Base(h.Chart)
		out.Content.Helm, out.Version = helm, h.Version
		return out, nil
	}
	out := ownAddon(a.Name, h.Chart, h.Chart)
	if _, err := os.Stat(filepath.Join(h.Chart, "Chart.yaml")); err != nil {
		return nil, cannotOpen(a.Name, filepath.Join(h.Chart, "Chart.yaml"), err)
	}
	helm.Chart = "."
	out.Content.Helm, out.Version = helm, chartVersion(h.Chart)
	return out, nil
}

// chartVersion returns the version that a chart's folder says; Helm finds what is wrong with it.
func chartVersion(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, "Chart.yaml")) //nolint:gosec // the user's own file
	if err != nil {
		return ""
	}
	meta := struct {
		Version string `yaml:"version"`
	}{}
	if yaml.Unmarshal(data, &meta) != nil {
		return ""
	}
	return meta.Version
}

func cannotOpen(name, path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.ConfigInvalid, "cannot open addon %s: there is no %s", name, path)
	}
	return fault.Wrap(fault.FileUnwritable, err, "cannot open addon %s", name)
}

func isManifest(name string) bool {
	name = strings.TrimSuffix(name, ".tmpl")
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

func isArchive(name string) bool {
	return strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tar.gz")
}

package profile

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Where things are in a catalogue.
const (
	addonFolder = "addons"
	addonFile   = "addon.yaml"
	profileExt  = ".yaml"
)

// Catalogue finds profiles and addons. The zero value has none.
type Catalogue struct{ files layers }

// Open returns a catalogue of several layers, each with NAME.yaml of profiles and addons/NAME/ of addons. File by file,
// what an earlier layer has wins over a later one: the user's own folder first, then what is built in. A folder that is
// missing is an empty layer.
func Open(files ...fs.FS) Catalogue { return Catalogue{files: slices.Clone(files)} }

// IsZero reports whether the catalogue was opened with no layer at all.
func (c Catalogue) IsZero() bool { return len(c.files) == 0 }

// FS returns the merged files of all layers.
func (c Catalogue) FS() fs.FS { return c.files }

// AddonNames lists the addons by name, in order; one that cannot be read counts too.
func (c Catalogue) AddonNames() []string {
	names := []string{}
	entries, err := c.files.ReadDir(addonFolder)
	if err != nil {
		return names
	}
	for _, e := range entries {
		if _, err := c.files.Stat(path.Join(addonFolder, e.Name(), addonFile)); err == nil {
			names = append(names, e.Name())
		}
	}
	return names
}

// Addon returns an addon by its name. One that the catalogue lacks is AddonUnknown; a file that is wrong is ConfigInvalid,
// with all its problems.
func (c Catalogue) Addon(name string) (*Addon, error) {
	dir := path.Join(addonFolder, name)
	data, err := c.read(name, path.Join(dir, addonFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.AddonUnknown, "%s", c.unknownAddon(name))
	}
	if err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot read addon %s", name)
	}
	sub, err := fs.Sub(c.files, dir)
	if err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot read addon %s", name)
	}
	return readAddon(data, name, sub)
}

// read reads the file of what has that name; what is no name has none.
func (c Catalogue) read(name, file string) ([]byte, error) {
	if !isName(name) {
		return nil, fs.ErrNotExist
	}
	return c.files.ReadFile(file)
}

// unknownAddon says that there is no such addon, and which one may have been meant.
func (c Catalogue) unknownAddon(name string) string {
	return "the catalogue has no addon " + quoted(name) + didYouMean(name, c.AddonNames())
}

// Addons returns all addons, by name. Where some cannot be read, the error has the problems of all of them.
func (c Catalogue) Addons() ([]*Addon, error) {
	out, problems := []*Addon{}, strict.Problems{}
	for _, name := range c.AddonNames() {
		a, err := c.Addon(name)
		if err != nil {
			problems.Add(fault.CodeOf(err), path.Join(addonFolder, name), "%s", err)
			continue
		}
		out = append(out, a)
	}
	if err := problems.Fault("cannot read the catalogue"); err != nil {
		return nil, err
	}
	return out, nil
}

// ProfileNames lists the profiles by name, in order; one that cannot be read counts too.
func (c Catalogue) ProfileNames() []string {
	names := []string{}
	entries, err := c.files.ReadDir(".")
	if err != nil {
		return names
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), profileExt); ok && !e.IsDir() {
			names = append(names, name)
		}
	}
	return names
}

// IsPath reports whether what names a profile is the path of a file: it has a separator, or ends as a YAML file does.
func IsPath(nameOrPath string) bool {
	return strings.ContainsAny(nameOrPath, `/`+string(filepath.Separator)) || slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(nameOrPath))
}

// Profile returns a profile as its file has it: one of the catalogue by its name, or a file. One that is not there is
// ProfileUnknown; a file that is wrong is ConfigInvalid, with all its problems.
func (c Catalogue) Profile(nameOrPath string) (Profile, error) {
	if IsPath(nameOrPath) {
		data, err := os.ReadFile(nameOrPath) //nolint:gosec // the user's own file
		if errors.Is(err, fs.ErrNotExist) {
			return Profile{}, fault.New(fault.ProfileUnknown, "there is no profile %s", nameOrPath).
				WithHint("check the path; `cove profile list` shows the profiles that have a name")
		}
		if err != nil {
			return Profile{}, fault.Wrap(fault.FileUnwritable, err, "cannot read profile %s", nameOrPath)
		}
		return readProfile(data, nameOrPath, "")
	}
	data, err := c.read(nameOrPath, nameOrPath+profileExt)
	if errors.Is(err, fs.ErrNotExist) {
		return Profile{}, fault.New(fault.ProfileUnknown, "there is no profile %s%s", quoted(nameOrPath), didYouMean(nameOrPath, c.ProfileNames()))
	}
	if err != nil {
		return Profile{}, fault.Wrap(fault.FileUnwritable, err, "cannot read profile %s", nameOrPath)
	}
	return readProfile(data, nameOrPath+profileExt, nameOrPath)
}

// Profiles returns all profiles of the catalogue as their files have them, by name. Where some cannot be read, the error
// has the problems of all of them.
func (c Catalogue) Profiles() ([]Profile, error) {
	out, problems := []Profile{}, strict.Problems{}
	for _, name := range c.ProfileNames() {
		p, err := c.Profile(name)
		if err != nil {
			problems.Add(fault.CodeOf(err), name+profileExt, "%s", err)
			continue
		}
		out = append(out, p)
	}
	if err := problems.Fault("cannot read the catalogue"); err != nil {
		return nil, err
	}
	return out, nil
}

// isName reports whether something can be the name of an addon or a profile: it becomes part of Kubernetes' names.
func isName(s string) bool { return len(content.IsDNS1123Label(s)) == 0 }

func didYouMean(name string, known []string) string {
	if near := strict.Nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

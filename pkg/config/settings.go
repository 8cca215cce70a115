package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Key is a setting: a flag's value that can be given once and for all.
type Key struct {
	Name    string // in the settings file
	Env     string // the variable that wins over the file
	Flag    string // the flag that wins over both
	Meaning string
}

// Keys lists the settings. Flags that say what to do, or to what, are none of them on purpose.
func Keys() []Key {
	names := [][3]string{
		{"cluster", "name", "the cluster that commands are about when none is named"},
		{"workers", "workers", "how many workers a new cluster has"},
		{"control-planes", "control-planes", "how many control planes a new cluster has"},
		{"image", "image", "the node image of new clusters"},
		{"kubernetes-version", "kubernetes-version", "the Kubernetes version of new clusters"},
		{"cpus", "cpus", "how many CPUs each node of a new cluster may use, as 2 or 500m"},
		{"memory", "memory", "how much memory each node of a new cluster may use, as 2Gi"},
		{"profile", "profile", "the profile of new clusters"},
		{"cni", "cni", "the addon for the pod network of new clusters, or none"},
		{"wait", "wait", "what create waits for: none, api, nodes or usable"},
		{"timeout", "timeout", "how long a command waits, as 5m"},
		{"output", "output", "the form of the output"},
		{"retain", "retain", "keep what a failed create has made"},
		{"kubeconfig", "kubeconfig", "the kubeconfig file to use"},
		{"verbosity", "verbosity", "how much detail is shown"},
		{"quiet", "quiet", "show errors and results only"},
		{"no-color", "no-color", "use no colours"},
	}
	keys := make([]Key, 0, len(names))
	for _, n := range names {
		env := "COVE_" + strings.ToUpper(strings.ReplaceAll(n[0], "-", "_"))
		keys = append(keys, Key{Name: n[0], Env: env, Flag: n[1], Meaning: n[2]})
	}
	return keys
}

// SettingsPath returns where the settings file is: $XDG_CONFIG_HOME/cove/config.yaml, else cove/config.yaml in the
// system's own folder for such files; "" where the system knows none.
func SettingsPath() string {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(dir, "cove", "config.yaml")
}

// Settings are the values of the settings file and of the COVE_* variables, which win over it.
type Settings struct {
	file string
	v    *viper.Viper
}

// LoadSettings reads the settings file at path (as SettingsPath has it) and the variables. No such file is no error, and
// neither is an empty path. An unknown key is ConfigInvalid.
func LoadSettings(path string) (*Settings, error) {
	s := &Settings{file: path, v: viper.New()}
	if path != "" {
		if err := s.read(path); err != nil {
			return nil, err
		}
	}
	for _, k := range Keys() {
		if err := s.v.BindEnv(k.Name, k.Env); err != nil {
			return nil, fault.Wrap(fault.Internal, err, "cannot read the settings")
		}
	}
	return s, nil
}

func (s *Settings) read(path string) error {
	data, err := os.ReadFile(path) //nolint:gosec // the user's own file
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot read the settings")
	}
	// Not by viper: it would lower the case of keys, lose their lines, and make 1.4 of a version 1.40.
	doc := yaml.Node{}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fault.New(fault.ConfigInvalid, "cannot read the settings in %s: %s", path, strict.Cause(err))
	}
	if len(doc.Content) == 0 || strict.IsNull(doc.Content[0]) {
		return nil
	}
	values, problems := settingsOf(doc.Content[0])
	if len(problems) > 0 {
		return problems.Fault("cannot read the settings in %s", path)
	}
	return fault.Wrap(fault.Internal, s.v.MergeConfigMap(values), "cannot read the settings in %s", path)
}

// settingsOf reads the settings out of the file's tree, as the text that stands there.
func settingsOf(root *yaml.Node) (map[string]any, Problems) {
	known := map[string]reflect.Type{}
	for _, k := range Keys() {
		known[k.Name] = reflect.TypeFor[string]()
	}
	c, values := strict.NewChecker(), map[string]any{}
	if root.Kind != yaml.MappingNode {
		c.Add(root, "", "want a mapping of settings, not %s", strict.Describe(root))
		return nil, c.Problems
	}
	c.Pairs(root, reflect.TypeFor[map[string]string](), "", func(key, value *yaml.Node) {
		switch {
		case known[key.Value] == nil:
			c.Add(key, key.Value, "unknown setting%s (there are %s)", strict.Suggest(key.Value, known),
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case value.Kind != yaml.ScalarNode:
			c.Add(value, key.Value, "want one value, not %s", strict.Describe(value))
		case !strict.IsNull(value):
			values[key.Value] = value.Value
		}
	})
	return values, c.Problems
}

// value returns what a setting is set to and where that was said; false where it is not set.
func (s *Settings) value(k Key) (value, source string, ok bool) {
	if env := os.Getenv(k.Env); env != "" {
		return s.v.GetString(k.Name), k.Env, true
	}
	if !s.v.InConfig(k.Name) {
		return "", "", false
	}
	return s.v.GetString(k.Name), k.Name + " in " + s.file, true
}

// Apply gives every flag that was not set on the command line the value that settings have for it. Such a flag does not
// count as changed, so that FlagOverrides can tell. A value that the flag refuses is ConfigInvalid.
func (s *Settings) Apply(flags *pflag.FlagSet) error {
	problems := Problems{}
	for _, k := range Keys() {
		f := flags.Lookup(k.Flag)
		if f == nil || f.Changed {
			continue
		}
		value, source, ok := s.value(k)
		if !ok {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			problems.Invalid(source, "%q does not fit --%s: %s", value, k.Flag, err)
		}
	}
	return problems.Fault("cannot use the settings")
}

// Overrides returns the settings that a cluster document can have too, for Input.Settings.
func (s *Settings) Overrides() (Overrides, error) {
	return overrides(func(name string) (string, string, bool) {
		for _, k := range Keys() {
			if k.Name == name {
				return s.value(k)
			}
		}
		return "", "", false
	}, "cannot use the settings")
}

// FlagOverrides returns what was set on the command line by --name, --workers, --control-planes, --image,
// --kubernetes-version, --profile, --cni, --cpus and --memory, for Input.Flags. A name that is an argument wins over it; that is the caller's to do.
func FlagOverrides(flags *pflag.FlagSet) (Overrides, error) {
	return overrides(func(name string) (string, string, bool) {
		if name == "cluster" {
			name = "name"
		}
		f := flags.Lookup(name)
		if f == nil || !f.Changed {
			return "", "", false
		}
		return f.Value.String(), "--" + name, true
	}, "cannot use the command line")
}

func overrides(value func(name string) (value, source string, ok bool), failure string) (Overrides, error) {
	problems := Problems{}
	text := func(name string) string {
		s, _, _ := value(name)
		return s
	}
	number := func(name string) *int {
		s, source, ok := value(name)
		if !ok {
			return nil
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			problems.Invalid(source, "%q is no whole number", s)
			return nil
		}
		return &n
	}
	o := Overrides{
		Name:              text("cluster"),
		Workers:           number("workers"),
		ControlPlanes:     number("control-planes"),
		Image:             text("image"),
		KubernetesVersion: text("kubernetes-version"),
		Profile:           text("profile"),
		CNI:               text("cni"),
		CPUs:              text("cpus"),
		Memory:            text("memory"),
	}
	return o, problems.Fault("%s", failure)
}

package cli

import (
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// addonValues are what the command line says of addons' parameters.
type addonValues struct {
	sets  map[string][]string // PARAMETER=VALUE, by addon
	files []string            // of values, for the one addon; - is stdin
	reset bool                // start from the defaults, not from what the cluster has

	setFlags []string
}

// vars adds the flags.
func (v *addonValues) vars(f *Factory, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&v.setFlags, "set", nil, "set a parameter: `PARAMETER=VALUE`, with several addons ADDON.PARAMETER=VALUE")
	flags.StringArrayVar(&v.files, "values", nil, "YAML `FILE` of parameters; - is stdin")
	f.completeFlag(cmd, "set", f.completeParameters)
}

// parse shares the flags out to the addons.
func (v *addonValues) parse(cmd *cobra.Command, list []v1alpha1.Addon) error {
	if len(v.files) > 0 && len(list) != 1 {
		return usage(cmd, "", "--values is for one addon")
	}
	if slices.Index(v.files, "-") != lastIndex(v.files, "-") {
		return usage(cmd, "", "standard input can be read once")
	}
	for _, s := range v.setFlags {
		key, _, hasValue := strings.Cut(s, "=")
		if !hasValue || key == "" {
			return usage(cmd, "", "--set %q: write it as PARAMETER=VALUE", s)
		}
		name := list[0].Name
		if len(list) > 1 {
			first, _, dotted := strings.Cut(key, ".")
			if !dotted || !slices.ContainsFunc(list, func(a v1alpha1.Addon) bool { return a.Name == first }) {
				return usage(cmd, "", "--set %q: with several addons, write it as ADDON.PARAMETER=VALUE", s)
			}
			name, s = first, s[len(first)+1:]
		}
		if v.sets == nil {
			v.sets = map[string][]string{}
		}
		v.sets[name] = append(v.sets[name], s)
	}
	return nil
}

// instance makes an addon ready to be put onto a cluster. Its parameters are, the later ones over the earlier: the
// defaults, those that the cluster has recorded, those given, the files', and those set.
func (v addonValues) instance(f *Factory, a *profile.Addon, records []addon.Record, given map[string]any) (addon.Instance, error) {
	values := map[string]any{}
	i := slices.IndexFunc(records, func(r addon.Record) bool { return r.Name == a.Name && r.Own == a.Own })
	if i >= 0 && !v.reset {
		recorded, err := a.Set(records[i].Parameters, nil)
		if err != nil {
			return addon.Instance{}, &fault.Error{
				Code: fault.CodeOf(err), Msg: "the parameters that the cluster has recorded do not fit", Err: err,
				Hint: "`cove addon enable " + a.Name + " --reset-values` starts from the defaults",
			}
		}
		values = recorded
	}
	layers := []map[string]any{given}
	for _, file := range v.files {
		read, err := readValues(f, file)
		if err != nil {
			return addon.Instance{}, err
		}
		layers = append(layers, read)
	}
	for _, layer := range layers {
		nested, err := a.Set(layer, nil) // dots in names become mappings
		if err != nil {
			return addon.Instance{}, err
		}
		values = profile.Merge(values, nested)
	}
	values, err := a.Set(values, trimAddon(a, v.sets[a.Name]))
	if err == nil {
		values, err = a.Values(values)
	}
	return addon.Instance{Addon: a, Parameters: values}, err
}

// trimAddon takes the addon's name off assignments, where `cove create` wants it, and it cannot be a parameter's.
func trimAddon(a *profile.Addon, sets []string) []string {
	own := slices.ContainsFunc(a.Parameters, func(p profile.Parameter) bool {
		return p.Name == a.Name || strings.HasPrefix(p.Name, a.Name+".")
	})
	if own || len(a.Parameters) == 0 {
		return sets
	}
	out := make([]string, len(sets))
	for i, s := range sets {
		out[i] = strings.TrimPrefix(s, a.Name+".")
	}
	return out
}

// readValues reads a file of parameters.
func readValues(f *Factory, file string) (map[string]any, error) {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(f.IO.In)
	} else {
		data, err = os.ReadFile(file) //nolint:gosec // the user's own file
	}
	if err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot read the values")
	}
	root, err := strict.Document(data, "a file of values", "an addon has one set of them", "write PARAMETER: VALUE, one per line")
	if err != nil {
		return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot read the values in %s", file)
	}
	values := map[string]any{}
	if problems := strict.Decode(root, &values); len(problems) > 0 {
		return nil, problems.Fault("cannot read the values in %s", file)
	}
	return values, nil
}

// instances opens the entries and makes them ready.
func (v addonValues) instances(f *Factory, list []v1alpha1.Addon, records []addon.Record) ([]addon.Instance, error) {
	var out []addon.Instance
	for _, entry := range list {
		a, err := f.openAddon(entry)
		if fault.Is(err, fault.AddonUnknown) && slices.ContainsFunc(records, func(r addon.Record) bool { return r.Own && r.Name == entry.Name }) {
			return nil, fault.New(fault.AddonUnknown, "addon %s of the cluster is your own, and the catalogue has none of that name", entry.Name).
				WithHint("give its path again: `cove addon enable PATH --as %s`", entry.Name)
		}
		if err != nil {
			return nil, err
		}
		i, err := v.instance(f, a, records, entry.Parameters)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}

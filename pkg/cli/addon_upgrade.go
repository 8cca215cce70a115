package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/fault"
)

// addonUpgradeOptions are what the command line says to `cove addon upgrade`.
type addonUpgradeOptions struct {
	target addonTarget
	names  []string // empty: all
	enable cluster.AddonOptions
	output string
}

func newAddonUpgradeCmd(f *Factory, run func(context.Context, *addonUpgradeOptions) error) *cobra.Command {
	o := &addonUpgradeOptions{}
	if run == nil {
		run = func(ctx context.Context, o *addonUpgradeOptions) error { return runAddonUpgrade(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:   "upgrade [NAME...]",
		Short: "Bring addons of a cluster to the versions of the catalogue",
		Long: `Bring addons of a cluster, or all of them, to the versions of the catalogue. They keep their
parameters. Your own addons have no version there: "cove addon enable PATH" brings one up to date.`,
		Example:           "  cove addon upgrade\n  cove addon upgrade traefik",
		ValidArgsFunction: f.completeInstalled,
	}
	o.target.vars(f, cmd)
	timeoutVar(cmd, &o.enable, "how long the addons may take; getting their images does not count")
	outputVar(cmd, &o.output, formatText, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		o.target.parse(cmd)
		if o.names, err = addonNames(cmd, args); err != nil {
			return err
		}
		if err = checkTimeout(cmd, o.enable); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// upgrade is an addon that has a newer version.
type upgrade struct {
	addon.Instance
	from string
}

func runAddonUpgrade(ctx context.Context, f *Factory, o *addonUpgradeOptions) error {
	t, records, err := f.recorded(ctx, o.target)
	if err != nil {
		return err
	}
	list, err := f.upgrades(records, o.names)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		f.say("the addons of cluster %s are up to date", t.Name)
		return nil
	}
	instances, lines := make([]addon.Instance, len(list)), make([]string, len(list))
	for i, u := range list {
		instances[i], lines[i] = u.Instance, fmt.Sprintf("%s %s → %s", u.Name(), orNone(u.from), orNone(u.Addon.Version))
	}
	if err := f.enable(ctx, o.target, t, instances, o.enable, o.output); err != nil || o.output != formatText {
		return err
	}
	return writeLines(f.IO.Out, lines)
}

// upgrades finds those of the names, or of all records, whose version is another one in the catalogue. One that is named
// and not there is AddonNotInstalled, one that is not of the catalogue AddonUnknown.
func (f *Factory) upgrades(records []addon.Record, names []string) ([]upgrade, error) {
	for _, n := range names {
		i := slices.IndexFunc(records, func(r addon.Record) bool { return r.Name == n })
		if i < 0 {
			return nil, fault.New(fault.AddonNotInstalled, "addon %s is not on the cluster", n).WithHint("`cove addon enable %s` puts it there", n)
		}
		if records[i].Own {
			return nil, fault.New(fault.AddonUnknown, "addon %s is your own: the catalogue has no version of it", n).
				WithHint("`cove addon enable PATH --as %s` brings it to what the path has", n)
		}
	}
	var list []upgrade
	for _, r := range records {
		if r.Own || len(names) > 0 && !slices.Contains(names, r.Name) {
			continue
		}
		a, err := f.catalogue().Addon(r.Name)
		if fault.Is(err, fault.AddonUnknown) && len(names) == 0 {
			f.say("warning: addon %s stays at %s: the catalogue has it no more", r.Name, orNone(r.Version))
			continue
		}
		if err != nil {
			return nil, err
		}
		if a.Version == r.Version {
			continue
		}
		i, err := addonValues{}.instance(f, a, records, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, upgrade{Instance: i, from: r.Version})
	}
	return list, nil
}

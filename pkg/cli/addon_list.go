package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/profile"
)

// addonListOptions are what the command line says to `cove addon list`.
type addonListOptions struct {
	target addonTarget
	output string
}

func newAddonListCmd(f *Factory, run func(context.Context, *addonListOptions) error) *cobra.Command {
	o := &addonListOptions{}
	if run == nil {
		run = func(ctx context.Context, o *addonListOptions) error { return runAddonList(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the addons of the catalogue, and how those are that a cluster has",
		Long: `List the addons of the catalogue. Where there is a cluster that answers, it is said how those
are that it has, and its others are listed, too.`,
		Example:           "  cove addon list\n  cove addon list -o wide --name dev",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.target.vars(f, cmd)
	outputVar(cmd, &o.output, formatText, formatWide, formatName, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.target.parse(cmd)
		return run(cmd.Context(), o)
	}
	return cmd
}

// addonEntry is a line of the list, as programs are told.
type addonEntry struct {
	Name        string   `json:"name"`
	Version     string   `json:"version,omitempty"` // the catalogue's
	Description string   `json:"description,omitempty"`
	Provides    []string `json:"provides,omitempty"`
	Profiles    []string `json:"profiles,omitempty"` // that have it
	// Installed is the version on the cluster, Status how it is there; empty: it is not there, or no cluster was asked.
	Installed string       `json:"installed,omitempty"`
	Status    addon.Health `json:"status,omitempty"`
	Own       bool         `json:"own,omitempty"`
}

func runAddonList(ctx context.Context, f *Factory, o *addonListOptions) error {
	cat := f.catalogue()
	addons, err := cat.Addons()
	if err != nil {
		return err
	}
	there, err := f.lookAtAddons(ctx, o.target)
	if err != nil {
		return err
	}
	list := addonList(addons, there, profilesWith(cat))
	switch o.output {
	case formatText, formatWide:
		return writeAddons(f, list, o.output == formatWide)
	case formatName:
		names := make([]string, len(list))
		for i, e := range list {
			names[i] = e.Name
		}
		return writeLines(f.IO.Out, names)
	}
	return writeObject(f.IO.Out, o.output, list)
}

// lookAtAddons returns how the addons of the cluster are. Where the command line names no cluster, one that is not there
// or does not answer is no error: the list is of use without.
func (f *Factory) lookAtAddons(ctx context.Context, t addonTarget) ([]addon.Status, error) {
	if t.named {
		opened, err := f.openAddons(ctx, t)
		if err != nil {
			return nil, err
		}
		return opened.Manager.Health(ctx)
	}
	e, err := f.engine(ctx)
	if err != nil {
		return nil, ctx.Err()
	}
	if names, err := cluster.Names(ctx, e); err != nil || len(names) == 0 {
		return nil, ctx.Err()
	}
	var list []addon.Status
	opened, err := f.openAddons(ctx, t)
	if err == nil {
		list, err = opened.Manager.Health(ctx)
	}
	if err != nil && ctx.Err() == nil {
		f.say("warning: what a cluster has is not shown: %v", err)
		err = nil
	}
	return list, err
}

// profilesWith returns the profiles that have an addon, by its name. Those that cannot be used are left out.
func profilesWith(cat profile.Catalogue) map[string][]string {
	with := map[string][]string{}
	for _, name := range cat.ProfileNames() {
		p, err := cat.Resolve(name)
		if err != nil {
			continue
		}
		for _, a := range p.Addons {
			with[a.Name] = append(with[a.Name], name)
		}
	}
	return with
}

// addonList joins the catalogue and what is on the cluster, by name.
func addonList(addons []*profile.Addon, there []addon.Status, profiles map[string][]string) []addonEntry {
	list := []addonEntry{}
	for _, a := range addons {
		list = append(list, addonEntry{Name: a.Name, Version: a.Version, Description: a.Description, Provides: a.Provides, Profiles: profiles[a.Name]})
	}
	for _, s := range there {
		i := slices.IndexFunc(list, func(e addonEntry) bool { return e.Name == s.Name })
		if i < 0 {
			i = len(list)
			list = append(list, addonEntry{Name: s.Name})
		}
		list[i].Installed, list[i].Status, list[i].Own = s.Version, s.Health, s.Own
		switch {
		case s.Own:
			list[i].Description = "your own"
		case list[i].Description == "":
			list[i].Description = "not in this catalogue"
		}
	}
	slices.SortStableFunc(list, func(a, b addonEntry) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func writeAddons(f *Factory, list []addonEntry, wide bool) error {
	heading := []string{"NAME", "VERSION", "STATUS", "DESCRIPTION"}
	if wide {
		heading = []string{"NAME", "VERSION", "STATUS", "PROVIDES", "PROFILES", "DESCRIPTION"}
	}
	rows := make([][]string, len(list))
	for i, e := range list {
		version, status := e.Version, string(e.Status)
		if e.Status != "" {
			version = e.Installed
			if !e.Own && e.Version != "" && e.Version != e.Installed {
				status += ", upgrade to " + e.Version
			}
		}
		rows[i] = []string{e.Name, orNone(version), orNone(status)}
		if wide {
			rows[i] = append(rows[i], orNone(strings.Join(e.Provides, ", ")), orNone(strings.Join(e.Profiles, ", ")))
		}
		rows[i] = append(rows[i], e.Description)
	}
	return writeTable(f.IO.Out, heading, rows)
}

package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/fault"
)

// addonStatusOptions are what the command line says to `cove addon status`.
type addonStatusOptions struct {
	target addonTarget
	names  []string // empty: all
	output string
}

func newAddonStatusCmd(f *Factory, run func(context.Context, *addonStatusOptions) error) *cobra.Command {
	o := &addonStatusOptions{}
	if run == nil {
		run = func(ctx context.Context, o *addonStatusOptions) error { return runAddonStatus(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:   "status [NAME...]",
		Short: "Show how the addons of a cluster are, and what someone changed since",
		Long: `Show how the addons of a cluster are: healthy, progressing, failed or interrupted, with what
their pods say, and what someone changed since they were put there. The exit status is 5 if
one of them is not healthy.`,
		Example:           "  cove addon status\n  cove addon status traefik -o json",
		ValidArgsFunction: f.completeInstalled,
	}
	o.target.vars(f, cmd)
	outputVar(cmd, &o.output, formatText, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		o.target.parse(cmd)
		if o.names, err = addonNames(cmd, args); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runAddonStatus(ctx context.Context, f *Factory, o *addonStatusOptions) error {
	t, err := f.openAddons(ctx, o.target)
	if err != nil {
		return err
	}
	list, err := t.Manager.Status(ctx, o.names...)
	if err != nil {
		return err
	}
	switch {
	case o.output != formatText:
		if list == nil {
			list = []addon.Status{} // [] and not null
		}
		err = writeObject(f.IO.Out, o.output, list)
	case len(list) == 0:
		f.say("cluster %s has no addons; `cove addon enable` puts one there", t.Name)
	default:
		err = writeAddonStatus(f, list)
	}
	if err != nil {
		return err
	}
	return unhealthy(list)
}

// writeAddonStatus writes a line for each addon, and what there is to say of them below.
func writeAddonStatus(f *Factory, list []addon.Status) error {
	var rows [][]string
	var remarks []string
	for _, s := range list {
		drift := "no"
		if len(s.Drift) > 0 {
			drift = strconv.Itoa(len(s.Drift))
		}
		rows = append(rows, []string{s.Name, orNone(s.Version), string(s.Health), drift, age(f.Now(), s.Applied)})
		for _, p := range s.Problems {
			remarks = append(remarks, "problem: "+s.Name+": "+p)
		}
		for _, d := range s.Drift {
			remarks = append(remarks, "drift: "+s.Name+": "+d)
		}
	}
	if err := writeTable(f.IO.Out, []string{"NAME", "VERSION", "STATUS", "DRIFT", "AGE"}, rows); err != nil {
		return err
	}
	if len(remarks) > 0 {
		remarks = append([]string{""}, remarks...)
	}
	return writeLines(f.IO.Out, remarks)
}

// unhealthy returns the error that tells scripts that addons are not healthy: NotReady where they may get there by
// themselves, else AddonFailed.
func unhealthy(list []addon.Status) error {
	code, names := fault.NotReady, []string{}
	for _, s := range list {
		if s.Health == addon.Healthy {
			continue
		}
		names = append(names, s.Name)
		if s.Health != addon.Progressing {
			code = fault.AddonFailed
		}
	}
	switch {
	case len(names) == 0:
		return nil
	case code == fault.NotReady:
		return fault.New(code, "addons are on their way: %s", strings.Join(names, ", ")).WithHint("give them a moment, and ask again")
	}
	return fault.New(code, "addons are not healthy: %s", strings.Join(names, ", ")).
		WithHint("their problems are in the output; to enable one again puts right what was changed or cut off")
}

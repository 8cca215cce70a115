package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/cove-k8s/cove/pkg/cluster"
)

// listOptions are what the command line says to `cove list`.
type listOptions struct{ output string }

func newListCmd(f *Factory, run func(context.Context, *listOptions) error) *cobra.Command {
	cmd := listCmd(f, run, formatText, formatWide, formatName, formatJSON, formatYAML)
	cmd.Use, cmd.GroupID, cmd.Aliases = "list", groupCluster, []string{"ls"}
	return cmd
}

func listCmd(f *Factory, run func(context.Context, *listOptions) error, formats ...string) *cobra.Command {
	o := &listOptions{}
	if run == nil {
		run = func(ctx context.Context, o *listOptions) error { return runList(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Short:             "List the clusters",
		Example:           "  cove list\n  cove list -o wide",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	outputVar(cmd, &o.output, formats...)
	return cmd
}

func runList(ctx context.Context, f *Factory, o *listOptions) error {
	e, err := f.engine(ctx)
	if err != nil {
		return err
	}
	list, err := cluster.List(ctx, e)
	if err != nil {
		return err
	}
	if len(list) == 0 && o.output != formatJSON && o.output != formatYAML {
		f.say("there are no clusters; `cove create` makes one")
		return nil
	}
	switch o.output {
	case formatText, formatWide:
		return writeClusters(f, list, o.output == formatWide)
	case formatName:
		names := make([]string, len(list))
		for i, s := range list {
			names[i] = s.Name
		}
		return writeLines(f.IO.Out, names)
	}
	if list == nil {
		list = []cluster.Summary{} // [] and not null
	}
	return writeObject(f.IO.Out, o.output, list)
}

func writeClusters(f *Factory, list []cluster.Summary, wide bool) error {
	heading := []string{"NAME", "STATE", "KUBERNETES", "CONTROL PLANES", "WORKERS", "AGE"}
	if wide {
		heading = append(heading, "API", "NETWORK", "CONTEXT")
	}
	rows := make([][]string, len(list))
	for i, s := range list {
		rows[i] = []string{
			s.Name, string(s.State), orNone(s.KubernetesVersion), strconv.Itoa(s.ControlPlanes), strconv.Itoa(s.Workers), age(f.Now(), s.Created),
		}
		if wide {
			rows[i] = append(rows[i], orNone(s.API), orNone(s.Network), s.Context)
		}
	}
	return writeTable(f.IO.Out, heading, rows)
}

// age writes how long ago something was made, as kubectl does.
func age(now, made time.Time) string {
	if made.IsZero() {
		return "-"
	}
	return duration.HumanDuration(now.Sub(made))
}

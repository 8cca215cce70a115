package cli

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/fault"
)

// exportOptions are what the command line says to `cove export`.
type exportOptions struct{ name, dir string }

func newExportCmd(f *Factory, run func(context.Context, *exportOptions) error) *cobra.Command {
	cmd := exportCmd(f, run)
	cmd.Use, cmd.GroupID = "export [DIR]", groupUse
	logs := exportCmd(f, run) // as kind has it: export logs, export kubeconfig
	logs.Use, logs.Hidden = "logs [DIR]", true
	merge := newKubeconfigMergeCmd(f, runKubeconfigMerge)
	merge.Use, merge.Hidden = "kubeconfig [NAME]", true
	cmd.AddCommand(logs, merge, newExportCACmd(f, nil))
	return cmd
}

func exportCmd(f *Factory, run func(context.Context, *exportOptions) error) *cobra.Command {
	o := &exportOptions{}
	if run == nil {
		run = func(ctx context.Context, o *exportOptions) error { return runExport(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Short: "Collect what a report of a problem needs into a folder",
		Long: `Collect what a report of a problem needs into a folder: what the engine knows of the nodes,
their logs, those of the kubelets and of the pods, what Kubernetes knows, and the logs of the
runs that made the cluster. Without DIR the folder is a new one in the current directory. It
holds no keys, yet look through it before you pass it on.`,
		Example: "  cove export\n  cove export /tmp/dev --name dev",
	}
	f.nameVar(cmd, &o.name)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usage(cmd, "", "%q takes one folder, and there is %q, too", cmd.CommandPath(), args[1])
		}
		if len(args) == 1 {
			o.dir = args[0]
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runExport(ctx context.Context, f *Factory, o *exportOptions) error {
	deps, err := f.deps(ctx, nil, "", true)
	if err != nil {
		return err
	}
	name, err := target(ctx, deps.Engine, o.name)
	if err != nil {
		return err
	}
	dir := o.dir
	if dir == "" {
		dir = "cove-" + name + "-" + f.Now().Format("20060102-150405")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot make %s", o.dir)
	}
	if err := cluster.Export(ctx, deps, name, dir); err != nil {
		return err
	}
	_, err = fmt.Fprintln(f.IO.Out, dir)
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

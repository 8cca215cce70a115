package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/event"
)

// deleteOptions are what the command line says to `cove delete`.
type deleteOptions struct {
	names      []string
	all        bool
	delete     cluster.DeleteOptions
	kubeconfig string
	output     string
}

func newDeleteCmd(f *Factory, run func(context.Context, *deleteOptions) error) *cobra.Command {
	cmd := deleteCmd(f, run)
	cmd.Use, cmd.GroupID, cmd.Aliases = "delete [NAME...]", groupCluster, []string{"rm"}
	kindly := deleteCmd(f, run) // as kind has it: delete cluster, delete clusters
	kindly.Use, kindly.Hidden, kindly.Aliases = "cluster [NAME...]", true, []string{"clusters"}
	cmd.AddCommand(kindly)
	return cmd
}

func deleteCmd(f *Factory, run func(context.Context, *deleteOptions) error) *cobra.Command {
	o := &deleteOptions{}
	if run == nil {
		run = func(ctx context.Context, o *deleteOptions) error { return runDelete(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Short: "Delete clusters",
		Long: `Delete clusters: their nodes with all that is in them, their networks, and their contexts.
Without a name it is the one of $COVE_CLUSTER, else "cove". What an interrupted create
has left behind is deleted in the same way.`,
		Example: `  cove delete dev
  cove delete --all`,
		ValidArgsFunction: f.completeClusters,
	}
	name := ""
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "name of the cluster, instead of an argument")
	f.completeFlag(cmd, "name", f.completeClusters)
	flags.BoolVarP(&o.all, "all", "A", false, "delete all clusters")
	lockTimeoutVar(cmd, &o.delete.LockTimeout)
	kubeconfigVar(cmd, &o.kubeconfig)
	outputVar(cmd, &o.output, formatText, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if o.names, err = chosenClusters(cmd, args, name, o.all); err != nil {
			return err
		}
		if len(o.names) == 0 && !o.all {
			o.names = []string{v1alpha1.DefaultName}
		}
		if err := checkLockTimeout(cmd, o.delete.LockTimeout); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runDelete(ctx context.Context, f *Factory, o *deleteOptions) error {
	names := o.names
	if o.all {
		e, err := f.engine(ctx)
		if err != nil {
			return err
		}
		if names, err = cluster.Names(ctx, e); err != nil {
			return err
		}
		if len(names) == 0 {
			f.say("there are no clusters")
		}
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, f.run(ctx, name, o.output, func(ctx context.Context, em *event.Emitter) (string, error) {
			deps, err := f.deps(ctx, em, o.kubeconfig, false)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("cluster %q is deleted", name), cluster.Delete(ctx, deps, name, o.delete)
		}))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

package cli

import (
	"context"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeconfig"
)

// kubeconfigOptions are what the command line says to the commands below `cove kubeconfig`.
type kubeconfigOptions struct {
	name        string
	kubeconfig  string
	internal    bool // get
	keepContext bool // merge
}

// kubeconfigRun carries out one of the commands below `cove kubeconfig`.
type kubeconfigRun func(context.Context, *Factory, *kubeconfigOptions) error

func newKubeconfigCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{Use: "kubeconfig", Short: "Get, merge and remove kubeconfig contexts", GroupID: groupUse}
	cmd.AddCommand(newKubeconfigGetCmd(f, runKubeconfigGet), newKubeconfigMergeCmd(f, runKubeconfigMerge),
		newKubeconfigRemoveCmd(f, runKubeconfigRemove), newKubeconfigPathCmd(f, runKubeconfigPath))
	return cmd
}

// kubeconfigCmd is what these commands have in common.
func kubeconfigCmd(f *Factory, o *kubeconfigOptions, run kubeconfigRun, use, short string) *cobra.Command {
	cmd := &cobra.Command{Use: use + " [NAME]", Short: short, ValidArgsFunction: f.completeCluster}
	f.nameVar(cmd, &o.name)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.name, err = oneName(cmd, args, o.name); err != nil {
			return err
		}
		return run(cmd.Context(), f, o)
	}
	return cmd
}

func newKubeconfigGetCmd(f *Factory, run kubeconfigRun) *cobra.Command {
	o := &kubeconfigOptions{}
	cmd := kubeconfigCmd(f, o, run, "get", "Print a kubeconfig that has the cluster's context alone")
	cmd.Flags().BoolVar(&o.internal, "internal", false, "for a client in a container on the cluster's network")
	return cmd
}

func newKubeconfigMergeCmd(f *Factory, run kubeconfigRun) *cobra.Command {
	o := &kubeconfigOptions{}
	cmd := kubeconfigCmd(f, o, run, "merge", "Add the cluster's context to the kubeconfig")
	kubeconfigVar(cmd, &o.kubeconfig)
	cmd.Flags().BoolVar(&o.keepContext, "keep-context", false, "do not make it the current one")
	return cmd
}

func newKubeconfigRemoveCmd(f *Factory, run kubeconfigRun) *cobra.Command {
	o := &kubeconfigOptions{}
	cmd := kubeconfigCmd(f, o, run, "remove", "Take the cluster's context out of the kubeconfig")
	cmd.Aliases = []string{"rm"}
	kubeconfigVar(cmd, &o.kubeconfig)
	return cmd
}

func newKubeconfigPathCmd(f *Factory, run kubeconfigRun) *cobra.Command {
	o := &kubeconfigOptions{}
	cmd := kubeconfigCmd(f, o, run, "path", "Print the path of the file that has the cluster's context, or would have it")
	kubeconfigVar(cmd, &o.kubeconfig)
	return cmd
}

// clusterAccess connects to the engine and returns the way to the API of the cluster that is meant, and its name.
func (f *Factory) clusterAccess(ctx context.Context, name string) (engine.Engine, string, cluster.Access, error) {
	e, name, err := f.target(ctx, name)
	if err != nil {
		return nil, "", cluster.Access{}, err
	}
	access, err := cluster.AccessTo(ctx, e, name)
	return e, name, access, err
}

func runKubeconfigGet(ctx context.Context, f *Factory, o *kubeconfigOptions) error {
	e, name, access, err := f.clusterAccess(ctx, o.name)
	if err != nil {
		return err
	}
	if o.internal {
		if !access.Inside.IsValid() {
			cp, err := cluster.NodeOf(ctx, e, name, "")
			if err != nil {
				return err
			}
			return fault.New(fault.ClusterNotRunning, "node %s has no address: it is %s", cp.Name, cp.State)
		}
		access.Context.Server = "https://" + net.JoinHostPort(access.Inside.String(), "6443")
	}
	data, err := kubeconfig.Bytes(access.Context)
	if err != nil {
		return err
	}
	_, err = f.IO.Out.Write(data)
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

func runKubeconfigMerge(ctx context.Context, f *Factory, o *kubeconfigOptions) error {
	_, _, access, err := f.clusterAccess(ctx, o.name)
	if err != nil {
		return err
	}
	path, err := kubeconfig.Merge(ctx, o.kubeconfig, access.Context, !o.keepContext)
	if err != nil {
		return err
	}
	f.say("context %s is in %s", access.Context.Name, path)
	return nil
}

// contextOf returns the name of the context that is meant. The cluster need not be there any more, nor the engine, if it
// is named.
func (f *Factory) contextOf(ctx context.Context, name string) (string, error) {
	if name == "" {
		var err error
		if _, name, err = f.target(ctx, name); err != nil {
			return "", err
		}
	}
	return cluster.ContextName(name), nil
}

func runKubeconfigRemove(ctx context.Context, f *Factory, o *kubeconfigOptions) error {
	name, err := f.contextOf(ctx, o.name)
	if err != nil {
		return err
	}
	paths, err := kubeconfig.Remove(ctx, o.kubeconfig, name)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fault.New(fault.ContextNotFound, "the kubeconfig has no context %s", name).WithHint("`kubectl config get-contexts` shows those that it has")
	}
	for _, path := range paths {
		f.say("context %s is no longer in %s", name, path)
	}
	return nil
}

func runKubeconfigPath(_ context.Context, f *Factory, o *kubeconfigOptions) error {
	name := o.name
	if name == "" {
		name = v1alpha1.DefaultName
	}
	path, err := kubeconfig.Find(o.kubeconfig, cluster.ContextName(name))
	if err != nil {
		return err
	}
	if path == "" {
		path = kubeconfig.Path(o.kubeconfig)
	}
	_, err = fmt.Fprintln(f.IO.Out, path)
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

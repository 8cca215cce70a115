package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
)

// newGetCmd is kind's get: names alone, one a line; and what a cluster is by its document.
func newGetCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get", Short: "Get clusters, nodes, a kubeconfig or a cluster's document", GroupID: groupOther,
		Long: `Get what kind's users know: the names of clusters and of nodes, one a line, and a kubeconfig; and the
document that a cluster follows. The same in full: "cove list", "cove node list", "cove kubeconfig get"
and "cove config get".`,
		Example: `  cove get clusters
  cove get nodes --name dev
  cove get kubeconfig dev > dev.kubeconfig
  cove get config dev > dev.yaml`,
	}
	clusters := listCmd(f, nil, formatName, formatText, formatWide, formatJSON, formatYAML)
	clusters.Use, clusters.Example = "clusters", "  cove get clusters\n  cove get clusters -o json"
	kubeconfig := newKubeconfigGetCmd(f, runKubeconfigGet)
	kubeconfig.Use = "kubeconfig [NAME]"
	document := newConfigGetCmd(f, nil)
	document.Use, document.Example = "config [NAME]", "  cove get config dev > dev.yaml; $EDITOR dev.yaml; cove apply -f dev.yaml"
	cmd.AddCommand(clusters, newGetNodesCmd(f, nil), kubeconfig, document)
	return cmd
}

// getNodesOptions are what the command line says to `cove get nodes`.
type getNodesOptions struct {
	name string
	all  bool
}

func newGetNodesCmd(f *Factory, run func(context.Context, *getNodesOptions) error) *cobra.Command {
	o := &getNodesOptions{}
	if run == nil {
		run = func(ctx context.Context, o *getNodesOptions) error { return runGetNodes(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:               "nodes",
		Short:             "List the names of a cluster's nodes",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f.nameVar(cmd, &o.name)
	cmd.Flags().BoolVarP(&o.all, "all-clusters", "A", false, "of all clusters")
	cmd.MarkFlagsMutuallyExclusive("name", "all-clusters")
	return cmd
}

func runGetNodes(ctx context.Context, f *Factory, o *getNodesOptions) error {
	e, err := f.engine(ctx)
	if err != nil {
		return err
	}
	var nodes []engine.Node
	if o.all {
		nodes, err = e.Nodes(ctx, engine.Selector{})
	} else {
		var name string
		if name, err = target(ctx, e, o.name); err == nil {
			nodes, err = cluster.Nodes(ctx, e, name)
		}
	}
	if err != nil {
		return err
	}
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	return writeLines(f.IO.Out, names)
}

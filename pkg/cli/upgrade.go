package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// upgradeOptions are what the command line says to `cove upgrade`.
type upgradeOptions struct {
	name    string
	version string
	image   string
	change  changeOptions
}

func newUpgradeCmd(f *Factory, run func(context.Context, *upgradeOptions) error) *cobra.Command {
	o := &upgradeOptions{}
	if run == nil {
		run = func(ctx context.Context, o *upgradeOptions) error { return runUpgrade(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use: "upgrade [NAME]", GroupID: groupCluster,
		Short: "Bring a cluster to another version of Kubernetes",
		Long: `Bring a cluster to another version of Kubernetes, node by node: control planes first, then workers. A node is
drained, its container is replaced by one of the new version's node image on the same volumes, kubeadm of the new version
configures it, and it takes pods again. Data, loaded images, addresses and the kubeconfig stay. With several control planes
the API stays there all the time; a cluster of one node is away for some seconds.

Control planes go up one minor version at a time, and never down. A run that was cut off is taken up by the same command.`,
		Example: `  cove upgrade dev --kubernetes-version 1.36
  cove upgrade dev --kubernetes-version 1.36 --dry-run`,
		ValidArgsFunction: f.completeCluster,
	}
	f.nameVar(cmd, &o.name)
	o.change.vars(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.version, "kubernetes-version", "", "version to go to: v1.36.3, or 1.36 for its newest one")
	flags.StringVar(&o.image, "image", "", "node image to go to (default: one of the version)")
	f.completeFlag(cmd, "kubernetes-version", cobra.FixedCompletions(v1alpha1.KnownVersions(), cobra.ShellCompDirectiveNoFileComp))
	f.completeFlag(cmd, "image", f.completeNodeImages)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.name, err = oneName(cmd, args, o.name); err != nil {
			return err
		}
		// What the settings have of these is for new clusters.
		if !flags.Changed("kubernetes-version") {
			o.version = ""
		}
		if !flags.Changed("image") {
			o.image = ""
		}
		if o.version == "" && o.image == "" {
			return usage(cmd, "", "no version is named; give --kubernetes-version, or --image")
		}
		if err = o.change.check(cmd); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runUpgrade(ctx context.Context, f *Factory, o *upgradeOptions) error {
	e, err := f.engine(ctx)
	if err != nil {
		return err
	}
	if o.version == "" {
		if o.version, err = imageVersion(ctx, e, o.image); err != nil {
			return err
		}
	}
	name, err := target(ctx, e, o.name)
	if err != nil {
		return err
	}
	change := o.change
	change.apply.Only = true
	return f.change(ctx, name, change, func(current *v1alpha1.Cluster) (v1alpha1.Cluster, error) {
		doc := o.upgraded(*current)
		return config.Resolve(config.Input{Document: &doc, Current: current, Catalogue: f.catalogue()})
	})
}

// imageVersion returns the version of Kubernetes that a node image has, by its name or by what it says of itself.
func imageVersion(ctx context.Context, e engine.Engine, image string) (string, error) {
	if v := config.ImageVersion(image); v != "" {
		return v, nil
	}
	img, err := e.Image(ctx, image)
	if fault.Is(err, fault.ImageNotFound) {
		return "", fault.New(fault.ImageNotFound, "the engine has no image %s, so nothing tells its version", image).WithHint("name it: --kubernetes-version")
	}
	if err != nil {
		return "", err
	}
	if v := cluster.ImageKubernetesVersion(img); v != "" {
		return v, nil
	}
	return "", fault.New(fault.ConfigInvalid, "image %s does not tell which version of Kubernetes it has", image).WithHint("name it: --kubernetes-version")
}

// upgraded returns the document with the version and the image, which then is that of all nodes.
func (o *upgradeOptions) upgraded(current v1alpha1.Cluster) v1alpha1.Cluster {
	doc := *current.DeepCopy()
	doc.KubernetesVersion, doc.Image = o.version, o.image
	for i := range doc.NodeSpecs {
		doc.NodeSpecs[i].Image = ""
	}
	for i := range doc.Cluster.Nodes {
		doc.Cluster.Nodes[i].Image = ""
	}
	return doc
}

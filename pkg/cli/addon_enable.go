package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
)

// addonEnableOptions are what the command line says to `cove addon enable`.
type addonEnableOptions struct {
	enabling
	addons []v1alpha1.Addon
	values addonValues
}

func newAddonEnableCmd(f *Factory, run func(context.Context, *addonEnableOptions) error) *cobra.Command {
	o := &addonEnableOptions{}
	if run == nil {
		run = func(ctx context.Context, o *addonEnableOptions) error { return runAddonEnable(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:   "enable NAME|PATH...",
		Short: "Put addons onto a cluster, or bring those that are there up to date",
		Long: `Put addons onto a cluster and wait until they are Available. An addon is one of the catalogue,
or a path of your own: a manifest, or a folder of manifests, with a kustomization.yaml, a
Chart.yaml or an addon.yaml. With --chart, NAME is the name that a Helm chart gets.

An addon that is there already keeps its parameters, but for those that are given now. To
enable it again mends what was changed, and goes on where an earlier run was cut off.`,
		Example: `  cove addon enable metrics-server metallb
  cove addon enable traefik --set dashboard=true
  cove addon enable ./deploy --as mine
  cove addon enable podinfo --chart podinfo --repo https://stefanprodan.github.io/podinfo --set replicaCount=2
  cove addon enable traefik --kubeconfig team.yaml --context staging`,
		ValidArgsFunction: f.completeAddons,
	}
	o.vars(f, cmd)
	o.values.vars(f, cmd)
	flags, as, chart := cmd.Flags(), "", v1alpha1.HelmChart{}
	flags.BoolVar(&o.values.reset, "reset-values", false, "start from the defaults, not from what the cluster has recorded")
	flags.StringVar(&as, "as", "", "name of an addon that is given by its path (default: that of the file or folder)")
	flags.StringVar(&chart.Chart, "chart", "", "Helm chart: a folder, an archive, oci://REGISTRY/PATH, or a name in --repo")
	flags.StringVar(&chart.Repository, "repo", "", "URL of the chart's repository")
	flags.StringVar(&chart.Version, "version", "", "version of the chart (default: the newest)")
	flags.StringVar(&chart.Namespace, "namespace", "", "namespace of the chart's objects (default: the addon's name)")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		o.target.parse(cmd)
		if o.addons, err = f.enableEntries(cmd, args, as, chart); err != nil {
			return err
		}
		if err = o.values.parse(cmd, o.addons); err != nil {
			return err
		}
		if err = o.check(cmd); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// enableEntries reads which addons are asked for.
func (f *Factory) enableEntries(cmd *cobra.Command, args []string, as string, chart v1alpha1.HelmChart) ([]v1alpha1.Addon, error) {
	if len(args) == 0 {
		return nil, usage(cmd, "", "no addon is named")
	}
	if chart.Chart == "" {
		if chart.Repository+chart.Version+chart.Namespace != "" {
			return nil, usage(cmd, "", "--repo, --version and --namespace go with --chart")
		}
		return f.addonEntries(cmd, args, as)
	}
	if len(args) > 1 || as != "" || isAddonPath(args[0]) {
		return nil, usage(cmd, "", "with --chart, give one name that the addon gets")
	}
	return []v1alpha1.Addon{{Name: args[0], Helm: &chart}}, nil
}

func runAddonEnable(ctx context.Context, f *Factory, o *addonEnableOptions) error {
	// What is wrong with the command line is found before a cluster is asked.
	for _, entry := range o.addons {
		if _, err := f.openAddon(entry); err != nil && !fault.Is(err, fault.AddonUnknown) {
			return err
		}
	}
	t, records, err := f.recorded(ctx, o.target)
	if err != nil {
		return err
	}
	list, err := o.values.instances(f, o.addons, records)
	if err != nil {
		return err
	}
	return o.put(ctx, f, t, list)
}

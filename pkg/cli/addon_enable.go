package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// addonEnableOptions are what the command line says to `cove addon enable`.
type addonEnableOptions struct {
	target addonTarget
	addons []v1alpha1.Addon
	values addonValues
	enable cluster.AddonOptions
	dryRun bool
	output string
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
	o.target.vars(f, cmd)
	o.values.vars(f, cmd)
	flags, as, chart := cmd.Flags(), "", v1alpha1.HelmChart{}
	flags.BoolVar(&o.values.reset, "reset-values", false, "start from the defaults, not from what the cluster has recorded")
	flags.StringVar(&as, "as", "", "name of an addon that is given by its path (default: that of the file or folder)")
	flags.StringVar(&chart.Chart, "chart", "", "Helm chart: a folder, an archive, oci://REGISTRY/PATH, or a name in --repo")
	flags.StringVar(&chart.Repository, "repo", "", "URL of the chart's repository")
	flags.StringVar(&chart.Version, "version", "", "version of the chart (default: the newest)")
	flags.StringVar(&chart.Namespace, "namespace", "", "namespace of the chart's objects (default: the addon's name)")
	timeoutVar(cmd, &o.enable, "how long the addons may take; getting their images does not count")
	flags.BoolVar(&o.enable.NoWait, "no-wait", false, "do not wait until they are Available")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, and do nothing")
	outputVar(cmd, &o.output, formatText, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		o.target.parse(cmd)
		if o.addons, err = f.enableEntries(cmd, args, as, chart); err != nil {
			return err
		}
		if err = o.values.parse(cmd, o.addons); err != nil {
			return err
		}
		if o.output == formatYAML && !o.dryRun {
			return usage(cmd, "", "-o yaml is for --dry-run; the events of a run come as -o json")
		}
		if err = checkTimeout(cmd, o.enable); err != nil {
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
	t, err := f.openAddons(ctx, o.target)
	if err != nil {
		return err
	}
	records, err := t.Manager.Installed(ctx)
	if err != nil {
		return err
	}
	list, err := o.values.instances(f, o.addons, records)
	if err != nil {
		return err
	}
	if o.dryRun {
		plan, err := t.PlanEnable(ctx, f.catalogue(), list, o.enable)
		if err != nil {
			return err
		}
		return writeAddonPlan(f.IO.Out, o.output, plan)
	}
	return f.enable(ctx, o.target, t, list, o.enable, o.output)
}

// enable puts addons onto the cluster, as a run.
func (f *Factory) enable(ctx context.Context, at addonTarget, t *cluster.AddonTarget, list []addon.Instance, o cluster.AddonOptions, output string) error {
	return f.run(ctx, t.Name, output, func(ctx context.Context, em *event.Emitter) (string, error) {
		deps, err := f.addonDeps(ctx, em, at)
		if err != nil {
			return "", err
		}
		names := make([]string, len(list))
		for i, a := range list {
			names[i] = a.Name()
		}
		return fmt.Sprintf("cluster %s has %s", t.Name, strings.Join(names, ", ")), cluster.EnableAddons(ctx, deps, t, f.catalogue(), list, o)
	})
}

// addonDryRun is what a --dry-run on addons says to programs.
type addonDryRun struct {
	Cluster string           `json:"cluster"`
	Plan    []event.StepInfo `json:"plan"`
}

// writeAddonPlan writes what would be done to a cluster's addons.
func writeAddonPlan(w io.Writer, output string, plan cluster.Plan) error {
	if output != formatText {
		return writeObject(w, output, addonDryRun{Cluster: plan.Cluster, Plan: plan.Info()})
	}
	lines := []string{"cluster " + plan.Cluster}
	for _, stage := range plan.Stages {
		lines = append(lines, stage.Name)
		for _, s := range stage.Steps {
			lines = append(lines, "  "+s.Title())
		}
	}
	return writeLines(w, lines)
}

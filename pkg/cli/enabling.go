package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/event"
)

// enabling is what the commands that put addons onto a cluster have in common: where to, and how.
type enabling struct {
	target addonTarget
	enable cluster.AddonOptions
	dryRun bool
	output string
}

func (e *enabling) vars(f *Factory, cmd *cobra.Command) {
	e.target.vars(f, cmd)
	timeoutVar(cmd, &e.enable, "how long the addons may take; getting their images does not count")
	cmd.Flags().BoolVar(&e.enable.NoWait, "no-wait", false, "do not wait until they are Available")
	cmd.Flags().BoolVar(&e.dryRun, "dry-run", false, "show what would be done, and do nothing")
	outputVar(cmd, &e.output, formatText, formatJSON, formatYAML)
}

// check judges the flags together.
func (e *enabling) check(cmd *cobra.Command) error {
	if e.output == formatYAML && !e.dryRun {
		return usage(cmd, "", "-o yaml is for --dry-run; the events of a run come as -o json")
	}
	return checkTimeout(cmd, e.enable)
}

// recorded opens the addons of a cluster, and returns what is recorded of them there.
func (f *Factory) recorded(ctx context.Context, at addonTarget) (*cluster.AddonTarget, []addon.Record, error) {
	t, err := f.openAddons(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	records, err := t.Manager.Installed(ctx)
	return t, records, err
}

// put puts addons onto the cluster, or says what would be done.
func (e *enabling) put(ctx context.Context, f *Factory, t *cluster.AddonTarget, list []addon.Instance) error {
	if !e.dryRun {
		return f.enable(ctx, e.target, t, list, e.enable, e.output)
	}
	plan, err := t.PlanEnable(ctx, f.catalogue(), list, e.enable)
	if err != nil {
		return err
	}
	return writeAddonPlan(f.IO.Out, e.output, plan)
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

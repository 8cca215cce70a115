package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/profile"
)

// profileApplyOptions are what the command line says to `cove profile apply`.
type profileApplyOptions struct {
	enabling
	profile string
}

func newProfileApplyCmd(f *Factory, run func(context.Context, *profileApplyOptions) error) *cobra.Command {
	o := &profileApplyOptions{}
	if run == nil {
		run = func(ctx context.Context, o *profileApplyOptions) error { return runProfileApply(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:   "apply NAME|PATH",
		Short: "Put a profile's addons onto a cluster that is there",
		Long: `Put the addons of a profile onto a cluster that is there: one of cove's, or with --kubeconfig or
--context any other one. Nodes and networks stay as they are, and so does the pod network. What
does not fit a cluster that cove did not make is left out, and it is said why.`,
		Example: `  cove profile apply ingress
  cove profile apply ./team.yaml --context staging`,
		ValidArgsFunction: f.completeProfile,
	}
	o.vars(f, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		o.target.parse(cmd)
		if o.profile, err = oneProfile(cmd, args); err != nil {
			return err
		}
		if err = o.check(cmd); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runProfileApply(ctx context.Context, f *Factory, o *profileApplyOptions) error {
	p, err := f.catalogue().Resolve(o.profile)
	if err != nil {
		return err
	}
	t, records, err := f.recorded(ctx, o.target)
	if err != nil {
		return err
	}
	list, err := f.fitting(t, p.Addons, records)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		f.say("profile %s has no addons for cluster %s", o.profile, t.Name)
		return nil
	}
	return o.put(ctx, f, t, list)
}

// fitting opens those addons of a profile that the cluster can have, and says why it leaves out others.
func (f *Factory) fitting(t *cluster.AddonTarget, entries []v1alpha1.Addon, records []addon.Record) ([]addon.Instance, error) {
	all, err := addonValues{}.instances(f, entries, records)
	if err != nil {
		return nil, err
	}
	left := map[string]bool{}
	var list []addon.Instance
	for _, i := range all {
		why := f.unfit(t, i, records)
		for _, name := range i.Addon.Requires.Addons {
			if why == "" && left[name] {
				why = "it requires " + name + ", which is left out"
			}
		}
		if why != "" {
			left[i.Name()] = true
			f.say("addon %s is left out: %s", i.Name(), why)
			continue
		}
		list = append(list, i)
	}
	return list, nil
}

// unfit says why an addon of a profile is not for the cluster; empty: it is.
func (f *Factory) unfit(t *cluster.AddonTarget, i addon.Instance, records []addon.Record) string {
	there := slices.ContainsFunc(records, func(r addon.Record) bool { return r.Name == i.Name() })
	switch {
	case !t.Foreign() && slices.Contains(i.Addon.Provides, profile.ProvidesCNI) && !there:
		return "a cluster's pod network is chosen when it is made"
	case !t.Foreign():
		return ""
	case i.Addon.Foreign != "":
		return i.Addon.Foreign
	}
	for _, name := range i.Addon.ForeignNeeds {
		if text, _ := profile.Lookup(i.Parameters, name).(string); text == "" {
			return fmt.Sprintf("it needs %s on a cluster that cove did not make; `cove addon enable %s --set %s=VALUE` gives it", name, i.Name(), name)
		}
	}
	return ""
}

package cli

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

func newAddonCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "addon",
		Aliases: []string{"addons"}, // as minikube has it: addons enable, addons list
		Short:   "Put addons onto a cluster, look at them, and take them off",
		Long: `Put addons onto a cluster, look at them, and take them off again: those of the catalogue, and
your own manifests, kustomizations and Helm charts. They work on cove's clusters, and with
--kubeconfig or --context on any other one.`,
		GroupID: groupUse,
	}
	cmd.AddCommand(newAddonListCmd(f, nil), newAddonShowCmd(f, nil), newAddonEnableCmd(f, nil), newAddonDisableCmd(f, nil),
		newAddonUpgradeCmd(f, nil), newAddonStatusCmd(f, nil), newAddonImagesCmd(f, nil), newAddonRenderCmd(f, nil))
	return cmd
}

// addonTarget says whose addons a command is about: those of a cluster of cove's, or of one that a kubeconfig leads to.
type addonTarget struct {
	name       string
	kubeconfig string
	context    string
	foreign    bool // by the kubeconfig
	named      bool // by a flag of the command line
}

// vars adds the flags.
func (t *addonTarget) vars(f *Factory, cmd *cobra.Command) {
	f.nameVar(cmd, &t.name)
	flags := cmd.Flags()
	flags.StringVar(&t.kubeconfig, "kubeconfig", "", "kubeconfig file that leads to a cluster that cove did not make")
	flags.StringVar(&t.context, "context", "", "context of the kubeconfig, for a cluster that cove did not make")
	f.completeFlag(cmd, "context", completeContexts)
	cmd.MarkFlagsMutuallyExclusive("name", "kubeconfig")
	cmd.MarkFlagsMutuallyExclusive("name", "context")
}

// parse tells what the command line itself says: a kubeconfig of the settings does not choose another cluster.
func (t *addonTarget) parse(cmd *cobra.Command) {
	flags := cmd.Flags()
	t.foreign = flags.Changed("kubeconfig") || flags.Changed("context")
	t.named = t.foreign || flags.Changed("name")
}

// addonDeps gathers what work on the cluster's addons needs. em may be nil where nothing is done to it.
func (f *Factory) addonDeps(ctx context.Context, em *event.Emitter, t addonTarget) (cluster.Deps, error) {
	if t.foreign {
		return f.foreignDeps(em)
	}
	return f.deps(ctx, em, "", true)
}

// openAddons opens the cluster whose addons are meant.
func (f *Factory) openAddons(ctx context.Context, t addonTarget) (*cluster.AddonTarget, error) {
	deps, err := f.addonDeps(ctx, nil, t)
	if err != nil {
		return nil, err
	}
	if t.foreign {
		return cluster.OpenForeign(ctx, deps, t.kubeconfig, t.context)
	}
	name, err := target(ctx, deps.Engine, t.name)
	if err != nil {
		return nil, err
	}
	return cluster.OpenAddons(ctx, deps, name)
}

// openAddon opens an addon: one of the catalogue, or the user's own.
func (f *Factory) openAddon(entry v1alpha1.Addon) (*profile.Addon, error) {
	if !profile.IsOwn(entry) {
		return f.catalogue().Addon(entry.Name)
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot tell what the current directory is")
	}
	return profile.OpenOwn(entry, dir)
}

// addonEntries reads arguments that name addons, or are paths of one's own. as is the name for a single path.
func (f *Factory) addonEntries(cmd *cobra.Command, args []string, as string) ([]v1alpha1.Addon, error) {
	known := f.catalogue().AddonNames()
	var list []v1alpha1.Addon
	for _, arg := range args {
		a := v1alpha1.Addon{Name: arg}
		if isAddonPath(arg) || !slices.Contains(known, arg) && isDir(arg) {
			a.Path, a.Name = arg, addonNameOf(arg)
			if as != "" {
				a.Name = as
			}
		}
		switch {
		case a.Name == "":
			return nil, usage(cmd, "", "%q names no addon; give it a name with --as", arg)
		case as != "" && (a.Path == "" || len(args) > 1):
			return nil, usage(cmd, "", "--as names one addon that is given by its path")
		case slices.ContainsFunc(list, func(b v1alpha1.Addon) bool { return a.Name == b.Name }):
			return nil, usage(cmd, "", "addon %s is named twice", a.Name)
		}
		list = append(list, a)
	}
	return list, nil
}

// oneAddon reads the one argument that names an addon, or is the path of one's own.
func (f *Factory) oneAddon(cmd *cobra.Command, args []string, as string) (v1alpha1.Addon, error) {
	if len(args) != 1 || args[0] == "" {
		return v1alpha1.Addon{}, usage(cmd, "", "%q takes one addon, by its name or its path", cmd.CommandPath())
	}
	list, err := f.addonEntries(cmd, args, as)
	if err != nil {
		return v1alpha1.Addon{}, err
	}
	return list[0], nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// addonNames reads arguments that name addons that are on a cluster: each once.
func addonNames(cmd *cobra.Command, args []string) ([]string, error) {
	for i, arg := range args {
		if arg == "" || slices.Contains(args[:i], arg) {
			return nil, usage(cmd, "", "addon %q is named twice, or has no name", arg)
		}
	}
	return args, nil
}

// timeoutVar adds --timeout and --lock-timeout.
func timeoutVar(cmd *cobra.Command, o *cluster.AddonOptions, what string) {
	cmd.Flags().DurationVar(&o.Timeout, "timeout", cluster.DefaultTimeout, what)
	lockTimeoutVar(cmd, &o.LockTimeout)
}

// checkTimeout refuses times that are none.
func checkTimeout(cmd *cobra.Command, o cluster.AddonOptions) error {
	if o.Timeout <= 0 {
		return usage(cmd, "", "--timeout=%s is no time to wait", o.Timeout)
	}
	if o.LockTimeout < 0 {
		return usage(cmd, "", "--lock-timeout=%s is no time to wait", o.LockTimeout)
	}
	return nil
}

// completeContexts completes the contexts of the kubeconfig.
func completeContexts(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if file, err := cmd.Flags().GetString("kubeconfig"); err == nil {
		rules.ExplicitPath = file
	}
	config, err := rules.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for name := range config.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeInstalled completes the names of the addons that are on the cluster.
func (f *Factory) completeInstalled(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	if err := f.applySettings(cmd); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	t := addonTarget{}
	for name, value := range map[string]*string{"name": &t.name, "kubeconfig": &t.kubeconfig, "context": &t.context} {
		if flag := cmd.Flags().Lookup(name); flag != nil {
			*value = flag.Value.String()
		}
	}
	t.parse(cmd)
	opened, err := f.openAddons(ctx, t)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	records, err := opened.Manager.Installed(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, r := range records {
		if !slices.Contains(args, r.Name) {
			names = append(names, cobra.CompletionWithDesc(r.Name, r.Version))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeCatalogueAddon completes the name of one addon of the catalogue, or a path.
func (f *Factory) completeCatalogueAddon(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.completeAddons(cmd, args, begun)
}

// completeParameters completes what --set takes: parameters of the addons that are named so far.
func (f *Factory) completeParameters(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	if strings.Contains(begun, "=") {
		return nil, directive
	}
	var names []cobra.Completion
	for _, arg := range args {
		a, err := f.catalogue().Addon(arg)
		if err != nil {
			continue
		}
		prefix := ""
		if len(args) > 1 {
			prefix = a.Name + "."
		}
		for _, p := range a.Parameters {
			names = append(names, cobra.CompletionWithDesc(prefix+p.Name+"=", p.Description))
		}
	}
	return names, directive
}

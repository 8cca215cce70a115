package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/config"
)

// Groups of commands in the help.
const (
	groupCluster = "cluster" // whole clusters
	groupUse     = "use"     // what is in them
	groupHost    = "host"    // what they need
	groupOther   = "other"
)

// noSettings marks commands that work whatever the settings file holds.
const noSettings = "cove.dev/no-settings"

// NewRoot returns the cove command with all commands below it.
func NewRoot(f *Factory) *cobra.Command {
	root := &cobra.Command{
		Use:   "cove",
		Short: "Local Kubernetes clusters in containers",
		Long: `Cove launches real Kubernetes clusters on a Docker Engine: nodes are containers that kubeadm
bootstraps, and the cluster is handed over as a kubeconfig context.`,
		Version:       versionOf(f).Version,
		SilenceErrors: true, // Main reports them
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // runGroup checks them
		RunE:          runGroup,
	}
	root.SetVersionTemplate("cove {{.Version}}\n")
	// Groups are runnable for their errors only.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.SetIn(f.IO.In)
	root.SetOut(f.IO.Out)
	root.SetErr(f.IO.ErrOut)
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.CountVarP(&f.global.verbosity, "verbosity", "v", "show what commands print, and all of the output of one that failed")
	flags.BoolVarP(&f.global.quiet, "quiet", "q", false, "show errors and results only")
	flags.BoolVar(&f.global.noColor, "no-color", false, "use no colours")
	flags.StringVar(&f.global.dockerContext, "docker-context", "", "docker context of the engine (default: as docker finds it)")
	root.MarkFlagsMutuallyExclusive("verbosity", "quiet")

	root.AddGroup(
		&cobra.Group{ID: groupCluster, Title: "Clusters:"},
		&cobra.Group{ID: groupUse, Title: "Use a cluster:"},
		&cobra.Group{ID: groupHost, Title: "Prepare:"},
		&cobra.Group{ID: groupOther, Title: "Other commands:"})
	root.SetHelpCommand(newHelpCmd())
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.AddCommand(newCreateCmd(f, nil), newDeleteCmd(f, nil), newListCmd(f, nil), newStatusCmd(f, nil), newApplyCmd(f, nil),
		newUpgradeCmd(f, nil), newNodeCmd(f))
	root.AddCommand(newPowerCmds(f, nil)...)
	root.AddCommand(newKubectlCmd(f, nil), newExecCmd(f, nil), newShellCmd(f, nil), newLogsCmd(f, nil), newImageCmd(f),
		newAddonCmd(f), newProfileCmd(f), newKubeconfigCmd(f), newExportCmd(f, nil))
	root.AddCommand(newDoctorCmd(f, nil), newBuildCmd(f), newConfigCmd(f))
	root.AddCommand(newGetCmd(f), newKindLoadCmd(f))
	root.AddCommand(newVersionCmd(f, nil))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" || c.Name() == "help" {
			c.Annotations = map[string]string{noSettings: ""}
		}
	}
	f.wrap(root)
	return root
}

// wrap makes every command note that it has begun and use the settings, and commands that only have others below them
// refuse what they do not know; cobra would print help and exit with 0.
func (f *Factory) wrap(cmd *cobra.Command) {
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args, cmd.RunE = cobra.ArbitraryArgs, runGroup
	}
	cmd.SuggestionsMinimumDistance = 2
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := f.applySettings(cmd); err != nil {
				return err
			}
			f.begun = true
			return run(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		f.wrap(c)
	}
}

// applySettings gives flags that were not set the values of the settings file and of the COVE_* variables.
func (f *Factory) applySettings(cmd *cobra.Command) error {
	for c := cmd; c != nil; c = c.Parent() {
		if _, skip := c.Annotations[noSettings]; skip {
			return nil
		}
	}
	settings, err := config.LoadSettings(f.Settings)
	if err != nil {
		return err
	}
	f.settings = settings
	return settings.Apply(cmd.Flags())
}

package cli

import (
	"context"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

func newProfileCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "profile",
		Aliases: []string{"profiles"},
		Short:   "Look at profiles, write your own, and apply one to a cluster",
		Long: `Look at profiles, write your own, and apply one to a cluster. A profile is a named shape of a
cluster with addons and their parameters. "cove create --profile NAME" makes a cluster of it.
Your own are files NAME.yaml in the folder "profiles" beside the settings file; one that has
the name of a built-in profile takes its place.`,
		GroupID: groupUse,
	}
	cmd.AddCommand(newProfileListCmd(f, nil), newProfileShowCmd(f, nil), newProfileValidateCmd(f, nil), newProfileInitCmd(f, nil), newProfileApplyCmd(f, nil))
	return cmd
}

// profileListOptions are what the command line says to `cove profile list`.
type profileListOptions struct{ output string }

func newProfileListCmd(f *Factory, run func(context.Context, *profileListOptions) error) *cobra.Command {
	o := &profileListOptions{}
	if run == nil {
		run = func(_ context.Context, o *profileListOptions) error { return runProfileList(f, o) }
	}
	cmd := &cobra.Command{
		Use:               "list",
		Aliases:           []string{"ls"},
		Short:             "List the profiles there are",
		Example:           "  cove profile list",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	outputVar(cmd, &o.output, formatText, formatName, formatJSON, formatYAML)
	return cmd
}

// profileEntry is a line of the list, as programs are told.
type profileEntry struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Extends     string   `json:"extends,omitempty"`
	Addons      []string `json:"addons"`          // with those of what it extends
	Own         bool     `json:"own,omitempty"`   // a file of the user's
	Error       string   `json:"error,omitempty"` // why it cannot be used
}

func runProfileList(f *Factory, o *profileListOptions) error {
	cat := f.catalogue()
	if o.output == formatName {
		return writeLines(f.IO.Out, cat.ProfileNames())
	}
	own := os.DirFS(f.profilesDir())
	list := []profileEntry{}
	for _, name := range cat.ProfileNames() {
		e := profileEntry{Name: name, Addons: []string{}}
		if _, err := fs.Stat(own, name+".yaml"); err == nil {
			e.Own = true
		}
		raw, err := cat.Profile(name)
		e.Description, e.Extends = raw.Description, raw.Extends
		resolved := profile.Profile{}
		if err == nil {
			resolved, err = cat.Resolve(name)
		}
		if err != nil {
			e.Error = err.Error()
			f.say("warning: profile %s cannot be used; `cove profile validate %s` says why", name, name)
		}
		for _, a := range resolved.Addons {
			e.Addons = append(e.Addons, a.Name)
		}
		list = append(list, e)
	}
	if o.output != formatText {
		return writeObject(f.IO.Out, o.output, list)
	}
	rows := make([][]string, len(list))
	for i, e := range list {
		rows[i] = []string{e.Name, orNone(e.Extends), orNone(strings.Join(e.Addons, ", ")), orNone(e.Description)}
	}
	return writeTable(f.IO.Out, []string{"NAME", "EXTENDS", "ADDONS", "DESCRIPTION"}, rows)
}

// profileShowOptions are what the command line says to `cove profile show`.
type profileShowOptions struct {
	profile  string
	resolved bool
	output   string
}

func newProfileShowCmd(f *Factory, run func(context.Context, *profileShowOptions) error) *cobra.Command {
	o := &profileShowOptions{}
	if run == nil {
		run = func(_ context.Context, o *profileShowOptions) error { return runProfileShow(f, o) }
	}
	cmd := &cobra.Command{
		Use:               "show NAME|PATH",
		Short:             "Print a profile",
		Example:           "  cove profile show dev --resolved\n  cove profile show ./team.yaml -o json",
		ValidArgsFunction: f.completeProfile,
	}
	cmd.Flags().BoolVar(&o.resolved, "resolved", false, "joined with all that it extends")
	outputVar(cmd, &o.output, formatYAML, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.profile, err = oneProfile(cmd, args); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// oneProfile reads the one argument that names a profile.
func oneProfile(cmd *cobra.Command, args []string) (string, error) {
	if len(args) != 1 || args[0] == "" {
		return "", usage(cmd, "", "%q takes one profile, by its name or its path", cmd.CommandPath())
	}
	return args[0], nil
}

// completeProfile completes the name of one profile.
func (f *Factory) completeProfile(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.completeProfiles(cmd, args, begun)
}

func runProfileShow(f *Factory, o *profileShowOptions) error {
	cat := f.catalogue()
	p, err := cat.Profile(o.profile)
	if err == nil && o.resolved {
		p, err = cat.Resolve(o.profile)
	}
	if err != nil {
		return err
	}
	if o.resolved || o.output != formatYAML {
		return writeObject(f.IO.Out, o.output, p)
	}
	// The file as it stands has comments, and no fields that it does not have.
	data, err := profileFile(cat, o.profile)
	if err != nil {
		return err
	}
	_, err = f.IO.Out.Write(data)
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

// profileFile reads the file of a profile that is there.
func profileFile(cat profile.Catalogue, nameOrPath string) ([]byte, error) {
	var data []byte
	var err error
	if profile.IsPath(nameOrPath) {
		data, err = os.ReadFile(nameOrPath) //nolint:gosec // the user's own file
	} else {
		data, err = fs.ReadFile(cat.FS(), nameOrPath+".yaml")
	}
	return data, fault.Wrap(fault.FileUnwritable, err, "cannot read profile %s", nameOrPath)
}

package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// profileValidateOptions are what the command line says to `cove profile validate`.
type profileValidateOptions struct{ profiles []string }

func newProfileValidateCmd(f *Factory, run func(context.Context, *profileValidateOptions) error) *cobra.Command {
	o := &profileValidateOptions{}
	if run == nil {
		run = func(_ context.Context, o *profileValidateOptions) error { return runProfileValidate(f, o) }
	}
	return &cobra.Command{
		Use:   "validate [NAME|PATH...]",
		Short: "Check profiles",
		Long: `Check profiles, or without a name all profiles and addons that there are: the fields, what is
extended, the addons with their parameters, and the cluster that would come of it.`,
		Example:           "  cove profile validate\n  cove profile validate ./team.yaml",
		ValidArgsFunction: f.completeProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.profiles = args
			return run(cmd.Context(), o)
		},
	}
}

func runProfileValidate(f *Factory, o *profileValidateOptions) error {
	cat, names, problems := f.catalogue(), o.profiles, strict.Problems{}
	if len(names) == 0 {
		names = cat.ProfileNames()
		if _, err := cat.Addons(); err != nil {
			problems = append(problems, problemsOf("", err)...)
		}
	}
	for _, name := range names {
		err := f.validateProfile(name)
		switch {
		case fault.Is(err, fault.ProfileUnknown) && len(names) == 1:
			return err
		case err != nil:
			problems = append(problems, problemsOf(name, err)...)
		default:
			f.say("profile %s is valid", name)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	// Whatever is wrong: it is the files that are to be mended.
	return &fault.Error{Code: fault.ConfigInvalid, Msg: "profiles have errors", Err: problems, Hint: "mend what is named"}
}

// validateProfile checks a profile, and the document that a cluster of it would have.
func (f *Factory) validateProfile(name string) error {
	cat := f.catalogue()
	if _, err := cat.Resolve(name); err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot tell what the current directory is")
	}
	doc := v1alpha1.Cluster{}
	_, err = config.Resolve(config.Input{Document: &doc, Flags: config.Overrides{Profile: name}, Dir: dir, Catalogue: cat})
	return err
}

// problemsOf takes an error apart into the problems that it has, or makes it one problem of the named thing.
func problemsOf(name string, err error) strict.Problems {
	if many := (strict.Problems)(nil); errors.As(err, &many) {
		return many
	}
	return strict.Problems{{Code: fault.CodeOf(err), Path: name, Message: err.Error()}}
}

package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image/build"
)

// buildAddonOptions are what the command line says to `cove build addon-images`.
type buildAddonOptions struct {
	addons []string // empty: all that can be built
	fresh  bool
	output string
}

func newBuildAddonImagesCmd(f *Factory, run func(context.Context, *buildAddonOptions) error) *cobra.Command {
	o := &buildAddonOptions{}
	if run == nil {
		run = func(ctx context.Context, o *buildAddonOptions) error { return runBuildAddons(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:   "addon-images [ADDON]...",
		Short: "Build images of addons from source and load them into the engine",
		Long: `Build the images of addons from source and load them into the engine: those of the named
addons, or of all that can be built. "cove create" and "cove addon enable" do so by themselves
where no registry answers; this does it ahead.`,
		Example:           "  cove build addon-images\n  cove build addon-images metrics-server metallb",
		ValidArgsFunction: f.completeAddons,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.addons = args
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.fresh, "fresh", false, "build every part anew")
	outputVar(cmd, &o.output, formatText, formatJSON)
	return cmd
}

// addonRecipes returns the recipes of the images of the addons, each once.
func (f *Factory) addonRecipes(names []string) ([]string, error) {
	cat := f.catalogue()
	if len(names) == 0 {
		return build.AddonRecipes(), nil
	}
	var recipes []string
	for _, n := range names {
		a, err := cat.Addon(n)
		if err != nil {
			return nil, err
		}
		for _, img := range a.Images {
			if img.Build != "" && !slices.Contains(recipes, img.Build) {
				recipes = append(recipes, img.Build)
			}
		}
	}
	return recipes, nil
}

func runBuildAddons(ctx context.Context, f *Factory, o *buildAddonOptions) error {
	recipes, err := f.addonRecipes(o.addons)
	if err != nil {
		return err
	}
	tags := make([]string, len(recipes))
	err = f.run(ctx, "", o.output, func(ctx context.Context, em *event.Emitter) (string, error) {
		e, err := f.engine(ctx)
		if err != nil {
			return "", err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(2) // a compiler uses all cores, a linker one
		for i, r := range recipes {
			group.Go(func() error {
				result, err := f.BuildAddonImage(ctx, build.Options{Engine: e, Emitter: em, Fresh: o.fresh}, r)
				tags[i] = result.Tag
				return err
			})
		}
		return fmt.Sprintf("%s there", count(len(recipes), "image")), group.Wait()
	})
	if err != nil || o.output != formatText {
		return err
	}
	for _, t := range tags {
		if _, err := fmt.Fprintln(f.IO.Out, t); err != nil {
			return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
		}
	}
	return nil
}

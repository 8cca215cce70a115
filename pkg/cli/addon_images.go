package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image/build"
	"github.com/cove-k8s/cove/pkg/profile"
)

// addonImagesOptions are what the command line says to `cove addon images`.
type addonImagesOptions struct {
	addons  []v1alpha1.Addon // empty: the profile's
	profile string
	output  string
}

func newAddonImagesCmd(f *Factory, run func(context.Context, *addonImagesOptions) error) *cobra.Command {
	o := &addonImagesOptions{}
	if run == nil {
		run = func(ctx context.Context, o *addonImagesOptions) error { return runAddonImages(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:   "images [NAME|PATH...]",
		Short: "List the images that addons need, or those of a profile",
		Long: `List the images that the named addons need, or else those of a profile: how they get into the
nodes, and whether the engine has them. Which images a chart has, only the chart knows.`,
		Example: `  cove addon images --profile ingress
  cove addon images traefik -o name | xargs -n1 docker pull`,
		ValidArgsFunction: f.completeAddons,
	}
	cmd.Flags().StringVar(&o.profile, "profile", profile.DefaultProfile, "profile whose addons are meant where none is named")
	f.completeFlag(cmd, "profile", f.completeProfiles)
	outputVar(cmd, &o.output, formatText, formatName, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if len(args) > 0 && cmd.Flags().Changed("profile") {
			return usage(cmd, "", "give addons, or --profile")
		}
		if o.addons, err = f.addonEntries(cmd, args, ""); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// addonImage is a line of the list, as programs are told.
type addonImage struct {
	Addon string `json:"addon"`
	// Image is empty for a chart and for your own manifests: which images these have is not known beforehand.
	Image  string `json:"image,omitempty"`
	Source string `json:"source"`
	Recipe string `json:"recipe,omitempty"` // by which it can be built
	// Engine says whether the engine has it; nothing where that does not matter, or the engine does not answer.
	Engine *bool `json:"engine,omitempty"`
}

func runAddonImages(ctx context.Context, f *Factory, o *addonImagesOptions) error {
	entries := o.addons
	if len(entries) == 0 {
		p, err := f.catalogue().Resolve(o.profile)
		if err != nil {
			return err
		}
		entries = p.Addons
	}
	list := []addonImage{}
	for _, entry := range entries {
		a, err := f.openAddon(entry)
		if err != nil {
			return err
		}
		list = append(list, imagesOf(a)...)
	}
	if o.output == formatName {
		return writeLines(f.IO.Out, imageNames(list))
	}
	if err := f.lookForImages(ctx, list); err != nil {
		return err
	}
	if o.output != formatText {
		return writeObject(f.IO.Out, o.output, list)
	}
	rows := make([][]string, len(list))
	for i, img := range list {
		there := ""
		if img.Engine != nil {
			there = map[bool]string{true: "yes", false: "no"}[*img.Engine]
		}
		rows[i] = []string{img.Addon, orNone(img.Image), img.Source, orNone(there)}
	}
	return writeTable(f.IO.Out, []string{"ADDON", "IMAGE", "SOURCE", "ON THE ENGINE"}, rows)
}

// imagesOf lists an addon's images.
func imagesOf(a *profile.Addon) []addonImage {
	if len(a.Images) == 0 {
		source := "none of its own"
		switch {
		case a.Content.Helm != nil:
			source = chartOf(a.Content.Helm)
		case a.Own:
			source = "what its manifests name"
		}
		return []addonImage{{Addon: a.Name, Source: source}}
	}
	var list []addonImage
	for _, img := range a.Images {
		list = append(list, addonImage{Addon: a.Name, Image: img.Ref, Source: imageSource(img), Recipe: img.Build})
	}
	return list
}

// imageNames returns the names of those images that are known, each once.
func imageNames(list []addonImage) []string {
	var names []string
	for _, img := range list {
		if img.Image != "" && !slices.Contains(names, img.Image) {
			names = append(names, img.Image)
		}
	}
	return names
}

// lookForImages notes which of the images the engine has. An engine that does not answer is no error.
func (f *Factory) lookForImages(ctx context.Context, list []addonImage) error {
	e, err := f.engine(ctx)
	if err != nil {
		return ctx.Err()
	}
	info, err := e.Info(ctx)
	if err != nil {
		return ctx.Err()
	}
	for i, img := range list {
		if img.Image == "" || strings.HasPrefix(img.Source, "node image") {
			continue
		}
		has, err := hasImage(ctx, e, img, info.Architecture)
		if err != nil {
			return err
		}
		list[i].Engine = &has
	}
	return nil
}

// hasImage reports whether the engine has the image, or what its recipe makes now.
func hasImage(ctx context.Context, e engine.Images, img addonImage, arch string) (bool, error) {
	if _, err := e.Image(ctx, img.Image); err == nil || !fault.Is(err, fault.ImageNotFound) {
		return err == nil, err
	}
	if img.Recipe == "" {
		return false, nil
	}
	tag, err := build.AddonTag(img.Recipe)
	if err != nil {
		return false, err
	}
	content, err := build.AddonContent(img.Recipe, arch)
	if err != nil {
		return false, err
	}
	built, err := e.Image(ctx, tag)
	if fault.Is(err, fault.ImageNotFound) {
		return false, nil
	}
	return err == nil && built.Labels[build.LabelContent] == content, err
}

package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image/build"
)

// buildOptions are what the command line says to `cove build node-image`.
type buildOptions struct {
	version string
	tag     string
	fresh   bool
	sizes   bool
	output  string
}

func newBuildCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{Use: "build", Short: "Build images from source: of nodes and of addons", GroupID: groupHost}
	cmd.AddCommand(newBuildNodeImageCmd(f, nil), newBuildAddonImagesCmd(f, nil))
	return cmd
}

func newBuildNodeImageCmd(f *Factory, run func(context.Context, *buildOptions) error) *cobra.Command {
	o := &buildOptions{}
	if run == nil {
		run = func(ctx context.Context, o *buildOptions) error { return runBuild(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:   "node-image",
		Short: "Build a node image from source and load it into the engine",
		Long: `Build a node image from source and load it into the engine. It takes Linux, Go and some
Debian packages, no registry; what is lacking is named. Parts that have not changed come from
the cache, so that only the first build takes minutes.`,
		Example:           "  cove build node-image\n  cove build node-image --kubernetes-version 1.35",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.version, "kubernetes-version", "", "Kubernetes version: "+strings.Join(build.Versions(), ", ")+" (default: the first of these)")
	flags.StringVar(&o.tag, "tag", "", "name of the image (default: cove-node:VERSION)")
	flags.BoolVar(&o.fresh, "fresh", false, "build every part anew")
	flags.BoolVar(&o.sizes, "sizes", false, "print the image's size, unpacked and as a gzip-ed archive")
	f.completeFlag(cmd, "kubernetes-version", cobra.FixedCompletions(build.Versions(), cobra.ShellCompDirectiveNoFileComp))
	outputVar(cmd, &o.output, formatText, formatJSON)
	return cmd
}

func runBuild(ctx context.Context, f *Factory, o *buildOptions) error {
	var result build.Result
	err := f.run(ctx, "", o.output, func(ctx context.Context, em *event.Emitter) (string, error) {
		e, err := f.engine(ctx)
		if err != nil {
			return "", err
		}
		result, err = f.BuildImage(ctx, build.Options{
			Engine: e, Emitter: em, KubernetesVersion: o.version, Tag: o.tag, Fresh: o.fresh, Compressed: o.sizes,
		})
		if err != nil {
			return "", err
		}
		if result.Skipped {
			return fmt.Sprintf("image %s was there already, of the same content", result.Tag), nil
		}
		return fmt.Sprintf("image %s is built: Kubernetes %s, %s", result.Tag, result.KubernetesVersion, sizesOf(result)), nil
	})
	if err != nil || o.output != formatText {
		return err
	}
	line := result.Tag
	if o.sizes {
		line += ": " + sizesOf(result)
	}
	_, err = fmt.Fprintln(f.IO.Out, line)
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

// sizesOf writes the sizes that are known.
func sizesOf(r build.Result) string {
	const mb = 1e6
	s := fmt.Sprintf("%.0f MB unpacked", float64(r.Size)/mb)
	if r.Compressed > 0 {
		s += fmt.Sprintf(", %.0f MB with gzip", float64(r.Compressed)/mb)
	}
	return s
}

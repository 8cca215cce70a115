package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// addonShowOptions are what the command line says to `cove addon show`.
type addonShowOptions struct {
	addon  v1alpha1.Addon
	output string
}

func newAddonShowCmd(f *Factory, run func(context.Context, *addonShowOptions) error) *cobra.Command {
	o := &addonShowOptions{}
	if run == nil {
		run = func(_ context.Context, o *addonShowOptions) error { return runAddonShow(f, o) }
	}
	cmd := &cobra.Command{
		Use:               "show NAME|PATH",
		Short:             "Show an addon: what it is for, its images and its parameters",
		Example:           "  cove addon show traefik",
		ValidArgsFunction: f.completeCatalogueAddon,
	}
	outputVar(cmd, &o.output, formatText, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		entry, err := f.oneAddon(cmd, args, "")
		if err != nil {
			return err
		}
		o.addon = entry
		return run(cmd.Context(), o)
	}
	return cmd
}

func runAddonShow(f *Factory, o *addonShowOptions) error {
	a, err := f.openAddon(o.addon)
	if err != nil {
		return err
	}
	if o.output != formatText {
		return writeObject(f.IO.Out, o.output, a)
	}
	return fault.Wrap(fault.FileUnwritable, writeAddon(f.IO.Out, a), "cannot write the output")
}

// writeAddon writes what there is to know of an addon, for people.
func writeAddon(w io.Writer, a *profile.Addon) error {
	lines := [][2]string{
		{"addon", strings.TrimSpace(a.Name + " " + a.Version)}, {"for", a.Description}, {"documentation", a.Documentation},
		{"provides", strings.Join(a.Provides, ", ")}, {"requires", requirements(a)}, {"namespace", a.Namespace},
		{"content", contentOf(a)}, {"elsewhere", foreignRule(a)},
	}
	for _, line := range lines {
		if line[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-15s%s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	if a.Notes != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(a.Notes))
	}
	if len(a.Images) > 0 {
		fmt.Fprintln(w)
		rows := make([][]string, len(a.Images))
		for i, img := range a.Images {
			rows[i] = []string{img.Ref, imageSource(img)}
		}
		if err := writeTable(w, []string{"IMAGE", "SOURCE"}, rows); err != nil {
			return err
		}
	}
	if len(a.Parameters) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	rows := make([][]string, len(a.Parameters))
	for i, p := range a.Parameters {
		rows[i] = []string{p.Name, p.Type, defaultOf(p), p.Description + allowedOf(p)}
	}
	return writeTable(w, []string{"PARAMETER", "TYPE", "DEFAULT", "DESCRIPTION"}, rows)
}

// requirements says what an addon cannot do without.
func requirements(a *profile.Addon) string {
	var list []string
	for _, name := range a.Requires.Addons {
		list = append(list, "addon "+name)
	}
	if a.Requires.Kubernetes != "" {
		list = append(list, "Kubernetes "+a.Requires.Kubernetes)
	}
	if a.Requires.NodeImage != "" {
		list = append(list, a.Requires.NodeImage+"'s own node image")
	}
	return strings.Join(list, ", ")
}

// contentOf says what an addon consists of.
func contentOf(a *profile.Addon) string {
	switch c := a.Content; {
	case c.Manifests != "":
		return "manifests"
	case c.Kustomization != "":
		return "a kustomization"
	case c.Helm != nil:
		return chartOf(c.Helm)
	case c.NodeImage != "":
		return c.NodeImage + " of the node image"
	}
	return ""
}

// chartOf names a chart and where it is from.
func chartOf(h *profile.Helm) string {
	text := strings.TrimSpace("chart " + h.Chart + " " + h.Version)
	if h.Repository != "" {
		text += " of " + h.Repository
	}
	return text
}

// foreignRule says what becomes of an addon on a cluster that cove did not make.
func foreignRule(a *profile.Addon) string {
	switch {
	case a.Foreign != "":
		return "not on clusters that cove did not make: " + a.Foreign
	case len(a.ForeignNeeds) > 0:
		return "on clusters that cove did not make it needs " + strings.Join(a.ForeignNeeds, ", ")
	}
	return ""
}

// imageSource says how an image gets into nodes.
func imageSource(img profile.Image) string {
	switch {
	case img.InNodeImage:
		return "node image"
	case img.Build != "":
		return "pulled, or built from " + img.Build
	}
	return "pulled"
}

// defaultOf writes a parameter's default; an empty one is made visible.
func defaultOf(p profile.Parameter) string {
	v := p.Default
	if v == nil {
		switch p.Type {
		case profile.TypeInteger:
			v = 0
		case profile.TypeBoolean:
			v = false
		case profile.TypeList:
			return "[]"
		case profile.TypeObject:
			return "{}"
		default:
			v = ""
		}
	}
	if s, ok := v.(string); ok && s != "" {
		return s
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// allowedOf says which values a parameter takes.
func allowedOf(p profile.Parameter) string {
	switch {
	case len(p.Enum) > 0:
		return " (" + oneOf(p.Enum) + ")"
	case p.Minimum != nil && p.Maximum != nil:
		return fmt.Sprintf(" (%d to %d)", *p.Minimum, *p.Maximum)
	case p.Minimum != nil:
		return fmt.Sprintf(" (%d or more)", *p.Minimum)
	case p.Maximum != nil:
		return fmt.Sprintf(" (%d or less)", *p.Maximum)
	}
	return ""
}

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

func newConfigCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at cluster documents, and import those of others", GroupID: groupHost}
	cmd.AddCommand(newConfigSchemaCmd(f), newConfigValidateCmd(f, nil), newConfigViewCmd(f, nil), newConfigDefaultsCmd(f), newConfigGetCmd(f, nil), newConfigImportCmd(f, nil))
	return cmd
}

func newConfigSchemaCmd(f *Factory) *cobra.Command {
	return &cobra.Command{
		Use:               "schema",
		Short:             "Print the JSON schema of cluster documents",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			_, err := f.IO.Out.Write(v1alpha1.Schema())
			return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
		},
	}
}

func newConfigDefaultsCmd(f *Factory) *cobra.Command {
	return &cobra.Command{
		Use:               "defaults",
		Short:             "Print the document of a cluster of which nothing is said",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			doc, err := config.Resolve(config.Input{})
			if err != nil {
				return err
			}
			return writeDocument(f, formatYAML, doc)
		},
	}
}

func newConfigValidateCmd(f *Factory, run func(file string) error) *cobra.Command {
	if run == nil {
		run = func(file string) error { return runConfigValidate(f, file) }
	}
	file := ""
	cmd := &cobra.Command{
		Use:     "validate FILE",
		Short:   "Check a cluster document, cove's or kind's",
		Example: "  cove config validate cluster.yaml\n  cat cluster.yaml | cove config validate -",
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the file, instead of the argument; - is stdin")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 1 && file == "":
			file = args[0]
		case len(args) > 0:
			return usage(cmd, "", "one document is checked at a time")
		case file == "":
			return usage(cmd, "", "no document is named")
		}
		return run(file)
	}
	return cmd
}

func runConfigValidate(f *Factory, file string) error {
	o := documentOptions{file: file}
	doc, err := o.resolve(f)
	if err != nil {
		return err
	}
	for _, p := range config.Warnings(doc) {
		f.say("warning: %s", p)
	}
	f.say("%s is valid: cluster %s, Kubernetes %s, %s", file, doc.Name, doc.KubernetesVersion, count(len(doc.Nodes()), "node"))
	return nil
}

// configViewOptions are what the command line says to `cove config view`.
type configViewOptions struct {
	document documentOptions
	output   string
}

func newConfigViewCmd(f *Factory, run func(context.Context, *configViewOptions) error) *cobra.Command {
	o := &configViewOptions{}
	if run == nil {
		run = func(_ context.Context, o *configViewOptions) error {
			doc, err := o.document.resolve(f)
			if err != nil {
				return err
			}
			return writeDocument(f, o.output, doc)
		}
	}
	cmd := &cobra.Command{
		Use:   "view [NAME]",
		Short: "Print the document that create would use, with everything filled in",
		Long: `Print the document that "cove create" would use with the same flags: what the file, the
flags and the settings say, with every default filled in.`,
		Example:           "  cove config view -f cluster.yaml --workers 2",
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.document.vars(f, cmd)
	outputVar(cmd, &o.output, formatYAML, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := o.document.parse(cmd, args); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// writeDocument writes a document that can be read back.
func writeDocument(f *Factory, output string, doc v1alpha1.Cluster) error {
	if output == formatJSON {
		return writeObject(f.IO.Out, output, doc)
	}
	data, err := config.Marshal(doc)
	if err != nil {
		return err
	}
	_, err = f.IO.Out.Write(data)
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

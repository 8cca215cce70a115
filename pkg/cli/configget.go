package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/config/importer"
	"github.com/cove-k8s/cove/pkg/fault"
)

// configGetOptions are what the command line says to `cove config get`.
type configGetOptions struct{ name, output string }

func newConfigGetCmd(f *Factory, run func(context.Context, *configGetOptions) error) *cobra.Command {
	o := &configGetOptions{}
	if run == nil {
		run = func(ctx context.Context, o *configGetOptions) error {
			e, name, err := f.target(ctx, o.name)
			if err != nil {
				return err
			}
			doc, err := cluster.Document(ctx, e, name)
			if err != nil {
				return err
			}
			return writeDocument(f, o.output, doc)
		}
	}
	cmd := &cobra.Command{
		Use: "get [NAME]", Short: "Print the document that a cluster follows",
		Long: `Print the document that a cluster follows now, with all that was added, removed and changed
since it was made. "cove apply" finds no difference between the two.`,
		Example:           "  cove config get dev > dev.yaml",
		ValidArgsFunction: f.completeCluster,
	}
	name := ""
	f.nameVar(cmd, &name)
	outputVar(cmd, &o.output, formatYAML, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.name, err = oneName(cmd, args, name); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// configImportOptions are what the command line says to `cove config import`.
type configImportOptions struct{ file, output string }

func newConfigImportCmd(f *Factory, run func(*configImportOptions) error) *cobra.Command {
	o := &configImportOptions{}
	if run == nil {
		run = func(o *configImportOptions) error { return runConfigImport(f, o) }
	}
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Read the configuration of k3d or minikube as a cluster document",
		Long: `Read a configuration file of k3d (kind: Simple), or the config.json of a minikube profile, and
print it as a cluster document; - is stdin. What does not map is said on stderr, and why.`,
		Example: `  cove config import k3d.yaml > cluster.yaml
  cove config import ~/.minikube/profiles/minikube/config.json`,
	}
	outputVar(cmd, &o.output, formatYAML, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage(cmd, "", "%q takes one file", cmd.CommandPath())
		}
		o.file = args[0]
		return run(o)
	}
	return cmd
}

func runConfigImport(f *Factory, o *configImportOptions) error {
	in, source, err := openDocument(f, o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, config.MaxDocumentSize+1)) // one byte too many is enough to be refused
	if err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot read %s", source)
	}
	doc, notes, err := importer.Import(data, source, f.Getenv)
	if err != nil {
		return err
	}
	for _, n := range notes {
		f.say("note: %s", n)
	}
	return writeDocument(f, o.output, doc)
}

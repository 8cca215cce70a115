package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/fault"
)

// exportCAOptions are what the command line says to `cove export ca`.
type exportCAOptions struct {
	target addonTarget
	file   string // empty: stdout
}

func newExportCACmd(f *Factory, run func(context.Context, *exportCAOptions) error) *cobra.Command {
	o := &exportCAOptions{}
	if run == nil {
		run = func(ctx context.Context, o *exportCAOptions) error { return runExportCA(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Print the certificate of the CA that signs what a cluster's addons serve",
		Long: `Print the certificate (PEM) of the cluster-local CA, which signs the certificates of addons,
such as traefik's. A browser or curl that trusts it trusts this cluster's addons alone; it is
not the CA of Kubernetes itself.`,
		Example: `  cove export ca --output ca.crt
  curl --cacert ca.crt --resolve app.dev.localhost:443:172.18.0.200 https://app.dev.localhost/`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.target.vars(f, cmd)
	file := cmd.Flags().StringP("output", "o", "", "file to write it to, instead of stdout")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.target.parse(cmd)
		if cmd.Flags().Changed("output") { // the setting of that name is a form of output
			o.file = *file
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runExportCA(ctx context.Context, f *Factory, o *exportCAOptions) error {
	t, err := f.openAddons(ctx, o.target)
	if err != nil {
		return err
	}
	pem, err := t.Manager.CA(ctx)
	if err != nil {
		return err
	}
	if pem == nil {
		return fault.New(fault.AddonNotInstalled, "cluster %s has no CA of its own: none of its addons needed one yet", t.Name).
			WithHint("enable an addon that serves with certificates: `cove addon enable traefik`")
	}
	if o.file == "" {
		_, err = f.IO.Out.Write(pem)
	} else {
		err = os.WriteFile(o.file, pem, 0o644) //nolint:gosec // a certificate is for everybody to read
	}
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the certificate")
}

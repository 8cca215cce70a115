package cli

import (
	"bytes"
	"context"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

// addonRenderOptions are what the command line says to `cove addon render`.
type addonRenderOptions struct {
	target addonTarget
	addon  v1alpha1.Addon
	values addonValues
}

func newAddonRenderCmd(f *Factory, run func(context.Context, *addonRenderOptions) error) *cobra.Command {
	o := &addonRenderOptions{}
	if run == nil {
		run = func(ctx context.Context, o *addonRenderOptions) error { return runAddonRender(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:   "render NAME|PATH",
		Short: "Print the manifests of an addon",
		Long: `Print the manifests of an addon as YAML: with --name, --kubeconfig or --context those that
"cove addon enable" would apply to that cluster, else those for a cluster of which nothing is
known. What is generated, such as certificates, is not in them.`,
		Example: `  cove addon render metallb --set pool=10.0.0.10-10.0.0.20
  cove addon render traefik --name dev | kubectl diff -f -`,
		ValidArgsFunction: f.completeCatalogueAddon,
	}
	o.target.vars(f, cmd)
	o.values.vars(f, cmd)
	as := ""
	cmd.Flags().StringVar(&as, "as", "", "name of an addon that is given by its path (default: that of the file or folder)")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		o.target.parse(cmd)
		if o.addon, err = f.oneAddon(cmd, args, as); err != nil {
			return err
		}
		if err = o.values.parse(cmd, []v1alpha1.Addon{o.addon}); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// placeholderCA stands for the CA of a cluster that is not known.
const placeholderCA = "the certificate of the cluster's CA\n"

func runAddonRender(ctx context.Context, f *Factory, o *addonRenderOptions) error {
	a, err := f.openAddon(o.addon)
	if err != nil {
		return err
	}
	if a.Content.NodeImage != "" && !o.target.named {
		return fault.New(fault.AddonUnfit, "cannot render addon %s without a cluster: its manifests come with the node image", a.Name).
			WithHint("name a cluster of cove's with --name")
	}
	manager, records, ca := (*addon.Manager)(nil), []addon.Record(nil), []byte(placeholderCA)
	if o.target.named {
		t, err := f.openAddons(ctx, o.target)
		if err != nil {
			return err
		}
		manager = t.Manager
		if records, err = manager.Installed(ctx); err != nil {
			return err
		}
		if known, err := manager.CA(ctx); err != nil {
			return err
		} else if known != nil {
			ca = known
		}
	} else if manager, err = anyCluster(f); err != nil {
		return err
	}
	i, err := o.values.instance(f, a, records, nil)
	if err != nil {
		return err
	}
	objs, err := manager.Render(ctx, i, ca)
	if err != nil {
		return err
	}
	return writeManifests(f.IO.Out, objs)
}

// anyCluster returns a manager that knows no cluster: its facts are those of the first cluster that an engine gets.
func anyCluster(f *Factory) (*addon.Manager, error) {
	doc, err := config.Resolve(config.Input{})
	if err != nil {
		return nil, err
	}
	net := doc.Cluster.Networking
	return &addon.Manager{Now: f.Now, Facts: addon.Facts{
		Name: doc.Name, Subnet: "172.18.0.0/24", Pool: "172.18.0.200-172.18.0.250",
		PodSubnet: net.PodSubnet, ServiceSubnet: net.ServiceSubnet,
		KubernetesVersion: doc.KubernetesVersion, Nodes: len(doc.Nodes()), ControlPlane: doc.Nodes()[0].Name,
	}}, nil
}

// writeManifests writes objects as documents of YAML.
func writeManifests(w io.Writer, objs []*unstructured.Unstructured) error {
	var out bytes.Buffer
	for i, o := range objs {
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return fault.Wrap(fault.Internal, err, "cannot write %s %s", o.GetKind(), o.GetName())
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(data)
	}
	_, err := w.Write(out.Bytes())
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

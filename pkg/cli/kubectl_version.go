package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// kubectlModule is the module that the kubectl is of; its version v0.36.3 is Kubernetes' v1.36.3.
const kubectlModule = "k8s.io/kubectl"

// kubectlVersions is what `kubectl version` says to programs, as far as it is known here.
type kubectlVersions struct {
	Client *apiversion.Info `json:"clientVersion,omitempty"`
	Server *apiversion.Info `json:"serverVersion,omitempty"`
}

// replaceVersion puts a version command in the place of kubectl's own, which only knows what its linker was told.
func (f *Factory) replaceVersion(root *cobra.Command, connection *genericclioptions.ConfigFlags) {
	for _, c := range root.Commands() {
		if c.Name() == "version" {
			root.RemoveCommand(c)
		}
	}
	client, output := false, ""
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the client and server version information",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&client, "client", false, "If true, shows client version only (no server required).")
	enumVar(cmd, &output, "output", "o", "form of the output", formatText, formatJSON, formatYAML)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := kubectlVersions{Client: &apiversion.Info{GitVersion: f.kubectlVersion()}}
		if !client {
			d, err := connection.ToDiscoveryClient()
			if err != nil {
				return err
			}
			if v.Server, err = d.ServerVersion(); err != nil {
				return err
			}
		}
		if output != formatText {
			return writeObject(f.IO.Out, output, v)
		}
		fmt.Fprintf(f.IO.Out, "Client Version: %s\n", v.Client.GitVersion)
		if v.Server != nil {
			fmt.Fprintf(f.IO.Out, "Server Version: %s\n", v.Server.GitVersion)
		}
		return nil
	}
	root.AddCommand(cmd)
}

// kubectlVersion reads the version off the module's.
func (f *Factory) kubectlVersion() string {
	if info, ok := f.BuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == kubectlModule {
				return strings.Replace(m.Version, "v0.", "v1.", 1)
			}
		}
	}
	return "unknown"
}

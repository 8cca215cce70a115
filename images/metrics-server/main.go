// Command metrics-server is the upstream's server with its flags, put together here so that figures are there seconds after
// it starts: see warmUp. All else is the upstream's, from its own packages.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/pkg/version"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	"k8s.io/component-base/term"
	"sigs.k8s.io/metrics-server/cmd/metrics-server/app/options"
)

func main() {
	logs.InitLogs()
	err := command(genericapiserver.SetupSignalHandler()).Execute() // prints its error
	logs.FlushLogs()
	if err != nil {
		os.Exit(1)
	}
}

// command returns the command with the upstream's flags. It serves until stop is closed.
func command(stop <-chan struct{}) *cobra.Command {
	opts := options.NewOptions()
	cmd := &cobra.Command{
		Use:   "metrics-server",
		Short: "Launch metrics-server",
		Long:  "Launch metrics-server",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.ShowVersion {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), version.Get().GitVersion)
				return err
			}
			return serve(opts, stop)
		},
	}
	sections := opts.Flags()
	klogFlags := flag.NewFlagSet("klog", flag.ContinueOnError)
	logs.AddGoFlags(klogFlags)
	sections.FlagSet("logging").AddGoFlagSet(klogFlags)
	for _, section := range sections.FlagSets {
		cmd.Flags().AddFlagSet(section)
	}
	width, _, err := term.TerminalSize(cmd.OutOrStdout())
	if err != nil {
		width = 0 // no terminal: lines are not wrapped
	}
	cliflag.SetUsageAndHelpFunc(cmd, sections, width)
	return cmd
}

// serve runs the server until stop is closed. It returns the first thing that is wrong with the options, if any.
func serve(opts *options.Options, stop <-chan struct{}) error {
	if wrong := opts.Validate(); len(wrong) > 0 {
		return wrong[0]
	}
	config, err := opts.ServerConfig()
	if err != nil {
		return err
	}
	s, err := assemble(config)
	if err != nil {
		return err
	}
	return s.RunUntil(stop)
}

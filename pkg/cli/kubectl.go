package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	kubectl "k8s.io/kubectl/pkg/cmd"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeconfig"
)

// kubectlOptions are what the command line says to `cove kubectl`.
type kubectlOptions struct {
	name string
	args []string
}

func newKubectlCmd(f *Factory, run func(context.Context, *kubectlOptions) error) *cobra.Command {
	o := &kubectlOptions{}
	if run == nil {
		run = func(ctx context.Context, o *kubectlOptions) error { return runKubectl(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:     "kubectl [--name NAME] -- ARG...",
		Short:   "Run the kubectl that is built in, on a cluster",
		GroupID: groupUse,
		Long: `Run the kubectl that is built in, with all rights on the cluster. Neither a kubectl of your
own nor a kubeconfig is needed, and it reaches clusters on engines elsewhere, too. Cove's own
flags come before the arguments. The status is kubectl's.`,
		Example:           "  cove kubectl -- get pods -A\n  cove kubectl --name dev -- apply -f app.yaml",
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.nameVar(cmd, &o.name)
	cmd.Flags().SetInterspersed(false) // all from the first argument on is kubectl's, with or without --
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.args = args
		return run(cmd.Context(), o)
	}
	return cmd
}

func runKubectl(ctx context.Context, f *Factory, o *kubectlOptions) error {
	e, name, access, err := f.clusterAccess(ctx, o.name)
	if err != nil {
		return err
	}
	if _, err := runningNode(ctx, e, name, ""); err != nil {
		return err // kubectl would ask in vain for half a minute
	}
	info, err := e.Info(ctx)
	if err != nil {
		return err
	}
	if cp := access.Context; info.Host != "" || !answers(ctx, cp.Server) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if access.Context.Server, err = forward(ctx, access.Dial); err != nil {
			return fault.Wrap(fault.EngineFailed, err, "cannot reach the API of cluster %q", name)
		}
	}
	return f.waitKubectl(ctx, access.Context, o.args)
}

// kubectlGrace is how long kubectl has to put the terminal right after an interrupt.
const kubectlGrace = 2 * time.Second

// waitKubectl runs kubectl to its end, or until ctx ends: not all of its commands look at their context.
func (f *Factory) waitKubectl(ctx context.Context, to kubeconfig.Context, args []string) error {
	result := make(chan error, 1)
	go func() {
		result <- guard(func() error { return f.kubectl(ctx, to, args) })
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	select {
	case <-result: //nolint:errcheck // the interrupt is what ended it
	case <-time.After(kubectlGrace):
	}
	return &statusError{status: fault.ExitInterrupted}
}

// kubectlEnd is the panic by which kubectl's way of ending the process leaves it.
type kubectlEnd struct{ status int }

// kubectl runs kubectl. Its errors are printed by itself.
func (f *Factory) kubectl(ctx context.Context, to kubeconfig.Context, args []string) (err error) {
	streams := genericiooptions.IOStreams{In: f.IO.In, Out: f.IO.Out, ErrOut: f.IO.ErrOut}
	cmdutil.BehaviorOnFatal(func(message string, status int) {
		if message != "" {
			fmt.Fprintln(f.IO.ErrOut, strings.TrimSuffix(message, "\n"))
		}
		panic(kubectlEnd{status})
	})
	defer cmdutil.DefaultBehaviorOnFatal()
	defer func() {
		if p := recover(); p != nil {
			end, ok := p.(kubectlEnd)
			if !ok {
				panic(p)
			}
			err = nil
			if end.status != 0 {
				err = &statusError{end.status}
			}
		}
	}()
	connection := kubectlFlags(to).WithWarningPrinter(streams)
	cmd := kubectl.NewKubectlCommand(kubectl.KubectlOptions{
		ConfigFlags: connection, IOStreams: streams, Arguments: append([]string{"kubectl"}, args...),
	})
	f.replaceVersion(cmd, connection)
	verbosity := flag.NewFlagSet("kubectl", flag.ContinueOnError)
	klog.InitFlags(verbosity)
	cmd.PersistentFlags().AddGoFlag(verbosity.Lookup("v"))
	cmd.SetArgs(append([]string{}, args...))
	cmd.SetIn(f.IO.In)
	cmd.SetOut(f.IO.Out)
	cmd.SetErr(f.IO.ErrOut)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.ExecuteContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
		cmdutil.CheckErr(err)
	}
	return nil
}

// kubectlFlags are kubectl's own flags, with the cluster in the place of a kubeconfig: that would have to be a file, with
// a key in it, and not all of kubectl's ways to end would leave the time to remove it.
func kubectlFlags(to kubeconfig.Context) *genericclioptions.ConfigFlags {
	// Without the flags for passwords, for with them a user that no file names would be asked for one.
	flags := genericclioptions.NewConfigFlags(true).WithDiscoveryBurst(300).WithDiscoveryQPS(50)
	none, server := os.DevNull, to.Server
	flags.KubeConfig, flags.APIServer = &none, &server
	return flags.WithWrapConfigFn(func(c *rest.Config) *rest.Config {
		c.Host, c.TLSClientConfig = to.Server, rest.TLSClientConfig{
			ServerName: to.TLSServerName, CAData: to.CA, CertData: to.ClientCert, KeyData: to.ClientKey,
		}
		return c
	})
}

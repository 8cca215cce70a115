package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// createOptions are what the command line says to `cove create`.
type createOptions struct {
	document documentOptions
	create   cluster.CreateOptions

	kubeconfig string
	dryRun     bool
	output     string
}

func newCreateCmd(f *Factory, run func(context.Context, *createOptions) error) *cobra.Command {
	cmd := createCmd(f, run)
	cmd.Use, cmd.GroupID = "create [NAME]", groupCluster
	kindly := createCmd(f, run) // as kind has it: create cluster
	kindly.Use, kindly.Hidden = "cluster [NAME]", true
	cmd.AddCommand(kindly)
	return cmd
}

func createCmd(f *Factory, run func(context.Context, *createOptions) error) *cobra.Command {
	o := &createOptions{}
	if run == nil {
		run = func(ctx context.Context, o *createOptions) error { return runCreate(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Short: "Create a cluster",
		Long: `Create a cluster and wait until it is usable: every node is Ready, DNS answers on every
node, every addon is Available. The cluster's context is merged into the kubeconfig and
made the current one. When it fails or is interrupted, what it made is removed.

The cluster is described by flags or by a document: cove's own (see "cove config defaults")
or one of kind's. Flags win over the document.`,
		Example: `  cove create
  cove create dev --workers 2
  cove create dev -f cluster.yaml --kubernetes-version 1.35
  cove create dev --profile ingress --set traefik.hostPorts.http=8080
  cove create lean --profile minimal --addon metrics-server
  cove create web -p 8080:80 --mount ./src:/src:ro
  cove create dev --dry-run`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.document.vars(f, cmd)
	flags := cmd.Flags()
	wait := waitVar(f, cmd, "what to wait for")
	timeout := flags.Duration("timeout", cluster.DefaultTimeout, "how long the cluster may take to come up; getting the node image does not count")
	lockTimeoutVar(cmd, &o.create.LockTimeout)
	flags.BoolVar(&o.create.Retain, "retain", false, "keep what a failed create has made")
	kubeconfigVar(cmd, &o.kubeconfig)
	flags.BoolVar(&o.create.SkipKubeconfig, "no-kubeconfig", false, "leave the kubeconfig alone")
	flags.BoolVar(&o.create.KeepContext, "keep-context", false, "do not make the cluster's context the current one")
	cmd.MarkFlagsMutuallyExclusive("no-kubeconfig", "keep-context")
	cmd.MarkFlagsMutuallyExclusive("no-kubeconfig", "kubeconfig")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, and do nothing")
	outputVar(cmd, &o.output, formatText, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if err = o.document.parse(cmd, args); err != nil {
			return err
		}
		if o.create.Wait, o.create.Timeout, err = parseWait(*wait, *timeout, flags.Changed("timeout")); err != nil {
			return usage(cmd, "", "%s", err.Error())
		}
		if err = checkLockTimeout(cmd, o.create.LockTimeout); err != nil {
			return err
		}
		if o.output == formatYAML && !o.dryRun {
			return usage(cmd, "", "-o yaml is for --dry-run; the events of a run come as -o json")
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// kubeconfigVar adds --kubeconfig.
func kubeconfigVar(cmd *cobra.Command, p *string) {
	cmd.Flags().StringVar(p, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)")
}

// checkLockTimeout judges --lock-timeout.
func checkLockTimeout(cmd *cobra.Command, d time.Duration) error {
	if d < 0 {
		return usage(cmd, "", "--lock-timeout=%s is no time to wait", d)
	}
	return nil
}

// waitVar adds --wait.
func waitVar(f *Factory, cmd *cobra.Command, what string) *string {
	p := cmd.Flags().String("wait", string(cluster.WaitUsable), what+": none, api, nodes or usable; a duration is usable within that time")
	f.completeFlag(cmd, "wait", cobra.FixedCompletions([]cobra.Completion{"none", "api", "nodes", "usable"}, cobra.ShellCompDirectiveNoFileComp))
	return p
}

// parseWait reads --wait: a level, or as kind has it a time. A time is that for the whole cluster to be usable, and none
// is none to wait.
func parseWait(wait string, timeout time.Duration, timeoutSet bool) (cluster.WaitLevel, time.Duration, error) {
	if timeout <= 0 {
		return "", 0, fmt.Errorf("--timeout=%s is no time to wait", timeout)
	}
	d, err := time.ParseDuration(wait)
	if err != nil {
		level, err := cluster.ParseWaitLevel(wait)
		return level, timeout, err
	}
	switch {
	case d < 0:
		return "", 0, fmt.Errorf("--wait=%s is no time to wait", wait)
	case d == 0:
		return cluster.WaitNone, timeout, nil
	case timeoutSet && d != timeout:
		return "", 0, fmt.Errorf("--wait=%s and --timeout=%s contradict each other", wait, timeout)
	}
	return cluster.WaitUsable, d, nil
}

func runCreate(ctx context.Context, f *Factory, o *createOptions) error {
	doc, err := o.document.resolve(f)
	if err != nil {
		return err
	}
	addons, err := f.instances(doc, nil)
	if err != nil {
		return err
	}
	if o.dryRun {
		return writePlan(f.IO.Out, o.output, doc, cluster.PlanCreate(doc, addons, o.create))
	}
	output, err := f.profileOutput(doc.Profile, o.output)
	if err != nil {
		return err
	}
	return f.run(ctx, doc.Name, output, func(ctx context.Context, em *event.Emitter) (string, error) {
		for _, p := range config.Warnings(doc) {
			em.Warn("", "%s", p)
		}
		deps, err := f.deps(ctx, em, o.kubeconfig, o.create.SkipKubeconfig)
		if err != nil {
			return "", err
		}
		return cluster.Create(ctx, deps, doc, addons, o.create)
	})
}

// outputPlain is what a profile may ask for: lines, also on a terminal.
const outputPlain = "plain"

// profileOutput returns how to show a run: as asked for, else as the profile has it.
func (f *Factory) profileOutput(name, asked string) (string, error) {
	if asked != formatText {
		return asked, nil
	}
	p, err := f.catalogue().Resolve(name)
	if p.Output == outputPlain {
		asked = outputPlain
	}
	return asked, err
}

// dryRun is what `cove create --dry-run` says to programs.
type dryRun struct {
	Cluster  string           `json:"cluster"`
	Document v1alpha1.Cluster `json:"document"`
	Plan     []event.StepInfo `json:"plan"`
}

// writePlan writes what a plan does, and to what.
func writePlan(w io.Writer, output string, doc v1alpha1.Cluster, plan cluster.Plan) error {
	if output != formatText {
		return writeObject(w, output, dryRun{Cluster: plan.Cluster, Document: doc, Plan: plan.Info()})
	}
	var b strings.Builder
	workers := 0
	for _, n := range doc.Nodes() {
		if n.Role == string(kind.WorkerRole) {
			workers++
		}
	}
	fmt.Fprintf(&b, "cluster %s: Kubernetes %s, %s, %s\n", doc.Name, doc.KubernetesVersion,
		count(len(doc.Nodes())-workers, "control plane"), count(workers, "worker"))
	for _, stage := range plan.Stages {
		fmt.Fprintf(&b, "%s\n", stage.Name)
		for _, s := range stage.Steps {
			fmt.Fprintf(&b, "  %s\n", s.Title())
		}
	}
	_, err := io.WriteString(w, b.String())
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// openDocument opens a cluster document: a file, or stdin for "-".
func openDocument(f *Factory, path string) (io.ReadCloser, string, error) {
	if path == "-" {
		return io.NopCloser(f.IO.In), "stdin", nil
	}
	file, err := os.Open(path) //nolint:gosec // the user's own file
	if err != nil {
		return nil, "", fault.Wrap(fault.FileUnwritable, err, "cannot read the cluster document")
	}
	return file, path, nil
}

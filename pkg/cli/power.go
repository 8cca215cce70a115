package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
)

// powerOptions are what the command line says to stop, start, restart, pause and resume.
type powerOptions struct {
	names      []string
	all        bool
	power      cluster.PowerOptions
	kubeconfig string
	output     string
}

// powerVerb is one of these commands: what it does, and what it says when it is done.
type powerVerb struct {
	use, short, long string
	done             string // of a cluster or a node
	next             string // a command that is likely to follow
	aliases          []string
	starts           bool
	frozen           bool // it is about processes, which what is stopped has none of
	do               func(context.Context, cluster.Deps, string, cluster.PowerOptions) error
}

func powerVerbs() []powerVerb {
	return []powerVerb{
		{
			use: "stop", short: "Stop clusters", do: cluster.Stop, done: "stopped", next: "cove start",
			long: `Stop clusters: pods end in order, and everything is kept: workloads, volumes, images, addons,
the kubeconfig context. What is stopped stays so, also when the engine or the host starts anew,
until "cove start".`,
		},
		{
			use: "start", short: "Start clusters that are stopped", do: cluster.Start, starts: true,
			long: `Start clusters, and wait until they are as usable as before: nodes Ready, pods back, DNS
answering. Certificates that have ended are renewed, and where something else has taken the API's
port, the cluster gets another one and the kubeconfig follows.`,
		},
		{
			use: "restart", short: "Stop and start clusters", do: cluster.Restart, starts: true,
			long: `Stop clusters and start them again, and wait until they are usable.`,
		},
		{
			use: "pause", short: "Freeze clusters where they are", do: cluster.Pause, frozen: true, done: "paused", next: "cove resume",
			long: `Freeze all processes of clusters: they use no CPU, keep their memory, and go on at once with
"cove resume".`,
		},
		{
			use: "resume", short: "Let paused clusters go on", do: cluster.Resume, frozen: true, done: "running again", aliases: []string{"unpause"},
			long: `Let clusters that were paused go on where they were.`,
		},
	}
}

// newPowerCmds returns the commands for clusters.
func newPowerCmds(f *Factory, run func(context.Context, powerVerb, *powerOptions) error) []*cobra.Command {
	var cmds []*cobra.Command
	for _, v := range powerVerbs() {
		cmds = append(cmds, newPowerCmd(f, v, run))
	}
	return cmds
}

func newPowerCmd(f *Factory, v powerVerb, run func(context.Context, powerVerb, *powerOptions) error) *cobra.Command {
	o := &powerOptions{}
	if run == nil {
		run = func(ctx context.Context, v powerVerb, o *powerOptions) error { return runPower(ctx, f, v, o) }
	}
	cmd := &cobra.Command{
		Use: v.use + " [NAME...]", GroupID: groupCluster, Aliases: v.aliases, Short: v.short, Long: v.long,
		Example:           fmt.Sprintf("  cove %[1]s dev\n  cove %[1]s --all", v.use),
		ValidArgsFunction: f.completeClusters,
	}
	name := ""
	f.nameVar(cmd, &name)
	flags := cmd.Flags()
	flags.BoolVarP(&o.all, "all", "A", false, v.use+" all clusters")
	wait := o.vars(f, cmd, v)
	outputVar(cmd, &o.output, formatText, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if o.names, err = chosenClusters(cmd, args, name, o.all); err != nil {
			return err
		}
		if err := o.check(cmd, v, wait); err != nil {
			return err
		}
		return run(cmd.Context(), v, o)
	}
	return cmd
}

// vars adds the flags that clusters and nodes have in common; it returns the value of --wait, nil where there is none.
func (o *powerOptions) vars(f *Factory, cmd *cobra.Command, v powerVerb) *string {
	lockTimeoutVar(cmd, &o.power.LockTimeout)
	if !v.starts {
		return nil
	}
	flags := cmd.Flags()
	flags.DurationVar(&o.power.Timeout, "timeout", cluster.DefaultTimeout, "how long it may take")
	kubeconfigVar(cmd, &o.kubeconfig)
	flags.BoolVar(&o.power.SkipKubeconfig, "no-kubeconfig", false, "leave the kubeconfig alone")
	flags.BoolVar(&o.power.KeepContext, "keep-context", true, "do not make the cluster's context the current one where it is written")
	cmd.MarkFlagsMutuallyExclusive("no-kubeconfig", "kubeconfig")
	cmd.MarkFlagsMutuallyExclusive("no-kubeconfig", "keep-context")
	return waitVar(f, cmd, "what to wait for")
}

// check judges the flags together. wait is the value of --wait, if there is one.
func (o *powerOptions) check(cmd *cobra.Command, v powerVerb, wait *string) (err error) {
	if err := checkLockTimeout(cmd, o.power.LockTimeout); err != nil {
		return err
	}
	if !v.starts {
		return nil
	}
	if o.power.Wait, o.power.Timeout, err = parseWait(*wait, o.power.Timeout, cmd.Flags().Changed("timeout")); err != nil {
		return usage(cmd, "", "%s", err.Error())
	}
	return nil
}

func runPower(ctx context.Context, f *Factory, v powerVerb, o *powerOptions) error {
	names := o.names
	e, err := f.engine(ctx)
	if err != nil {
		return err
	}
	switch {
	case o.all:
		if names, err = f.powerable(ctx, e, v); err != nil {
			return err
		}
	case len(names) == 0:
		name, err := target(ctx, e, "")
		if err != nil {
			return err
		}
		names = []string{name}
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, f.power(ctx, v, name, o))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// powerable returns the names of the clusters that "all" means, and says which it leaves out: those that never were complete, and where the
// verb wants processes those that are stopped.
func (f *Factory) powerable(ctx context.Context, e engine.Engine, v powerVerb) ([]string, error) {
	list, err := cluster.List(ctx, e)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		f.say("there are no clusters")
	}
	var names []string
	for _, s := range list {
		switch {
		case s.State == cluster.Incomplete:
			f.say("cluster %q is left out: it was never completed", s.Name)
		case s.State == cluster.Stopped && v.frozen:
			f.say("cluster %q is left out: it is stopped", s.Name)
		default:
			names = append(names, s.Name)
		}
	}
	return names, nil
}

// power carries the verb out on one cluster, or on nodes of it.
func (f *Factory) power(ctx context.Context, v powerVerb, name string, o *powerOptions) error {
	return f.run(ctx, name, o.output, func(ctx context.Context, em *event.Emitter) (string, error) {
		deps, err := f.deps(ctx, em, o.kubeconfig, o.power.SkipKubeconfig)
		if err != nil {
			return "", err
		}
		begun := f.Now()
		if err := v.do(ctx, deps, name, o.power); err != nil {
			return "", err
		}
		return closingPower(v, name, o.power, f.Now().Sub(begun)), nil
	})
}

// closingPower says what came of it: `cluster "dev" is stopped; next: cove start dev`, or of nodes, `cluster "dev": worker2 is stopped`.
func closingPower(v powerVerb, name string, o cluster.PowerOptions, took time.Duration) string {
	what := fmt.Sprintf("cluster %q ", name)
	if n := len(o.Nodes); n > 0 {
		what = fmt.Sprintf("cluster %q: %s ", name, strings.Join(o.Nodes, ", "))
	}
	if v.starts {
		return what + fmt.Sprintf("%s after %.1f s", reached(o), took.Seconds())
	}
	be := "is "
	if len(o.Nodes) > 1 {
		be = "are "
	}
	what += be + v.done
	if v.next != "" && len(o.Nodes) == 0 {
		what += "; next: " + v.next + " " + name
	}
	return what
}

// reached says how far a start has waited.
func reached(o cluster.PowerOptions) string {
	started := o.Wait == cluster.WaitNone || o.Wait == cluster.WaitAPI
	switch n := len(o.Nodes); {
	case n > 1 && started:
		return "were started"
	case n > 1:
		return "are Ready"
	case n == 1 && !started:
		return "is Ready"
	case n == 1 || o.Wait == cluster.WaitNone:
		return "was started"
	case o.Wait == cluster.WaitAPI:
		return "has its API"
	case o.Wait == cluster.WaitNodes:
		return "has all nodes Ready"
	}
	return "is usable"
}

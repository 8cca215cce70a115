package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// changeOptions are the flags of commands that change a cluster.
type changeOptions struct {
	apply      cluster.ApplyOptions
	kubeconfig string
	yes        bool
	dryRun     bool
	diff       bool
	output     string
}

// vars adds the flags of commands that may drain nodes.
func (o *changeOptions) vars(cmd *cobra.Command) {
	o.plainVars(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&o.apply.DrainTimeout, "drain-timeout", cluster.DefaultDrainTimeout, "how long the pods of one node may take to leave it")
	flags.BoolVar(&o.apply.Force, "force", false, "end pods that do not leave a node, also those that nothing makes anew")
}

// plainVars adds the flags of commands that drain none.
func (o *changeOptions) plainVars(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.apply.DrainTimeout = cluster.DefaultDrainTimeout
	flags.DurationVar(&o.apply.Timeout, "timeout", cluster.DefaultTimeout, "how long the change may take; getting the node image does not count")
	lockTimeoutVar(cmd, &o.apply.LockTimeout)
	flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask before data is destroyed")
	kubeconfigVar(cmd, &o.kubeconfig)
	flags.BoolVar(&o.apply.SkipKubeconfig, "no-kubeconfig", false, "leave the kubeconfig alone")
	flags.BoolVar(&o.apply.KeepContext, "keep-context", false, "do not make the cluster's context the current one; of a cluster that is there it is not made so, unless this is false")
	cmd.MarkFlagsMutuallyExclusive("no-kubeconfig", "keep-context")
	cmd.MarkFlagsMutuallyExclusive("no-kubeconfig", "kubeconfig")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, and do nothing")
	outputVar(cmd, &o.output, formatText, formatJSON, formatYAML)
}

// check judges the flags together.
func (o *changeOptions) check(cmd *cobra.Command) error {
	switch {
	case o.apply.Timeout <= 0:
		return usage(cmd, "", "--timeout=%s is no time to wait", o.apply.Timeout)
	case o.apply.DrainTimeout <= 0:
		return usage(cmd, "", "--drain-timeout=%s is no time to wait", o.apply.DrainTimeout)
	case o.output == formatYAML && !o.dryRun && !o.diff:
		return usage(cmd, "", "-o yaml is for --dry-run; the events of a run come as -o json")
	}
	o.apply.SwitchContext = cmd.Flags().Changed("keep-context") && !o.apply.KeepContext
	return checkLockTimeout(cmd, o.apply.LockTimeout)
}

// applyOptions are what the command line says to `cove apply`.
type applyOptions struct {
	document documentOptions
	change   changeOptions
}

func newApplyCmd(f *Factory, run func(context.Context, *applyOptions) error) *cobra.Command {
	o := &applyOptions{}
	if run == nil {
		run = func(ctx context.Context, o *applyOptions) error { return runApply(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use: "apply [NAME]", GroupID: groupCluster,
		Short: "Bring a cluster to what its document says",
		Long: `Compare a cluster with its document, show the difference, and do what it takes: nodes are
added, changed and removed, addons are applied. Where there is no such cluster, it is made.
Nothing to do is said, and done in a moment. A run that was cut off, however it was, is taken
up by the next one.

What a living cluster cannot change is refused before anything is touched. What destroys data
is asked about first, or needs --yes.`,
		Example: `  cove apply -f cluster.yaml
  cove apply -f cluster.yaml --diff
  cove config get dev > dev.yaml; $EDITOR dev.yaml; cove apply -f dev.yaml
  cove apply dev --workers 3 --control-planes 3`,
		ValidArgsFunction: f.completeCluster,
	}
	o.document.vars(f, cmd)
	o.change.vars(cmd)
	wait := waitVar(f, cmd, "what to wait for where a cluster is made")
	cmd.Flags().BoolVar(&o.change.diff, "diff", false, "show the difference alone; the exit status is 10 where there is one")
	cmd.MarkFlagsMutuallyExclusive("diff", "dry-run")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if err = o.document.parse(cmd, args); err != nil {
			return err
		}
		timeout := &o.change.apply.Timeout
		if o.change.apply.Wait, *timeout, err = parseWait(*wait, *timeout, cmd.Flags().Changed("timeout")); err != nil {
			return usage(cmd, "", "%s", err.Error())
		}
		if err = o.change.check(cmd); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runApply(ctx context.Context, f *Factory, o *applyOptions) error {
	doc, err := o.document.read(f)
	if err != nil {
		return err
	}
	name, err := o.document.name(f, doc)
	if err != nil {
		return err
	}
	if o.document.file == "" { // flags refine what the cluster is
		return f.change(ctx, name, o.change, func(current *v1alpha1.Cluster) (v1alpha1.Cluster, error) {
			if current == nil {
				return o.document.complete(f, doc, nil)
			}
			return o.document.complete(f, o.document.refine(*current), current)
		})
	}
	return f.change(ctx, name, o.change, func(current *v1alpha1.Cluster) (v1alpha1.Cluster, error) {
		return o.document.complete(f, o.document.keep(doc, current), current)
	})
}

// difference is what `--diff` and `--dry-run` say to programs.
type difference struct {
	Cluster string           `json:"cluster"`
	Changes []cluster.Change `json:"changes"`
	Plan    []event.StepInfo `json:"plan,omitempty"`
}

// change brings a cluster to what is wanted of it, as a run; or shows what that would mean.
func (f *Factory) change(ctx context.Context, name string, o changeOptions, want cluster.Want) error {
	apply := o.apply
	wanted, there := want, []v1alpha1.Addon(nil)
	want = func(current *v1alpha1.Cluster) (v1alpha1.Cluster, error) {
		if current != nil {
			there = current.DeepCopy().Addons
		}
		return wanted(current)
	}
	apply.Addons = func(doc v1alpha1.Cluster) ([]addon.Instance, error) { return f.instances(doc, there) }
	if o.dryRun || o.diff {
		return f.showDifference(ctx, name, o, apply, want)
	}
	declined := false
	apply.Confirm = func(d cluster.Difference) (bool, error) {
		ok, err := f.confirmChanges(ctx, o, d, f.isInteractive())
		declined = !ok
		return ok, err
	}
	return f.run(ctx, name, o.output, func(ctx context.Context, em *event.Emitter) (string, error) {
		deps, err := f.deps(ctx, em, o.kubeconfig, apply.SkipKubeconfig)
		if err != nil {
			return "", err
		}
		_, closing, err := cluster.Apply(ctx, deps, name, warning(em, want), apply)
		if err == nil && declined {
			closing = "nothing was done"
		}
		return closing, err
	})
}

// warning tells what is doubtful about the document that is wanted.
func warning(em *event.Emitter, want cluster.Want) cluster.Want {
	return func(current *v1alpha1.Cluster) (v1alpha1.Cluster, error) {
		doc, err := want(current)
		if err == nil {
			for _, p := range config.Warnings(doc) {
				em.Warn("", "%s", p)
			}
		}
		return doc, err
	}
}

// showDifference writes what would be done, and does nothing.
func (f *Factory) showDifference(ctx context.Context, name string, o changeOptions, apply cluster.ApplyOptions, want cluster.Want) error {
	apply.Confirm = func(cluster.Difference) (bool, error) { return false, nil }
	deps, err := f.deps(ctx, event.NewEmitter(event.NewRunID(f.Now()), name, f.Now), o.kubeconfig, apply.SkipKubeconfig)
	if err != nil {
		return err
	}
	found, closing, err := cluster.Apply(ctx, deps, name, want, apply)
	if err != nil {
		return err
	}
	if o.output != formatText {
		d := difference{Cluster: name, Changes: found.Changes}
		if d.Changes == nil {
			d.Changes = []cluster.Change{} // [] and not null
		}
		if o.dryRun {
			d.Plan = found.Plan.Info()
		}
		err = writeObject(f.IO.Out, o.output, d)
	} else {
		err = writeDifference(f.IO.Out, closing, found, o.dryRun)
	}
	if err == nil && o.diff && len(found.Changes) > 0 {
		return &reportedError{err: fault.New(fault.DifferenceFound, "cluster %q is not as its document says", name)}
	}
	return err
}

func writeDifference(w io.Writer, closing string, d cluster.Difference, plan bool) error {
	var b strings.Builder
	for _, c := range d.Changes {
		fmt.Fprintln(&b, c)
	}
	switch {
	case closing != "":
		fmt.Fprintln(&b, closing)
	case len(d.Changes) == 0:
		fmt.Fprintf(&b, "cluster %q is as its document says; only the record of the document would change\n", d.Cluster)
	}
	if plan {
		for _, stage := range d.Plan.Stages {
			fmt.Fprintf(&b, "%s\n", stage.Name)
			for _, s := range stage.Steps {
				fmt.Fprintf(&b, "  %s\n", s.Title())
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

// confirmChanges shows the difference, and asks where data would go for good; where nobody can be asked, that is refused.
func (f *Factory) confirmChanges(ctx context.Context, o changeOptions, d cluster.Difference, interactive bool) (bool, error) {
	var lost []string
	for _, c := range d.Changes {
		if o.output == formatText {
			f.say("%s", c)
		}
		if c.Destroys != "" {
			lost = append(lost, c.Object)
		}
	}
	if len(lost) == 0 || o.yes {
		return true, nil
	}
	if !interactive {
		return false, fault.New(fault.Usage, "data would be destroyed with %s", strings.Join(lost, ", ")).WithHint("say --yes, or run it on a terminal to be asked")
	}
	return f.ask(ctx, fmt.Sprintf("Go on and destroy the data of %s? [y/N] ", strings.Join(lost, ", ")))
}

// ask is confirm for the middle of a run: an interrupt ends the wait for the answer.
func (f *Factory) ask(ctx context.Context, question string) (bool, error) {
	type answer struct {
		yes bool
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		yes, err := confirm(f.IO.In, f.IO.ErrOut, question)
		answers <- answer{yes, err}
	}()
	select {
	case a := <-answers:
		return a.yes, a.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// lockTimeoutVar adds --lock-timeout.
func lockTimeoutVar(cmd *cobra.Command, p *time.Duration) {
	cmd.Flags().DurationVar(p, "lock-timeout", 0, "how long to wait for another run that works on the cluster")
}

package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/doctor"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeconfig"
)

// doctorOptions are what the command line says to `cove doctor`.
type doctorOptions struct {
	nodes      int
	image      string
	version    string
	kubeconfig string
	output     string
}

func newDoctorCmd(f *Factory, run func(context.Context, *doctorOptions) error) *cobra.Command {
	o := &doctorOptions{}
	if run == nil {
		run = func(ctx context.Context, o *doctorOptions) error { return runDoctor(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Check the engine and its host for what clusters need",
		GroupID: groupHost,
		Long: `Check the engine and its host for what clusters need: each limit with its value, what it
should be, and the cure. "cove create" makes the same checks before it makes anything.
The status is 4 if a check fails without which no cluster can work.`,
		Example:           "  cove doctor\n  cove doctor --nodes 10",
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.IntVar(&o.nodes, "nodes", 1, "how many nodes are planned")
	flags.StringVar(&o.image, "image", "", "node image that is planned")
	flags.StringVar(&o.version, "kubernetes-version", v1alpha1.DefaultKubernetesVersion(), "Kubernetes version that is planned")
	kubeconfigVar(cmd, &o.kubeconfig)
	outputVar(cmd, &o.output, formatText, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.nodes < 1 {
			return usage(cmd, "", "--nodes=%d is no number of nodes", o.nodes)
		}
		var err error
		if o.version, err = config.Version(o.version); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// downEngine stands for an engine that there is no way to.
type downEngine struct {
	engine.Engine
	err error
}

// Info says why there is no way.
func (d downEngine) Info(context.Context) (engine.Info, error) { return engine.Info{}, d.err }

func runDoctor(ctx context.Context, f *Factory, o *doctorOptions) error {
	e, err := f.engine(ctx)
	if err != nil {
		e = downEngine{err: err}
	}
	checks := doctor.Run(ctx, doctor.Env{
		Engine: e, Nodes: o.nodes, FS: f.Host, LookPath: f.LookPath, Image: o.image, KubernetesVersion: o.version,
		Kubeconfig: kubeconfig.Path(o.kubeconfig),
		Incomplete: func(ctx context.Context) ([]string, error) { return incompleteClusters(ctx, e) },
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if o.output == formatText {
		err = writeChecks(f.IO.Out, checks, f.global.quiet)
	} else {
		err = writeObject(f.IO.Out, o.output, checks)
	}
	if err != nil {
		return err
	}
	var failed []string
	for _, c := range checks {
		if c.Status == doctor.Fail && c.Fatal {
			failed = append(failed, c.ID)
		}
	}
	if len(failed) > 0 {
		return fault.New(fault.DoctorFailed, "no cluster can work here: %s failed", strings.Join(failed, ", "))
	}
	return nil
}

func incompleteClusters(ctx context.Context, e engine.Engine) ([]string, error) {
	list, err := cluster.List(ctx, e)
	var names []string
	for _, s := range list {
		if s.State == cluster.Incomplete {
			names = append(names, s.Name)
		}
	}
	return names, err
}

// writeChecks writes a line for each check, and below those that are not in order what is needed and the cure. Checks that
// were skipped come last, together.
func writeChecks(w io.Writer, checks []doctor.Check, quiet bool) error {
	width := 0
	for _, c := range checks {
		width = max(width, len(c.Title))
	}
	var b strings.Builder
	for _, c := range checks {
		bad := c.Status == doctor.Warn || c.Status == doctor.Fail
		if c.Status == doctor.Skipped || quiet && !bad {
			continue
		}
		mark := map[doctor.Status]string{doctor.OK: "✓", doctor.Warn: "!", doctor.Fail: "✗"}[c.Status]
		fmt.Fprintf(&b, "%s %-*s  %s\n", mark, width, c.Title, c.Value)
		if bad {
			fmt.Fprintf(&b, "  %-*s  need: %s\n  %-*s  cure: %s\n", width, "", c.Need, width, "", c.Cure)
		}
	}
	if !quiet && checks[0].Status != doctor.Fail { // else it is for one reason, and that is said
		writeSkipped(&b, checks)
	}
	_, err := io.WriteString(w, b.String())
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

// writeSkipped writes a line for each reason to skip checks.
func writeSkipped(w io.Writer, checks []doctor.Check) {
	var reasons []string
	titles := map[string][]string{}
	for _, c := range checks {
		if c.Status != doctor.Skipped {
			continue
		}
		if titles[c.Value] == nil {
			reasons = append(reasons, c.Value)
		}
		titles[c.Value] = append(titles[c.Value], c.Title)
	}
	for _, reason := range reasons {
		fmt.Fprintf(w, "- Not checked, because %s: %s\n", reason, strings.Join(titles[reason], ", "))
	}
}

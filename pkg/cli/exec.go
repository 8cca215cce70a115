package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// execOptions are what the command line says to `cove exec` and `cove shell`.
type execOptions struct {
	name  string
	node  string // empty: the control plane
	args  []string
	stdin bool
	tty   bool
}

func newExecCmd(f *Factory, run func(context.Context, *execOptions) error) *cobra.Command {
	o := &execOptions{}
	if run == nil {
		run = func(ctx context.Context, o *execOptions) error { return runExec(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:     "exec [NODE] -- COMMAND [ARG...]",
		Short:   "Run a command on a node",
		GroupID: groupUse,
		Long: `Run a command on a node, and end with its exit status. The node is named in full or by what
follows the cluster's name; without one it is the control plane. Standard input goes to the
command. It gets a terminal where cove has one.`,
		Example: `  cove exec -- ctr -n k8s.io containers ls
  cove exec worker2 -- ip route
  tar c . | cove exec dev-worker --name dev -- tar x -C /tmp`,
		ValidArgsFunction: f.completeNode,
	}
	f.nameVar(cmd, &o.name)
	flags := cmd.Flags()
	flags.BoolVarP(&o.stdin, "stdin", "i", true, "pass standard input on")
	flags.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal (default: if input and output are one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		at := cmd.ArgsLenAtDash()
		switch {
		case at < 0 && len(args) > 1: // cove exec NODE COMMAND
			o.node, o.args = args[0], args[1:]
		case at == 0 && len(args) > 0:
			o.args = args
		case at == 1 && len(args) > 1:
			o.node, o.args = args[0], args[1:]
		case at > 1:
			return usage(cmd, "", "one node is named before --, not %d", at)
		default:
			return usage(cmd, "", "no command is given; it follows behind --")
		}
		if !flags.Changed("tty") {
			o.tty = o.stdin && f.isInteractive()
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func newShellCmd(f *Factory, run func(context.Context, *execOptions) error) *cobra.Command {
	o := &execOptions{stdin: true}
	if run == nil {
		run = func(ctx context.Context, o *execOptions) error { return runExec(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:               "shell [NODE]",
		Short:             "Open a shell on a node",
		GroupID:           groupUse,
		Example:           "  cove shell\n  cove shell worker --name dev",
		ValidArgsFunction: f.completeNode,
	}
	f.nameVar(cmd, &o.name)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usage(cmd, "`cove exec "+args[0]+" -- COMMAND`", "a shell is opened on one node, and there is %q, too", args[1])
		}
		if len(args) == 1 {
			o.node = args[0]
		}
		// Not every image has bash. What is run is constant: nothing of the command line is in it.
		o.args = []string{"sh", "-c", "if command -v bash >/dev/null; then exec bash -l; fi; exec sh -l"}
		o.tty = f.isInteractive()
		return run(cmd.Context(), o)
	}
	return cmd
}

func runExec(ctx context.Context, f *Factory, o *execOptions) error {
	e, name, err := f.target(ctx, o.name)
	if err != nil {
		return err
	}
	node, err := runningNode(ctx, e, name, o.node)
	if err != nil {
		return err
	}
	command := engine.Command{Args: o.args, Stdout: f.IO.Out, Stderr: f.IO.ErrOut, TTY: o.tty}
	if o.stdin {
		command.Stdin = f.IO.In
	}
	if o.tty {
		term, err := f.openTerminal(ctx)
		if err != nil {
			return err
		}
		defer term.restore()
		command.Resize, command.Env = term.sizes, map[string]string{"TERM": f.Getenv("TERM")}
	}
	return ended(ctx, e.Exec(ctx, node.Name, command))
}

// ended makes cove end with the status of the command that it ran. Whom Ctrl-C was pressed on knows that it was.
func ended(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return &statusError{status: fault.ExitInterrupted}
	}
	if exit := (*engine.ExitError)(nil); errors.As(err, &exit) {
		return &statusError{status: exit.Code}
	}
	return err
}

// runningNode returns a node that runs.
func runningNode(ctx context.Context, e engine.Engine, name, node string) (engine.Node, error) {
	n, err := cluster.NodeOf(ctx, e, name, node)
	if err == nil && n.State != engine.StateRunning {
		err = fault.New(fault.ClusterNotRunning, "node %s is %s", n.Name, n.State)
	}
	return n, err
}

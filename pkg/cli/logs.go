package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Units of a node that have a log.
const (
	unitAll        = "all"
	unitKubelet    = "kubelet"
	unitContainerd = "containerd"
	unitInit       = "init" // PID 1
)

// logsOptions are what the command line says to `cove logs`.
type logsOptions struct {
	name   string
	node   string // empty: all nodes
	unit   string
	follow bool
	tail   int // -1: all
}

func newLogsCmd(f *Factory, run func(context.Context, *logsOptions) error) *cobra.Command {
	o := &logsOptions{}
	if run == nil {
		run = func(ctx context.Context, o *logsOptions) error { return runLogs(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:     "logs [NODE]",
		Short:   "Print the logs of nodes: kubelet, containerd and PID 1",
		GroupID: groupUse,
		Long: `Print the logs of a node, or of all nodes: of the kubelet, of containerd and of the node's PID 1.
Logs of pods are kubectl's: cove kubectl -- logs POD.`,
		Example:           "  cove logs worker --unit kubelet -f\n  cove logs --tail 20",
		ValidArgsFunction: f.completeNode,
	}
	f.nameVar(cmd, &o.name)
	enumVar(cmd, &o.unit, "unit", "u", "which log", unitAll, unitKubelet, unitContainerd, unitInit)
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "print on as the logs grow")
	cmd.Flags().IntVar(&o.tail, "tail", -1, "how many of the last lines of each log to print (default: all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usage(cmd, "", "%q takes one node, and there is %q, too", cmd.CommandPath(), args[1])
		}
		if len(args) == 1 {
			o.node = args[0]
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runLogs(ctx context.Context, f *Factory, o *logsOptions) error {
	e, name, err := f.target(ctx, o.name)
	if err != nil {
		return err
	}
	if o.node != "" {
		n, err := cluster.NodeOf(ctx, e, name, o.node)
		if err != nil {
			return err
		}
		return followed(ctx, nodeLogs(ctx, e, n, o, f.IO.Out, f.IO.ErrOut))
	}
	nodes, err := cluster.Nodes(ctx, e, name)
	if err != nil {
		return err
	}
	errs := make([]error, len(nodes))
	out := &lockedWriter{w: f.IO.Out}
	var group sync.WaitGroup
	for i, n := range nodes {
		group.Go(func() {
			w := &prefixWriter{w: out}
			if len(nodes) > 1 {
				w.prefix = n.Name + " | "
			}
			errs[i] = errors.Join(nodeLogs(ctx, e, n, o, w, w), w.flush())
		})
		if !o.follow { // one node's log after the other's
			group.Wait()
		}
	}
	group.Wait()
	return followed(ctx, errors.Join(errs...))
}

// followed makes Ctrl-C, by which the following of a log ends, no error to speak of.
func followed(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return &statusError{status: fault.ExitInterrupted}
	}
	return err
}

// nodeLogs prints the logs of one node. Of a node that does not run only what its PID 1 said is to be had.
func nodeLogs(ctx context.Context, e engine.Engine, n engine.Node, o *logsOptions, out, errOut io.Writer) error {
	if n.State != engine.StateRunning {
		if o.unit != unitAll && o.unit != unitInit {
			return fault.New(fault.ClusterNotRunning, "cannot read the log of %s on node %s: the node is %s", o.unit, n.Name, n.State).
				WithHint("`cove logs %s --unit init` prints what it said last; `cove export` gets its files", n.Name)
		}
		return e.Logs(ctx, n.Name, false, max(o.tail, 0), out)
	}
	img, err := e.Image(ctx, n.Image)
	if err != nil && !fault.Is(err, fault.ImageNotFound) {
		return err
	}
	_, own := img.Labels[engine.LabelNodeImage]
	if o.unit == unitInit && !own {
		return e.Logs(ctx, n.Name, o.follow, max(o.tail, 0), out)
	}
	err = e.Exec(ctx, n.Name, engine.Command{Args: logsCommand(o, own), Stdout: out, Stderr: errOut})
	return fault.Wrap(fault.CommandFailed, err, "cannot read the logs of node %s", n.Name)
}

// logsCommand prints logs in a node.
func logsCommand(o *logsOptions, own bool) []string {
	if own {
		args := []string{"cove-node", "logs"}
		if o.follow {
			args = append(args, "--follow")
		}
		if o.tail >= 0 {
			args = append(args, "--tail", strconv.Itoa(o.tail))
		}
		if o.unit != unitAll {
			args = append(args, o.unit)
		}
		return args
	}
	args := []string{"journalctl", "--no-pager"}
	if o.follow {
		args = append(args, "--follow")
	}
	if o.tail >= 0 {
		args = append(args, "--lines="+strconv.Itoa(o.tail))
	}
	for _, unit := range []string{unitKubelet, unitContainerd} {
		if o.unit == unitAll || o.unit == unit {
			args = append(args, "--unit="+unit)
		}
	}
	return args
}

// lockedWriter lets many write whole lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// prefixWriter writes whole lines, each behind a prefix. Both streams of a command may write to it.
type prefixWriter struct {
	prefix string
	w      io.Writer

	mu   sync.Mutex
	part []byte
}

func (p *prefixWriter) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.part = append(p.part, data...)
	for {
		line, rest, ok := bytes.Cut(p.part, []byte("\n"))
		if !ok {
			return len(data), nil
		}
		if _, err := fmt.Fprintf(p.w, "%s%s\n", p.prefix, line); err != nil {
			return 0, err
		}
		p.part = rest
	}
}

// flush writes what is left of a last line.
func (p *prefixWriter) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.part) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(p.w, "%s%s\n", p.prefix, p.part)
	p.part = nil
	return err
}

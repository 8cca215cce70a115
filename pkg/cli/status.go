package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/fault"
)

// statusOptions are what the command line says to `cove status`.
type statusOptions struct{ name, output string }

func newStatusCmd(f *Factory, run func(context.Context, *statusOptions) error) *cobra.Command {
	o := &statusOptions{}
	if run == nil {
		run = func(ctx context.Context, o *statusOptions) error { return runStatus(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use:     "status [NAME]",
		Short:   "Show a cluster, its nodes, and what is wrong with them",
		GroupID: groupCluster,
		Example: "  cove status\n  cove status dev -o json",

		ValidArgsFunction: f.completeCluster,
	}
	f.nameVar(cmd, &o.name)
	outputVar(cmd, &o.output, formatText, formatWide, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.name, err = oneName(cmd, args, o.name); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

func runStatus(ctx context.Context, f *Factory, o *statusOptions) error {
	s, err := f.status(ctx, o.name)
	if err != nil {
		return err
	}
	if o.output == formatJSON || o.output == formatYAML {
		return writeObject(f.IO.Out, o.output, s)
	}
	return writeStatus(f, s, o.output == formatWide)
}

// status returns how the cluster of that name is; without a name, the one that is meant.
func (f *Factory) status(ctx context.Context, name string) (cluster.Status, error) {
	deps, err := f.deps(ctx, nil, "", true)
	if err != nil {
		return cluster.Status{}, err
	}
	if name, err = target(ctx, deps.Engine, name); err != nil {
		return cluster.Status{}, err
	}
	return cluster.GetStatus(ctx, deps, name)
}

func writeStatus(f *Factory, s cluster.Status, wide bool) error {
	state := string(s.State)
	switch {
	case s.Usable:
		state += ", usable"
	case s.State == cluster.Running:
		state += ", not usable"
	}
	for _, line := range [][2]string{
		{"cluster", s.Name}, {"state", state}, {"kubernetes", orNone(s.KubernetesVersion)}, {"api", orNone(s.API)},
		{"context", s.Context}, {"network", orNone(s.Network)}, {"age", age(f.Now(), s.Created)},
	} {
		fmt.Fprintf(f.IO.Out, "%-12s%s\n", line[0], line[1])
	}
	fmt.Fprintln(f.IO.Out)
	if err := writeNodes(f, s, wide); err != nil {
		return err
	}
	if err := writeExtras(f, s); err != nil {
		return err
	}
	for i, p := range s.Problems {
		if i == 0 {
			fmt.Fprintln(f.IO.Out)
		}
		if _, err := fmt.Fprintf(f.IO.Out, "problem: %s\n", p); err != nil {
			return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
		}
	}
	return nil
}

// writeExtras writes what the cluster was furnished with: addons, and the addresses of Services.
func writeExtras(f *Factory, s cluster.Status) error {
	var rows [][]string
	for _, a := range s.Addons {
		rows = append(rows, []string{a.Name, orNone(a.Version), string(a.Health)})
	}
	if err := writeSection(f, []string{"ADDON", "VERSION", "STATUS"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, b := range s.LoadBalancers {
		rows = append(rows, []string{b.Service, orNone(strings.Join(b.Addresses, ", ")), strings.Join(b.Ports, ", "), b.Reachable})
	}
	return writeSection(f, []string{"LOAD BALANCER", "ADDRESS", "PORTS", ""}, rows)
}

// writeSection writes a table with an empty line before it; nothing where it has no rows.
func writeSection(f *Factory, heading []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(f.IO.Out); err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
	}
	return writeTable(f.IO.Out, heading, rows)
}

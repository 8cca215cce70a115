package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cluster"
)

func newNodeCmd(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use: "node", Aliases: []string{"nodes"}, GroupID: groupCluster,
		Short: "List, add, change and remove nodes of a cluster that runs",
		Long: `List, add, change and remove nodes of a cluster that runs. A node is called by its full name, or by
what follows the cluster's name in it: dev-worker2, or worker2.`,
		Example: `  cove node list
  cove node add --count 2
  cove node update worker2 --memory 4Gi
  cove node remove worker2`,
	}
	cmd.AddCommand(newNodeListCmd(f, nil), newNodeAddCmd(f, nil), newNodeUpdateCmd(f, nil), newNodeRemoveCmd(f, nil), newNodeReplaceCmd(f, nil))
	for _, v := range powerVerbs() {
		if v.use == "stop" || v.use == "start" || v.use == "restart" {
			cmd.AddCommand(newNodePowerCmd(f, v, nil))
		}
	}
	shell := newShellCmd(f, nil)
	shell.GroupID, shell.Example = "", "  cove node shell worker --name dev"
	cmd.AddCommand(shell)
	return cmd
}

// nodeListOptions are what the command line says to `cove node list`.
type nodeListOptions struct{ name, output string }

func newNodeListCmd(f *Factory, run func(context.Context, *nodeListOptions) error) *cobra.Command {
	o := &nodeListOptions{}
	if run == nil {
		run = func(ctx context.Context, o *nodeListOptions) error { return runNodeList(ctx, f, o) }
	}
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the nodes of a cluster", Example: "  cove node list\n  cove node list --name dev -o wide",
		Args: noArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f.nameVar(cmd, &o.name)
	outputVar(cmd, &o.output, formatText, formatWide, formatName, formatJSON, formatYAML)
	return cmd
}

func runNodeList(ctx context.Context, f *Factory, o *nodeListOptions) error {
	s, err := f.status(ctx, o.name)
	if err != nil {
		return err
	}
	switch o.output {
	case formatText, formatWide:
		return writeNodes(f, s, o.output == formatWide)
	case formatName:
		names := make([]string, len(s.Nodes))
		for i, n := range s.Nodes {
			names[i] = n.Name
		}
		return writeLines(f.IO.Out, names)
	}
	return writeObject(f.IO.Out, o.output, s.Nodes)
}

// writeNodes writes the table of a cluster's nodes.
func writeNodes(f *Factory, s cluster.Status, wide bool) error {
	heading := []string{"NODE", "ROLE", "CONTAINER", "READY", "CPUS", "MEMORY", "KUBELET", "ADDRESS"}
	if wide {
		heading = append(heading, "PODS", "IMAGE", "PORTS")
	}
	var rows [][]string
	for _, n := range s.Nodes {
		ready := "no"
		switch {
		case n.Ready:
			ready = "yes"
		case !s.APIUp:
			ready = "-"
		}
		row := []string{n.Name, n.Role, string(n.Container), ready, orNone(n.CPUs), orNone(n.Memory), orNone(n.KubeletVersion), orNone(n.IP)}
		if wide {
			row = append(row, orNone(n.PodCIDR), n.Image, orNone(strings.Join(n.Ports, ", ")))
		}
		rows = append(rows, row)
	}
	if b := s.Balancer; b != nil {
		row := []string{b.Name, b.Role, string(b.Container), "", orNone(b.CPUs), orNone(b.Memory), "", orNone(b.IP)}
		if wide {
			row = append(row, "-", b.Image, orNone(strings.Join(b.Ports, ", ")))
		}
		rows = append(rows, row)
	}
	return writeTable(f.IO.Out, heading, rows)
}

func newNodePowerCmd(f *Factory, v powerVerb, run func(context.Context, powerVerb, string, *powerOptions) error) *cobra.Command {
	o := &powerOptions{}
	if run == nil {
		run = func(ctx context.Context, v powerVerb, name string, o *powerOptions) error {
			_, name, err := f.target(ctx, name)
			if err != nil {
				return err
			}
			return f.power(ctx, v, name, o)
		}
	}
	verb := strings.ToUpper(v.use[:1]) + v.use[1:]
	cmd := &cobra.Command{
		Use: v.use + " NODE...", Short: verb + " nodes", Example: fmt.Sprintf("  cove node %s worker2 --name dev", v.use),
		ValidArgsFunction: f.completeNodes,
	}
	name := ""
	f.nameVar(cmd, &name)
	wait := o.vars(f, cmd, v)
	outputVar(cmd, &o.output, formatText, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(cmd, "", "no node is named")
		}
		o.power.Nodes = args
		if err := o.check(cmd, v, wait); err != nil {
			return err
		}
		return run(cmd.Context(), v, name, o)
	}
	return cmd
}

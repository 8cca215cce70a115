package cli

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

// nodeOptions are what the command line says to the commands that change nodes.
type nodeOptions struct {
	name   string // of the cluster
	nodes  []string
	spec   v1alpha1.NodeSpec
	count  int
	change changeOptions

	again bool // the nodes are to be made anew

	// What update takes away.
	removeLabels, removeTaints, removePorts, removeMounts []string
	set                                                   map[string]bool // the flags that were given

	labelFlags, taintFlags, portFlags, mountFlags []string
}

// specVars adds the flags that say what a node is like.
func (o *nodeOptions) specVars(f *Factory, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&o.labelFlags, "labels", nil, "labels of the node: `KEY=VALUE`,…")
	flags.StringSliceVar(&o.taintFlags, "taints", nil, "taints of the node: `KEY[=VALUE]:EFFECT`,…")
	flags.StringVar(&o.spec.CPUs, "cpus", "", "how many CPUs it may use: 2, 1.5 or 500m")
	flags.StringVar(&o.spec.Memory, "memory", "", "how much memory it may use: 2Gi or 512Mi")
	flags.StringVar(&o.spec.Image, "image", "", "node image (default: the cluster's)")
	flags.StringArrayVarP(&o.portFlags, "port", "p", nil, "publish a `PORT` of it: [ADDRESS:][HOSTPORT:]PORT[/tcp|udp|sctp]")
	flags.StringArrayVar(&o.mountFlags, "mount", nil, "mount a `PATH` of the engine's host on it: HOSTPATH:PATH[:ro]")
	f.completeFlag(cmd, "image", f.completeNodeImages)
}

// parse reads these flags.
func (o *nodeOptions) parse(cmd *cobra.Command, args []string) error {
	o.nodes, o.set = args, map[string]bool{}
	cmd.Flags().Visit(func(flag *pflag.Flag) { o.set[flag.Name] = true })
	// What the settings have of these is for the nodes of new clusters.
	for flag, value := range map[string]*string{"cpus": &o.spec.CPUs, "memory": &o.spec.Memory, "image": &o.spec.Image} {
		if !o.set[flag] {
			*value = ""
		}
	}
	for _, s := range o.labelFlags {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return usage(cmd, "", "--labels %q: write it as KEY=VALUE", s)
		}
		if o.spec.Labels == nil {
			o.spec.Labels = map[string]string{}
		}
		o.spec.Labels[key] = value
	}
	for _, s := range o.taintFlags {
		t, ok := parseTaint(s)
		if !ok {
			return usage(cmd, "", "--taints %q: write it as KEY=VALUE:EFFECT or KEY:EFFECT", s)
		}
		o.spec.Taints = append(o.spec.Taints, t)
	}
	for _, s := range o.portFlags {
		p, err := parsePort(s)
		if err != nil {
			return usage(cmd, "", "--port %q: %s", s, err)
		}
		o.spec.ExtraPortMappings = append(o.spec.ExtraPortMappings, p)
	}
	for _, s := range o.mountFlags {
		m, err := parseMount(s)
		if err != nil {
			return usage(cmd, "", "--mount %q: %s", s, err)
		}
		o.spec.ExtraMounts = append(o.spec.ExtraMounts, m)
	}
	return o.change.check(cmd)
}

func parseTaint(s string) (v1alpha1.Taint, bool) {
	i := strings.LastIndexByte(s, ':')
	if i <= 0 {
		return v1alpha1.Taint{}, false
	}
	key, value, _ := strings.Cut(s[:i], "=")
	return v1alpha1.Taint{Key: key, Value: value, Effect: s[i+1:]}, true
}

func newNodeAddCmd(f *Factory, run func(context.Context, *nodeOptions) error) *cobra.Command {
	o := &nodeOptions{}
	if run == nil {
		run = func(ctx context.Context, o *nodeOptions) error { return f.changeNodes(ctx, o, o.add) }
	}
	cmd := &cobra.Command{
		Use: "add", Short: "Add nodes to a cluster that runs",
		Long: `Add nodes to a cluster that runs: workers, or control planes, of which a cluster has an odd
number. They join with all that the cluster's nodes have: the pod network, the images of its
addons. When it fails or is interrupted, what was added is removed again.`,
		Example: `  cove node add --name dev
  cove node add --count 2 --cpus 2 --memory 4Gi --labels disk=ssd
  cove node add --role control-plane --count 2
  cove node add --node-name web -p 8080:80`,
		Args: noArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.nameVar(cmd, &o.name)
	o.specVars(f, cmd)
	o.change.plainVars(cmd)
	flags := cmd.Flags()
	role := ""
	enumVar(cmd, &role, "role", "", "role", string(kind.WorkerRole), string(kind.ControlPlaneRole))
	flags.IntVar(&o.count, "count", 1, "how many")
	flags.StringVar(&o.spec.Name, "node-name", "", "what follows the cluster's name in the node's (default: the next free of worker, worker2, …)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.spec.Role = kind.NodeRole(role)
		if o.count < 1 {
			return usage(cmd, "", "--count=%d is no number of nodes", o.count)
		}
		if err := o.parse(cmd, args); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
	return cmd
}

// add returns the document with the nodes more.
func (o *nodeOptions) add(doc v1alpha1.Cluster) (v1alpha1.Cluster, error) {
	out, added, err := cluster.AddNodes(doc, v1alpha1.Node{Role: string(o.spec.Role), Name: o.spec.Name}, o.count)
	if err != nil {
		return out, err
	}
	for i := range out.NodeSpecs {
		n := &out.NodeSpecs[i]
		if !slices.Contains(added, fullNodeName(doc, n.Name)) {
			continue
		}
		name := n.Name
		*n = o.spec.DeepCopy()
		n.Name = name
	}
	return out, nil
}

func fullNodeName(doc v1alpha1.Cluster, name string) string {
	return doc.Name + "-" + strings.TrimPrefix(name, doc.Name+"-")
}

func newNodeRemoveCmd(f *Factory, run func(context.Context, *nodeOptions) error) *cobra.Command {
	o := &nodeOptions{}
	if run == nil {
		run = func(ctx context.Context, o *nodeOptions) error {
			o.change.yes = true // who names a node means it
			var left []string
			o.change.apply.Left = func(nodes []string) { left = nodes }
			return f.changeNodes(ctx, o, func(doc v1alpha1.Cluster) (v1alpha1.Cluster, error) {
				return cluster.RemoveNodes(doc, o.nodes, left...)
			})
		}
	}
	cmd := &cobra.Command{
		Use: "remove NODE...", Aliases: []string{"rm", "delete"}, Short: "Remove nodes from a cluster",
		Long: `Remove nodes: their pods leave them first, as budgets allow (PodDisruptionBudget); then they
leave etcd and Kubernetes, and their containers and data are removed. Pods that nothing makes anew
elsewhere keep a node, unless --force is given. The last control plane stays.`,
		Example:           "  cove node remove worker2 --name dev\n  cove node remove worker worker2 --force",
		ValidArgsFunction: f.completeNodes,
	}
	f.nameVar(cmd, &o.name)
	o.change.vars(cmd)
	cmd.RunE = nodeArgs(o, func(ctx context.Context, o *nodeOptions) error {
		if o.set["timeout"] && !o.set["drain-timeout"] { // as kubectl drain has it
			o.change.apply.DrainTimeout = o.change.apply.Timeout
		}
		return run(ctx, o)
	})
	return cmd
}

// nodeArgs is the RunE of a command that takes nodes.
func nodeArgs(o *nodeOptions, run func(context.Context, *nodeOptions) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(cmd, "", "no node is named")
		}
		if err := o.parse(cmd, args); err != nil {
			return err
		}
		return run(cmd.Context(), o)
	}
}

func newNodeReplaceCmd(f *Factory, run func(context.Context, *nodeOptions) error) *cobra.Command {
	o := &nodeOptions{}
	if run == nil {
		run = func(ctx context.Context, o *nodeOptions) error {
			return f.changeNodes(ctx, o, func(doc v1alpha1.Cluster) (v1alpha1.Cluster, error) { return doc, nil })
		}
	}
	o.again = true
	cmd := &cobra.Command{
		Use: "replace NODE...", Short: "Make nodes anew, with nothing of their data",
		Long: `Make nodes anew under their names and addresses: what is on their volumes is lost. The pods
of a node that is Ready leave it first, as for cove node remove. A control plane that died is
replaced so, by way of the others; the last one cannot be.`,
		Example:           "  cove node replace control-plane2 --name dev --yes",
		ValidArgsFunction: f.completeNodes,
	}
	f.nameVar(cmd, &o.name)
	o.change.vars(cmd)
	cmd.RunE = nodeArgs(o, run)
	return cmd
}

func newNodeUpdateCmd(f *Factory, run func(context.Context, *nodeOptions) error) *cobra.Command {
	o := &nodeOptions{}
	if run == nil {
		run = func(ctx context.Context, o *nodeOptions) error { return f.changeNodes(ctx, o, o.update) }
	}
	cmd := &cobra.Command{
		Use: "update NODE...", Short: "Change nodes that run: size, ports, mounts, labels, taints",
		Long: `Change nodes that run. Labels and taints change in place. For another size, image, port or
mount the node's container is replaced, which takes about 5 s: its data and its address stay, and
its pods come back.`,
		Example: `  cove node update worker --name dev --cpus 4 --memory 8Gi
  cove node update control-plane -p 8080:80 --remove-port 9090
  cove node update worker2 --labels disk=ssd --remove-label zone`,
		ValidArgsFunction: f.completeNodes,
	}
	f.nameVar(cmd, &o.name)
	o.specVars(f, cmd)
	o.change.plainVars(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&o.removeLabels, "remove-label", nil, "take a label away: `KEY`")
	flags.StringSliceVar(&o.removeTaints, "remove-taint", nil, "take a taint away: `KEY`, or KEY:EFFECT")
	flags.StringSliceVar(&o.removePorts, "remove-port", nil, "publish a `PORT` no more: the port of the host, or of the node")
	flags.StringSliceVar(&o.removeMounts, "remove-mount", nil, "mount a `PATH` no more: its path in the node")
	cmd.RunE = nodeArgs(o, func(ctx context.Context, o *nodeOptions) error {
		if !slices.ContainsFunc(updateFlags(), func(flag string) bool { return o.set[flag] }) {
			return usage(cmd, "", "nothing to change is said")
		}
		return run(ctx, o)
	})
	return cmd
}

// updateFlags are the flags of which an update needs one.
func updateFlags() []string {
	return []string{"labels", "taints", "cpus", "memory", "image", "port", "mount", "remove-label", "remove-taint", "remove-port", "remove-mount"}
}

// changeNodes changes the nodes of a cluster's document, and brings the cluster to it.
func (f *Factory) changeNodes(ctx context.Context, o *nodeOptions, edit func(v1alpha1.Cluster) (v1alpha1.Cluster, error)) error {
	_, name, err := f.target(ctx, o.name)
	if err != nil {
		return err
	}
	dir, err := os.Getwd() // for mounts
	if err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot tell what the current directory is")
	}
	change := o.change
	change.apply.Only = true
	return f.changeAgain(ctx, name, o, change, func(current *v1alpha1.Cluster) (v1alpha1.Cluster, error) {
		doc, err := edit(*current.DeepCopy())
		if err != nil {
			return doc, err
		}
		if err := config.FollowPorts(f.catalogue(), &doc, *current); err != nil {
			return doc, err
		}
		return config.Resolve(config.Input{Document: &doc, Current: current, Dir: dir, Catalogue: f.catalogue()})
	})
}

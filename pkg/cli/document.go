package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image"
)

// documentOptions are the flags that describe a cluster.
type documentOptions struct {
	file          string
	flags         config.Overrides // those that were set
	podSubnet     string
	serviceSubnet string
	apiPort       uint16
	ports         []kind.PortMapping
	mounts        []kind.Mount

	// What the command line has of ports and mounts.
	portFlags, mountFlags []string
}

// vars adds the flags.
func (o *documentOptions) vars(f *Factory, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&o.file, "file", "f", "", "cluster document, cove's or kind's; - is stdin (--config is the same)")
	flags.SetNormalizeFunc(normalizeFlags)
	// What of these is set goes by config.FlagOverrides, so that the settings do not count as flags.
	flags.String("name", "", "name of the cluster, instead of the argument (default: $COVE_CLUSTER, else cove)")
	flags.Int("workers", 0, "number of workers")
	flags.Int("control-planes", 1, "number of control planes")
	flags.String("image", "", "node image (default: one of the Kubernetes version)")
	flags.String("kubernetes-version", "", "Kubernetes version: "+strings.Join(v1alpha1.KnownVersions(), ", ")+"; 1.35 is its newest one")
	flags.StringArrayVarP(&o.portFlags, "port", "p", nil, "publish a port of the control plane: [ADDRESS:][HOSTPORT:]PORT[/tcp|udp|sctp]")
	flags.StringArrayVar(&o.mountFlags, "mount", nil, "mount a path of the engine's host on every node: HOSTPATH:PATH[:ro]")
	flags.StringVar(&o.podSubnet, "pod-subnet", "", "subnet of the pods")
	flags.StringVar(&o.serviceSubnet, "service-subnet", "", "subnet of the services")
	flags.Uint16Var(&o.apiPort, "api-port", 0, "port of the engine's host for the API server (default: a free one)")
	f.completeFlag(cmd, "kubernetes-version", cobra.FixedCompletions(v1alpha1.KnownVersions(), cobra.ShellCompDirectiveNoFileComp))
	f.completeFlag(cmd, "image", f.completeNodeImages)
}

// normalizeFlags takes flags under the names that other tools have for them.
func normalizeFlags(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "config" {
		name = "file"
	}
	return pflag.NormalizedName(name)
}

// parse reads the command line.
func (o *documentOptions) parse(cmd *cobra.Command, args []string) (err error) {
	named, err := cmd.Flags().GetString("name")
	if err != nil {
		return err
	}
	if o.flags, err = config.FlagOverrides(cmd.Flags()); err != nil {
		return err
	}
	if len(args) > 0 {
		if o.flags.Name, err = oneName(cmd, args, named); err != nil {
			return err
		}
		if o.flags.Name == "" {
			return usage(cmd, "", "the name of a cluster cannot be empty")
		}
	}
	for _, s := range o.portFlags {
		p, err := parsePort(s)
		if err != nil {
			return usage(cmd, "", "--port %q: %s", s, err)
		}
		o.ports = append(o.ports, p)
	}
	for _, s := range o.mountFlags {
		m, err := parseMount(s)
		if err != nil {
			return usage(cmd, "", "--mount %q: %s", s, err)
		}
		o.mounts = append(o.mounts, m)
	}
	return nil
}

// resolve makes the document that settings, file and flags give, with everything filled in.
func (o *documentOptions) resolve(f *Factory) (v1alpha1.Cluster, error) {
	doc := v1alpha1.Cluster{}
	if o.file != "" {
		in, source, err := openDocument(f, o.file)
		if err != nil {
			return doc, err
		}
		defer in.Close()
		if doc, err = config.Parse(in, source); err != nil {
			return doc, err
		}
	}
	settings, err := f.settings.Overrides()
	if err != nil {
		return doc, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return doc, fault.Wrap(fault.FileUnwritable, err, "cannot tell what the current directory is")
	}
	o.apply(&doc, settings)
	return config.Resolve(config.Input{Document: &doc, Settings: settings, Flags: o.flags, Dir: dir})
}

// apply puts into the document what flags say that config.Overrides has no place for. Ports belong to the first node, the
// control plane; mounts to every node.
func (o *documentOptions) apply(doc *v1alpha1.Cluster, settings config.Overrides) {
	net := &doc.Cluster.Networking
	if o.podSubnet != "" {
		net.PodSubnet = o.podSubnet
	}
	if o.serviceSubnet != "" {
		net.ServiceSubnet = o.serviceSubnet
	}
	if o.apiPort != 0 {
		net.APIServerPort = int32(o.apiPort)
	}
	if len(o.ports)+len(o.mounts) == 0 {
		return
	}
	o.makeNodes(doc, settings)
	nodes := doc.Cluster.Nodes
	for i := range nodes {
		nodes[i].ExtraMounts = append(nodes[i].ExtraMounts, o.mounts...)
	}
	first := slices.IndexFunc(nodes, func(n kind.Node) bool { return n.Role != kind.WorkerRole })
	if first >= 0 { // else the document is refused for having no control plane
		nodes[first].ExtraPortMappings = append(nodes[first].ExtraPortMappings, o.ports...)
	}
}

// makeNodes gives the document the nodes that it will have, so that they can be given mounts.
func (o *documentOptions) makeNodes(doc *v1alpha1.Cluster, settings config.Overrides) {
	nodes := &doc.Cluster.Nodes
	workers := o.flags.Workers
	if len(*nodes) == 0 {
		*nodes = []kind.Node{{Role: kind.ControlPlaneRole}}
		if workers == nil {
			workers = settings.Workers
		}
	}
	if workers == nil {
		return
	}
	have := 0
	for _, n := range *nodes {
		if n.Role == kind.WorkerRole {
			have++
		}
	}
	for ; have < *workers; have++ {
		*nodes = append(*nodes, kind.Node{Role: kind.WorkerRole})
	}
}

// parsePort reads a port as docker takes it: [ADDRESS:][HOSTPORT:]PORT[/PROTOCOL].
func parsePort(s string) (kind.PortMapping, error) {
	p := kind.PortMapping{}
	rest, protocol, hasProtocol := strings.Cut(s, "/")
	if hasProtocol {
		p.Protocol = kind.PortMappingProtocol(strings.ToUpper(protocol))
		if !slices.Contains([]kind.PortMappingProtocol{kind.PortMappingProtocolTCP, kind.PortMappingProtocolUDP, kind.PortMappingProtocolSCTP}, p.Protocol) {
			return p, fmt.Errorf("%q is neither tcp, udp nor sctp", protocol)
		}
	}
	container := rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host := rest[:i]
		container = rest[i+1:]
		if strings.ContainsRune(host, ':') {
			address, port, err := net.SplitHostPort(host)
			if err != nil {
				return p, errors.New("write it as ADDRESS:HOSTPORT:PORT, an IPv6 address in brackets")
			}
			p.ListenAddress, host = address, port
		}
		if host != "" {
			n, err := parsePortNumber(host)
			if err != nil {
				return p, err
			}
			p.HostPort = n
		}
	}
	n, err := parsePortNumber(container)
	p.ContainerPort = n
	return p, err
}

func parsePortNumber(s string) (int32, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port", s)
	}
	return int32(n), nil
}

// parseMount reads a mount as docker's -v takes it: HOSTPATH:PATH[:ro]. The host's path may be Windows': C:\src:/src.
func parseMount(s string) (kind.Mount, error) {
	m := kind.Mount{}
	paths, readOnly := strings.CutSuffix(s, ":ro")
	m.Readonly = readOnly
	i := strings.LastIndex(paths, ":/")
	if i <= 0 || len(paths) == i+2 {
		return m, errors.New("write it as HOSTPATH:PATH or HOSTPATH:PATH:ro, PATH beginning with /")
	}
	m.HostPath, m.ContainerPath = paths[:i], paths[i+1:]
	return m, nil
}

// completeNodeImages completes the engine's images that are node images.
func (f *Factory) completeNodeImages(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	e, err := f.engine(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	images, err := e.ImageList(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, img := range images {
		names = append(names, nodeImageNames(img)...)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// nodeImageNames returns the names of an image that are a node image's.
func nodeImageNames(img engine.Image) []string {
	_, labelled := img.Labels[labelNodeImage]
	return slices.DeleteFunc(slices.Clone(img.Names), func(n string) bool {
		return !labelled && !strings.HasPrefix(n, image.Repository+":") && !strings.HasPrefix(n, "kindest/node:")
	})
}

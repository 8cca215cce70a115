package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image"
	"github.com/cove-k8s/cove/pkg/profile"
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

	// What the command line has of ports, mounts, addons and their parameters.
	portFlags, mountFlags, addonFlags, setFlags []string
}

// vars adds the flags.
func (o *documentOptions) vars(f *Factory, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&o.file, "file", "f", "", "cluster document, cove's or kind's; - is stdin (--config is the same)")
	flags.SetNormalizeFunc(normalizeFlags)
	// What of these is set goes by config.FlagOverrides, so that the settings do not count as flags.
	flags.String("name", "", "name of the cluster, instead of the argument (default: $COVE_CLUSTER, else cove)")
	flags.Int("workers", 0, "number of workers")
	flags.Int("control-planes", 1, "number of control planes: an odd one, so that the loss of one leaves a majority")
	flags.String("cpus", "", "how many CPUs each node may use: 2, 1.5 or 500m (default: all of the host's)")
	flags.String("memory", "", "how much memory each node may use: 2Gi or 512Mi (default: all of the host's)")
	flags.String("image", "", "node image (default: one of the Kubernetes version)")
	flags.String("kubernetes-version", "", "Kubernetes version: "+strings.Join(v1alpha1.KnownVersions(), ", ")+"; 1.35 is its newest one")
	flags.StringArrayVarP(&o.portFlags, "port", "p", nil, "publish a `PORT` of the control plane: [ADDRESS:][HOSTPORT:]PORT[/tcp|udp|sctp]")
	flags.StringArrayVar(&o.mountFlags, "mount", nil, "mount a `PATH` of the engine's host on every node: HOSTPATH:PATH[:ro]")
	flags.String("profile", "", "profile to make the cluster from: a name or a file (default: dev; see \"cove profile list\")")
	flags.String("cni", "", "addon for the pod network; none leaves it to you (default: the profile's)")
	flags.StringArrayVar(&o.addonFlags, "addon", nil, "one more `ADDON`: a name of the catalogue, or the path of your own")
	flags.StringArrayVar(&o.setFlags, "set", nil, "set a parameter of an addon: `ADDON.PARAMETER=VALUE`")
	f.completeFlag(cmd, "profile", f.completeProfiles)
	f.completeFlag(cmd, "addon", f.completeAddons)
	flags.StringVar(&o.podSubnet, "pod-subnet", "", "subnet of the pods")
	flags.StringVar(&o.serviceSubnet, "service-subnet", "", "subnet of the services")
	flags.Uint16Var(&o.apiPort, "api-port", 0, "`PORT` of the engine's host for the API server (default: a free one)")
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
	if o.flags.Addons, err = parseAddons(cmd, o.addonFlags); err != nil {
		return err
	}
	if o.flags.Parameters, err = parseSets(cmd, o.setFlags); err != nil {
		return err
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
	doc, err := o.read(f)
	if err != nil {
		return doc, err
	}
	return o.complete(f, doc, nil)
}

// read reads the file; without one the document is empty.
func (o *documentOptions) read(f *Factory) (v1alpha1.Cluster, error) {
	if o.file == "" {
		return v1alpha1.Cluster{}, nil
	}
	in, source, err := openDocument(f, o.file)
	if err != nil {
		return v1alpha1.Cluster{}, err
	}
	defer in.Close()
	return config.Parse(in, source)
}

// complete fills in what settings and flags say, and the defaults. current is the document that the cluster follows, where there is
// one: what it has stays where nothing is said.
func (o *documentOptions) complete(f *Factory, doc v1alpha1.Cluster, current *v1alpha1.Cluster) (v1alpha1.Cluster, error) {
	settings, err := f.settings.Overrides()
	if err != nil {
		return doc, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return doc, fault.Wrap(fault.FileUnwritable, err, "cannot tell what the current directory is")
	}
	if current != nil && o.file == "" {
		settings = config.Overrides{} // they are about new clusters
	}
	o.apply(&doc)
	in := config.Input{
		Document: &doc, Current: current, Settings: settings, Flags: o.flags, Dir: dir, Catalogue: f.catalogue(),
		Warn: func(p config.Problem) { f.say("warning: %s: %s", p.Path, p.Message) },
	}
	if current == nil { // the proxies of a cluster that is there are its own
		in.Environ = f.Getenv
	}
	if o.file != "" && o.file != "-" {
		if in.DocumentDir, err = filepath.Abs(filepath.Dir(o.file)); err != nil {
			return doc, fault.Wrap(fault.FileUnwritable, err, "cannot tell where the document is")
		}
	}
	return resolveLiving(in)
}

// name returns the name of the cluster that a document as read, with flags and settings, is about.
func (o *documentOptions) name(f *Factory, doc v1alpha1.Cluster) (string, error) {
	settings, err := f.settings.Overrides()
	return cmp.Or(o.flags.Name, doc.Name, doc.Cluster.Name, settings.Name, v1alpha1.DefaultName), err
}

// apply puts into the document what flags say that config.Overrides has no place for.
func (o *documentOptions) apply(doc *v1alpha1.Cluster) {
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
	o.flags.Ports, o.flags.Mounts = o.ports, o.mounts
}

// instances opens the addons of a resolved document, in the order in which they are applied. there are those that the cluster has: one
// that stays as it is, and is not here to be opened, is left out.
func (f *Factory) instances(doc v1alpha1.Cluster, there []v1alpha1.Addon) ([]addon.Instance, error) {
	list := []addon.Instance{}
	for _, entry := range doc.Addons {
		if entry.Disabled {
			continue
		}
		stays := profile.Has(there, entry)
		opened, err := f.catalogue().Open(entry, "")
		if err != nil && stays {
			continue
		}
		if err != nil {
			return nil, err
		}
		i := addon.Instance{Addon: opened, Parameters: entry.Parameters}
		// The addon may have more parameters here than where the cluster got it.
		if values, err := opened.Values(entry.Parameters); stays && err == nil {
			i.Parameters = values
		}
		list = append(list, i)
	}
	return list, nil
}

// parseAddons reads --addon: a name, or a path.
func parseAddons(cmd *cobra.Command, flags []string) ([]v1alpha1.Addon, error) {
	var list []v1alpha1.Addon
	for _, s := range flags {
		a := v1alpha1.Addon{Name: s}
		if isAddonPath(s) {
			a.Path, a.Name = s, addonNameOf(s)
		}
		if a.Name == "" {
			return nil, usage(cmd, "", "--addon %q names no addon", s)
		}
		list = append(list, a)
	}
	return list, nil
}

// parseSets reads --set ADDON.PARAMETER=VALUE.
func parseSets(cmd *cobra.Command, flags []string) (map[string][]string, error) {
	var sets map[string][]string // nil: none
	for _, s := range flags {
		key, _, hasValue := strings.Cut(s, "=")
		name, _, dotted := strings.Cut(key, ".")
		if !hasValue || !dotted || name == "" {
			return nil, usage(cmd, "", "--set %q: write it as ADDON.PARAMETER=VALUE", s)
		}
		if sets == nil {
			sets = map[string][]string{}
		}
		sets[name] = append(sets[name], s[len(name)+1:])
	}
	return sets, nil
}

// isAddonPath reports whether an addon is given by its path: it has a separator, or is the name of a manifest or a chart.
func isAddonPath(s string) bool {
	return strings.ContainsAny(s, `/\`) || slices.Contains([]string{".yaml", ".yml", ".json", ".tgz"}, filepath.Ext(s))
}

// addonNameOf returns the name that an addon of a path gets: a DNS label of the file's or the folder's name.
func addonNameOf(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs // "." has a name, too
	}
	base := filepath.Base(path)
	base = strings.ToLower(strings.TrimSuffix(base, filepath.Ext(base)))
	label := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, base)
	return strings.Trim(label, "-")
}

// completeProfiles completes the names of profiles.
func (f *Factory) completeProfiles(_ *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return f.catalogue().ProfileNames(), cobra.ShellCompDirectiveDefault
}

// completeAddons completes the names of addons.
func (f *Factory) completeAddons(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(f.catalogue().AddonNames(), func(n string) bool { return slices.Contains(args, n) })
	return names, cobra.ShellCompDirectiveDefault
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
	_, labelled := img.Labels[engine.LabelNodeImage]
	return slices.DeleteFunc(slices.Clone(img.Names), func(n string) bool {
		return !labelled && !strings.HasPrefix(n, image.Repository+":") && !strings.HasPrefix(n, "kindest/node:")
	})
}

package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/doctor"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image"
	"github.com/cove-k8s/cove/pkg/image/build"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/kubeconfig"
	"github.com/cove-k8s/cove/pkg/profile"
	"github.com/cove-k8s/cove/profiles"
)

// connectKube makes the client of a real cluster.
func connectKube(o kube.Options) (cluster.Kube, error) {
	c, err := kube.New(o)
	if err != nil {
		return nil, err // not c: a nil *kube.Client in an interface is not nil
	}
	return c, nil
}

// connectConfig makes the client of the cluster that a kubeconfig leads to.
func connectConfig(config *rest.Config) (cluster.Kube, error) {
	c, err := kube.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// catalogue returns the profiles and addons: those that are built in, and over them, file by file, those of the folder
// "profiles" beside the settings file.
func (f *Factory) catalogue() profile.Catalogue {
	return profile.Open(os.DirFS(f.profilesDir()), profiles.FS())
}

// profilesDir is the folder of the user's own profiles, NAME.yaml, and addons, addons/NAME/.
func (f *Factory) profilesDir() string { return filepath.Join(filepath.Dir(f.Settings), "profiles") }

// recipes builds images of addons.
type recipes struct {
	f  *Factory
	e  engine.Engine
	em *event.Emitter
}

func (recipes) Tag(recipe string) (string, error)           { return build.AddonTag(recipe) }
func (recipes) Content(recipe, arch string) (string, error) { return build.AddonContent(recipe, arch) }

func (r recipes) Build(ctx context.Context, recipe string) error {
	_, err := r.f.BuildAddonImage(ctx, build.Options{Engine: r.e, Emitter: r.em}, recipe)
	return err
}

// foreignDeps gathers what work on the addons of clusters needs that cove did not make: no engine.
func (f *Factory) foreignDeps(em *event.Emitter) (cluster.Deps, error) {
	state, err := f.stateDir()
	return cluster.Deps{Emitter: em, Now: f.Now, Connect: f.Connect, ConnectConfig: f.ConnectConfig, StateDir: state}, err
}

// stateDir is where locks, logs of runs and evidence are kept.
func (f *Factory) stateDir() (string, error) {
	runs, err := event.RunsDir(f.Getenv)
	if err != nil {
		return "", fault.Wrap(fault.FileUnwritable, err, "cannot keep state")
	}
	return filepath.Dir(runs), nil
}

// deps connects to the engine and gathers what operations on clusters need. em may be nil where nothing is done that
// tells how far it is. kubeconfigFile is the file that was asked for; skipKubeconfig says that none will be written.
func (f *Factory) deps(ctx context.Context, em *event.Emitter, kubeconfigFile string, skipKubeconfig bool) (cluster.Deps, error) {
	state, err := f.stateDir()
	if err != nil {
		return cluster.Deps{}, err
	}
	e, err := f.engine(ctx)
	if err != nil {
		return cluster.Deps{}, err
	}
	chooser := image.Chooser{Size: f.RegistrySize, Recipes: recipes{f, e, em}, Build: func(ctx context.Context, _ *event.Reporter, version string) (string, error) {
		r, err := f.BuildImage(ctx, build.Options{Engine: e, Emitter: em, KubernetesVersion: version})
		return r.Tag, err
	}}
	env := doctor.Env{Engine: e, FS: f.Host}
	if !skipKubeconfig {
		env.Kubeconfig = kubeconfig.Path(kubeconfigFile)
	}
	return cluster.Deps{
		Engine: e, Emitter: em, Now: f.Now, Connect: f.Connect, ConnectConfig: f.ConnectConfig,
		EnsureImage: chooser.Ensure, Preflight: doctor.Preflight(env),
		EnsureAddonImage: func(ctx context.Context, e engine.Engine, rep *event.Reporter, img profile.Image) (string, error) {
			got, err := chooser.EnsureAddon(ctx, e, rep, img.Ref, img.Build)
			return got.From, err
		},
		LoadImages: func(ctx context.Context, e engine.Engine, nodes []engine.Node, images map[string]string, rep *event.Reporter) error {
			var list []image.AddonImage
			for _, ref := range slices.Sorted(maps.Keys(images)) {
				list = append(list, image.AddonImage{Ref: ref, From: images[ref]})
			}
			return image.LoadAddon(ctx, e, nodes, list, rep)
		},
		Kubeconfig: kubeconfigFile, StateDir: state,
	}, nil
}

// nameVar adds --name.
func (f *Factory) nameVar(cmd *cobra.Command, p *string) {
	cmd.Flags().StringVar(p, "name", "", "name of the cluster (default: $COVE_CLUSTER, else the only one there is, else cove)")
	f.completeFlag(cmd, "name", f.completeClusters)
}

func (f *Factory) completeFlag(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	// It fails for a flag that there is none of, or that has a function already.
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}

// oneName returns the name that an argument or --name gives, if any. They may both be there only if they agree.
func oneName(cmd *cobra.Command, args []string, flag string) (string, error) {
	if len(args) == 0 {
		return flag, nil
	}
	if len(args) > 1 {
		return "", usage(cmd, "", "%q takes one name, and there is %q, too", cmd.CommandPath(), args[1])
	}
	if cmd.Flags().Changed("name") && flag != args[0] {
		return "", usage(cmd, "", "two names are given, %q and --name %q", args[0], flag)
	}
	return args[0], nil
}

// target chooses the cluster that a command is about: the one that is named, else the only one there is, else the one of
// the default name.
func target(ctx context.Context, e engine.Engine, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	names, err := cluster.Names(ctx, e)
	switch {
	case err != nil:
		return "", err
	case len(names) == 1:
		return names[0], nil
	case len(names) > 1 && !slices.Contains(names, v1alpha1.DefaultName):
		return "", fault.New(fault.ClusterNotFound, "there are %d clusters, and none is named: %s", len(names), strings.Join(names, ", ")).
			WithHint("choose one with --name, or set COVE_CLUSTER")
	}
	return v1alpha1.DefaultName, nil
}

// chosenClusters returns the clusters that a command's arguments name, or its flag --name, or the settings; none where all are meant or
// nothing names one.
func chosenClusters(cmd *cobra.Command, args []string, name string, all bool) ([]string, error) {
	named := cmd.Flags().Changed("name")
	switch {
	case all && (len(args) > 0 || named):
		return nil, usage(cmd, "", "--all is all of them; no name goes with it")
	case len(args) > 0 && named && !slices.Equal(args, []string{name}):
		return nil, usage(cmd, "", "names are given as arguments (%s) and by --name (%s)", strings.Join(args, " "), name)
	case len(args) > 0:
		return args, nil
	case !all && name != "":
		return []string{name}, nil
	}
	return nil, nil
}

// target connects to the engine, and returns the name of the cluster that is meant.
func (f *Factory) target(ctx context.Context, name string) (engine.Engine, string, error) {
	e, err := f.engine(ctx)
	if err != nil {
		return nil, "", err
	}
	name, err = target(ctx, e, name)
	return e, name, err
}

// say tells people something that is no result; quiet commands do not.
func (f *Factory) say(format string, args ...any) {
	if !f.global.quiet {
		fmt.Fprintf(f.IO.ErrOut, format+"\n", args...)
	}
}

// completionTimeout bounds how long a shell waits for an engine's answer.
const completionTimeout = 2 * time.Second

// completeClusters completes the names of clusters.
func (f *Factory) completeClusters(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	e, err := f.engine(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := cluster.Names(ctx, e)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(args, n) }), cobra.ShellCompDirectiveNoFileComp
}

// completeCluster completes the name of one cluster.
func (f *Factory) completeCluster(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return f.completeClusters(cmd, args, begun)
}

// completeNode completes the name of one node of the cluster that --name or the settings choose.
func (f *Factory) completeNode(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	nodes, err := f.nodesOf(ctx, cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, n := range nodes {
		names = append(names, cobra.CompletionWithDesc(n.Name, n.Role))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeNodes completes the names of nodes that are not named yet.
func (f *Factory) completeNodes(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names, directive := f.completeNode(cmd, nil, begun)
	return slices.DeleteFunc(names, func(n string) bool {
		name, _, _ := strings.Cut(n, "\t")
		return slices.Contains(args, name)
	}), directive
}

// nodesOf returns the nodes of the cluster that the command's flags and the settings choose.
func (f *Factory) nodesOf(ctx context.Context, cmd *cobra.Command) ([]engine.Node, error) {
	if err := f.applySettings(cmd); err != nil {
		return nil, err
	}
	name, err := cmd.Flags().GetString("name")
	if err != nil {
		return nil, err
	}
	e, name, err := f.target(ctx, name)
	if err != nil {
		return nil, err
	}
	return cluster.Nodes(ctx, e, name)
}

package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// AddonTarget is a cluster whose addons are worked on: one of cove's, or one that a kubeconfig leads to.
type AddonTarget struct {
	Name    string
	Manager *addon.Manager
	kube    Kube
	nodes   []engine.Node // none where cove did not make the cluster
	record  created
}

// Foreign reports whether cove did not make the cluster.
func (t *AddonTarget) Foreign() bool { return t.Manager.Facts.Foreign }

// OpenAddons opens a cluster of cove's. ClusterNotFound, ClusterIncomplete or ClusterNotRunning where it is not there to
// be worked on; APITimeout where its API does not answer.
func OpenAddons(ctx context.Context, d Deps, name string) (*AddonTarget, error) {
	info, err := d.Engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	f, err := lookup(ctx, d.Engine, name)
	if err != nil {
		return nil, err
	}
	for _, n := range f.nodes {
		if n.State != engine.StateRunning {
			return nil, fault.New(fault.ClusterNotRunning, "cannot work on the addons of cluster %q: node %s is %s", name, n.Name, n.State)
		}
	}
	a, err := access(ctx, d.Engine, info, f)
	if err != nil {
		return nil, err
	}
	client, err := d.Connect(a.Options())
	if err != nil {
		return nil, err
	}
	if err := answers(ctx, client, name); err != nil {
		return nil, err
	}
	made, err := readCreated(ctx, d.Engine, f)
	if fault.Is(err, fault.RecordUnreadable) {
		return nil, err
	}
	if err != nil || len(f.networks) == 0 {
		return nil, f.unreadable()
	}
	doc := *made.Document.DeepCopy()
	doc.KubernetesVersion = made.KubernetesVersion
	cp, _ := f.controlPlane()
	return &AddonTarget{Name: name, Manager: newManager(d, client, doc, f.networks[0], made.endpoint(f.networks[0]), cp.Image), kube: client, nodes: f.nodes, record: made}, nil
}

// OpenForeign opens the cluster that a context of a kubeconfig leads to; empty names are those that kubectl would take.
func OpenForeign(ctx context.Context, d Deps, file, contextName string) (*AddonTarget, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextName})
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, fault.Wrap(fault.KubeconfigUnusable, err, "cannot read the kubeconfig")
	}
	if contextName == "" {
		contextName = raw.CurrentContext
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fault.Wrap(fault.KubeconfigUnusable, err, "cannot use context %q of the kubeconfig", contextName)
	}
	client, err := d.ConnectConfig(config)
	if err != nil {
		return nil, err
	}
	if err := answers(ctx, client, contextName); err != nil {
		return nil, err
	}
	version, err := client.Version(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return &AddonTarget{Name: contextName, kube: client, Manager: &addon.Manager{API: client, Now: d.Now, Facts: addon.Facts{
		Name: contextName, Foreign: true, KubernetesVersion: version, Nodes: len(nodes),
	}}}, nil
}

// lockName is what a run on the cluster locks. A context's name may have any character, and be that of a cluster of cove's.
func (t *AddonTarget) lockName() string {
	if !t.Foreign() {
		return t.Name
	}
	sum := sha256.Sum256([]byte(t.Name))
	return "foreign." + hex.EncodeToString(sum[:8])
}

// apiTry is how long an API server may take to show that it is there.
const apiTry = 10 * time.Second

// answers fails soon where the API is not there.
func answers(ctx context.Context, client Kube, name string) error {
	ctx, cancel := context.WithTimeout(ctx, apiTry)
	defer cancel()
	return fault.Wrap(fault.APITimeout, client.WaitAPI(ctx, func(string) {}), "the API server of %q does not answer", name)
}

// AddonOptions is how to put addons onto a cluster.
type AddonOptions struct {
	Timeout time.Duration // 0 is DefaultTimeout; images that must be got first do not count
	NoWait  bool          // return when the API server has them
	// LockTimeout is how long to wait for another run that works on the cluster; 0 does not wait.
	LockTimeout time.Duration
}

// PlanEnable returns the plan that puts the addons onto a cluster that is there.
func PlanEnable(cluster string, addons []addon.Instance, foreign bool, o AddonOptions) Plan {
	images, load := Stage{Name: "prepare"}, Stage{Name: "load", Timed: true}
	apply, ready := Stage{Name: "apply", Timed: true}, Stage{Name: "ready", Timed: true}
	for _, a := range addons {
		if !foreign && len(imagesOf(a)) > 0 {
			images.Steps = append(images.Steps, step{"images/" + a.Name(), "Get the images of " + a.Name(), ensureAddonImages(a)})
			load.Steps = append(load.Steps, step{"load/" + a.Name(), "Load the images of " + a.Name() + " into the nodes", loadAddonImages(a)})
		}
		apply.Steps = append(apply.Steps, step{"addon/" + a.Name(), "Apply " + addonTitle(a), applyAddon(a)})
		if !o.NoWait {
			ready.Steps = append(ready.Steps, step{"ready/addon/" + a.Name(), title(a.Name()) + " is Available", waitAddon(a)})
		}
	}
	plan := Plan{Cluster: cluster}
	for _, s := range []Stage{images, load, apply, ready} {
		if len(s.Steps) > 0 {
			plan.Stages = append(plan.Stages, s)
		}
	}
	return plan
}

// EnableAddons puts the addons onto the cluster, or brings those that are there up to what is asked for, in the order of
// what they require; cat is where those are found that are there already. A run that fails or is cut off leaves what it
// has done: the next one goes on from there. Errors are AddonUnfit, AddonConflict, AddonRequires, ImageUnavailable,
// AddonFailed and APITimeout.
func EnableAddons(ctx context.Context, d Deps, t *AddonTarget, cat profile.Catalogue, addons []addon.Instance, o AddonOptions) error {
	unlock, err := t.lock(ctx, d, o)
	if err != nil {
		return err
	}
	defer unlock()
	if addons, err = t.order(ctx, cat, addons); err != nil {
		return err
	}
	for _, a := range addons {
		if err := t.fits(a); err != nil {
			return err
		}
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	rc := &Context{Deps: d, Addons: addons, kube: t.kube, apiUp: make(chan struct{}), progress: map[string]*addonProgress{}}
	rc.Doc.Name, rc.manager = t.Name, func() *addon.Manager { return t.Manager }
	close(rc.apiUp)
	for _, a := range addons {
		rc.progress[a.Name()] = newProgress(a)
		if t.Foreign() && len(imagesOf(a)) > 0 { // the nodes pull
			close(rc.progress[a.Name()].loaded)
		}
	}
	back, err := t.enabling(ctx, d, addons)
	if err != nil {
		return err
	}
	return t.run(ctx, rc, PlanEnable(t.Name, addons, t.Foreign(), o), slices.Sorted(maps.Keys(rc.progress)), back, o)
}

// run carries out a plan for these addons, which are on record as it will leave them. Where it fails, back sees to those that it has not
// begun with.
func (t *AddonTarget) run(ctx context.Context, rc *Context, plan Plan, names []string, back func(context.Context) error, o AddonOptions) error {
	err := Runner{Timeout: o.Timeout, Retain: true, Quiet: true}.Run(ctx, plan, rc)
	if err == nil {
		return t.settled(ctx, rc.Deps, names)
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTry)
	defer cancel()
	if failed := back(after); failed != nil {
		rc.Emitter.Warn("", "the document of cluster %s has what this run was to do: %v", t.Name, failed)
	}
	return err
}

// order puts the addons in order, and checks them against those that are on the cluster.
func (t *AddonTarget) order(ctx context.Context, cat profile.Catalogue, addons []addon.Instance) ([]addon.Instance, error) {
	records, err := t.Manager.Installed(ctx)
	if err != nil {
		return nil, err
	}
	byName, all := map[string]addon.Instance{}, []*profile.Addon{}
	for _, a := range addons {
		byName[a.Name()] = a
		all = append(all, a.Addon)
	}
	for _, r := range records {
		if _, again := byName[r.Name]; again || r.Own {
			continue
		}
		if there, err := cat.Addon(r.Name); err == nil {
			all = append(all, there)
		}
	}
	ordered, err := profile.Order(all)
	if err != nil {
		return nil, err
	}
	var out []addon.Instance
	for _, a := range ordered {
		if i, asked := byName[a.Name]; asked {
			out = append(out, i)
		}
	}
	return out, nil
}

// fits refuses what cannot work on this cluster.
func (t *AddonTarget) fits(a addon.Instance) error {
	if err := a.Addon.Fits(t.Manager.Facts.KubernetesVersion); err != nil {
		return err
	}
	if !t.Foreign() {
		return t.publishes(a)
	}
	if a.Addon.Foreign != "" {
		return fault.New(fault.AddonUnfit, "addon %s is not for clusters that cove did not make: %s", a.Name(), a.Addon.Foreign)
	}
	for _, p := range a.Addon.ForeignNeeds {
		if value, _ := lookupParameter(a.Parameters, p).(string); value == "" {
			return fault.New(fault.AddonParameter, "addon %s needs parameter %s on a cluster that cove did not make", a.Name(), p).
				WithHint("give it with --set %s=VALUE; `cove addon show %s` says what it is", p, a.Name())
		}
	}
	return nil
}

// adding is what `cove apply` needs besides to have the addon at all.
func (t *AddonTarget) adding(name string) string {
	if t.Recorded(name) {
		return ""
	}
	return " --addon " + name
}

// publishes checks that the ports of the host are there that the addon is to use: a container gets its ports when it is
// made.
func (t *AddonTarget) publishes(a addon.Instance) error {
	for _, h := range a.Addon.HostPorts {
		port := toInt(lookupParameter(a.Parameters, h.Parameter))
		if port == 0 {
			continue
		}
		i := slices.IndexFunc(t.nodes, func(n engine.Node) bool { return n.Name == t.Manager.Facts.ControlPlane })
		if i < 0 || !slices.ContainsFunc(t.nodes[i].Ports, func(p engine.Port) bool {
			return int32(p.ContainerPort) == h.ContainerPort && int64(p.HostPort) == port
		}) {
			return fault.New(fault.AddonUnfit, "cannot set %s=%d: the cluster's control plane does not publish its port %d there", h.Parameter, port, h.ContainerPort).
				WithHint("`cove apply %s%s --set %s.%s=%d` publishes it, and sets the parameter", t.Name, t.adding(a.Name()), a.Name(), h.Parameter, port)
		}
	}
	return nil
}

// lookupParameter returns the parameter of a dotted name; nil where there is none.
func lookupParameter(params map[string]any, name string) any {
	var v any = params
	for part := range strings.SplitSeq(name, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[part]
	}
	return v
}

func toInt(v any) int64 {
	switch n := v.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

// DisableAddons takes the addons off the cluster: all that they put there, and nothing else. Without force it refuses what
// others would lose by (AddonInUse), and what another addon requires (AddonRequires).
func DisableAddons(ctx context.Context, d Deps, t *AddonTarget, cat profile.Catalogue, names []string, force bool, o AddonOptions) error {
	unlock, err := t.lock(ctx, d, o)
	if err != nil {
		return err
	}
	defer unlock()
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if !force {
		if err := t.needed(ctx, cat, names); err != nil {
			return err
		}
	}
	rc := &Context{Deps: d, kube: t.kube}
	rc.Doc.Name, rc.manager = t.Name, func() *addon.Manager { return t.Manager }
	plan := Plan{Cluster: t.Name}
	for _, n := range names {
		plan.Stages = append(plan.Stages, Stage{Name: n, Timed: true, Steps: []Step{step{"remove/" + n, "Remove addon " + n, removeAddon(n, force)}}})
	}
	back, err := t.disabling(ctx, d, cat, names)
	if err != nil {
		return err
	}
	return t.run(ctx, rc, plan, names, back, o)
}

// needed refuses to remove what an addon that stays requires, and the pod network, which all pods require.
func (t *AddonTarget) needed(ctx context.Context, cat profile.Catalogue, names []string) error {
	for _, n := range names {
		if a, err := cat.Addon(n); err == nil && slices.Contains(a.Provides, profile.ProvidesCNI) {
			return fault.New(fault.AddonInUse, "addon %s is the pod network: without it no new pod gets an address", n)
		}
	}
	records, err := t.Manager.Installed(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Own || slices.Contains(names, r.Name) {
			continue
		}
		a, err := cat.Addon(r.Name)
		if err != nil {
			continue // of a catalogue that is not here
		}
		for _, n := range names {
			if slices.Contains(a.Requires.Addons, n) {
				return fault.New(fault.AddonRequires, "addon %s requires %s", r.Name, n).WithHint("disable %s first, or give --force", r.Name)
			}
		}
	}
	return nil
}

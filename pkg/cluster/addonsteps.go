package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/profile"
	"github.com/cove-k8s/cove/pkg/wait"
)

// addonProgress is how far a run is with an addon.
type addonProgress struct {
	from    map[string]string // the engine's names of images to load, by the names that pods use; set by the prepare stage
	loaded  chan struct{}     // closed when the nodes have the images
	applied chan struct{}     // closed when the API server has the objects
	refs    []kube.Ref        // what to wait for; set before applied is closed
}

func newProgress(a addon.Instance) *addonProgress {
	p := &addonProgress{from: map[string]string{}, loaded: make(chan struct{}), applied: make(chan struct{})}
	if len(imagesOf(a)) == 0 {
		close(p.loaded)
	}
	return p
}

// imagesOf returns the images that an addon brings, beyond those of the node image.
func imagesOf(a addon.Instance) []profile.Image {
	return slices.DeleteFunc(slices.Clone(a.Addon.Images), func(i profile.Image) bool { return i.InNodeImage })
}

// withImages returns those addons that bring images.
func withImages(addons []addon.Instance) []addon.Instance {
	return slices.DeleteFunc(slices.Clone(addons), func(a addon.Instance) bool { return len(imagesOf(a)) == 0 })
}

func addonTitle(a addon.Instance) string { return strings.TrimSpace(a.Name() + " " + a.Addon.Version) }

// title begins a sentence with a name: names keep their case.
func title(name string) string { return "Addon " + name }

// ensureAddonImages returns the step that finds a way for the addon's images to get into the nodes.
func ensureAddonImages(a addon.Instance) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		from, err := findImages(ctx, rc.Deps, a)
		rc.progress[a.Name()].from = from
		return err
	}
}

// findImages returns the engine's names of those images that must be loaded into nodes, by the names that pods use.
func findImages(ctx context.Context, d Deps, a addon.Instance) (map[string]string, error) {
	found := map[string]string{}
	for _, img := range imagesOf(a) {
		from, err := d.EnsureAddonImage(ctx, d.Engine, reporter(ctx), img)
		if err != nil {
			return found, fault.Wrap(fault.ImageUnavailable, err, "addon %s has no image", a.Name())
		}
		if from != "" {
			found[img.Ref] = from
		}
	}
	return found, nil
}

// loadAddonImages returns the step that loads the addon's images into all nodes, while these boot.
func loadAddonImages(a addon.Instance) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		p := rc.progress[a.Name()]
		if len(p.from) == 0 {
			close(p.loaded)
			return event.Skip("the nodes pull them")
		}
		f, err := find(ctx, rc.Engine, rc.Name())
		if err != nil {
			return err
		}
		nodes := f.nodes
		if err := waitContainerd(ctx, rc.Engine, nodes); err != nil {
			return err
		}
		err = rc.LoadImages(ctx, rc.Engine, nodes, p.from, reporter(ctx))
		if err == nil || event.IsSkip(err) {
			close(p.loaded)
		}
		return err
	}
}

// waitContainerd waits until containerd answers in each of the nodes, which may be booting.
func waitContainerd(ctx context.Context, e engine.Access, nodes []engine.Node) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		group.Go(func() error {
			return wait.Until(ctx, runtimePoll, nil, wait.Condition{
				Name: "containerd on " + n.Name,
				Check: func(ctx context.Context) (bool, string, error) {
					_, err := engine.Output(ctx, e, n.Name, "ctr", "version")
					if exit := (*engine.ExitError)(nil); errors.As(err, &exit) {
						return false, strings.TrimSpace(exit.Output), nil
					}
					return err == nil, "", err
				},
			})
		})
	}
	return group.Wait()
}

// applyAddon returns the step that applies the addon, once what it needs is there: the API; its images, because a kubelet
// that misses one waits long before it looks again; the addons that it requires.
func applyAddon(a addon.Instance) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		p, rep := rc.progress[a.Name()], reporter(ctx)
		set, err := prepareAddon(ctx, rc, a)
		if err != nil {
			return err
		}
		rep.Waiting("its images")
		if err := await(ctx, p.loaded); err != nil {
			return err
		}
		for _, name := range a.Addon.Requires.Addons {
			if other := rc.progress[name]; other != nil {
				rep.Waiting("addon %s", name)
				if err := await(ctx, other.applied); err != nil {
					return err
				}
			}
		}
		if p.refs, err = rc.manager().Apply(ctx, set, rep); err != nil {
			return err
		}
		close(p.applied)
		return nil
	}
}

// prepareAddon renders the addon, before the API is there if it can.
func prepareAddon(ctx context.Context, rc *Context, a addon.Instance) (set *addon.Set, err error) {
	early := len(a.Addon.Generate) == 0
	if early {
		if set, err = rc.manager().Prepare(ctx, a); err != nil {
			return nil, err
		}
	}
	reporter(ctx).Waiting("the API server")
	if err := await(ctx, rc.apiUp); err != nil || early {
		return set, err
	}
	return rc.manager().Prepare(ctx, a)
}

// removeAddon returns the step that takes an addon off the cluster. A run that was cut off may have done so already.
func removeAddon(name string, force bool) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		err := rc.manager().Remove(ctx, name, force, reporter(ctx))
		if fault.Is(err, fault.AddonNotInstalled) {
			return event.Skip("it is not on the cluster")
		}
		return err
	}
}

// waitAddon returns the step that waits until the addon is ready.
func waitAddon(a addon.Instance) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		return rc.manager().Wait(ctx, a.Name(), rc.progress[a.Name()].refs, reporter(ctx))
	}
}

// newManager returns the manager of the addons of a cluster of cove's. image is the control plane's, for messages.
func newManager(d Deps, api addon.API, doc v1alpha1.Cluster, network engine.Network, endpoint netip.Addr, image string) *addon.Manager {
	return &addon.Manager{
		API: api, Now: d.Now, Facts: factsOf(doc, network),
		NodeFile: func(ctx context.Context, path string) ([]byte, error) {
			return imageManifest(ctx, d.Engine, controlPlane(doc).Name, image, doc.Cluster.Networking.PodSubnet, path)
		},
		Adapt: func(o *unstructured.Unstructured) { directAPI(o, endpoint) },
	}
}

// factsOf gathers what addons may know of a cluster of cove's.
func factsOf(doc v1alpha1.Cluster, network engine.Network) addon.Facts {
	net, subnets := doc.Cluster.Networking, nodeSubnets(doc, network)
	pools := make([]string, len(subnets))
	for i, s := range subnets {
		pools[i] = pool(s)
	}
	return addon.Facts{
		Name: doc.Name, Subnet: joined(subnets), Pool: strings.Join(pools, ","), PodSubnet: net.PodSubnet, ServiceSubnet: net.ServiceSubnet,
		KubernetesVersion: doc.KubernetesVersion, Nodes: len(doc.Nodes()), ControlPlane: controlPlane(doc).Name,
	}
}

// Places in the cluster's subnet that are left to load balancers: no node ever gets one of them.
const (
	firstPool = 200
	lastPool  = 250
)

// pool returns the range of addresses for services. A subnet belongs to one cluster, so no other cluster has them.
func pool(subnet netip.Prefix) string {
	first, last := firstPool, lastPool
	if size := 1 << min(16, subnet.Addr().BitLen()-subnet.Bits()); size <= lastPool {
		first, last = size*3/4, size-2
	}
	return fmt.Sprintf("%s-%s", addressAt(subnet, first), addressAt(subnet, last))
}

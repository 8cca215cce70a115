package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeadm"
	"github.com/cove-k8s/cove/pkg/pki"
)

// Create makes the cluster of a complete, valid document with its addons, in the order in which they are applied. It returns the closing message. Where a cluster of that name
// exists it fails with ClusterExists; what a run that was cut off left of it is removed first.
func Create(ctx context.Context, d Deps, doc v1alpha1.Cluster, addons []addon.Instance, o CreateOptions) (string, error) {
	unlock, err := lock(ctx, d.StateDir, doc.Name, o.LockTimeout)
	if err != nil {
		return "", err
	}
	defer unlock()
	return create(ctx, d, doc, addons, o)
}

// create makes the cluster; the caller has the lock.
func create(ctx context.Context, d Deps, doc v1alpha1.Cluster, addons []addon.Instance, o CreateOptions) (string, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	begun := d.Now()
	rc, err := newContext(d, doc, addons, o)
	if err != nil {
		return "", err
	}
	runner := Runner{Timeout: o.Timeout, Retain: o.Retain, Evidence: saveEvidence}
	if err := runner.Run(ctx, PlanCreate(doc, addons, o), rc); err != nil {
		return "", err
	}
	return closing(doc, o, d.Now().Sub(begun)), nil
}

// newContext makes what the steps share, with keys and a token that no other cluster has.
func newContext(d Deps, doc v1alpha1.Cluster, addons []addon.Instance, o CreateOptions) (*Context, error) {
	rc := &Context{
		Deps: d, Doc: doc, Addons: addons, Options: o, images: map[string]nodeImage{},
		apiUp: make(chan struct{}), initOK: make(chan struct{}), progress: map[string]*addonProgress{}, first: controlPlane(doc).Name,
		publisher: controlPlane(doc).Name,
	}
	var err error
	if rc.places, err = assignPlaces(nodesOf(doc), nil); err != nil {
		return nil, err
	}
	for _, a := range addons {
		rc.progress[a.Name()] = newProgress(a)
	}
	rc.manager = func() *addon.Manager {
		image := rc.images[controlPlane(doc).Name].ref
		if rc.kube == nil { // an interface that holds nothing must not become one that holds a nil
			return newManager(d, nil, doc, rc.network, rc.endpoint(), image)
		}
		return newManager(d, rc.kube, doc, rc.network, rc.endpoint(), image)
	}
	if rc.ca, err = pki.NewCA(pki.Kubernetes, d.Now()); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot make the cluster's CA")
	}
	if rc.sharedKeys, err = newSharedKeys(rc.ca, d.Now(), len(controlPlanes(doc.Nodes())) > 1); err != nil {
		return nil, err
	}
	if rc.token, err = kubeadm.NewToken(); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot make a bootstrap token")
	}
	return rc, nil
}

// checkHost asks the engine what it is, and fails before anything is made where the cluster cannot be: the name is
// taken, or the host lacks what nodes need.
func checkHost(ctx context.Context, rc *Context) error {
	info, err := rc.Engine.Info(ctx)
	if err != nil {
		return err
	}
	rc.info = info
	if err := fitsHost(info, nodesOf(rc.Doc)); err != nil {
		return err
	}
	if err := clearName(ctx, rc.Deps, rc.Name()); err != nil {
		return err
	}
	if rc.Preflight == nil {
		return nil
	}
	return rc.Preflight(ctx, info, len(nodesOf(rc.Doc)), reporter(ctx))
}

// clearName makes sure that nothing of the cluster's name is there. The rest of a cluster that never was complete, and
// on which nobody works any more (the caller has the lock), is removed.
func clearName(ctx context.Context, d Deps, name string) error {
	found, err := find(ctx, d.Engine, name)
	if err != nil || found.empty() {
		return err
	}
	complete, err := isComplete(ctx, d.Engine, found)
	if err == nil && !complete {
		complete, err = completeOnVolumes(ctx, d, found)
	}
	if err != nil {
		return err
	}
	if complete {
		return found.exists()
	}
	if age := d.Now().Sub(found.newest()); age < foreignGrace && !found.madeHere(d.StateDir) {
		return fault.New(fault.ClusterBusy, "cluster %q is being made by another machine", name)
	}
	reporter(ctx).Warn("", "removing what an interrupted run left of cluster %q", name)
	return removeFound(ctx, d, found)
}

// exists is the error of a create where there is a complete cluster; of one that has lost containers or its network it says how it
// comes back.
func (f found) exists() error {
	err := fault.New(fault.ClusterExists, "cluster %q exists", f.name)
	if len(f.networks) == 0 || len(f.lost()) > 0 {
		return err.WithHint("`cove apply %s` brings back what is gone of it; `cove delete %s` removes it with its data", f.name, f.name)
	}
	return err.WithHint("delete it first with `cove delete %s`, or choose another name", f.name)
}

// foreignGrace is how long an incomplete cluster of another machine's is taken for one that is still being made.
const foreignGrace = DefaultTimeout

// ensureImages gets every node's image onto the engine, and chooses that of the load balancer.
func ensureImages(ctx context.Context, rc *Context) error {
	if err := ensureNodeImages(ctx, rc, nodesOf(rc.Doc)); err != nil {
		return err
	}
	rc.founders = chooseFounders(rc)
	if err := checkConfigs(ctx, rc, nodesOf(rc.Doc)); err != nil {
		return err
	}
	return chooseBalancer(ctx, rc)
}

// ensureNodeImages gets the images of these nodes onto the engine.
func ensureNodeImages(ctx context.Context, rc *Context, nodes []v1alpha1.Node) error {
	byName := map[string]nodeImage{}
	for _, n := range nodes {
		if _, done := byName[n.Image]; !done {
			img, err := rc.EnsureImage(ctx, rc.Engine, reporter(ctx), n.Image, rc.Doc.KubernetesVersion)
			if err != nil {
				return err
			}
			ref := n.Image
			if ref == "" {
				ref = firstName(img)
			}
			if byName[n.Image], err = newNodeImage(ref, img); err != nil {
				return err
			}
		}
		rc.images[n.Name] = byName[n.Image]
	}
	return nil
}

// chooseBalancer decides whether the cluster has a load balancer, and which image it runs: cove's own images have one. On
// images of kind's layout it takes an image of cove's, so only a cluster that cannot be without gets one.
func chooseBalancer(ctx context.Context, rc *Context) error {
	first := rc.images[rc.first]
	if first.native() {
		rc.balanced, rc.balancerImage = true, first.ref
		return nil
	}
	if len(controlPlanes(rc.Doc.Nodes())) == 1 {
		return nil
	}
	img, err := rc.EnsureImage(ctx, rc.Engine, reporter(ctx), "", rc.Doc.KubernetesVersion)
	rc.balanced, rc.balancerImage = true, firstName(img)
	return err
}

func firstName(img engine.Image) string {
	if len(img.Names) > 0 {
		return img.Names[0]
	}
	return img.ID
}

// closing is what create says at its end: how long it took, and what to type next.
func closing(doc v1alpha1.Cluster, o CreateOptions, took time.Duration) string {
	what := map[WaitLevel]string{WaitNone: "was started", WaitAPI: "has its API", WaitNodes: "has all nodes Ready"}[o.Wait]
	if what == "" {
		what = "is usable"
	}
	if noCNI(doc) {
		what = "waits for its CNI"
	}
	next := fmt.Sprintf("cove kubectl --name %s -- get nodes", doc.Name)
	switch {
	case !o.SkipKubeconfig && !o.KeepContext:
		next = "kubectl get nodes"
	case !o.SkipKubeconfig:
		next = "kubectl --context " + ContextName(doc.Name) + " get nodes"
	}
	return fmt.Sprintf("cluster %q %s after %.1f s; next: %s", doc.Name, what, took.Seconds(), next)
}

// Preflight checks the host for a number of nodes. It fails where a cluster cannot work, and warns where it may not.
type Preflight func(ctx context.Context, info engine.Info, nodes int, rep *event.Reporter) error

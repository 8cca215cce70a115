package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// ApplyOptions is how to change a cluster, as opposed to what.
type ApplyOptions struct {
	CreateOptions
	// DrainTimeout bounds the draining of one node; 0 is DefaultDrainTimeout. Force: what will not go by then is killed.
	DrainTimeout time.Duration
	Force        bool
	// Addons opens the addons of a document, in the order in which they are applied.
	Addons func(v1alpha1.Cluster) ([]addon.Instance, error)
	// Confirm is shown what would be done before anything is; false ends the run without an error. Nil goes ahead.
	Confirm func(Difference) (bool, error)
	// Only refuses to make a cluster where there is none: ClusterNotFound.
	Only bool
	// SwitchContext makes the context the current one also where the cluster is there already: a change keeps the user where he is.
	SwitchContext bool
	// Again names nodes that are to be made anew, with nothing of their data kept.
	Again []string
	// Left, if set, is told before anything is asked of Want which nodes runs that were cut off have left something of.
	Left func(nodes []string)
}

// DefaultDrainTimeout bounds the draining of a node.
const DefaultDrainTimeout = 2 * time.Minute

// Difference is what separates a cluster from its document, and what would be done about it.
type Difference struct {
	Cluster string
	Changes []Change
	Plan    Plan
}

// Info lists the changes as events show them.
func (d Difference) Info() []event.Change {
	infos := make([]event.Change, len(d.Changes))
	for i, c := range d.Changes {
		infos[i] = event.Change{Op: string(c.Op), Object: c.Object, Details: c.Details, Effect: c.Effect, Destroys: c.Destroys}
	}
	return infos
}

// Want says what a cluster is to be, from the document that it follows now; nil where there is no cluster.
type Want func(current *v1alpha1.Cluster) (v1alpha1.Cluster, error)

// Apply brings a cluster to what is wanted, or makes it. It returns the difference that it found, which is empty where nothing
// had to be done, and the closing message. A run that was cut off at any place is taken up by the next one.
func Apply(ctx context.Context, d Deps, name string, want Want, o ApplyOptions) (Difference, string, error) {
	unlock, err := lock(ctx, d.StateDir, name, o.LockTimeout)
	if err != nil {
		return Difference{}, "", err
	}
	defer unlock()
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	begun := d.Now()
	was, drop, err := observeAnyway(ctx, d, name)
	if missing(was, err) {
		if dropErr := drop(ctx); dropErr != nil {
			return Difference{}, "", dropErr
		}
		return applyNew(ctx, d, name, want, o, err)
	}
	changing := false
	defer func() {
		if !changing {
			_ = drop(context.WithoutCancel(ctx)) // the next run takes it for what it is
		}
	}()
	if err != nil {
		return Difference{}, "", err
	}
	o.KeepContext = !o.SwitchContext
	delta, err := differ(ctx, d, was, want, o)
	if err != nil {
		return Difference{}, "", err
	}
	diff := Difference{Cluster: name, Changes: delta.changes}
	if delta.empty() && sameJSON(was.record.Document, delta.doc) {
		return diff, fmt.Sprintf("cluster %q is as its document says", name), nil
	}
	rc, err := delta.context(d, o)
	if err != nil {
		return diff, "", err
	}
	diff.Plan = delta.plan(rc, o)
	d.Emitter.Diff(diff.Info())
	if ok, err := confirm(o, diff); !ok || err != nil {
		return diff, "", err
	}
	changing = true
	runner := Runner{
		Evidence: saveEvidence,
		Timeout:  o.Timeout + time.Duration(len(delta.remove)+len(delta.fresh)+len(delta.replace)+2*len(delta.upgrade))*o.drainTimeout(),
	}
	if err := runner.Run(ctx, diff.Plan, rc); err != nil {
		return diff, "", err
	}
	return diff, delta.closing(d.Now().Sub(begun)), nil
}

// closing is what is said when the cluster was brought to its document.
func (d *delta) closing(took time.Duration) string {
	if d.to != "" {
		return fmt.Sprintf("cluster %q runs Kubernetes %s after %.1f s", d.doc.Name, d.to, took.Seconds())
	}
	return fmt.Sprintf("cluster %q follows its document after %.1f s", d.doc.Name, took.Seconds())
}

// missing reports whether there is no cluster, or the rest of one that never was complete. Volumes without a control plane's
// container may be all that is left of a whole cluster: they are not cleared away.
func missing(was observed, err error) bool {
	return fault.Is(err, fault.ClusterNotFound) || was.neverComplete(err) && (len(was.controlPlanes()) > 0 || len(was.volumes) == 0)
}

// differ compares the cluster with what is wanted of it.
func differ(ctx context.Context, deps Deps, was observed, want Want, o ApplyOptions) (*delta, error) {
	if err := was.look(ctx, deps); err != nil {
		return nil, err
	}
	if o.Left != nil {
		o.Left(was.leftovers())
	}
	doc, err := want(was.record.Document.DeepCopy())
	if err != nil {
		return nil, err
	}
	d, err := compare(was, doc)
	if err != nil {
		return nil, err
	}
	if err := d.again(o.Again); err != nil {
		return nil, err
	}
	if err := d.majority(); err != nil {
		return nil, err
	}
	if err := fitsHost(was.info, d.touched()); err != nil {
		return nil, err
	}
	d.staleContext(ctx, deps, o)
	d.cordoned()
	return d, nil
}

func (o ApplyOptions) drainTimeout() time.Duration {
	if o.DrainTimeout > 0 {
		return o.DrainTimeout
	}
	return DefaultDrainTimeout
}

func confirm(o ApplyOptions, diff Difference) (bool, error) {
	if o.Confirm == nil {
		return true, nil
	}
	return o.Confirm(diff)
}

// applyNew makes a cluster where there is none, or only the rest of one.
func applyNew(ctx context.Context, d Deps, name string, want Want, o ApplyOptions, notFound error) (Difference, string, error) {
	if o.Only {
		return Difference{}, "", notFound
	}
	doc, err := want(nil)
	if err != nil {
		return Difference{}, "", err
	}
	addons, err := o.Addons(doc)
	if err != nil {
		return Difference{}, "", err
	}
	diff := Difference{Cluster: name, Plan: PlanCreate(doc, addons, o.CreateOptions)}
	diff.Changes = append(diff.Changes, Change{Op: Add, Object: "cluster " + name, Details: []string{"Kubernetes " + doc.KubernetesVersion}})
	for _, n := range nodesOf(doc) {
		diff.Changes = append(diff.Changes, Change{Op: Add, Object: objectOf(n), Details: sizeText(n)})
	}
	for _, a := range addons {
		diff.Changes = append(diff.Changes, Change{Op: Add, Object: "addon " + a.Name()})
	}
	d.Emitter.Diff(diff.Info())
	if ok, err := confirm(o, diff); !ok || err != nil {
		return diff, "", err
	}
	message, err := create(ctx, d, doc, addons, o.CreateOptions)
	return diff, message, err
}

// again marks nodes to be made anew.
func (d *delta) again(names []string) error {
	for _, name := range names {
		found := slices.ContainsFunc(d.add, func(n v1alpha1.Node) bool { return n.Name == name })
		if found { // it is made anyway
			continue
		}
		for _, n := range nodesOf(d.doc) {
			if n.Name != name {
				continue
			}
			found = true
			d.start = slices.DeleteFunc(d.start, func(s string) bool { return s == name })
			named := func(r v1alpha1.Node) bool { return r.Name == name }
			d.replace, d.revive = slices.DeleteFunc(d.replace, named), slices.DeleteFunc(d.revive, named)
			d.changes = slices.DeleteFunc(d.changes, func(c Change) bool { return c.Object == objectOf(n) })
			d.add, d.lost, d.fresh = append(d.add, n), append(d.lost, n), append(d.fresh, name)
			d.note(Modify, objectOf(n), "made anew").Destroys = "what its pods keep on it is lost"
		}
		if !found {
			return fault.New(fault.NodeNotFound, "cluster %q has no node %q", d.doc.Name, name)
		}
	}
	return d.quorum(nodesOf(d.doc))
}

// context makes what the steps of the change share.
func (d *delta) context(deps Deps, o ApplyOptions) (*Context, error) {
	rc := d.was.context(deps, d.doc)
	rc.Options = o.CreateOptions
	var err error
	if rc.Addons, err = o.Addons(d.doc); err != nil {
		return nil, err
	}
	for _, a := range rc.Addons {
		rc.progress[a.Name()] = newProgress(a)
	}
	if rc.places, err = assignPlaces(nodesOf(d.doc), rc.places); err != nil {
		return nil, err
	}
	rc.manager = func() *addon.Manager {
		var api addon.API
		if rc.kube != nil {
			api = rc.kube
		}
		image := ""
		if cp, ok := d.was.controlPlane(); ok {
			image = cp.Image
		}
		return newManager(deps, api, rc.Doc, rc.network, rc.endpoint(), image)
	}
	return rc, nil
}

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
)

// observed is a complete cluster as it is now.
type observed struct {
	found
	info    engine.Info
	record  created
	network engine.Network
	// pruned: the network is gone, and network is what it was. No container can be started without it.
	pruned bool
	// noRecord: those control planes that have a container have no record.
	noRecord bool
	places   map[string]place         // of every node that left a trace
	specs    map[string]v1alpha1.Node // what the containers were made from
	kept     map[string]int           // how many volumes each node has
	// settings is what the containers say that they were made with, as settingsOf has it.
	settings map[string]string
	// elects: the first control plane's leaders are elected; cordoned are the nodes that cove has cordoned. Only Apply looks.
	elects   bool
	cordoned []string
}

// observe looks at a cluster without touching it. ClusterNotFound where there is none, ClusterIncomplete where it never was
// complete.
func observe(ctx context.Context, d Deps, name string) (observed, error) {
	info, err := d.Engine.Info(ctx)
	if err != nil {
		return observed{}, err
	}
	f, err := lookup(ctx, d.Engine, name)
	if err != nil {
		return observed{}, err
	}
	o := observed{found: f, info: info, places: map[string]place{}, specs: map[string]v1alpha1.Node{}, kept: map[string]int{}, settings: map[string]string{}}
	for _, v := range f.volumes {
		o.kept[v.Node]++
		if p, ok := parsePlace(v.Labels[labelPlace]); ok {
			o.places[v.Node] = p
		}
	}
	o.record, err = readCreated(ctx, d.Engine, f)
	if errors.Is(err, fs.ErrNotExist) {
		o.noRecord = true
		return o, f.unreadable()
	}
	if err != nil {
		return o, err
	}
	if err := o.findNetwork(ctx, d.Engine); err != nil {
		return o, err
	}
	for _, n := range f.nodes {
		if p, ok := parsePlace(n.Labels[labelPlace]); ok {
			o.places[n.Name] = p
		}
		o.settings[n.Name] = n.Labels[labelSettings]
		var spec v1alpha1.Node
		if json.Unmarshal([]byte(n.Labels[labelSpec]), &spec) == nil && spec.Name != "" {
			o.specs[n.Name] = spec
		}
	}
	return o, nil
}

// look asks the nodes and the API, at once, for what only a comparison wants to know.
func (o *observed) look(ctx context.Context, d Deps) error {
	was := *o
	var elects bool
	var cordoned []string
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { elects, err = electsLeaders(groupCtx, d.Engine, was); return err })
	group.Go(func() error { cordoned = cordonedNodes(groupCtx, d, was); return nil })
	err := group.Wait()
	o.elects, o.cordoned = elects, cordoned
	return err
}

// leftovers returns the names of nodes that left containers or volumes without being whole, ordered: runs that were cut off
// made them, or were removing them.
func (o observed) leftovers() []string {
	names := map[string]bool{}
	for _, n := range o.nodes {
		names[n.Name] = true
	}
	for node := range o.kept {
		names[node] = true
	}
	for name := range names {
		if o.record.has(name) || name == "" {
			delete(names, name)
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// whole reports whether a node's volumes are all there: without them its container cannot be made again.
func (o observed) whole(node string) bool { return o.kept[node] >= len(volumes(node)) }

// context makes what the steps of a change share.
func (o observed) context(d Deps, doc v1alpha1.Cluster) *Context {
	rc := &Context{
		Deps: d, Doc: doc, images: map[string]nodeImage{}, ports: map[string][]engine.Port{}, info: o.info, places: maps.Clone(o.places), balanced: o.record.Balanced,
		network: o.network, record: o.record, apiUp: make(chan struct{}), initOK: make(chan struct{}), progress: map[string]*addonProgress{},
	}
	close(rc.initOK)            // long ago
	for _, n := range o.nodes { // a container has its image's labels
		rc.ports[n.Name] = n.Ports
		if img, err := newNodeImage(n.Image, engine.Image{Labels: n.Labels}); err == nil {
			rc.images[n.Name] = img
		}
	}
	if gateway, ok := o.gateway(); ok {
		rc.balancerImage = gateway.Image
	}
	if !o.record.Balanced {
		rc.publisher = rc.record.nodes()[0].Name
	}
	return rc
}

package cluster

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// delta is the difference between a cluster and the document that it is to follow.
type delta struct {
	was     observed
	doc     v1alpha1.Cluster
	cleanup []string        // nodes of which runs that were cut off left something
	add     []v1alpha1.Node // to be made and joined
	lost    []v1alpha1.Node // among add: was a whole node whose data is gone, or is to go
	fresh   []string        // among lost: its data is there, and is not to be kept
	remove  []v1alpha1.Node
	replace []v1alpha1.Node // keeps its volumes and its address, gets a new container
	revive  []v1alpha1.Node // as well, and does not run now: the API may be waiting for it
	upgrade []v1alpha1.Node // to another version of Kubernetes, the first control plane first
	revived []*replacement  // how those are
	start   []string        // containers that are whole and do not run
	relabel []relabel
	// uncordon are nodes that a run which was cut off was draining, and that stay.
	uncordon []string
	// from and to are the versions of Kubernetes of an upgrade; empty where there is none.
	from, to string
	// recorded and wanted are the sums of what the documents say of all nodes.
	recorded, wanted string
	// balancer says that the load balancer's container is to be made anew.
	balancer bool
	// elect says that elections are to end: one control plane will be left.
	elect bool
	// misled says that the cluster's context in the kubeconfig is wrong.
	misled bool
	// address says that the API is published on another address than before.
	address bool
	enable  []string // addons
	disable []string
	changes []Change

	leaving sync.Mutex // held by the one control plane that is taken out of etcd

	daemonsLoaded chan struct{} // closed when the nodes to be joined have the images that DaemonSets run
}

// relabel is what changes of a node's object.
type relabel struct {
	node        string
	labels      map[string]*string
	add, remove []v1alpha1.Taint
}

// compare finds out what must be done. What cannot be changed on a living cluster is ConfigUnsupported, with all the fields.
func compare(was observed, doc v1alpha1.Cluster) (*delta, error) {
	d := &delta{was: was, doc: doc, cleanup: was.leftovers(), daemonsLoaded: make(chan struct{})}
	if err := fixed(*was.record.Document, doc, was.record.Balanced); err != nil {
		return nil, err
	}
	if err := d.version(); err != nil {
		return nil, err
	}
	if was.pruned {
		d.note(Modify, "network "+was.network.Name, "it is gone").Effect = "made again with the same addresses"
	}
	for _, name := range d.cleanup {
		d.note(Remove, "node "+name, "what is left of a run that was cut off")
	}
	d.loadBalancer()
	if err := d.settings(); err != nil {
		return nil, err
	}
	if err := d.nodes(); err != nil {
		return nil, err
	}
	if err := d.upgradable(); err != nil {
		return nil, err
	}
	d.addons()
	return d, nil
}

func (d *delta) note(op Op, object string, details ...string) *Change {
	d.changes = append(d.changes, Change{Op: op, Object: object, Details: details})
	return &d.changes[len(d.changes)-1]
}

// empty reports whether there is nothing to do.
func (d *delta) empty() bool { return len(d.changes) == 0 }

// fixed refuses changes of what the whole cluster was made with. Where there is no load balancer, the API's address and
// port are the first control plane's.
func fixed(was, want v1alpha1.Cluster, balanced bool) error {
	var fields []string
	differ := func(field string, a, b any) {
		if !sameJSON(a, b) {
			fields = append(fields, field)
		}
	}
	a, b := was.Cluster, want.Cluster
	differ("cluster.networking.ipFamily", a.Networking.IPFamily, b.Networking.IPFamily)
	differ("cluster.networking.podSubnet", a.Networking.PodSubnet, b.Networking.PodSubnet)
	differ("cluster.networking.serviceSubnet", a.Networking.ServiceSubnet, b.Networking.ServiceSubnet)
	differ("cluster.networking.kubeProxyMode", a.Networking.KubeProxyMode, b.Networking.KubeProxyMode)
	differ("cluster.networking.disableDefaultCNI", a.Networking.DisableDefaultCNI, b.Networking.DisableDefaultCNI)
	if !balanced {
		differ("cluster.networking.apiServerAddress", a.Networking.APIServerAddress, b.Networking.APIServerAddress)
		differ("cluster.networking.apiServerPort", a.Networking.APIServerPort, b.Networking.APIServerPort)
	}
	differ("cni", was.CNI, want.CNI)
	differ("cluster.featureGates", a.FeatureGates, b.FeatureGates)
	differ("cluster.runtimeConfig", a.RuntimeConfig, b.RuntimeConfig)
	differ("cluster.kubeadmConfigPatches", a.KubeadmConfigPatches, b.KubeadmConfigPatches)
	differ("cluster.kubeadmConfigPatchesJSON6902", a.KubeadmConfigPatchesJSON6902, b.KubeadmConfigPatchesJSON6902)
	if len(fields) == 0 {
		return nil
	}
	return fault.New(fault.ConfigUnsupported, "cannot change %s of cluster %q: certificates, addresses and components were made with it", strings.Join(fields, ", "), was.Name).
		WithHint("set it back to what `cove get config %s` prints, or make a new cluster with it", was.Name)
}

// sameJSON compares values as they are stored: nothing and empty are the same.
func sameJSON(a, b any) bool {
	empty := func(v any) bool {
		r := reflect.ValueOf(v)
		return !r.IsValid() || r.IsZero() || (r.Kind() == reflect.Slice || r.Kind() == reflect.Map) && r.Len() == 0
	}
	if empty(a) && empty(b) {
		return true
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// nodes compares the nodes one by one.
func (d *delta) nodes() error {
	old := map[string]v1alpha1.Node{}
	for _, n := range d.was.record.wanted() {
		old[n.Name] = n
	}
	want := nodesOf(d.doc)
	for _, n := range want {
		was, there := old[n.Name]
		switch {
		case !there:
			d.add = append(d.add, n)
			d.note(Add, objectOf(n), sizeText(n)...)
		case !d.was.record.has(n.Name):
			d.add = append(d.add, n)
			d.note(Modify, objectOf(n), append([]string{"made anew, as a run that was cut off was about to"}, sizeText(n)...)...)
		case was.Role != n.Role:
			return fault.New(fault.ConfigUnsupported, "node %s is a %s and cannot become a %s: remove it, and add it anew", n.Name, was.Role, n.Role)
		case patched(was, n):
			return fault.New(fault.ConfigUnsupported, "cannot change kubeadmConfigPatches of node %s: they count when a node joins", n.Name).
				WithHint("remove it and add it anew, or set them back")
		case !d.was.whole(n.Name):
			d.add, d.lost = append(d.add, n), append(d.lost, n)
			lost := d.note(Modify, objectOf(n), "its data is lost, it is made anew")
			if d.was.kept[n.Name] > 0 {
				lost.Destroys = "what is left of its data is lost"
			}
		default:
			d.node(was, n)
		}
		delete(old, n.Name)
	}
	for _, n := range d.was.record.wanted() {
		_, unwanted := old[n.Name]
		switch {
		case !unwanted:
		case d.was.record.has(n.Name):
			d.remove = append(d.remove, n)
			d.note(Remove, objectOf(n)).Destroys = "what its pods keep on it is lost"
		case !slices.Contains(d.cleanup, n.Name): // the record alone still has it
			d.note(Remove, objectOf(n), "it was not there")
		}
	}
	d.election(want)
	return d.quorum(want)
}

func patched(a, b v1alpha1.Node) bool {
	return !sameJSON(a.KubeadmConfigPatches, b.KubeadmConfigPatches) || !sameJSON(a.KubeadmConfigPatchesJSON6902, b.KubeadmConfigPatchesJSON6902)
}

// quorum refuses what would leave the cluster without a majority of its control planes' data.
func (d *delta) quorum(want []v1alpha1.Node) error {
	after := len(controlPlanes(want))
	if after == 0 {
		return fault.New(fault.ConfigUnsupported, "cannot remove the last control plane of cluster %q", d.doc.Name).
			WithHint("`cove delete %s` removes the cluster", d.doc.Name)
	}
	if after > 1 && !d.was.record.Balanced {
		return fault.New(fault.ConfigUnsupported, "cluster %q cannot get more control planes: it was made without a load balancer", d.doc.Name).
			WithHint("only clusters whose first node image is cove's own have one")
	}
	if keep := len(controlPlanes(d.was.record.nodes())) - len(controlPlanes(d.lost)) - len(controlPlanes(d.remove)); keep < 1 {
		return fault.New(fault.ConfigUnsupported, "no control plane of cluster %q would keep its data", d.doc.Name).
			WithHint("keep one that is there")
	}
	return nil
}

// container returns a node's container, or says why there is none that can be started.
func (d *delta) container(name string) (c engine.Node, there bool, why []string) {
	c, there = d.was.node(name)
	switch {
	case !there || isReader(c):
		return c, false, []string{whyGone}
	case d.was.pruned:
		return c, false, []string{whyNetworkGone}
	}
	return c, true, nil
}

// node compares a node that is there and wanted.
func (d *delta) node(was, want v1alpha1.Node) {
	container, there, details := d.container(want.Name)
	down := !there || container.State != engine.StateRunning || d.was.cutOff(d.was.record, container)
	made, known := d.was.specs[want.Name]
	if !known {
		made = was
	}
	if there {
		details = d.containerDetails(container, made, want)
	}
	switch {
	case d.to != "" && (want.Image == "" || want.Image != made.Image):
		d.noteUpgrade(want, details)
		if there && down && d.was.broken(d.was.record, container) == "" {
			d.start = append(d.start, want.Name)
		}
	case len(details) > 0:
		list := &d.replace
		if down {
			list = &d.revive
		}
		*list = append(*list, want)
		d.note(Modify, objectOf(want), details...).Effect = "container replaced, about 5 s"
	case down:
		d.start = append(d.start, want.Name)
		d.note(Modify, objectOf(want), string(container.State)+" → running")
	case container.KeptDown: // by a stop that was cut off
		d.start = append(d.start, want.Name)
		d.note(Modify, objectOf(want), whyKeptDown)
	}
	d.labels(was, want)
}

// labels compares labels and taints.
func (d *delta) labels(was, want v1alpha1.Node) {
	lines, labels, add, remove := labelChanges(was, want)
	r := relabel{want.Name, labels, add, remove}
	if lines = append(lines, d.was.record.Unsettled.settle(want, &r)...); len(lines) > 0 {
		d.relabel = append(d.relabel, r)
		d.note(Modify, objectOf(want), lines...)
	}
}

// noteUpgrade takes a node for one that is to be upgraded.
func (d *delta) noteUpgrade(want v1alpha1.Node, details []string) {
	d.upgrade = append(d.upgrade, want)
	if want.Image == "" { // the one of the version, which has been said
		details = slices.DeleteFunc(details, func(s string) bool { return strings.HasPrefix(s, "image ") })
	}
	version := fmt.Sprintf("Kubernetes %s → %s", d.from, d.to)
	d.note(Modify, objectOf(want), append([]string{version}, details...)...).Effect = d.upgradeEffect()
}

// containerDetails says why a node's container cannot stay; nothing where it can.
func (d *delta) containerDetails(container engine.Node, made, want v1alpha1.Node) []string {
	details := containerChanges(made, want)
	if d.outdated(want.Name) {
		details = append(details, "what all nodes get")
	}
	if why := d.was.broken(d.was.record, container); why != "" {
		details = append(details, why)
	}
	return details
}

// addons compares the addons by what was recorded of them.
func (d *delta) addons() {
	had := map[string]v1alpha1.Addon{}
	for _, a := range d.was.record.Document.Addons {
		if !a.Disabled {
			had[a.Name] = a
		}
	}
	for _, a := range d.doc.Addons {
		if a.Disabled {
			continue
		}
		was, there := had[a.Name]
		delete(had, a.Name)
		switch {
		case !there:
			d.enable = append(d.enable, a.Name)
			d.note(Add, "addon "+a.Name)
		case !sameJSON(was, a):
			d.enable = append(d.enable, a.Name)
			d.note(Modify, "addon "+a.Name, "parameters")
		case d.was.record.Unsettled.Addons[a.Name] != "":
			d.enable = append(d.enable, a.Name)
			d.note(Modify, "addon "+a.Name, whyUnsettled)
		}
	}
	recorded := map[string]bool{}
	for _, a := range d.was.record.Document.Addons {
		recorded[a.Name] = recorded[a.Name] || !a.Disabled
		if _, unwanted := had[a.Name]; unwanted {
			d.disable = append(d.disable, a.Name)
			d.note(Remove, "addon "+a.Name).Destroys = whyAddonGone
		}
	}
	d.settleAddons(recorded)
	slices.Reverse(d.disable) // what was applied last goes first
}

const whyAddonGone = "with all that it made"

func objectOf(n v1alpha1.Node) string { return n.Role + " " + n.Name }

// sizeText says what is special about a node that is to be made.
func sizeText(n v1alpha1.Node) []string {
	var out []string
	if n.NanoCPUs > 0 {
		out = append(out, "cpus "+cores(n.NanoCPUs))
	}
	if n.Memory > 0 {
		out = append(out, "memory "+size(n.Memory))
	}
	if n.Image != "" {
		out = append(out, "image "+n.Image)
	}
	return out
}

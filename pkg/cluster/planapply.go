package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
)

// plan returns the steps that bring the cluster to its document: what is there is started first, what is new is added before
// what is old is taken away, and one node at a time is touched of those that stay.
func (d *delta) plan(rc *Context, o ApplyOptions) Plan {
	p := Plan{Cluster: d.doc.Name}
	stage := func(name string, steps ...Step) {
		if len(steps) > 0 {
			p.Stages = append(p.Stages, Stage{Name: name, Timed: name != "prepare", Steps: steps})
		}
	}
	stage("prepare", d.prepareSteps(rc)...)
	stage("keys", step{"keys", "Read the cluster's keys", d.loadKeys})
	if d.address {
		stage("certificates", step{"certificates", "Name " + d.doc.Cluster.Networking.APIServerAddress + " in the API servers' certificates", extendCertificates})
	}
	if d.was.pruned {
		d.planRecordUpgrading(stage) // while there are containers to write by
		stage("network", step{"network", "Make network " + d.was.network.Name + " again", renewNetwork})
	}
	for _, n := range d.revive {
		d.revived = append(d.revived, &replacement{d: d, node: n})
	}
	d.planStart(stage)
	d.planResume(stage)
	stage("api", step{"api", "Reach the API server", waitAPI})
	if d.was.allStopped() && len(controlPlanes(d.was.record.nodes())) > 1 {
		stage("leases", step{"leases", "Let the control planes elect new leaders", dropLeases})
	}
	if d.address {
		stage("address", step{"address", "Keep the address for later control planes", keepSANs})
	}
	d.planUncordon(stage)
	d.planRevived(stage)
	d.planRemoval(stage, "cleanup", d.leftoverNodes(), o)
	d.planRemoval(stage, "lost", d.lost, o)
	d.planUpgrade(stage, rc, o)
	d.planGrowth(stage)
	d.planReplacements(stage)
	var relabels []Step
	for _, r := range d.relabel {
		relabels = append(relabels, step{"label/" + r.node, "Set labels and taints of " + r.node, setLabels(r)})
	}
	d.planUnsettled(stage)
	stage("labels", relabels...)
	d.planAddons(stage, rc)
	d.planRemoval(stage, "remove", d.remove, o)
	d.planShrink(stage)
	stage("record", step{"record", "Record the cluster", d.recordDocument})
	if (d.balancer || d.misled || d.startsBalancer()) && !o.SkipKubeconfig {
		moved := func(rc *Context) bool { return d.address || movedSince(d.was.record.APIPort)(rc) }
		stage("kubeconfig", step{"kubeconfig", "Keep context " + ContextName(d.doc.Name) + " up to date", keepKubeconfig(moved)})
	}
	return p
}

type stageFunc func(name string, steps ...Step)

// touched returns the nodes that get a container from this run.
func (d *delta) touched() []v1alpha1.Node {
	return slices.Concat(d.upgrade, d.add, d.replace, d.revive)
}

// loadKeys reads the keys from a control plane that has them, rather from one that runs. One that is to be made anew may have none.
func (d *delta) loadKeys(ctx context.Context, rc *Context) (err error) {
	if rc.kubeadmAddons, err = wantedAddons(rc); err != nil {
		return err
	}
	err = incomplete(rc.Name())
	for _, cp := range d.was.controlPlanes() {
		anew := slices.ContainsFunc(d.lost, func(n v1alpha1.Node) bool { return n.Name == cp.Name })
		if anew || !d.was.record.has(cp.Name) {
			continue
		}
		if err = loadKeys(ctx, rc, cp.Name); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// planStart starts what stands still, as a start of the whole cluster does.
func (d *delta) planStart(stage stageFunc) {
	nodes := slices.DeleteFunc(slices.Clone(d.start), func(name string) bool { return name == balancerName(d.doc.Name) })
	for _, n := range d.revive {
		nodes = append(nodes, n.Name)
	}
	if len(nodes) > 0 {
		stage("certificates", step{"certificates/renew", "Renew the certificates that end soon", renewCertificates(nodes)})
	}
	if d.startsBalancer() { // before the nodes: its port may change, and belongs into the record
		name := balancerName(d.doc.Name)
		stage("balancer", step{"start/" + name, "Start the load balancer", startBalancerAgain})
	}
	stage("start", d.startSteps()...)
}

// startsBalancer reports whether the load balancer is whole and stands still.
func (d *delta) startsBalancer() bool { return slices.Contains(d.start, balancerName(d.doc.Name)) }

// startSteps bring what is whole and stands still to life, the load balancer first among equals.
func (d *delta) startSteps() []Step {
	var steps []Step
	if d.balancer {
		steps = append(steps, undoableStep{step{"balancer", "Start a new load balancer", replaceBalancer}, d.undoBalancer})
	}
	for _, name := range d.start {
		if name != balancerName(d.doc.Name) {
			steps = append(steps, step{"start/" + name, "Start " + name, startContainer(name)})
		}
	}
	for _, name := range d.voters() {
		steps = append(steps, step{"start/" + name, "Start " + name + ", which is to go", startVoter(name)})
	}
	for _, r := range d.revived {
		steps = append(steps, r.step())
	}
	return steps
}

// planRevived waits for the nodes that did not run, and were started, or got another container, before the API was asked for. Those of an
// upgrade are waited for by that: their kubelets may be held.
func (d *delta) planRevived(stage stageFunc) {
	var started []v1alpha1.Node
	for _, n := range nodesOf(d.doc) {
		upgraded := slices.ContainsFunc(d.upgrade, func(u v1alpha1.Node) bool { return u.Name == n.Name })
		if slices.Contains(d.start, n.Name) && !upgraded {
			started = append(started, n)
		}
	}
	var back []Step
	for _, r := range d.revived {
		back = append(back, r.ready())
	}
	for _, n := range started {
		back = append(back, step{"ready/" + n.Name, n.Name + " is back", waitBack([]string{n.Name})})
	}
	stage("ready", back...)
	d.planDNS(stage, slices.Concat(d.revive, started))
}

// planGrowth adds nodes: all together, control planes and workers.
func (d *delta) planGrowth(stage stageFunc) {
	if len(d.add) == 0 {
		return
	}
	before, after := len(controlPlanes(d.was.record.nodes())), len(controlPlanes(nodesOf(d.doc)))
	if before == 1 && after > 1 {
		stage("elect", undoableStep{step{"elect", "Let control planes elect leaders", setElection(true, controlPlanes(d.was.record.nodes()))}, undoElection})
	}
	var containers, joins []Step
	for _, n := range d.add {
		containers = append(containers, startNode{node: n})
		joins = append(joins, undoableStep{step{"kubeadm/" + n.Name, "Join " + n.Name, d.joinLoaded(n)}, d.undoJoin(n)})
	}
	stage("token", undoableStep{step{"token", "Make a token to join by", makeToken}, dropToken})
	stage("nodes", containers...)
	joins = append(joins, step{"load", "Load the images of addons into the new nodes", d.loadNewNodes})
	stage("bootstrap", joins...)
	if len(controlPlanes(d.add)) > 0 {
		stage("balance", step{"balance", "Lead the load balancer to the new control planes", func(ctx context.Context, rc *Context) error {
			return updateBalancer(ctx, rc, controlPlanes(slices.Concat(d.was.record.nodes(), d.add)))
		}})
	}
	if !noCNI(d.doc) {
		stage("ready", step{"ready/nodes", "New nodes are Ready", waitNodes(d.add)})
	}
	d.planDNS(stage, d.add)
	stage("record", step{"record/nodes", "Record the new nodes", d.recordNodes(d.add)})
}

// planReplacements replaces containers one by one.
func (d *delta) planReplacements(stage stageFunc) {
	for _, n := range d.replace {
		r := &replacement{d: d, node: n}
		stage("replace", r.step())
		stage("ready", r.ready())
	}
	d.planDNS(stage, d.replace)
}

// planDNS waits until DNS answers on these nodes: a pod of kube-proxy is ready a moment before its rules are.
func (d *delta) planDNS(stage stageFunc, nodes []v1alpha1.Node) {
	if noCNI(d.doc) || kubeProxyMode(d.doc) == "none" {
		return
	}
	var steps []Step
	for _, n := range nodes {
		steps = append(steps, step{"ready/dns/" + n.Name, "DNS answers on " + n.Name, waitDNS(n)})
	}
	stage("dns", steps...)
}

// planRemoval takes nodes out: the pods of all of them go first; where they do not, every node stays what it was. Then all leave the
// record together, and one after the other, who does not run first, they leave etcd, Kubernetes and the engine.
func (d *delta) planRemoval(stage stageFunc, why string, nodes []v1alpha1.Node, o ApplyOptions) {
	nodes = d.deadFirst(nodes)
	for _, n := range nodes {
		switch id := removalID(why, n, "drain"); {
		case why == "remove":
			stage("drain", undoableStep{step{id, "Drain " + n.Name, drainNode(n.Name, o)}, undoDrain(n.Name)})
		case slices.Contains(d.fresh, n.Name):
			stage("drain", undoableStep{step{id, "Drain " + n.Name, drainReady(n.Name, o)}, undoDrain(n.Name)})
		}
	}
	switch {
	case len(nodes) == 0:
	case why == "remove":
		stage("record", step{"remove/record", "Record that " + namesOf(nodes) + " will be gone", d.forgetNodes(nodes)})
	case why == "lost":
		stage("record", step{"lost/record", "Record that " + namesOf(nodes) + " will be made anew", d.missNodes(nodes)})
	}
	for _, n := range nodes {
		d.planRemoved(stage, why, n)
	}
}

func removalID(why string, n v1alpha1.Node, what string) string {
	return fmt.Sprintf("%s/%s/%s", why, n.Name, what)
}

func namesOf(nodes []v1alpha1.Node) string {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

// planRemoved takes out a node that the record has no more: etcd's member, then the node's object, its container and its data.
func (d *delta) planRemoved(stage stageFunc, why string, n v1alpha1.Node) {
	id := func(what string) string { return removalID(why, n, what) }
	stop := stopAtOnceStep(n.Name) // else its kubelet would make its object anew
	if n.Role == engine.RoleControlPlane {
		stage("balance", step{id("balance"), "Lead the load balancer past " + n.Name, func(ctx context.Context, rc *Context) error {
			return updateBalancer(ctx, rc, controlPlanes(rc.record.nodes()))
		}})
		leave := d.leaveEtcd(n.Name)
		if why == "cleanup" { // it may be joining
			leave = d.takeOut(n.Name)
		}
		stage("etcd", step{id("etcd"), "Take " + n.Name + " out of etcd", leave})
		// Connections that the load balancer made earlier end with it: its API server has nowhere to write any more.
		stop = d.stopLeaving(n.Name)
	}
	stage("stop", step{id("stop"), "Stop " + n.Name, stop})
	stage("remove", step{id("object"), "Remove " + n.Name + " from Kubernetes", func(ctx context.Context, rc *Context) error {
		return rc.kube.DeleteNodeObject(ctx, n.Name)
	}})
	stage("remove", step{id("container"), "Remove the container and the volumes of " + n.Name, removeNode(n.Name)})
}

// planShrink ends the election where one control plane is left.
func (d *delta) planShrink(stage stageFunc) {
	before, after := controlPlanes(d.was.record.nodes()), controlPlanes(nodesOf(d.doc))
	if d.elect || len(before) > 1 && len(after) == 1 {
		stage("elect", step{"elect/one", "Let the only control plane lead without an election", setElection(false, after)})
	}
}

// planAddons applies what is new or has other parameters, and removes what is not wanted any more.
func (d *delta) planAddons(stage stageFunc, rc *Context) {
	var load, apply, ready []Step
	for _, a := range rc.Addons {
		if !slices.Contains(d.enable, a.Name()) {
			close(rc.progress[a.Name()].applied) // what requires it need not wait
			continue
		}
		if len(imagesOf(a)) > 0 {
			load = append(load, step{"load/" + a.Name(), "Load the images of " + a.Name() + " into the nodes", loadAddonImages(a)})
		}
		apply = append(apply, step{"addon/" + a.Name(), "Apply " + addonTitle(a), applyAddon(a)})
		ready = append(ready, step{"ready/addon/" + a.Name(), title(a.Name()) + " is Available", waitAddon(a)})
	}
	stage("load", load...)
	stage("apply", apply...)
	stage("ready", ready...)
	for _, name := range d.disable {
		stage("disable", step{"disable/" + name, "Remove addon " + name, removeAddon(name, true)})
	}
}

// leftoverNodes returns the nodes that cut-off runs left something of.
func (d *delta) leftoverNodes() []v1alpha1.Node {
	var nodes []v1alpha1.Node
	for _, name := range d.cleanup {
		n := v1alpha1.Node{Name: name, Role: engine.RoleWorker}
		if c, ok := d.was.node(name); ok {
			n.Role = c.Role
		}
		for _, v := range d.was.volumes {
			if v.Node == name && v.Labels[engine.LabelRole] != "" {
				n.Role = v.Labels[engine.LabelRole]
			}
		}
		nodes = append(nodes, n)
	}
	return nodes
}

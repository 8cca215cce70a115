package cluster

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeadm"
)

// holdFile keeps the kubelet of a node of cove's own images from starting by itself: between its new container and its new
// configuration a node must not come up. `systemctl start kubelet` in the node takes it away.
const holdFile = "/etc/cove/hold-kubelet"

// planUpgrade brings nodes to another version of Kubernetes, the control planes first and one node after the other: its pods
// go, its container is replaced by one of the new image on the same volumes, kubeadm of the new version writes what that
// wants, and its kubelet starts. The order is that of
// https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/. What is done already is skipped.
func (d *delta) planUpgrade(stage stageFunc, rc *Context, o ApplyOptions) {
	if len(d.upgrade) == 0 {
		return
	}
	to := d.doc.KubernetesVersion
	alone := len(d.was.record.nodes()) == 1
	for i, n := range d.upgrade {
		id := func(what string) string { return "upgrade/" + n.Name + "/" + what }
		d.planOthers(stage, n)
		if !alone {
			stage("upgrade", step{id("drain"), "Drain " + n.Name, unlessUpgraded(n, drainToUpgrade(n.Name, o))})
		}
		if i == 0 { // not earlier: where its pods do not go, the cluster stays what it was
			stage("upgrade", step{"upgrade/record", "Record that an upgrade to " + to + " begins", recordUpgrading})
		}
		containers := []Step{step{id("container"), "Replace the container of " + n.Name, unlessUpgraded(n, upgradeContainer(n))}}
		if len(controlPlanes(nodesOf(d.doc))) == 1 && i == 0 && rc.balanced { // there is no API behind it meanwhile
			containers = append(containers, step{"upgrade/balancer", "Replace the load balancer", upgradeBalancer})
		}
		stage("upgrade", containers...)
		stage("upgrade", step{id("kubernetes"), "Bring " + n.Name + " to Kubernetes " + to, configureUpgraded(n, i == 0)})
		if i == 0 {
			stage("upgrade", step{"upgrade/cluster", "Bring the cluster's settings to Kubernetes " + to, upgradeCluster(n)})
		}
		stage("upgrade", step{id("ready"), n.Name + " is back", upgradedBack(n)})
	}
	var apply, ready []Step
	for _, a := range rc.Addons {
		if len(imagesOf(a)) < len(a.Addon.Images) && !slices.Contains(d.enable, a.Name()) { // some come with the node image, and may be newer in it
			apply = append(apply, step{"addon/" + a.Name(), "Apply " + addonTitle(a), applyAgain(a)})
			ready = append(ready, step{"ready/addon/" + a.Name(), title(a.Name()) + " is Available", waitAddon(a)})
		}
	}
	stage("upgrade", append(apply, step{"upgrade/core", "Apply " + coreTitle(d.doc), applyUpgradedCore(d.upgrade[0].Name)})...)
	stage("upgrade", append(ready, step{"ready/core", coreTitle(d.doc) + " are Available", waitCore})...)
	d.planDNS(stage, d.upgrade)
}

// planRecordUpgrading records that an upgrade begins, unless a run that was cut off has.
func (d *delta) planRecordUpgrading(stage stageFunc) {
	if len(d.upgrade) > 0 && d.was.record.Upgrading == "" {
		stage("resume", step{"resume/record", "Record that an upgrade to " + d.to + " begins", recordUpgrading})
	}
}

// planResume brings up the control planes that a run which was cut off has left with a new container and no kubelet, or with none that ever
// ran: etcd may have no majority, and the cluster no API, without them.
func (d *delta) planResume(stage stageFunc) {
	for i, n := range d.upgrade {
		container, there := d.was.node(n.Name)
		whole := there && !d.was.pruned && !neverRan(container)
		if n.Role != engine.RoleControlPlane || d.was.record.Upgrading == "" && whole {
			continue
		}
		if !d.was.pruned {
			d.planRecordUpgrading(stage)
		}
		stage("resume", step{"resume/" + n.Name, "Go on with the upgrade of " + n.Name, resumeControlPlane(n, i == 0)})
	}
}

// applyAgain returns the step that applies an addon of which the new node image may have another version.
func applyAgain(a addon.Instance) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		set, err := rc.manager().Prepare(ctx, a)
		if err != nil {
			return err
		}
		rc.progress[a.Name()].refs, err = rc.manager().Apply(ctx, set, reporter(ctx))
		return err
	}
}

func resumeControlPlane(n v1alpha1.Node, lead bool) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		c, err := rc.Engine.Node(ctx, n.Name)
		gone := fault.Is(err, fault.NodeNotFound)
		if err != nil && !gone {
			return err
		}
		if gone || neverRan(c) {
			err = upgradeContainer(n)(ctx, rc)
		} else if done, _ := hasVersion(ctx, rc, n); !done {
			err = event.Skip("its container is still the old one")
		}
		if err != nil {
			return err
		}
		return configureUpgraded(n, lead)(ctx, rc)
	}
}

// recordUpgrading records the version that the nodes are on their way to, so that nothing else is done to a cluster half-way.
func recordUpgrading(ctx context.Context, rc *Context) error {
	if rc.record.Upgrading == rc.Doc.KubernetesVersion {
		return event.Skip("it is on record")
	}
	next := rc.record
	next.Upgrading = rc.Doc.KubernetesVersion
	return rc.writeRecord(ctx, next)
}

// hasVersion reports whether the node's container is of the image that it is to have.
func hasVersion(ctx context.Context, rc *Context, n v1alpha1.Node) (bool, error) {
	c, err := rc.Engine.Node(ctx, n.Name)
	if fault.Is(err, fault.NodeNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !neverRan(c) && c.Labels[engine.LabelNodeImage] == rc.images[n.Name].Labels[engine.LabelNodeImage], nil
}

// neverRan reports whether a container has never been started, so that it may lack what a node boots with.
func neverRan(c engine.Node) bool { return isReader(c) || c.State == engine.StateCreated }

// unlessUpgraded returns the step that leaves out what a run which was cut off has done.
func unlessUpgraded(n v1alpha1.Node, do func(context.Context, *Context) error) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		done, err := hasVersion(ctx, rc, n)
		if err != nil {
			return err
		}
		if done {
			return event.Skip("its container is of the new image")
		}
		return do(ctx, rc)
	}
}

// uncordonPatience bounds the attempt to let pods onto a node again whose drain failed.
const uncordonPatience = 10 * time.Second

// drainToUpgrade returns the step that makes a node's pods go. Where they do not, the node takes pods as before.
func drainToUpgrade(node string, o ApplyOptions) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		err := drainNode(node, o)(ctx, rc)
		if err == nil || event.IsSkip(err) {
			return err
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), uncordonPatience)
		defer cancel()
		if left := uncordon(limited, rc, node); left != nil {
			reporter(ctx).Warn("`cove kubectl -- uncordon "+node+"` lets them onto it", "pods are still kept off node %s: %v", node, left)
		}
		return err
	}
}

// upgradeContainer returns the step that gives a node a container of its new image, with a kubelet that waits.
func upgradeContainer(n v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		return swapContainer(ctx, rc, n, func(ctx context.Context) ([]engine.File, error) {
			files, err := earlyFiles(ctx, rc, n)
			if err != nil {
				return nil, err
			}
			patch, err := upgradedPatch(rc, n)
			files = append(files, engine.File{Path: holdFile, Mode: 0o644})
			return append(files, patch...), err
		})
	}
}

// upgradeBalancer gives the load balancer the control planes' image, so that nothing is left of the old one. It must not be done while
// other control planes answer through it.
func upgradeBalancer(ctx context.Context, rc *Context) error {
	img, stale, err := staleBalancer(ctx, rc)
	if err != nil {
		return err
	}
	if !stale {
		return event.Skip("its container is of the new image")
	}
	rc.balancerImage = img
	return replaceBalancer(ctx, rc)
}

// staleBalancer reports whether the load balancer has another image than the first control plane, with the reference of that one.
func staleBalancer(ctx context.Context, rc *Context) (ref string, stale bool, err error) {
	names := controlPlanes(rc.Doc.Nodes())
	if len(names) == 0 || !rc.images[names[0]].native() {
		return "", false, nil
	}
	img := rc.images[names[0]]
	b, err := rc.Engine.Node(ctx, balancerName(rc.Name()))
	if fault.Is(err, fault.NodeNotFound) {
		return img.ref, true, nil
	}
	return img.ref, err == nil && b.Labels[engine.LabelNodeImage] != img.Labels[engine.LabelNodeImage], err
}

func orNone(s string) string {
	if s == "" {
		return "none that it tells of"
	}
	return s
}

// configureUpgraded returns the step that lets kubeadm write what the node's new version wants, and starts its kubelet. Control planes must
// come up without asking an API server, since there may be none without them: it is their own configuration that kubeadm reads, and not the
// cluster's.
func configureUpgraded(n v1alpha1.Node, lead bool) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		_, err := rc.Engine.ReadFile(ctx, n.Name, holdFile)
		held := !errors.Is(err, fs.ErrNotExist)
		if held && err != nil {
			return fault.Wrap(fault.EngineFailed, err, "cannot look into node %s", n.Name)
		}
		if n.Role == engine.RoleControlPlane && (held || lead) { // later steps read the lead's, too
			if err := putUpgradeConfig(ctx, rc, n, lead); err != nil {
				return err
			}
		}
		if !held {
			return event.Skip("its kubelet is up")
		}
		reporter(ctx).Waiting("containerd")
		if err := waitContainerd(ctx, rc.Engine, []engine.Node{{Name: n.Name}}); err != nil {
			return err
		}
		if n.Role != engine.RoleControlPlane {
			return startUpgraded(ctx, rc, n)
		}
		if err := writeManifests(ctx, rc, n); err != nil {
			return err
		}
		return upgradePhase(ctx, rc, n.Name, "init", "phase", "kubelet-start", "--config="+kubeadmConf)
	}
}

// startUpgraded gives a worker the cluster's settings of kubelets, and starts its kubelet.
func startUpgraded(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	patch, err := upgradedPatch(rc, n)
	if err != nil {
		return err
	}
	args := []string{"upgrade", "node", "phase", "kubelet-config"}
	if len(patch) > 0 {
		args = append(args, "--patches="+kubeadm.PatchesDir)
	}
	if err := patientPhase(ctx, rc, n.Name, args...); err != nil {
		return err
	}
	_, err = engine.Output(ctx, rc.Engine, n.Name, "systemctl", "start", "kubelet")
	return fault.Wrap(fault.NodeStart, err, "cannot start the kubelet of %s", n.Name)
}

// upgradedPatch is the file by which kubeadm adapts the settings of the node's kubelet, which only joined nodes have.
func upgradedPatch(rc *Context, n v1alpha1.Node) ([]engine.File, error) {
	return kubeletPatch(kubeadmCluster(rc, rc.Doc.KubernetesVersion, rc.images[n.Name]), kubeadmNode(rc, n))
}

// upgradePhase runs one part of kubeadm in a node.
func upgradePhase(ctx context.Context, rc *Context, node string, args ...string) error {
	reporter(ctx).Waiting("kubeadm %s", strings.Join(args[:min(4, len(args))], " "))
	err := runLogged(ctx, rc, node, append([]string{"kubeadm"}, args...)...)
	return fault.Wrap(fault.KubeadmUpgrade, err, "kubeadm could not bring %s to %s", node, rc.Doc.KubernetesVersion)
}

// putUpgradeConfig gives a control plane the configuration that kubeadm's phases of init read: the lead that of an init, as kubeadm keeps it in
// the cluster, the others one by which they stay registered as by their join.
func putUpgradeConfig(ctx context.Context, rc *Context, n v1alpha1.Node, lead bool) error {
	if rc.token == "" { // an init's must have one
		token, err := kubeadm.NewToken()
		if err != nil {
			return fault.Wrap(fault.Internal, err, "cannot make a bootstrap token")
		}
		rc.token = token
	}
	write := kubeadm.FounderConfig
	if lead {
		write = kubeadm.InitConfig
	}
	data, err := write(kubeadmCluster(rc, rc.Doc.KubernetesVersion, rc.images[n.Name]), kubeadmNode(rc, n))
	if err != nil {
		return err
	}
	if lead {
		rc.initConfig = data
	}
	return rc.Engine.PutFiles(ctx, n.Name, []engine.File{{Path: kubeadmConf, Mode: 0o600, Data: data}})
}

const etcdManifest = "/etc/kubernetes/manifests/etcd.yaml"

// writeManifests lets kubeadm write the static pods of a control plane anew. What they say of etcd's members is kept.
func writeManifests(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	before, err := rc.Engine.ReadFile(ctx, n.Name, etcdManifest)
	if err != nil {
		return fault.Wrap(fault.ClusterIncomplete, err, "control plane %s has no %s", n.Name, etcdManifest)
	}
	for _, phase := range [][]string{{"control-plane", "all"}, {"etcd", "local"}} {
		if err := upgradePhase(ctx, rc, n.Name, "init", "phase", phase[0], phase[1], "--config="+kubeadmConf); err != nil {
			return err
		}
	}
	after, err := rc.Engine.ReadFile(ctx, n.Name, etcdManifest)
	if err != nil {
		return fault.Wrap(fault.ClusterIncomplete, err, "kubeadm has left control plane %s without %s", n.Name, etcdManifest)
	}
	merged := keepMembers(string(before), string(after))
	return rc.Engine.PutFiles(ctx, n.Name, []engine.File{{Path: etcdManifest, Mode: 0o600, Data: []byte(merged)}})
}

// keepMembers returns the manifest after with the members that the one before has: kubeadm writes one for a cluster of one.
func keepMembers(before, after string) string {
	const members, state = "--initial-cluster=", "--initial-cluster-state="
	argument := func(line, flag string) bool {
		return strings.HasPrefix(strings.TrimPrefix(strings.TrimSpace(line), "- "), flag)
	}
	var kept []string
	for line := range strings.Lines(before) {
		if argument(line, members) || argument(line, state) {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		return after
	}
	var out strings.Builder
	for line := range strings.Lines(after) {
		switch {
		case argument(line, members):
			out.WriteString(strings.Join(kept, ""))
		case argument(line, state):
		default:
			out.WriteString(line)
		}
	}
	return out.String()
}

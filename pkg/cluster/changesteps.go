package cluster

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/kubeadm"
)

const (
	// stopGrace is what a node's PID 1 gets to end its pods; cove's own needs 8 s at most.
	stopGrace = 10 * time.Second
	// joinTTL is how long a token of a run is good.
	joinTTL = time.Hour
)

// startContainer returns the step that starts a container that is there.
func startContainer(name string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		if err := wake(ctx, rc.Engine, name); err != nil {
			return fault.Wrap(fault.NodeStart, err, "cannot start node %s", name)
		}
		return nil
	}
}

// startVoter returns the step that starts a control plane which is to go, because etcd may have no majority without it. Where it cannot be
// started, the others may be enough.
func startVoter(name string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		err := wake(ctx, rc.Engine, name)
		if err != nil && ctx.Err() == nil && !fault.Is(err, fault.EngineUnreachable) {
			reporter(ctx).Warn("", "control plane %s, which is to go, does not start: %v", name, err)
			return nil
		}
		return err
	}
}

// wake brings a container to run, whatever its state, and lets the engine keep it up.
func wake(ctx context.Context, e engine.Engine, name string) error {
	n, err := e.Node(ctx, name)
	if err != nil {
		return err
	}
	if err := e.KeepDown(ctx, name, false); err != nil {
		return err
	}
	switch n.State {
	case engine.StateRunning, engine.StateRestarting:
		return nil
	case engine.StatePaused:
		return e.ResumeNode(ctx, name)
	case engine.StateCreated, engine.StateExited, engine.StateDead:
	}
	return e.StartNode(ctx, name)
}

// makeToken makes a bootstrap token for the nodes that join in this run.
func makeToken(ctx context.Context, rc *Context) error {
	token, err := kubeadm.NewToken()
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot make a bootstrap token")
	}
	rc.token = token
	return rc.kube.CreateBootstrapToken(ctx, token, joinTTL)
}

// drainNode returns the step that makes a node's pods go. A node that does not run, or that Kubernetes does not know, has none
// that could be asked.
func drainNode(name string, o ApplyOptions) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		n, err := rc.Engine.Node(ctx, name)
		if fault.Is(err, fault.NodeNotFound) || err == nil && n.State != engine.StateRunning {
			return event.Skip("it does not run")
		}
		if err != nil {
			return err
		}
		rep := reporter(ctx)
		return rc.kube.Drain(ctx, name, kube.DrainOptions{Timeout: o.drainTimeout(), Force: o.Force}, func(s string) { rep.Waiting("%s", s) })
	}
}

// drainReady returns the step that drains a node which is to be made anew. Where its kubelet is away nobody would end its pods.
func drainReady(name string, o ApplyOptions) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		nodes, err := rc.kube.Nodes(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(nodes, func(n kube.NodeInfo) bool { return n.Name == name && n.Ready }) {
			return event.Skip("it is not Ready")
		}
		return drainNode(name, o)(ctx, rc)
	}
}

// undoDrain lets pods onto a node again that stays, where the run cordoned it.
func undoDrain(name string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		if !rc.record.has(name) || rc.kube == nil {
			return event.Skip("it is no node of the cluster any more")
		}
		return uncordon(ctx, rc, name)
	}
}

// removeNode returns the step that removes a node's container, and then its volumes.
func removeNode(name string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		if err := rc.Engine.RemoveNode(ctx, name); err != nil {
			return err
		}
		volumes, err := rc.Engine.Volumes(ctx, engine.Selector{Cluster: rc.Name()})
		if err != nil {
			return err
		}
		for _, v := range volumes {
			if v.Node == name {
				if err := rc.Engine.RemoveVolume(ctx, v.Name); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// replaceContainer returns the step that gives a node a new container on its own volumes, with its own address.
func replaceContainer(n v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		files := func(ctx context.Context) ([]engine.File, error) {
			manifests, err := proxiedManifests(ctx, rc, n)
			if err != nil {
				return nil, err
			}
			early, err := earlyFiles(ctx, rc, n)
			return append(early, manifests...), err
		}
		if err := swapContainer(ctx, rc, n, files); err != nil {
			return err
		}
		return waitRuntime(ctx, rc, n)
	}
}

// unlikeVolumes returns the files without those that the node's volumes have as they are to be: a run that is killed while it writes a
// key would leave half of it, and there may be no other.
func unlikeVolumes(ctx context.Context, e engine.Access, node string, files []engine.File) ([]engine.File, error) {
	same := make([]bool, len(files))
	group, ctx := errgroup.WithContext(ctx)
	for i, f := range files {
		if !slices.ContainsFunc(volumes(node), func(v engine.VolumeMount) bool { return strings.HasPrefix(f.Path, v.Target+"/") }) {
			continue
		}
		group.Go(func() error {
			data, err := e.ReadFile(ctx, node, f.Path)
			same[i] = err == nil && bytes.Equal(data, f.Data)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	var unlike []engine.File
	for i, f := range files {
		if !same[i] {
			unlike = append(unlike, f)
		}
	}
	return unlike, err
}

// swapContainer gives a node a new container that boots with these files.
func swapContainer(ctx context.Context, rc *Context, n v1alpha1.Node, files func(context.Context) ([]engine.File, error)) error {
	err := rc.Engine.StopNode(ctx, n.Name, stopGrace)
	if err != nil && !fault.Is(err, fault.NodeNotFound) {
		return err
	}
	if err := rc.Engine.RemoveNode(ctx, n.Name); err != nil {
		return err
	}
	err = startNode{node: n}.createAndStart(ctx, rc, func(ctx context.Context) ([]engine.File, error) {
		list, err := files(ctx)
		if err != nil {
			return nil, err
		}
		return unlikeVolumes(ctx, rc.Engine, n.Name, list)
	})
	return fault.Wrap(fault.NodeStart, err, "cannot replace the container of node %s", n.Name)
}

// replaceBalancer puts a new load balancer in the place of the old one. Where its port has been taken meanwhile and nobody
// asked for that port, it gets another one, and the kubeconfig follows.
func replaceBalancer(ctx context.Context, rc *Context) error {
	name := balancerName(rc.Name())
	if err := rc.Engine.RemoveNode(ctx, name); err != nil {
		return err
	}
	files := func(context.Context) ([]engine.File, error) {
		return balancerFiles(rc, controlPlanes(rc.record.nodes()))
	}
	spec := balancerSpec(rc)
	err := startPublished(ctx, rc, spec, false, files)
	if fault.Is(err, fault.PortTaken) && rc.Doc.Cluster.Networking.APIServerPort == 0 {
		reporter(ctx).Warn("the context in the kubeconfig follows", "port %d of the API has been taken by something else", spec.Ports[0].HostPort)
		if err := rc.Engine.RemoveNode(ctx, name); err != nil {
			return err
		}
		spec.Ports[0].HostPort = 0
		err = startPublished(ctx, rc, spec, true, files)
	}
	if err != nil {
		return fault.Wrap(fault.NodeStart, err, "cannot start the load balancer")
	}
	gateway, err := rc.Engine.Node(ctx, name)
	rc.record.APIPort = publishedAPI(gateway).Port()
	return err
}

// setLabels returns the step that gives a node its labels and taints.
func setLabels(r relabel) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		return rc.kube.SetNode(ctx, r.node, r.labels, kubeTaints(r.add), kubeTaints(r.remove))
	}
}

func kubeTaints(list []v1alpha1.Taint) []kube.Taint {
	out := make([]kube.Taint, len(list))
	for i, t := range list {
		out[i] = kube.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect}
	}
	return out
}

// recordNodes returns the step that records nodes which are whole now; the token that they joined by has done its work.
func (d *delta) recordNodes(nodes []v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		next := rc.record.without(nodes)
		next.Document.SetNodes(slices.Concat(nodesOf(*next.Document), nodes))
		if err := rc.writeRecord(ctx, next); err != nil {
			return err
		}
		return dropToken(ctx, rc)
	}
}

// forgetNodes returns the step that records that nodes are no part of the cluster any more: all together, because some numbers of
// control planes are none that a document may have.
func (d *delta) forgetNodes(nodes []v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error { return rc.writeRecord(ctx, rc.record.without(nodes)) }
}

// missNodes returns the step that records that nodes are whole no more, and wanted all the same.
func (d *delta) missNodes(nodes []v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		next := rc.record
		next.Missing = slices.Clone(next.Missing)
		for _, n := range nodes {
			if !slices.Contains(next.Missing, n.Name) {
				next.Missing = append(next.Missing, n.Name)
			}
		}
		return rc.writeRecord(ctx, next)
	}
}

// writeRecord writes the next record to the control planes that are there.
func (rc *Context) writeRecord(ctx context.Context, next created) error {
	var there []string
	for _, name := range controlPlanes(next.nodes()) {
		if _, err := rc.Engine.Node(ctx, name); err == nil {
			there = append(there, name)
		}
	}
	if len(there) == 0 {
		return fault.New(fault.ClusterIncomplete, "no container of a control plane of cluster %q is left", rc.Name())
	}
	next.Run, next.Subnet, next.Subnet6 = rc.Emitter.Run(), rc.network.Subnet, rc.network.Subnet6
	if err := next.write(ctx, rc.Engine, there); err != nil {
		return err
	}
	rc.record = next
	return nil
}

// recordDocument records the document that the cluster follows from now on.
func (d *delta) recordDocument(ctx context.Context, rc *Context) error {
	next := rc.record
	next.Document, next.KubernetesVersion, next.Upgrading, next.Missing = rc.Doc.DeepCopy(), rc.Doc.KubernetesVersion, "", nil
	next.Unsettled = unsettled{}
	return rc.writeRecord(ctx, next)
}

// waitBack returns the step that waits until nodes, whose containers were started anew, and their pods are back. What
// Kubernetes has of them from before does not count.
func waitBack(names []string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		rep := reporter(ctx)
		report := func(s string) { rep.Waiting("%s", s) }
		if err := rc.kube.WaitAPI(ctx, report); err != nil {
			return fault.Wrap(fault.APITimeout, err, "the API server of cluster %s does not answer", rc.Name())
		}
		since, err := waitFresh(ctx, rc, names)
		if err != nil || noCNI(rc.Doc) {
			return err
		}
		if err := rc.kube.WaitPodsBack(ctx, since, systemNamespace, report); err != nil {
			return fault.Wrap(fault.NotReady, err, "the pods did not come back")
		}
		return waitUsersPods(ctx, rc, since, report)
	}
}

// waitFresh waits until nodes are Ready that were started anew, and returns when each was. Without a pod network they never are.
func waitFresh(ctx context.Context, rc *Context, names []string) (map[string]time.Time, error) {
	rep := reporter(ctx)
	since := map[string]time.Time{}
	for _, name := range names {
		n, err := rc.Engine.Node(ctx, name)
		if err != nil {
			return nil, err
		}
		since[name] = n.StartedAt
	}
	if noCNI(rc.Doc) {
		return since, nil
	}
	err := rc.kube.WaitNodesFresh(ctx, names, since, func(s string) { rep.Waiting("%s", s) })
	return since, fault.Wrap(fault.NotReady, err, "the nodes did not come back")
}

// usersPods is how long the users' own pods are waited for: what they wait for may be anything.
const usersPods = time.Minute

// waitUsersPods waits for the pods outside of the system's namespaces, and tells where they do not come back.
func waitUsersPods(ctx context.Context, rc *Context, since map[string]time.Time, report func(string)) error {
	waitCtx, cancel := context.WithTimeout(ctx, usersPods)
	defer cancel()
	err := rc.kube.WaitPodsBack(waitCtx, since, func(ns string) bool { return !systemNamespace(ns) }, report)
	if err == nil || ctx.Err() != nil {
		return err
	}
	reporter(ctx).Warn("`cove kubectl -- get pods -A` shows them", "not all pods are ready again: %v", err)
	return nil
}

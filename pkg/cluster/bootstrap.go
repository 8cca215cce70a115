package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/kubeadm"
	"github.com/cove-k8s/cove/pkg/wait"
)

// runtimePoll is how often an image of kind's layout, which has nothing to wait on, is asked whether it has booted.
const runtimePoll = 100 * time.Millisecond

// waitRuntime returns when kubeadm may run in the node. Cove's own PID 1 starts the kubelet by itself when its time has
// come; an image of kind's layout boots systemd first, and kubeadm speaks to that.
func waitRuntime(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	if rc.images[n.Name].native() {
		return nil
	}
	rep := reporter(ctx)
	err := wait.Until(ctx, runtimePoll, func(s string) { rep.Waiting("%s", s) }, wait.Condition{
		Name: "containerd on " + n.Name,
		Check: func(ctx context.Context) (bool, string, error) {
			now, err := rc.Engine.Node(ctx, n.Name)
			if err != nil {
				return false, "", err
			}
			if now.State != engine.StateRunning {
				return false, "", fault.New(fault.NodeExited, "node %s stopped by itself with status %d", n.Name, now.ExitCode)
			}
			out, err := engine.Output(ctx, rc.Engine, n.Name, "systemctl", "is-active", "containerd")
			if e := (*engine.ExitError)(nil); errors.As(err, &e) {
				return false, strings.TrimSpace(e.Output), nil
			}
			return err == nil, strings.TrimSpace(out), err
		},
	})
	return fault.Wrap(fault.NodeStart, err, "node %s did not boot", n.Name)
}

// initControlPlane returns the step that runs kubeadm init.
func initControlPlane(n v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		err := runLogged(ctx, rc, n.Name, "kubeadm", "init", "--config="+kubeadmConf, "--skip-token-print", "--v=5")
		if err != nil {
			return fault.Wrap(fault.KubeadmInit, err, "kubeadm could not start the control plane on %s", n.Name)
		}
		close(rc.initOK)
		return labelByAPI(ctx, rc, n)
	}
}

// labelByAPI gives a node those of its labels that a kubelet may not give its own node. Where cove makes the Node object they are in it;
// elsewhere the kubelet makes it.
func labelByAPI(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	labels := map[string]*string{}
	for key, value := range n.Labels {
		if !kubeadm.IsKubeletLabel(key) {
			labels[key] = &value
		}
	}
	if len(labels) == 0 {
		return nil
	}
	if err := await(ctx, rc.apiUp); err != nil {
		return err
	}
	rep := reporter(ctx)
	err := wait.Until(ctx, runtimePoll, func(s string) { rep.Waiting("%s", s) }, wait.Condition{
		Name: "node " + n.Name,
		Check: func(ctx context.Context) (bool, string, error) {
			nodes, err := rc.kube.Nodes(ctx)
			if err != nil {
				return false, err.Error(), nil //nolint:nilerr // it may pass
			}
			return slices.ContainsFunc(nodes, func(i kube.NodeInfo) bool { return i.Name == n.Name }), "it is not registered", nil
		},
	})
	if err != nil {
		return err
	}
	return rc.kube.SetNode(ctx, n.Name, labels, nil, nil)
}

// joinNode returns the step that brings a node to a cluster that another one begins: by kubeadm join once the first control plane has all that a join reads. Control planes join
// together: etcd takes in one member after the other, and kubeadm waits for its turn.
func joinNode(n v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		if rc.founds(n.Name) {
			if err := startFounder(ctx, rc, n); err != nil {
				return err
			}
			return labelByAPI(ctx, rc, n)
		}
		reporter(ctx).Waiting("the control plane")
		if err := await(ctx, rc.apiUp); err != nil {
			return err
		}
		if err := preregister(ctx, rc, n); err != nil {
			return err
		}
		if err := await(ctx, rc.initOK); err != nil {
			return err
		}
		reporter(ctx).Waiting("kubeadm")
		err := runLogged(ctx, rc, n.Name, "kubeadm", "join", "--config="+kubeadmConf, "--v=5")
		if err != nil {
			return fault.Wrap(fault.KubeadmJoin, err, "kubeadm could not join %s", n.Name)
		}
		if err := wakeKubelet(ctx, rc, n); err != nil {
			return err
		}
		return labelByAPI(ctx, rc, n)
	}
}

// wakeKubelet restarts the kubelet of a control plane that has joined. It has been there longer than the API server of its node, which is
// the one that it asks, and has tried in vain more and more seldom: the first pods would meet a kubelet that has not read the services yet,
// and wait for 15 s. What runs goes on.
func wakeKubelet(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	if n.Role != engine.RoleControlPlane || !rc.images[n.Name].native() {
		return nil
	}
	_, err := engine.Output(ctx, rc.Engine, n.Name, "systemctl", "restart", "kubelet")
	return fault.Wrap(fault.NodeStart, err, "cannot restart the kubelet of %s", n.Name)
}

// tokenPatience bounds how long a run tries to remove its token, which ends by itself in an hour.
const tokenPatience = 5 * time.Second

// dropToken removes the token that nodes joined by. That it cannot is told, and fails no run.
func dropToken(ctx context.Context, rc *Context) error {
	limited, cancel := context.WithTimeout(ctx, tokenPatience)
	defer cancel()
	err := rc.kube.DeleteBootstrapToken(limited, rc.token)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Cause(ctx)
	}
	rc.Emitter.Warn("", "the token that nodes joined by is still there, and ends by itself within an hour: %v", err)
	return nil
}

// preregister makes the Node object ahead of its kubelet, with the shares of the pod subnets that the node's own
// network configuration was written for. The controller manager respects them, and the kubelet takes the object over.
func preregister(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	if !sharesPods(rc, n) {
		return nil
	}
	o, err := nodeObject(rc, n)
	if err != nil {
		return err
	}
	err = rc.kube.CreateNodeObject(ctx, o)
	return fault.Wrap(fault.KubernetesRefused, err, "cannot register node %s", n.Name)
}

// sharesPods reports whether cove decides on the node's share of the pod subnet.
func sharesPods(rc *Context, n v1alpha1.Node) bool {
	return rc.images[n.Name].native() && !rc.Doc.Cluster.Networking.DisableDefaultCNI
}

// nodeObject returns the Node as its kubelet would register it, with its shares.
func nodeObject(rc *Context, n v1alpha1.Node) (kube.NodeObject, error) {
	shares, err := podCIDRs(rc.Doc, rc.places[n.Name].share)
	if err != nil {
		return kube.NodeObject{}, err
	}
	img, info := rc.images[n.Name], rc.engineInfo()
	registration := kubeadm.JoinRegistration
	if n.Name == rc.first {
		registration = kubeadm.InitRegistration
	}
	labels, taints, err := registration(kubeadmCluster(rc, img.facts.KubernetesVersion, img), kubeadmNode(rc, n))
	if err != nil {
		return kube.NodeObject{}, err
	}
	o := kube.NodeObject{
		Name: n.Name, PodCIDRs: shares, Labels: wellKnownLabels(n.Name, labels, info.Architecture),
	}
	for _, t := range taints {
		o.Taints = append(o.Taints, kube.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
	}
	if n.Role == engine.RoleControlPlane {
		o.Room = &kube.Room{CPUs: info.CPUs, Memory: info.MemoryBytes}
	}
	return o, nil
}

// wellKnownLabels adds to the node's labels those that its kubelet would give it. They must be there from the start: pods
// of DaemonSets that select by them are bound to the node at once, and a kubelet that does not know its own labels yet
// would refuse them for good.
func wellKnownLabels(node string, labels map[string]string, arch string) map[string]string {
	labels = maps.Clone(labels)
	labels["kubernetes.io/hostname"] = node
	for _, prefix := range []string{"", "beta."} {
		labels[prefix+"kubernetes.io/os"] = "linux"
		labels[prefix+"kubernetes.io/arch"] = arch
	}
	return labels
}

// keptOutput bounds what an error keeps of a command's output: its end says why it failed.
const keptOutput = 16 << 10

// runLogged runs a command in a node; its lines go to the step's log, and the end of them into the error.
func runLogged(ctx context.Context, rc *Context, node string, args ...string) error {
	lines := &lineWriter{rep: reporter(ctx)}
	err := rc.Engine.Exec(ctx, node, engine.Command{Args: args, Stdout: lines, Stderr: lines})
	lines.flush()
	if e := (*engine.ExitError)(nil); errors.As(err, &e) {
		e.Output = string(lines.kept)
	}
	return err
}

// lineWriter hands on whole lines to a reporter, and keeps the last of them.
type lineWriter struct {
	rep  *event.Reporter
	part []byte
	kept []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.part = append(w.part, p...)
	for {
		line, rest, ok := bytes.Cut(w.part, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		w.line(line)
		w.part = rest
	}
}

func (w *lineWriter) line(line []byte) {
	w.rep.Log(string(line))
	w.kept = append(append(w.kept, line...), '\n')
	if over := len(w.kept) - keptOutput; over > 0 {
		w.kept = w.kept[over:]
	}
}

func (w *lineWriter) flush() {
	if len(w.part) > 0 {
		w.line(w.part)
		w.part = nil
	}
}

var _ io.Writer = (*lineWriter)(nil)

// waitAPI makes the client, waits until the API answers it, and lets those go who wait for that.
func waitAPI(ctx context.Context, rc *Context) error {
	client, err := connect(ctx, rc)
	if err != nil {
		return err
	}
	rep := reporter(ctx)
	if err := client.WaitAPI(ctx, func(s string) { rep.Waiting("%s", s) }); err != nil {
		return fault.Wrap(fault.APITimeout, err, "the API server of cluster %s does not answer", rc.Name())
	}
	rc.kube = client
	if err := registerFounders(ctx, rc); err != nil {
		return err
	}
	close(rc.apiUp)
	return nil
}

// adminTTL is how long cove's own certificate for a run is good: it stays in memory, and ends soon after the run.
const adminTTL = time.Hour

// connect makes a client with all rights from the cluster's CA, whose key only this run and the control plane have.
func connect(ctx context.Context, rc *Context) (Kube, error) {
	cert, key, err := rc.ca.ClientCert("cove", []string{"system:masters"}, adminTTL)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot make a client certificate")
	}
	node, err := rc.Engine.Node(ctx, rc.gateway())
	if err != nil {
		return nil, err
	}
	o := kube.Options{
		Server: fmt.Sprintf("https://%s:%d", endpointName(rc.Name()), apiServerPort), ServerName: endpointName(rc.Name()),
		CA: rc.ca.CertPEM(), Cert: cert, Key: key, Dial: dialer(rc.Engine, rc.engineInfo(), node),
	}
	return rc.Connect(o)
}

// await waits for a channel to be closed.
func await(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

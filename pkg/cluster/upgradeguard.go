package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/wait"
)

// upgradable refuses an upgrade that would stop in the middle.
func (d *delta) upgradable() error {
	if d.to == "" {
		return nil
	}
	for _, n := range nodesOf(d.doc) {
		if err := d.upgradableNode(n); err != nil {
			return err
		}
	}
	return nil
}

func (d *delta) upgradableNode(n v1alpha1.Node) error {
	container, there := d.was.node(n.Name)
	there = there && !isReader(container)
	lost, upgraded := named(d.lost, n.Name), named(d.upgrade, n.Name)
	controls := n.Role == engine.RoleControlPlane
	switch {
	case controls && (lost || upgraded && (!there || neverRan(container))):
		return d.quorumFor(n, lost)
	case upgraded && there && container.Labels[engine.LabelNodeImage] == "":
		return fault.New(fault.ConfigUnsupported, "cannot bring cluster %q to Kubernetes %s: the image %s of node %s is not cove's own", d.doc.Name, d.to, container.Image, n.Name).
			WithHint("make a new cluster of %s", d.to)
	case upgraded || named(d.add, n.Name):
		return nil
	case controls:
		return fault.New(fault.ConfigUnsupported, "cannot bring cluster %q to Kubernetes %s: control plane %s keeps its own image %s", d.doc.Name, d.to, n.Name, n.Image).
			WithHint("take the image out of the document, or give one of %s", d.to)
	case there:
		return d.staysBehind(n, container.Image, ImageKubernetesVersion(engine.Image{Labels: container.Labels}))
	}
	return nil
}

func named(nodes []v1alpha1.Node, name string) bool {
	return slices.ContainsFunc(nodes, func(n v1alpha1.Node) bool { return n.Name == name })
}

// quorumFor refuses to begin with an upgrade while a control plane is lost, or has no container that could be started: etcd counts on it
// all the same, and has no majority any more when the next one is replaced. The only control plane comes back with its upgrade, and what an
// upgrade that was cut off has left goes on with it.
func (d *delta) quorumFor(n v1alpha1.Node, lost bool) error {
	if d.was.record.Upgrading != "" || len(controlPlanes(d.was.record.nodes())) == 1 {
		return nil
	}
	if lost {
		return fault.New(fault.ClusterNotRunning, "cannot bring cluster %q to Kubernetes %s: the data of control plane %s is lost, and etcd would have no majority while others are replaced", d.doc.Name, d.to, n.Name).
			WithHint("make it anew first: `cove node replace %s --name %s`", n.Name, d.doc.Name)
	}
	return fault.New(fault.ClusterNotRunning, "cannot bring cluster %q to Kubernetes %s: control plane %s has no container that could be started, and etcd would have no majority while others are replaced", d.doc.Name, d.to, n.Name).
		WithHint("bring it back first: `cove apply %s`", d.doc.Name)
}

// staysBehind refuses a worker that keeps an image which is too old for what the cluster is brought to. What its image says of itself counts:
// its name may say nothing.
func (d *delta) staysBehind(n v1alpha1.Node, image, has string) error {
	problem := config.SkewProblem(image, has, d.to)
	if problem == "" {
		return nil
	}
	return fault.New(fault.ConfigUnsupported, "cannot bring cluster %q to Kubernetes %s: node %s: %s", d.doc.Name, d.to, n.Name, problem).
		WithHint("take the node's image out of the document, or name a newer one")
}

// fitting refuses images whose own word for their version is another one than an upgrade wants, before anything is touched.
func (d *delta) fitting(rc *Context) error {
	if d.to == "" {
		return nil
	}
	for _, n := range d.touched() {
		img := rc.images[n.Name]
		got := img.facts.KubernetesVersion
		if !named(d.upgrade, n.Name) {
			if err := d.staysBehind(n, img.ref, got); err != nil {
				return err
			}
			continue
		}
		if got != d.to {
			return fault.New(fault.ConfigInvalid, "image %s of node %s has Kubernetes %s, and not %s", img.ref, n.Name, orNone(got), d.to).
				WithHint("leave the image out, or name one of that version")
		}
	}
	return nil
}

const (
	// othersPatience is how long the other control planes have to be whole: they may have been started a moment ago.
	othersPatience = 2 * time.Minute
	othersPace     = time.Second
)

// planOthers keeps a control plane that is one of several from being touched while another one is not whole.
func (d *delta) planOthers(stage stageFunc, n v1alpha1.Node) {
	if n.Role == engine.RoleControlPlane && len(controlPlanes(d.was.record.nodes())) > 1 {
		stage("upgrade", step{"upgrade/" + n.Name + "/others", "The control planes beside " + n.Name + " are whole", unlessUpgraded(n, othersWhole(n))})
	}
}

// othersWhole returns the step before a control plane is drained and replaced. While it has no container, etcd's majority is the others'.
func othersWhole(n v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		others := slices.DeleteFunc(controlPlanes(rc.record.nodes()), func(name string) bool { return name == n.Name })
		if len(others) == 0 {
			return event.Skip("it is the only control plane")
		}
		rep := reporter(ctx)
		limited, cancel := context.WithTimeout(ctx, othersPatience)
		defer cancel()
		err := wait.Until(limited, othersPace, func(s string) { rep.Waiting("%s", s) }, wait.Condition{
			Name: "the other control planes to be whole",
			Check: func(ctx context.Context) (bool, string, error) {
				lack, err := lacking(ctx, rc, others)
				return lack == "" && err == nil, lack, err
			},
		})
		if unmet := (*wait.UnmetError)(nil); !errors.As(err, &unmet) {
			return err
		}
		e := fault.New(fault.NotReady, "cannot replace control plane %s: etcd would have no majority meanwhile", n.Name).
			WithHint("`cove status %s` shows what is wrong; `cove node replace NODE --name %s` makes a control plane anew that does not come back", rc.Name(), rc.Name())
		e.Err = err
		return e
	}
}

// lacking says what control planes lack to be whole, "" where nothing: Kubernetes hears of them, each has an etcd that the majority listens
// to, and etcd counts on nobody else. An error is the engine's.
func lacking(ctx context.Context, rc *Context, names []string) (string, error) {
	nodes, err := rc.kube.Nodes(ctx)
	if err != nil {
		return err.Error(), nil //nolint:nilerr // it may answer the next time
	}
	for _, name := range names {
		i := slices.IndexFunc(nodes, func(k kube.NodeInfo) bool { return k.Name == name })
		switch {
		case i < 0:
			return fmt.Sprintf("node %s is not known to Kubernetes", name), nil
		case !nodes[i].Ready && !noCNI(rc.Doc): // without a pod network they never are
			return fmt.Sprintf("node %s is not Ready: %s", name, nodes[i].Reason), nil
		}
		switch c, err := rc.Engine.Node(ctx, name); {
		case fault.Is(err, fault.NodeNotFound) || err == nil && c.State != engine.StateRunning:
			return "the container of " + name + " does not run", nil
		case err != nil:
			return "", err
		}
		if _, err := etcdctl(ctx, rc.Engine, name, "endpoint", "health"); err != nil {
			return etcdLacks(err)
		}
	}
	members, err := etcdMembers(ctx, rc.Engine, names[0])
	if err != nil {
		return etcdLacks(err)
	}
	for _, m := range members {
		if !slices.Contains(controlPlanes(rc.record.nodes()), m.Name) {
			return fmt.Sprintf("etcd counts on a member that is no control plane's: %s %s", orNone(m.Name), strings.Join(m.PeerURLs, " ")), nil
		}
	}
	return "", nil
}

// etcdLacks tells what etcd says of itself, which may change, from an engine that fails.
func etcdLacks(err error) (string, error) {
	exit := (*engine.ExitError)(nil)
	if errors.As(err, &exit) || fault.Is(err, fault.KubernetesRefused) {
		return err.Error(), nil
	}
	return "", err
}

package cluster

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeadm"
)

// The control planes of a new cluster start together, where nothing speaks against it: their addresses and keys are known before
// they run, so that none has to wait for another one's API, and etcd need not take them in one by one.

// chooseFounders returns the control planes that start together; nil where there is one, or where they must join one another: on images
// of kind's layout, with versions that differ, or by the document's patches.
func chooseFounders(rc *Context) []string {
	var nodes []kubeadm.Node
	var names []string
	version := rc.images[rc.first].facts.KubernetesVersion
	for _, n := range rc.Doc.Nodes() {
		if n.Role != engine.RoleControlPlane {
			continue
		}
		if img := rc.images[n.Name]; !img.native() || img.facts.KubernetesVersion != version {
			return nil
		}
		names = append(names, n.Name)
		nodes = append(nodes, kubeadm.Node{Name: n.Name, Patches: n.KubeadmConfigPatches, JSON6902Patches: n.KubeadmConfigPatchesJSON6902})
	}
	c := kubeadm.Cluster{Patches: rc.Doc.Cluster.KubeadmConfigPatches, JSON6902Patches: rc.Doc.Cluster.KubeadmConfigPatchesJSON6902}
	if len(names) < 2 || !kubeadm.CanFound(c, nodes) {
		return nil
	}
	return names
}

// founds reports whether the node is one of those that start together.
func (rc *Context) founds(node string) bool { return slices.Contains(rc.founders, node) }

// startFounder makes a node the control plane that it is from the cluster's start.
func startFounder(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	if err := runLogged(ctx, rc, n.Name, "kubeadm", "init", "--config="+kubeadmConf, "--skip-token-print", "--v=5"); err != nil {
		return fault.Wrap(fault.KubeadmInit, err, "kubeadm could not start the control plane on %s", n.Name)
	}
	return nil
}

// registerFounders gives the nodes that start together their shares of the pod subnet. Their kubelets may have registered them already; the
// controller manager, which would give them out in the order in which it sees the nodes, must be chosen first, which takes longer.
func registerFounders(ctx context.Context, rc *Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range rc.Doc.Nodes() {
		if rc.founds(n.Name) {
			group.Go(func() error { return preregister(ctx, rc, n) })
		}
	}
	return group.Wait()
}

// forgetFounders is the step that lets etcd's later members join: what is kept for them must not say how the first ones began.
func forgetFounders(ctx context.Context, rc *Context) error {
	if len(rc.founders) == 0 {
		return event.Skip("they joined already")
	}
	return rc.kube.PatchConfigMap(ctx, "kube-system", "kubeadm-config", func(data map[string]string) error {
		changed, err := kubeadm.ForgetFounders([]byte(data["ClusterConfiguration"]))
		data["ClusterConfiguration"] = string(changed)
		return err
	})
}

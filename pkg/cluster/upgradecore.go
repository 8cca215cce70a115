package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/wait"
)

// upgradeCluster returns the step that follows the first control plane: what kubeadm keeps in the cluster, its rights, and
// kube-proxy and DNS of the new version. The nodes that are still of the old one do not have the new kube-proxy's image, so
// each gets its pod when its turn has come.
func upgradeCluster(lead v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		rep := reporter(ctx)
		if err := rc.kube.WaitAPI(ctx, func(s string) { rep.Waiting("%s", s) }); err != nil {
			return fault.Wrap(fault.APITimeout, err, "the API server of cluster %s did not come back", rc.Name())
		}
		for _, phase := range [][]string{{"upload-config", "all"}, {"bootstrap-token"}} {
			args := append([]string{"init", "phase"}, phase...)
			if err := patientPhase(ctx, rc, lead.Name, append(args, "--config="+kubeadmConf)...); err != nil {
				return err
			}
		}
		if err := dropToken(ctx, rc); err != nil { // nobody joins by it
			return err
		}
		return applyCoreOf(ctx, rc, lead.Name, func(o *unstructured.Unstructured) error {
			if o.GetKind() != "DaemonSet" {
				return nil
			}
			return unstructured.SetNestedMap(o.Object, map[string]any{"type": "OnDelete"}, "spec", "updateStrategy")
		})
	}
}

const (
	phasePatience = time.Minute
	phasePace     = time.Second
)

// patientPhase runs a part of kubeadm that asks the API, and may do so again. An API server that has just started may refuse what it
// allows a moment later, when it has read all roles; kubeadm takes that for a missing role and gives up.
func patientPhase(ctx context.Context, rc *Context, node string, args ...string) error {
	limited, cancel := context.WithTimeout(ctx, phasePatience)
	defer cancel()
	var last error
	err := wait.Until(limited, phasePace, nil, wait.Condition{Name: "kubeadm", Check: func(ctx context.Context) (bool, string, error) {
		err := upgradePhase(ctx, rc, node, args...)
		if exit := (*engine.ExitError)(nil); err == nil || !errors.As(err, &exit) {
			return err == nil, "", err
		}
		last = err
		return false, "it failed, and is tried again", nil
	}})
	if err != nil && ctx.Err() == nil && last != nil {
		return last
	}
	return err
}

// applyUpgradedCore returns the step that applies kube-proxy and DNS as kubeadm writes them.
func applyUpgradedCore(lead string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		return applyCoreOf(ctx, rc, lead, func(*unstructured.Unstructured) error { return nil })
	}
}

// applyCoreOf applies what kubeadm of that control plane brings to every cluster, adapted.
func applyCoreOf(ctx context.Context, rc *Context, node string, adapt func(*unstructured.Unstructured) error) error {
	objs, err := coreManifests(ctx, rc, node)
	if err != nil {
		return err
	}
	for _, o := range objs {
		if err := adapt(o); err != nil {
			return fault.Wrap(fault.Internal, err, "cannot adapt %s", kube.RefOf(o))
		}
	}
	reporter(ctx).Waiting("%d objects", len(objs))
	applied, err := rc.kube.Apply(ctx, objs)
	rc.core = kube.Pending(applied)
	return fault.Wrap(fault.AddonFailed, err, "cannot apply kube-proxy and DNS")
}

// upgradedBack returns the step that waits for an upgraded node, and lets pods onto it again, unless somebody else keeps them off.
func upgradedBack(n v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		rep := reporter(ctx)
		if err := rc.kube.WaitAPI(ctx, func(s string) { rep.Waiting("%s", s) }); err != nil { // etcd may have been without a majority
			return fault.Wrap(fault.APITimeout, err, "the API server of cluster %s did not come back", rc.Name())
		}
		if err := renewProxy(ctx, rc, n.Name); err != nil {
			return err
		}
		if _, err := waitFresh(ctx, rc, []string{n.Name}); err != nil {
			return err
		}
		if err := uncordon(ctx, rc, n.Name); err != nil {
			return err
		}
		return waitBack([]string{n.Name})(ctx, rc)
	}
}

// uncordon lets pods onto a node again that cove has drained.
func uncordon(ctx context.Context, rc *Context, node string) error {
	nodes, err := rc.kube.Nodes(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(nodes, func(n kube.NodeInfo) bool { return n.Name == node && n.Cordoned }) {
		return rc.kube.Cordon(ctx, node, false)
	}
	return nil
}

// renewProxy removes a node's kube-proxy pod where it is not of the version that the DaemonSet has now: it gets one that is.
func renewProxy(ctx context.Context, rc *Context, node string) error {
	set, err := rc.kube.Get(ctx, kube.Ref{APIVersion: "apps/v1", Kind: "DaemonSet", Namespace: "kube-system", Name: "kube-proxy"})
	if err != nil || set == nil {
		return err
	}
	pods, err := rc.kube.List(ctx, []schema.GroupKind{{Kind: "Pod"}}, "k8s-app=kube-proxy")
	if err != nil {
		return err
	}
	want := images(set.Object, "spec", "template", "spec", "containers")
	var old []*unstructured.Unstructured
	for _, p := range pods {
		on, _, _ := unstructured.NestedString(p.Object, "spec", "nodeName")
		if on == node && !sameJSON(images(p.Object, "spec", "containers"), want) {
			old = append(old, p)
		}
	}
	return rc.kube.Delete(ctx, old, nil)
}

// images returns the images of the containers that are there in an object.
func images(object map[string]any, path ...string) []string {
	list, _, _ := unstructured.NestedSlice(object, path...)
	var out []string
	for _, item := range list {
		if c, ok := item.(map[string]any); ok {
			image, _ := c["image"].(string)
			out = append(out, image)
		}
	}
	return out
}

package kube

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cove-k8s/cove/pkg/fault"
)

// NodeInfo is a node as Kubernetes sees it.
type NodeInfo struct {
	Name, KubeletVersion, IP, PodCIDR string // PodCIDR: of each family, with a comma between
	UID                               string
	ControlPlane                      bool
	Ready                             bool
	Reason                            string    // why it is not Ready
	Heartbeat                         time.Time // when its kubelet last said whether it is; zero if it never did
	Pressure                          []string  // conditions that should not be: "DiskPressure", …
	Unschedulable                     bool
	Cordoned                          bool // by cove
	Labels                            map[string]string
	Taints                            []Taint
	Allocatable                       map[string]string // what pods may use: "cpu": "2", "memory": "3915Mi"
	Created                           time.Time         // the Node, not its container
}

// labelControlPlane is kubeadm's label of control planes.
const labelControlPlane = "node-role.kubernetes.io/control-plane"

// WaitNodesReady waits until every node of those names is Ready, and tells report (may be nil) which one it waits for. The
// error is NotReady, and has what each kubelet says of itself.
func (c *Client) WaitNodesReady(ctx context.Context, names []string, report func(string)) error {
	lacks := newPending(report, "is not registered", names...)
	nodes := c.dyn.Resource(corev1.SchemeGroupVersion.WithResource("nodes"))
	err := follow(ctx, nodes, metav1.ListOptions{}, func(objs map[string]*unstructured.Unstructured) (bool, error) {
		left := len(names)
		for _, name := range names {
			brief, full := "is not registered", "is not registered"
			if o := objs[name]; o != nil {
				node, err := as[corev1.Node](o)
				if err != nil {
					return false, err
				}
				brief, full = nodeLacks(node)
			}
			left = lacks.set(name, brief, full)
		}
		return left == 0, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ended(ctx, fault.NotReady, errors.New("node "+lacks.String()+unreachable(err)), "not every node got Ready")
	}
	return fault.Wrap(fault.KubernetesRefused, err, "cannot watch the nodes")
}

// nodeLacks says, in brief and in full, why a node is not Ready; "" if it is.
func nodeLacks(n *corev1.Node) (brief, full string) {
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status == corev1.ConditionTrue {
			return "", ""
		}
		return c.Reason, c.Reason + ": " + c.Message
	}
	return "its kubelet has not reported yet", "its kubelet has not reported yet"
}

// NodeObject is a Node as it is made ahead of its kubelet, which takes over an object that is there: it then adds none of the labels and
// taints that it was started with.
type NodeObject struct {
	Name     string
	PodCIDRs []netip.Prefix // its share of each pod subnet, the main family's first
	Labels   map[string]string
	Taints   []Taint
	// Room is what the node offers until its kubelet says what there is; nil: nothing, so that no pod is bound to it before. A kubelet that
	// has read the object judges by it whether its static pods fit, and does not ask again: control planes need some.
	Room *Room
}

// CreateNodeObject makes a Node. The controller manager respects a share that is given. One that is there already gets what it lacks of
// shares and labels, and keeps its taints; a share that differs is an error, as it cannot be changed. Errors are KubernetesRefused or
// APITimeout.
func (c *Client) CreateNodeObject(ctx context.Context, n NodeObject) error {
	shares := make([]string, len(n.PodCIDRs))
	for i, p := range n.PodCIDRs {
		shares[i] = p.String()
	}
	taints := make([]corev1.Taint, len(n.Taints))
	for i, t := range n.Taints {
		taints[i] = corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)}
	}
	nodes := c.set.CoreV1().Nodes()
	return persist(ctx, "register node "+n.Name, func() error {
		_, err := nodes.Create(ctx, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels},
			Spec:       corev1.NodeSpec{PodCIDR: shares[0], PodCIDRs: shares, Taints: taints},
			Status:     n.Room.status(),
		}, metav1.CreateOptions{FieldManager: fieldManager})
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		node, err := nodes.Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		patch, err := nodePatch(node, shares, n.Labels)
		if err != nil || patch == nil {
			return err
		}
		_, err = nodes.Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
}

// Room is what a node offers to pods.
type Room struct {
	CPUs   int
	Memory int64 // bytes
}

// defaultPods is the kubelet's default of maxPods.
const defaultPods = 110

func (r *Room) status() corev1.NodeStatus {
	if r == nil {
		return corev1.NodeStatus{}
	}
	list := corev1.ResourceList{
		corev1.ResourceCPU:    *apiresource.NewQuantity(int64(r.CPUs), apiresource.DecimalSI),
		corev1.ResourceMemory: *apiresource.NewQuantity(r.Memory, apiresource.BinarySI),
		corev1.ResourcePods:   *apiresource.NewQuantity(defaultPods, apiresource.DecimalSI),
	}
	return corev1.NodeStatus{Capacity: list, Allocatable: list}
}

// nodePatch returns what a node lacks as a merge patch; nil if nothing.
func nodePatch(node *corev1.Node, shares []string, labels map[string]string) ([]byte, error) {
	patch := map[string]any{}
	switch have := sharesOf(node); {
	case slices.Equal(have, shares):
	case len(have) == 0:
		patch["spec"] = map[string]any{"podCIDR": shares[0], "podCIDRs": shares}
	default:
		gr := corev1.Resource("nodes")
		return nil, apierrors.NewForbidden(gr, node.Name, errors.New("its share of the pod subnet is "+strings.Join(have, ",")+", not "+strings.Join(shares, ",")))
	}
	for k, v := range labels {
		if have, ok := node.Labels[k]; !ok || have != v {
			patch["metadata"] = map[string]any{"labels": labels}
		}
	}
	if len(patch) == 0 {
		return nil, nil
	}
	return json.Marshal(patch)
}

// sharesOf returns the node's shares of the pod subnets; nil where it has none yet.
func sharesOf(node *corev1.Node) []string {
	if len(node.Spec.PodCIDRs) == 0 && node.Spec.PodCIDR != "" {
		return []string{node.Spec.PodCIDR}
	}
	return node.Spec.PodCIDRs
}

// DeleteNodeObject removes a Node, and then the pods that were on it, at once: their controllers make others elsewhere. Kubernetes itself
// would take them away after a minute or so, and until then a new node of the name would get them: its kubelet can refuse them, and the
// controller of a DaemonSet then waits longer and longer. No such node is no error.
func (c *Client) DeleteNodeObject(ctx context.Context, name string) error {
	err := persist(ctx, "remove node "+name, func() error {
		return ifThere(c.set.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}))
	})
	if err != nil {
		return err
	}
	return c.deletePodsOf(ctx, name)
}

// TakeNodeObject removes a Node and its pods as DeleteNodeObject does, and returns the Node as it was at the very end, for one that is to be
// made anew: others may be about to label it. It returns nil where there is none.
func (c *Client) TakeNodeObject(ctx context.Context, name string) (*NodeInfo, error) {
	var was *NodeInfo
	nodes := c.set.CoreV1().Nodes()
	err := persist(ctx, "remove node "+name, func() error {
		node, err := nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return ifThere(err)
		}
		asRead := metav1.Preconditions{UID: &node.UID, ResourceVersion: &node.ResourceVersion} // else Conflict, and it is read again
		if err := nodes.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &asRead}); err != nil {
			return ifThere(err)
		}
		info := nodeInfo(node)
		was = &info
		return nil
	})
	if err != nil {
		return nil, err
	}
	return was, c.deletePodsOf(ctx, name)
}

func (c *Client) deletePodsOf(ctx context.Context, node string) error {
	return persist(ctx, "remove the pods of node "+node, func() error {
		pods, err := c.set.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String()})
		if err != nil {
			return err
		}
		now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)} // nobody is there who would end them
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(applyParallel)
		for _, p := range pods.Items {
			group.Go(func() error { return ifThere(c.set.CoreV1().Pods(p.Namespace).Delete(groupCtx, p.Name, now)) })
		}
		return group.Wait()
	})
}

// ifThere takes what is not there for done.
func ifThere(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Nodes returns the cluster's nodes, ordered by name. The error is APITimeout or KubernetesRefused.
func (c *Client) Nodes(ctx context.Context) ([]NodeInfo, error) {
	list, err := c.set.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fault.Wrap(applyCode(err), err, "cannot list the nodes")
	}
	infos := make([]NodeInfo, 0, len(list.Items))
	for i := range list.Items {
		infos = append(infos, nodeInfo(&list.Items[i]))
	}
	slices.SortFunc(infos, func(a, b NodeInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

func nodeInfo(n *corev1.Node) NodeInfo {
	info := NodeInfo{
		Name: n.Name, KubeletVersion: n.Status.NodeInfo.KubeletVersion, PodCIDR: strings.Join(sharesOf(n), ","), Unschedulable: n.Spec.Unschedulable,
		UID: string(n.UID), Cordoned: cordonedByCove(n), Labels: n.Labels, Created: n.CreationTimestamp.Time,
	}
	_, info.ControlPlane = n.Labels[labelControlPlane]
	for _, t := range n.Spec.Taints {
		info.Taints = append(info.Taints, Taint{t.Key, t.Value, string(t.Effect)})
	}
	if len(n.Status.Allocatable) > 0 {
		info.Allocatable = map[string]string{}
	}
	for name, q := range n.Status.Allocatable {
		info.Allocatable[string(name)] = q.String()
	}
	_, info.Reason = nodeLacks(n)
	info.Ready = info.Reason == ""
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && info.IP == "" { // the first is the main one
			info.IP = a.Address
		}
	}
	for _, c := range n.Status.Conditions {
		switch {
		case c.Type == corev1.NodeReady:
			info.Heartbeat = c.LastHeartbeatTime.Time
		case c.Status == corev1.ConditionTrue:
			info.Pressure = append(info.Pressure, string(c.Type))
		}
	}
	return info
}

package kube

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cove-k8s/cove/pkg/fault"
)

// NodeInfo is a node as Kubernetes sees it.
type NodeInfo struct {
	Name, KubeletVersion, IP, PodCIDR string
	Ready                             bool
	Reason                            string // why it is not Ready
	Unschedulable                     bool
}

// PodInfo is a pod in brief.
type PodInfo struct {
	Namespace, Name, Node string
	Healthy               bool   // it runs and is ready, or has ended well
	Reason                string // why it is not healthy
}

// CreateNodeObject makes a Node ahead of its kubelet, with its share of the pod subnet. The kubelet takes an object that
// is there over, and the controller manager respects a share that is given. An object that is there stays as it is.
func (c *Client) CreateNodeObject(ctx context.Context, name string, podCIDR netip.Prefix, labels map[string]string) error {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.NodeSpec{PodCIDR: podCIDR.String(), PodCIDRs: []string{podCIDR.String()}},
	}
	_, err := c.static.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{FieldManager: FieldManager})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return fault.Wrap(fault.KubernetesRefused, err, "cannot make node %s", name)
}

// Nodes returns the cluster's nodes, ordered by name.
func (c *Client) Nodes(ctx context.Context) ([]NodeInfo, error) {
	list, err := c.static.CoreV1().Nodes().List(ctx, everything())
	if err != nil {
		return nil, fault.Wrap(fault.APITimeout, err, "cannot list the nodes")
	}
	infos := make([]NodeInfo, 0, len(list.Items))
	for i := range list.Items {
		n := &list.Items[i]
		info := NodeInfo{
			Name: n.Name, KubeletVersion: n.Status.NodeInfo.KubeletVersion, PodCIDR: n.Spec.PodCIDR, Unschedulable: n.Spec.Unschedulable,
		}
		info.Ready, info.Reason = nodeReady(n)
		if info.Ready {
			info.Reason = ""
		}
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				info.IP = a.Address
			}
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b NodeInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// Pods returns the pods of all namespaces.
func (c *Client) Pods(ctx context.Context) ([]PodInfo, error) {
	list, err := c.static.CoreV1().Pods("").List(ctx, everything())
	if err != nil {
		return nil, fault.Wrap(fault.APITimeout, err, "cannot list the pods")
	}
	infos := make([]PodInfo, 0, len(list.Items))
	for i := range list.Items {
		p := &list.Items[i]
		info := PodInfo{Namespace: p.Namespace, Name: p.Name, Node: p.Spec.NodeName}
		info.Healthy, info.Reason = podHealth(p)
		infos = append(infos, info)
	}
	return infos, nil
}

// podHealth says whether a pod is well, and if not, the most telling reason that it has.
func podHealth(p *corev1.Pod) (bool, string) {
	if p.Status.Phase == corev1.PodSucceeded {
		return true, ""
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		switch {
		case s.State.Waiting != nil && s.State.Waiting.Reason != "PodInitializing" && s.State.Waiting.Reason != "ContainerCreating":
			return false, fmt.Sprintf("container %s is waiting: %s %s", s.Name, s.State.Waiting.Reason, s.State.Waiting.Message)
		case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
			return false, fmt.Sprintf("container %s ended with status %d: %s", s.Name, s.State.Terminated.ExitCode, s.State.Terminated.Message)
		}
	}
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue:
			return true, ""
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			return false, "not scheduled: " + c.Message
		}
	}
	return false, strings.ToLower(string(p.Status.Phase)) + ", not ready"
}

package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cove-k8s/cove/pkg/fault"
)

// PodInfo is a pod in brief.
type PodInfo struct {
	Namespace, Name, Node string
	Healthy               bool   // it runs and is ready, or has ended well
	Reason                string // why it is not healthy
}

// Pods returns the pods of all namespaces. The error is APITimeout or KubernetesRefused.
func (c *Client) Pods(ctx context.Context) ([]PodInfo, error) {
	list, err := c.set.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fault.Wrap(applyCode(err), err, "cannot list the pods")
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
func podHealth(p *corev1.Pod) (healthy bool, reason string) {
	if p.Status.Phase == corev1.PodSucceeded {
		return true, ""
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if reason := containerTrouble(s); reason != "" {
			return false, reason
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
	// The kubelet tells late that a static pod runs, and later that it is ready: it may have run for long when its mirror
	// is made. What keeps it from running is told as for others.
	_, static := p.Annotations[corev1.MirrorPodAnnotationKey]
	if static && (p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodPending) {
		return true, ""
	}
	if p.Status.Message != "" {
		return false, fmt.Sprintf("%s, %s: %s", strings.ToLower(string(p.Status.Phase)), p.Status.Reason, p.Status.Message)
	}
	return false, strings.ToLower(string(p.Status.Phase)) + ", not ready"
}

// containerTrouble says what keeps a container from running; "" where nothing does, or only time.
func containerTrouble(s corev1.ContainerStatus) string {
	w, t, last := s.State.Waiting, s.State.Terminated, s.LastTerminationState.Terminated
	switch {
	case w != nil && w.Reason == "CrashLoopBackOff" && last != nil:
		return fmt.Sprintf("container %s ends with status %d again and again: %s", s.Name, last.ExitCode, ending(last))
	case w != nil && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating":
		return fmt.Sprintf("container %s is waiting: %s %s", s.Name, w.Reason, w.Message)
	case t != nil && t.ExitCode != 0:
		return fmt.Sprintf("container %s ended with status %d: %s", s.Name, t.ExitCode, ending(t))
	}
	return ""
}

// ending is why a container ended, by its own words if it left any.
func ending(t *corev1.ContainerStateTerminated) string {
	if t.Message != "" {
		return strings.TrimSpace(t.Message)
	}
	return t.Reason
}

package kube

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/fault"
)

// WaitNodesFresh waits until every node of those names is Ready, and its kubelet has been heard of since since[name], by the node's
// status or by the lease that it renews more often: after a restart the API still has what was said before. It tells report (may be
// nil) which one it waits for. The error is NotReady, and has what each kubelet says of itself.
func (c *Client) WaitNodesFresh(ctx context.Context, names []string, since map[string]time.Time, report func(string)) error {
	f := &freshness{names: names, since: since, lacks: newPending(report, "is not registered", names...)}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		nodes := c.dyn.Resource(corev1.SchemeGroupVersion.WithResource("nodes"))
		return f.first(follow(groupCtx, nodes, metav1.ListOptions{}, f.seeNodes))
	})
	group.Go(func() error {
		leases := c.dyn.Resource(coordinationv1.SchemeGroupVersion.WithResource("leases")).Namespace(corev1.NamespaceNodeLease)
		return f.first(follow(groupCtx, leases, metav1.ListOptions{}, f.seeLeases))
	})
	err := group.Wait()
	switch {
	case errors.Is(err, errAllFresh{}):
		return nil
	case ctx.Err() != nil:
		return ended(ctx, fault.NotReady, errors.New("node "+f.lacks.String()+unreachable(err)), "not every node came back")
	}
	return fault.Wrap(fault.KubernetesRefused, err, "cannot watch the nodes")
}

// errAllFresh ends the watch of nodes when that of leases has seen the last thing that was lacking, and the other way round.
type errAllFresh struct{}

func (errAllFresh) Error() string { return "every node is fresh" }

// freshness is what WaitNodesFresh has seen so far.
type freshness struct {
	names []string
	since map[string]time.Time
	lacks *pending

	mu     sync.Mutex
	nodes  map[string]nodeState
	leases map[string]time.Time // when each was renewed last
}

// nodeState is what the status of a node says.
type nodeState struct {
	brief, full string // why it is not Ready; "" if it is
	heard       time.Time
}

// first turns the success of a watch into the error that ends the other one.
func (f *freshness) first(err error) error {
	if err == nil {
		return errAllFresh{}
	}
	return err
}

func (f *freshness) seeNodes(objs map[string]*unstructured.Unstructured) (bool, error) {
	nodes := map[string]nodeState{}
	for _, name := range f.names {
		o := objs[name]
		if o == nil {
			continue
		}
		n, err := as[corev1.Node](o)
		if err != nil {
			return false, err
		}
		s := nodeState{}
		s.brief, s.full = nodeLacks(n)
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				s.heard = c.LastHeartbeatTime.Time
			}
		}
		nodes[name] = s
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes = nodes
	return f.judge(), nil
}

func (f *freshness) seeLeases(objs map[string]*unstructured.Unstructured) (bool, error) {
	leases := map[string]time.Time{}
	for _, name := range f.names {
		o := objs[name]
		if o == nil {
			continue
		}
		l, err := as[coordinationv1.Lease](o)
		if err != nil {
			return false, err
		}
		if l.Spec.RenewTime != nil {
			leases[name] = l.Spec.RenewTime.Time
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leases = leases
	return f.judge(), nil
}

// judge reports whether nothing is lacking any more. f.mu is held.
func (f *freshness) judge() bool {
	lacks := map[string][2]string{}
	for _, name := range f.names {
		node, registered := f.nodes[name]
		since := f.since[name].Truncate(time.Second) // as the API keeps the times of a status
		switch {
		case !registered:
			lacks[name] = [2]string{"is not registered", "is not registered"}
		case node.brief != "":
			lacks[name] = [2]string{node.brief, node.full}
		case node.heard.Before(since) && f.leases[name].Before(since):
			lacks[name] = [2]string{"its kubelet has not reported yet", "its kubelet has not reported since it was started"}
		}
	}
	return f.lacks.replace(lacks) == 0
}

// WaitPodsBack waits until the pods of the nodes in since, which were started anew then, are as they were: those in namespaces that pass
// are Ready, and no container of theirs is one from before. Pods that have ended or are being deleted do not count; neither do those
// that no node was found for. What has trouble of its own, such as an image that cannot be pulled, counts as back. It tells report (may
// be nil) which one it waits for. The error is NotReady, and names the pods.
func (c *Client) WaitPodsBack(ctx context.Context, since map[string]time.Time, namespaces func(string) bool, report func(string)) error {
	lacks := newPending(report, "")
	pods := c.dyn.Resource(corev1.SchemeGroupVersion.WithResource("pods"))
	err := followBy(ctx, pods, metav1.ListOptions{}, byNamespace, func(objs map[string]*unstructured.Unstructured) (bool, error) {
		late := map[string][2]string{}
		for key, o := range objs {
			pod, err := as[corev1.Pod](o)
			if err != nil {
				return false, err
			}
			from, concerned := since[pod.Spec.NodeName]
			if !concerned || pod.Spec.NodeName == "" || !namespaces(pod.Namespace) {
				continue
			}
			if brief, full := podLacks(pod, from.Truncate(time.Second)); brief != "" {
				late["pod "+key] = [2]string{brief, full}
			}
		}
		return lacks.replace(late) == 0, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		var last error // none where no pod was seen
		if why := strings.TrimPrefix(lacks.String()+unreachable(err), "; "); why != "" {
			last = errors.New(why)
		}
		return ended(ctx, fault.NotReady, last, "not every pod came back")
	}
	return fault.Wrap(fault.KubernetesRefused, err, "cannot watch the pods")
}

// podLacks says, in brief and in full, what a pod lacks to be back since then; "" if nothing.
func podLacks(p *corev1.Pod, since time.Time) (brief, full string) {
	if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return "", ""
	}
	containers := slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
	// First all of them: where one is from before, so is what the others say.
	for _, s := range containers {
		if s.State.Running != nil && s.State.Running.StartedAt.Time.Before(since) {
			return "its state is from before", "its state is from before its node was started"
		}
	}
	if slices.ContainsFunc(containers, stuck) {
		return "", ""
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return "", ""
		}
	}
	// The kubelet tells long after that a static pod, which runs, is ready.
	if _, static := p.Annotations[corev1.MirrorPodAnnotationKey]; static && p.Status.Phase == corev1.PodRunning {
		return "", ""
	}
	_, why := podHealth(p)
	return "is not ready", cmp.Or(shorten(why), "is not ready")
}

// stuck tells a container that does not run for a reason that time alone does not mend. CreateContainerError is none: a runtime under
// the load of a start gives it until the request that timed out has let go of the container's name.
func stuck(s corev1.ContainerStatus) bool {
	return s.State.Waiting != nil && slices.Contains([]string{
		"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
		"CreateContainerConfigError",
	}, s.State.Waiting.Reason)
}

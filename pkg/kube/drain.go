package kube

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubectl/pkg/drain"

	"github.com/cove-k8s/cove/pkg/fault"
)

// How nodes are drained.
const (
	drainRetry  = time.Second // how long a pod that a budget holds, or that could not be asked for, is left alone
	drainClears = 3           // how often a node is cleared of pods that came late
	// What is ended by force has drainHard to end, and is then forgotten, whether its kubelet says that it has ended or not: the kubelet
	// may be what is broken. That may take drainForget.
	drainHard   = 20 * time.Second
	drainForget = 10 * time.Second
)

// DrainOptions is how to drain a node.
type DrainOptions struct {
	// Timeout bounds it; 0 is no bound. With Force, 30 s may follow.
	Timeout time.Duration
	// Force also ends pods that nothing makes anew elsewhere, and, when the time is up, those that budgets hold.
	Force bool
}

// Drain cordons a node and has its pods go elsewhere, as kubectl drain does: DaemonSets' stay, emptyDir volumes are lost, budgets
// (PodDisruptionBudget) are respected. It tells report (may be nil) what it does, one line and one caller at a time. The error is
// DrainFailed and names the pods that are left, and what holds them. Without Force, pods that nothing makes anew are refused before
// any pod goes; the node is then as schedulable as it was. No such node is no error.
func (c *Client) Drain(ctx context.Context, node string, o DrainOptions, report func(string)) error {
	d := &drainer{c: c, node: node, force: o.Force, out: &lines{report: report}}
	soft, cancel := ctx, context.CancelFunc(func() {})
	if o.Timeout > 0 {
		soft, cancel = context.WithTimeout(ctx, o.Timeout)
	}
	defer cancel()
	cordoned, err := c.cordon(soft, node, true)
	if err != nil {
		return err
	}
	pods, err := d.list(soft)
	if err != nil {
		if cordoned && soft.Err() == nil {
			return errors.Join(err, c.Cordon(ctx, node, false))
		}
		return err
	}
	left, err := d.clear(soft, pods, d.helper(soft))
	switch {
	case err == nil || soft.Err() == nil:
		return err
	case ctx.Err() == nil && o.Force:
		return d.end(ctx)
	}
	return d.failed(ctx, left, err)
}

// drainer drains one node.
type drainer struct {
	c     *Client
	node  string
	force bool
	out   *lines
}

// helper returns kubectl's, which evicts pods until ctx ends. Its own Timeout is no use: it does not bound a request that the server
// asked to come again later.
func (d *drainer) helper(ctx context.Context) *drain.Helper {
	return &drain.Helper{
		Ctx: ctx, Client: d.c.set, Force: d.force, IgnoreAllDaemonSets: true, DeleteEmptyDirData: true, GracePeriodSeconds: -1,
		EvictErrorRetryDelay: drainRetry, Out: d.out, ErrOut: d.out,
		OnPodDeletionOrEvictionStarted: func(p *corev1.Pod, evicted bool) {
			if !evicted { // of evictions it tells by itself
				d.out.say("deleting pod " + p.Namespace + "/" + p.Name)
			}
		},
	}
}

// list returns the pods that have to go. The error is DrainFailed where one must not be made to.
func (d *drainer) list(ctx context.Context) ([]corev1.Pod, error) {
	var list *drain.PodDeleteList
	var refused []error
	err := persist(ctx, "list the pods of node "+d.node, func() error {
		found, errs := d.helper(ctx).GetPodsForDeletion(d.node)
		if found == nil {
			return errors.Join(errs...)
		}
		list, refused = found, errs
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(refused) == 0 {
		return list.Pods(), nil
	}
	var why []string
	for _, err := range refused {
		why = append(why, strings.TrimPrefix(err.Error(), "cannot delete "))
	}
	slices.Sort(why)
	return nil, fault.New(fault.DrainFailed, "cannot drain node %s: %s", d.node, strings.Join(why, "; "))
}

// clear has the helper make the pods go, and those that the scheduler bound before it saw that the node is cordoned. One that does not
// mind a cordon comes back forever, so it ends. What it returns is that of ask.
func (d *drainer) clear(ctx context.Context, pods []corev1.Pod, h *drain.Helper) ([]corev1.Pod, error) {
	for range drainClears {
		left, err := d.ask(ctx, pods, h)
		if err != nil {
			return left, err
		}
		pods, err = d.list(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, nil //nolint:nilerr // those that were known have gone
		case err != nil || len(pods) == 0:
			return nil, err
		}
	}
	return nil, nil
}

// ask has the helper make the pods go, until none is left or ctx ends: an API server that does not answer once ends kubectl's drain. It
// returns the pods that it looked at last, and why they did not go.
func (d *drainer) ask(ctx context.Context, pods []corev1.Pod, h *drain.Helper) ([]corev1.Pod, error) {
	var last error
	for {
		err := h.DeleteOrEvictPods(pods)
		if err == nil {
			return nil, nil
		}
		if ctx.Err() != nil { // the error says no more than that
			return pods, cmp.Or(last, context.Cause(ctx))
		}
		last = err
		d.out.say(err.Error())
		if pause(ctx, drainRetry) != nil {
			return pods, last
		}
		again, err := d.list(ctx)
		switch {
		case err == nil:
			pods = again
		case ctx.Err() != nil:
			return pods, last
		default:
			return nil, err
		}
	}
}

// end deletes what did not go by itself, without asking the budgets.
func (d *drainer) end(ctx context.Context) error {
	left, err := d.endWithin(ctx, drainHard, 1)
	if len(left) > 0 && ctx.Err() == nil {
		left, err = d.endWithin(ctx, drainForget, 0)
	}
	if len(left) == 0 {
		return err
	}
	return d.failed(ctx, left, err)
}

// endWithin deletes all pods that have to go, with so many seconds for each to end; 0 does not wait for its kubelet to say so. It
// returns those that are left after that time.
func (d *drainer) endWithin(ctx context.Context, bound time.Duration, grace int) ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	pods, err := d.list(ctx)
	if err != nil {
		return nil, err
	}
	h := d.helper(ctx)
	h.DisableEviction, h.GracePeriodSeconds = true, grace
	return d.clear(ctx, pods, h)
}

// failed returns the error for pods that did not go; none where they are gone by now.
func (d *drainer) failed(ctx context.Context, pods []corev1.Pod, cause error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ended(ctx, fault.DrainFailed, nil, "cannot drain node %s", d.node)
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), evidenceTime)
	defer cancel()
	left, explained := d.left(look, pods)
	if len(left) == 0 {
		return nil
	}
	why := strings.Join(left, ", ")
	if !explained && !errors.Is(cause, context.DeadlineExceeded) {
		why += "; at last: " + cause.Error()
	}
	return fault.New(fault.DrainFailed, "cannot drain node %s in time: %s", d.node, why)
}

// left names the pods that are still there, and what holds each, if that can be told of all. Those that cannot be asked for count.
func (d *drainer) left(ctx context.Context, pods []corev1.Pod) (left []string, explained bool) {
	explained = true
	for _, p := range pods {
		name := "pod " + p.Namespace + "/" + p.Name
		now, err := d.c.set.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err) || err == nil && now.UID != p.UID:
			continue
		case err != nil:
			name += " (" + brief(err) + ")"
		case now.DeletionTimestamp != nil && len(now.Finalizers) > 0:
			name += " (waits for finalizers " + strings.Join(now.Finalizers, ", ") + ")"
		case now.DeletionTimestamp != nil:
			name += " (is still ending)"
		default:
			budgets := d.c.budgetsOf(ctx, now)
			if len(budgets) == 0 {
				explained = false
				break
			}
			name += " (held by PodDisruptionBudget " + strings.Join(budgets, ", ") + ")"
		}
		left = append(left, name)
	}
	slices.Sort(left)
	return left, explained
}

// budgetsOf names the budgets of a pod that allow no disruption now.
func (c *Client) budgetsOf(ctx context.Context, p *corev1.Pod) []string {
	list, err := c.set.PolicyV1().PodDisruptionBudgets(p.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for i := range list.Items {
		b := &list.Items[i]
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector) // an empty one is for all pods, none for no pod
		if err == nil && selector.Matches(labels.Set(p.Labels)) && b.Status.DisruptionsAllowed <= 0 {
			names = append(names, b.Name)
		}
	}
	slices.Sort(names)
	return names
}

// lines hands what is written to it to report, line by line. Many goroutines may write.
type lines struct {
	report func(string) // may be nil

	mu   sync.Mutex
	rest []byte // of a line that has not ended
}

// Write takes a part of a line, or more than one. It never fails.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		l.tell(string(line))
	}
}

// say reports a line.
func (l *lines) say(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(line)
}

func (l *lines) tell(line string) {
	if l.report != nil && line != "" {
		l.report(line)
	}
}

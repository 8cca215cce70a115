package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Ref names a workload: a Deployment, DaemonSet, StatefulSet or Job.
type Ref struct{ Kind, Namespace, Name string }

// String returns the reference as people write it.
func (r Ref) String() string {
	return fmt.Sprintf("%s %s/%s", strings.ToLower(r.Kind), r.Namespace, r.Name)
}

// WorkloadRef returns the reference of an object that WaitWorkloads can wait for, and whether it is one.
func WorkloadRef(o *unstructured.Unstructured) (Ref, bool) {
	gv := o.GroupVersionKind().GroupVersion()
	switch o.GetKind() {
	case "Deployment", "DaemonSet", "StatefulSet":
		if gv != appsv1.SchemeGroupVersion {
			return Ref{}, false
		}
	case "Job":
		if gv != batchv1.SchemeGroupVersion {
			return Ref{}, false
		}
	default:
		return Ref{}, false
	}
	ns := o.GetNamespace()
	if ns == "" {
		ns = metav1.NamespaceDefault
	}
	return Ref{Kind: o.GetKind(), Namespace: ns, Name: o.GetName()}, true
}

// evidenceTime bounds the search for reasons when a wait has come to its end.
const evidenceTime = 5 * time.Second

// WaitWorkloads waits until every Deployment is Available and every DaemonSet and StatefulSet is rolled out, all of the
// version that was applied last, and every Job is complete; it tells report (may be nil) which one it waits for. The error
// is AddonFailed, and has what the pods and the events of the late ones say. A Job that has failed is an error at once.
func (c *Client) WaitWorkloads(ctx context.Context, refs []Ref, report func(string)) error {
	lacks := newPending(report, "does not exist")
	for _, r := range refs {
		lacks.lacks[r.String()] = [2]string{"does not exist", "does not exist"}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, r := range refs {
		group.Go(func() error { return c.waitWorkload(groupCtx, r, lacks) })
	}
	err := group.Wait()
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil:
		return fault.Wrap(fault.AddonFailed, err, "cannot wait for the workloads")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		c.addReasons(context.WithoutCancel(ctx), refs, lacks)
	}
	return ended(ctx, fault.AddonFailed, errors.New(lacks.String()+unreachable(err)), "not every workload became available")
}

func (c *Client) waitWorkload(ctx context.Context, r Ref, lacks *pending) error {
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", r.Name).String()}
	err := follow(ctx, r.resource().client(c.dyn, r.Namespace), only, func(objs map[string]*unstructured.Unstructured) (bool, error) {
		lack, err := "does not exist", error(nil)
		if o := objs[r.Name]; o != nil {
			lack, err = workloadLacks(o)
		}
		lacks.set(r.String(), lack, lack)
		return lack == "" && err == nil, err
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return err
}

// resource returns where the workload is found.
func (r Ref) resource() resource {
	gv := appsv1.SchemeGroupVersion
	if r.Kind == "Job" {
		gv = batchv1.SchemeGroupVersion
	}
	return resource{gv.WithResource(strings.ToLower(r.Kind) + "s"), true}
}

// workloadLacks says what a workload lacks to be ready; "" if nothing. An error is one that no time will mend.
func workloadLacks(o *unstructured.Unstructured) (string, error) {
	switch o.GetKind() {
	case "Deployment":
		d, err := as[appsv1.Deployment](o)
		if err != nil {
			return "", err
		}
		return deploymentLacks(d), nil
	case "DaemonSet":
		d, err := as[appsv1.DaemonSet](o)
		if err != nil {
			return "", err
		}
		s := d.Status
		// A cluster has nodes: 0 desired is a controller that has not seen them yet.
		return lacksPods(o, s.ObservedGeneration, max(s.DesiredNumberScheduled, 1), s.UpdatedNumberScheduled, s.NumberAvailable), nil
	case "StatefulSet":
		d, err := as[appsv1.StatefulSet](o)
		if err != nil {
			return "", err
		}
		s := d.Status
		return lacksPods(o, s.ObservedGeneration, orOne(d.Spec.Replicas), s.UpdatedReplicas, s.AvailableReplicas), nil
	case "Job":
		j, err := as[batchv1.Job](o)
		if err != nil {
			return "", err
		}
		return jobLacks(j)
	}
	return "", fmt.Errorf("%s is no workload", title(o))
}

func deploymentLacks(d *appsv1.Deployment) string {
	s := d.Status
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGeneration(d.Generation)
	lack := lacksPods(o, s.ObservedGeneration, orOne(d.Spec.Replicas), s.UpdatedReplicas, s.AvailableReplicas)
	if lack == "" && s.Replicas > s.UpdatedReplicas {
		return fmt.Sprintf("%d of its old pods are still there", s.Replicas-s.UpdatedReplicas)
	}
	for _, c := range s.Conditions {
		failed := c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue ||
			c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse
		if lack != "" && failed {
			lack += ", " + c.Message
		}
	}
	return lack
}

// lacksPods compares the numbers that all of the apps have.
func lacksPods(o *unstructured.Unstructured, observed int64, want, updated, available int32) string {
	switch {
	case observed < o.GetGeneration():
		return "its controller has not seen it yet"
	case updated < want:
		return fmt.Sprintf("%d of %d pods are up to date", updated, want)
	case available < want:
		return fmt.Sprintf("%d of %d pods are available", available, want)
	}
	return ""
}

func jobLacks(j *batchv1.Job) (string, error) {
	for _, c := range j.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type { //nolint:exhaustive // the two that end a Job
		case batchv1.JobComplete:
			return "", nil
		case batchv1.JobFailed:
			return "", fmt.Errorf("it has failed: %s", c.Message)
		}
	}
	return fmt.Sprintf("%d of %d completions", j.Status.Succeeded, orOne(j.Spec.Completions)), nil
}

// orOne returns the number, or Kubernetes' default for it.
func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// addReasons adds to what late workloads lack what their pods say. Whatever cannot be found out stays unsaid.
func (c *Client) addReasons(ctx context.Context, refs []Ref, lacks *pending) {
	ctx, cancel := context.WithTimeout(ctx, evidenceTime)
	defer cancel()
	for _, r := range refs {
		lacks.mu.Lock()
		lack, late := lacks.lacks[r.String()]
		lacks.mu.Unlock()
		if !late {
			continue
		}
		if reasons := c.reasons(ctx, r); reasons != "" {
			lacks.mu.Lock()
			lacks.lacks[r.String()] = [2]string{lack[0], lack[1] + ", " + reasons}
			lacks.mu.Unlock()
		}
	}
}

// podsShown is how many of a workload's pods an error speaks of: they mostly say the same.
const podsShown = 2

// reasons says why the workload's pods are not well, as far as can be told.
func (c *Client) reasons(ctx context.Context, r Ref) string {
	o, err := r.resource().client(c.dyn, r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	labels, _, err := unstructured.NestedStringMap(o.Object, "spec", "selector", "matchLabels")
	if err != nil || len(labels) == 0 {
		return ""
	}
	pods, err := c.set.CoreV1().Pods(r.Namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: labels})})
	if err != nil {
		return ""
	}
	if len(pods.Items) == 0 {
		return "no pod of it exists" + c.lastWarning(ctx, r.Namespace, r.Name)
	}
	var out []string
	for i := range pods.Items {
		p := &pods.Items[i]
		if ok, reason := podHealth(p); !ok && len(out) < podsShown {
			out = append(out, fmt.Sprintf("pod %s: %s%s", p.Name, shorten(reason), c.lastWarning(ctx, p.Namespace, p.Name)))
		}
	}
	return strings.Join(out, ", ")
}

// lastWarning returns the newest warning among the object's events, in brackets.
func (c *Client) lastWarning(ctx context.Context, namespace, name string) string {
	events, err := c.set.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.name": name, "type": corev1.EventTypeWarning}.String(),
	})
	if err != nil || len(events.Items) == 0 {
		return ""
	}
	last := slices.MaxFunc(events.Items, func(a, b corev1.Event) int { return eventTime(a).Compare(eventTime(b)) })
	return fmt.Sprintf(" (%s: %s)", last.Reason, shorten(last.Message))
}

// eventTime is when an event happened last, which events of either API say in different fields.
func eventTime(e corev1.Event) time.Time {
	t := e.LastTimestamp.Time
	for _, other := range []time.Time{e.EventTime.Time, e.CreationTimestamp.Time} {
		if other.After(t) {
			t = other
		}
	}
	if e.Series != nil && e.Series.LastObservedTime.After(t) {
		t = e.Series.LastObservedTime.Time
	}
	return t
}

// longest is how much of a message an error keeps, in bytes.
const longest = 300

// shorten makes a message one line, and not too long a one.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}

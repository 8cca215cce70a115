package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
)

// evidenceTime bounds the search for reasons when a wait has come to its end.
const evidenceTime = 5 * time.Second

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
	res, err := c.resourceOf(r.gvk())
	if err != nil {
		return ""
	}
	o, err := res.client(c.dyn, r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
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

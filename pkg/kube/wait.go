package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Ref names a workload.
type Ref struct{ Kind, Namespace, Name string }

// String returns the reference as people write it.
func (r Ref) String() string {
	return fmt.Sprintf("%s %s/%s", strings.ToLower(r.Kind), r.Namespace, r.Name)
}

// WorkloadRef returns the reference of an object that WaitWorkloads can wait for, and whether it is one.
func WorkloadRef(o *unstructured.Unstructured) (Ref, bool) {
	if k := o.GetKind(); k == "Deployment" || k == "DaemonSet" {
		return Ref{Kind: k, Namespace: o.GetNamespace(), Name: o.GetName()}, true
	}
	return Ref{}, false
}

// WaitNodesReady returns when all nodes of those names are Ready. report is told which are not, and why.
func (c *Client) WaitNodesReady(ctx context.Context, names []string, report func(string)) error {
	lw := cache.NewListWatchFromClient(c.static.CoreV1().RESTClient(), "nodes", "", fields.Everything())
	waiting := map[string]string{}
	for _, n := range names {
		waiting[n] = "not registered"
	}
	err := follow(ctx, lw, &corev1.Node{}, func(o runtime.Object) bool {
		node, ok := o.(*corev1.Node)
		if !ok || !slices.Contains(names, node.Name) {
			return len(waiting) == 0
		}
		if ready, reason := nodeReady(node); ready {
			delete(waiting, node.Name)
		} else {
			waiting[node.Name] = reason
		}
		tell(report, waiting)
		return len(waiting) == 0
	})
	if err != nil {
		return fault.Wrap(fault.NotReady, err, "not Ready: %s", list(waiting))
	}
	return nil
}

// WaitWorkloads returns when every Deployment is Available and every DaemonSet is rolled out. An error has what the pods
// say for themselves.
func (c *Client) WaitWorkloads(ctx context.Context, refs []Ref, report func(string)) error {
	var mu sync.Mutex
	waiting := map[string]string{}
	for _, r := range refs {
		waiting[r.String()] = "not seen"
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, r := range refs {
		group.Go(func() error {
			return c.waitWorkload(groupCtx, r, func(done bool, state string) {
				mu.Lock()
				defer mu.Unlock()
				if done {
					delete(waiting, r.String())
				} else {
					waiting[r.String()] = state
				}
				tell(report, waiting)
			})
		})
	}
	err := group.Wait()
	if err == nil {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	return fault.Wrap(fault.AddonFailed, errors.Join(err, c.podReasons(context.WithoutCancel(ctx))), "not available: %s", list(waiting))
}

func (c *Client) waitWorkload(ctx context.Context, r Ref, set func(bool, string)) error {
	only := fields.OneTermEqualSelector("metadata.name", r.Name)
	client := c.static.AppsV1().RESTClient()
	if r.Kind == "DaemonSet" {
		return follow(ctx, cache.NewListWatchFromClient(client, "daemonsets", r.Namespace, only), &appsv1.DaemonSet{}, func(o runtime.Object) bool {
			d, ok := o.(*appsv1.DaemonSet)
			if !ok {
				return false
			}
			s := d.Status
			done := s.ObservedGeneration >= d.Generation && s.DesiredNumberScheduled > 0 && s.NumberAvailable >= s.DesiredNumberScheduled
			set(done, fmt.Sprintf("%d of %d", s.NumberAvailable, s.DesiredNumberScheduled))
			return done
		})
	}
	return follow(ctx, cache.NewListWatchFromClient(client, "deployments", r.Namespace, only), &appsv1.Deployment{}, func(o runtime.Object) bool {
		d, ok := o.(*appsv1.Deployment)
		if !ok {
			return false
		}
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		done := d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas >= want
		set(done, fmt.Sprintf("%d of %d", d.Status.AvailableReplicas, want))
		return done
	})
}

// follow shows each object that is there, and then each change, to done, until it returns true or ctx ends.
func follow(ctx context.Context, lw cache.ListerWatcher, kind runtime.Object, done func(runtime.Object) bool) error {
	_, err := watchtools.UntilWithSync(ctx, lw, kind, nil, func(e watch.Event) (bool, error) {
		if e.Type != watch.Added && e.Type != watch.Modified {
			return false, nil
		}
		return done(e.Object), nil
	})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func nodeReady(n *corev1.Node) (bool, string) {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue, strings.TrimSpace(c.Reason + ": " + c.Message)
		}
	}
	return false, "its kubelet has not reported yet"
}

func tell(report func(string), waiting map[string]string) {
	if report != nil && len(waiting) > 0 {
		report(list(waiting))
	}
}

// list returns the entries in a fixed order, on one line.
func list(waiting map[string]string) string {
	lines := make([]string, 0, len(waiting))
	for name, state := range waiting {
		lines = append(lines, name+" ("+state+")")
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// podReasons returns what keeps pods of the system from running, as errors; nil where nothing does.
func (c *Client) podReasons(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTry)
	defer cancel()
	pods, err := c.Pods(ctx)
	if err != nil {
		return nil //nolint:nilerr // the error that is being explained says enough
	}
	var reasons []error
	for _, p := range pods {
		if !p.Healthy {
			reasons = append(reasons, fmt.Errorf("pod %s/%s: %s", p.Namespace, p.Name, p.Reason))
		}
	}
	return errors.Join(reasons...)
}

// everything lists all objects of a type.
func everything() metav1.ListOptions { return metav1.ListOptions{} }

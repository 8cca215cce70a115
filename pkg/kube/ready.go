package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Ref names an object. With a Condition it stands for that condition of the object's status, which must be True.
type Ref struct {
	APIVersion, Kind string
	Namespace, Name  string // no namespace: default, or none where the kind has none
	Condition        string // "Available"; empty: what kstatus makes of the object
}

// RefOf returns the reference of an object.
func RefOf(o *unstructured.Unstructured) Ref {
	return Ref{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
}

// String returns the reference as people write it.
func (r Ref) String() string {
	if r.Namespace == "" {
		return strings.ToLower(r.Kind) + " " + r.Name
	}
	return fmt.Sprintf("%s %s/%s", strings.ToLower(r.Kind), r.Namespace, r.Name)
}

func (r Ref) gvk() schema.GroupVersionKind { return schema.FromAPIVersionAndKind(r.APIVersion, r.Kind) }

// Pending returns the references of those objects that, as they are, have a way to go until they are ready: it saves
// watching what consists of no more than its definition.
func Pending(objs []*unstructured.Unstructured) []Ref {
	var refs []Ref
	for _, o := range objs {
		if lack, err := lacks(o, ""); lack != "" || err != nil {
			refs = append(refs, RefOf(o))
		}
	}
	return refs
}

// WaitReady waits until every object is Current, by the rules of kstatus
// (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus), or has the condition that its reference names; it
// tells report (may be nil) which one it waits for. The error is AddonFailed, and has what the pods and the events of
// late workloads say. A Job that has failed is an error at once.
func (c *Client) WaitReady(ctx context.Context, refs []Ref, report func(string)) error {
	pending := newPending(report, "does not exist")
	for _, r := range refs {
		pending.lacks[r.String()] = [2]string{"does not exist", "does not exist"}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, r := range refs {
		group.Go(func() error { return c.waitOne(groupCtx, r, pending) })
	}
	err := group.Wait()
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil:
		return fault.Wrap(fault.AddonFailed, err, "cannot wait for what was applied")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		c.addReasons(context.WithoutCancel(ctx), refs, pending)
	}
	return ended(ctx, fault.AddonFailed, errors.New(pending.String()+unreachable(err)), "not everything became ready")
}

func (c *Client) waitOne(ctx context.Context, r Ref, pending *pending) error {
	res, err := c.resourceOf(r.gvk())
	if err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", r.Name).String()}
	err = follow(ctx, res.client(c.dyn, r.Namespace), only, func(objs map[string]*unstructured.Unstructured) (bool, error) {
		lack, err := "does not exist", error(nil)
		if o := objs[r.Name]; o != nil {
			lack, err = lacks(o, r.Condition)
		}
		pending.set(r.String(), lack, lack)
		return lack == "" && err == nil, err
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return err
}

// lacks says what an object lacks to be ready; "" if nothing. An error is one that no time will mend.
func lacks(o *unstructured.Unstructured, condition string) (string, error) {
	if condition != "" {
		return lacksCondition(o, condition), nil
	}
	result, err := status.Compute(o)
	if err != nil {
		return "", fmt.Errorf("cannot judge %s: %w", title(o), err)
	}
	switch result.Status { //nolint:exhaustive // the others have their message
	case status.FailedStatus:
		if o.GetKind() == "Job" {
			return "", fmt.Errorf("it has failed: %s", result.Message)
		}
	case status.CurrentStatus:
		// A cluster has nodes: 0 desired is a controller that has not seen them yet.
		desired, _, err := unstructured.NestedInt64(o.Object, "status", "desiredNumberScheduled")
		if o.GetKind() == "DaemonSet" && err == nil && desired == 0 {
			return "no node is chosen for it yet", nil
		}
		return "", nil
	}
	return cmp.Or(result.Message, string(result.Status)), nil
}

// lacksCondition says why the condition is not True.
func lacksCondition(o *unstructured.Unstructured, want string) string {
	list, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return err.Error()
	}
	for _, item := range list {
		c, ok := item.(map[string]any)
		if !ok || c["type"] != want {
			continue
		}
		if c["status"] == string(metav1.ConditionTrue) {
			return ""
		}
		return fmt.Sprintf("not %s: %v %v", want, c["reason"], c["message"])
	}
	return "not " + want + " yet"
}

// Lacks says what each of the objects lacks to be ready now, with what its pods and events say; those that lack nothing
// are left out. Errors are KubernetesRefused or APITimeout.
func (c *Client) Lacks(ctx context.Context, refs []Ref) (map[Ref]string, error) {
	out := make([]string, len(refs))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(applyParallel)
	for i, r := range refs {
		group.Go(func() error {
			o, err := c.Get(groupCtx, r)
			if err != nil {
				return err
			}
			out[i] = "does not exist"
			if o == nil {
				return nil
			}
			lack, err := lacks(o, r.Condition)
			if err != nil {
				lack = err.Error()
			}
			if out[i] = lack; lack == "" {
				return nil
			}
			if reasons := c.reasons(groupCtx, r); reasons != "" {
				out[i] += ", " + reasons
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	found := map[Ref]string{}
	for i, r := range refs {
		if out[i] != "" {
			found[r] = out[i]
		}
	}
	return found, nil
}

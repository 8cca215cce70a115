package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/fault"
)

// How objects are applied.
const (
	applyParallel = 16
	applyFirst    = 25 * time.Millisecond  // the first pause before trying again, which doubles
	applyLongest  = 500 * time.Millisecond // until it is this long
	// patienceMissing is how long a namespace or a kind may be missing that something else may yet bring.
	patienceMissing = 30 * time.Second
	// patienceUnknown is how long an API server may fail for reasons that it has no name for.
	patienceUnknown = 5 * time.Second
	// patienceLong is for what passes by itself: the caller's context ends it.
	patienceLong = 24 * time.Hour
)

// Apply applies the objects on the server's side, as the field manager "cove", and takes fields over that another one owns.
// What others live in comes first (namespaces, kinds), then what workloads read, then the workloads, so that no
// controller meets half of an application and backs off; within these the objects go in parallel. What may pass by
// itself is tried again until ctx ends. It returns the objects as the server has them, in the order of objs. Errors are
// KubernetesRefused with the object's name, or APITimeout.
func (c *Client) Apply(ctx context.Context, objs []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var waves [3][]int
	for i, o := range objs {
		w := wave(o)
		waves[w] = append(waves[w], i)
	}
	applied := make([]*unstructured.Unstructured, len(objs))
	for _, indexes := range waves {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(applyParallel)
		for _, i := range indexes {
			group.Go(func() (err error) { applied[i], err = c.applyOne(ctx, objs[i]); return })
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}
	return applied, nil
}

// wave returns when an object's turn is: 0, 1 or 2.
func wave(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace", "CustomResourceDefinition", "PriorityClass", "RuntimeClass", "StorageClass":
		return 0
	case "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob", "Pod",
		"APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		return 2
	}
	return 1
}

func (c *Client) applyOne(ctx context.Context, o *unstructured.Unstructured) (applied *unstructured.Unstructured, err error) {
	err = persist(ctx, "apply "+title(o), func() (err error) { applied, err = c.tryApply(ctx, o); return })
	return applied, err
}

// persist calls fn again and again, while what keeps it from success may pass. what completes "cannot …".
func persist(ctx context.Context, what string, fn func() error) error {
	begun, wait := time.Now(), applyFirst
	var last error
	for {
		err := fn()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // else it says no more than that ctx has ended
			last = err
		}
		if ctx.Err() == nil && time.Since(begun) >= patience(err) {
			return fault.Wrap(fault.KubernetesRefused, err, "cannot %s", what)
		}
		if pause(ctx, wait) != nil {
			return ended(ctx, applyCode(last), last, "cannot %s", what)
		}
		wait = min(2*wait, applyLongest)
	}
}

// applyCode tells an API server that says no from one that says nothing.
func applyCode(err error) fault.Code {
	if s := apierrors.APIStatus(nil); errors.As(err, &s) || isNoKind(err) {
		return fault.KubernetesRefused
	}
	return fault.APITimeout
}

// tryApply applies once; with dryRun the server only says what would come of it.
func (c *Client) tryApply(ctx context.Context, o *unstructured.Unstructured, dryRun ...string) (*unstructured.Unstructured, error) {
	r, err := c.resourceOf(o.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	o = o.DeepCopy()
	o.SetManagedFields(nil) // the server refuses them
	applied, err := r.client(c.dyn, o.GetNamespace()).
		Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: fieldManager, Force: true, DryRun: dryRun})
	if gvk := o.GroupVersionKind(); apierrors.IsNotFound(err) && !missing(err) && !builtIn(gvk.Group) {
		return nil, &noKindError{gvk.Kind, gvk.GroupVersion().String()} // known, but not served yet
	}
	return applied, err
}

// title returns "deployment kube-system/coredns".
func title(o *unstructured.Unstructured) string {
	name := o.GetName()
	if ns := o.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	return strings.ToLower(o.GetKind()) + " " + name
}

// missing reports whether a namespace or a kind is not there, which something else may bring.
func missing(err error) bool {
	if none := (*noKindError)(nil); errors.As(err, &none) {
		return true
	}
	s := apierrors.APIStatus(nil)
	return apierrors.IsNotFound(err) && errors.As(err, &s) && s.Status().Details != nil && s.Status().Details.Kind == "namespaces"
}

// patience returns for how long it is worth to try again after an error. It is long where the server is not there, not
// ready or busy, or where something that another controller is about to make is not there yet; 0 where no time helps.
func patience(err error) time.Duration {
	if missing(err) {
		return patienceMissing
	}
	s := apierrors.APIStatus(nil)
	if !errors.As(err, &s) {
		if bad := (*tls.CertificateVerificationError)(nil); errors.As(err, &bad) {
			return 0
		}
		return patienceLong
	}
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return patienceLong
	}
	switch s.Status().Reason { //nolint:exhaustive // those that pass
	case metav1.StatusReasonTooManyRequests, metav1.StatusReasonServerTimeout, metav1.StatusReasonTimeout,
		metav1.StatusReasonServiceUnavailable, metav1.StatusReasonInternalError, metav1.StatusReasonConflict:
		return patienceLong
	case metav1.StatusReasonForbidden, metav1.StatusReasonInvalid:
		if starting(s.Status().Message) {
			return patienceLong
		}
	case metav1.StatusReasonUnknown:
		if s.Status().Code >= 500 && !strings.Contains(s.Status().Message, "typed patch object") { // which is a bad manifest
			return patienceUnknown
		}
	}
	return 0
}

// starting recognises the API server's own words while parts of it start.
func starting(message string) bool {
	return slices.ContainsFunc([]string{
		"not yet ready to handle request", // admission that has not seen its objects
		"error looking up service account",
		"status unknown for quota",
		"allocator not ready", // of service addresses
		"no PriorityClass with name system-",
	}, func(part string) bool { return strings.Contains(message, part) })
}

// noKindError says that the API does not know a kind.
type noKindError struct{ kind, apiVersion string }

func (e *noKindError) Error() string {
	return fmt.Sprintf("the API server knows no kind %s in %s", e.kind, e.apiVersion)
}

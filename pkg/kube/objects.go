package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/restmapper"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Get returns the object that the reference names; nil where there is none, or no such kind.
func (c *Client) Get(ctx context.Context, r Ref) (*unstructured.Unstructured, error) {
	res, err := c.resourceOf(r.gvk())
	if err == nil {
		var o *unstructured.Unstructured
		if o, err = res.client(c.dyn, r.Namespace).Get(ctx, r.Name, metav1.GetOptions{}); err == nil {
			return o, nil
		}
	}
	if apierrors.IsNotFound(err) || isNoKind(err) {
		return nil, nil //nolint:nilnil // documented
	}
	return nil, fault.Wrap(applyCode(err), err, "cannot read %s", r)
}

// DryRun returns what the object would be if it were applied now (the server's own dry run). Errors are KubernetesRefused
// or APITimeout.
func (c *Client) DryRun(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	would, err := c.tryApply(ctx, o, metav1.DryRunAll)
	return would, fault.Wrap(applyCode(err), err, "cannot compare %s", title(o))
}

// Create makes an object, and returns it as the server has it; false where there is one of its name already, which is
// left alone and returned.
func (c *Client) Create(ctx context.Context, o *unstructured.Unstructured) (made *unstructured.Unstructured, created bool, err error) {
	res, err := c.resourceOf(o.GroupVersionKind())
	if err != nil {
		return nil, false, fault.Wrap(applyCode(err), err, "cannot make %s", title(o))
	}
	err = persist(ctx, "make "+title(o), func() (err error) {
		made, err = res.client(c.dyn, o.GetNamespace()).Create(ctx, o, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) {
			made, err = nil, nil
		}
		return err
	})
	if err != nil || made != nil {
		return made, err == nil, err
	}
	made, err = c.Get(ctx, RefOf(o))
	if err == nil && made == nil {
		err = fault.New(fault.KubernetesRefused, "%s was removed while it was looked at", title(o))
	}
	return made, false, err
}

// List returns the objects of the kinds, of all namespaces, that the label selector chooses, in a fixed order. Kinds that
// the API does not know have none. Errors are KubernetesRefused or APITimeout.
func (c *Client) List(ctx context.Context, kinds []schema.GroupKind, selector string) ([]*unstructured.Unstructured, error) {
	groups, err := restmapper.GetAPIGroupResources(c.set.Discovery())
	if err != nil {
		return nil, fault.Wrap(applyCode(err), err, "cannot ask the API server what it serves")
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	lists := make([][]*unstructured.Unstructured, len(kinds))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(applyParallel)
	for i, kind := range kinds {
		mapping, err := mapper.RESTMapping(kind)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fault.Wrap(fault.KubernetesRefused, err, "cannot list the objects of kind %s", kind)
		}
		group.Go(func() error {
			list, err := c.dyn.Resource(mapping.Resource).List(ctx, metav1.ListOptions{LabelSelector: selector})
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return fault.Wrap(applyCode(err), err, "cannot list the %s", mapping.Resource.Resource)
			}
			for j := range list.Items {
				lists[i] = append(lists[i], &list.Items[j])
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(lists...), nil
}

// Delete deletes the objects and waits until they are gone, with all that they own, which their own controllers remove
// first; it tells report (may be nil) what it waits for. What is not there is no error. Where something keeps an object
// from going until ctx ends, the error is AddonFailed and names what: finalizers, or what is left in a namespace.
func (c *Client) Delete(ctx context.Context, objs []*unstructured.Unstructured, report func(string)) error {
	names := make([]string, len(objs))
	for i, o := range objs {
		names[i] = RefOf(o).String()
	}
	pending := newPending(report, "is still there", names...)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(applyParallel)
	for _, o := range objs {
		group.Go(func() error { return c.deleteOne(groupCtx, o, pending) })
	}
	err := group.Wait()
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil:
		return err
	}
	return ended(ctx, fault.AddonFailed, errors.New(pending.String()+unreachable(err)), "not everything could be removed")
}

func (c *Client) deleteOne(ctx context.Context, o *unstructured.Unstructured, pending *pending) error {
	r := RefOf(o)
	res, err := c.resourceOf(o.GroupVersionKind())
	if isNoKind(err) {
		pending.set(r.String(), "", "")
		return nil
	}
	if err != nil {
		return fault.Wrap(applyCode(err), err, "cannot remove %s", r)
	}
	client := res.client(c.dyn, r.Namespace)
	foreground := metav1.DeletePropagationForeground
	err = persist(ctx, "remove "+r.String(), func() error {
		err := client.Delete(ctx, r.Name, metav1.DeleteOptions{PropagationPolicy: &foreground})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", r.Name).String()}
	err = follow(ctx, client, only, func(objs map[string]*unstructured.Unstructured) (bool, error) {
		now := objs[r.Name]
		// One of another UID was made in the meantime, by someone else.
		gone := now == nil || o.GetUID() != "" && now.GetUID() != o.GetUID()
		lack := ""
		if !gone {
			lack = whyStuck(now)
		}
		pending.set(r.String(), lack, lack)
		return gone, nil
	})
	if apierrors.IsNotFound(err) { // its kind went with it
		pending.set(r.String(), "", "")
		return nil
	}
	return err
}

// whyStuck says what keeps an object that is being deleted.
func whyStuck(o *unstructured.Unstructured) string {
	reasons := []string{}
	if f := o.GetFinalizers(); len(f) > 0 {
		reasons = append(reasons, "finalizers "+strings.Join(f, ", "))
	}
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, item := range list {
		c, ok := item.(map[string]any)
		if ok && o.GetKind() == "Namespace" && c["status"] == string(metav1.ConditionTrue) {
			reasons = append(reasons, shorten(fmt.Sprint(c["message"])))
		}
	}
	if len(reasons) == 0 {
		return "is still there"
	}
	return "waits for " + strings.Join(reasons, "; ")
}

// isNoKind reports whether the API server does not know a kind.
func isNoKind(err error) bool {
	none := (*noKindError)(nil)
	return errors.As(err, &none)
}

// Namespaced says whether the objects of a kind of Kubernetes' own belong to a namespace; known is false for other kinds.
func Namespaced(gvk schema.GroupVersionKind) (namespaced, known bool) {
	return !clusterScoped(gvk.Kind), builtIn(gvk.Group)
}

// Version returns the API server's version: "v1.36.3".
func (c *Client) Version(ctx context.Context) (string, error) {
	v, err := c.set.Discovery().WithLegacy().ServerVersion()
	if err != nil {
		return "", fault.Wrap(applyCode(err), err, "cannot ask the API server for its version")
	}
	return v.GitVersion, ctx.Err()
}

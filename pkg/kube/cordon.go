package kube

import (
	"context"
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// annotationCordoned says that cove cordoned the node, and lets pods onto it again when it is done.
const annotationCordoned = "cove.dev/cordoned"

// Taint is a taint of a node.
type Taint struct{ Key, Value, Effect string }

// Cordon keeps new pods off a node, or lets them onto it again, whoever kept them off. One that somebody else has cordoned is not
// marked as cove's. No such node is no error. The errors are those of CreateNodeObject.
func (c *Client) Cordon(ctx context.Context, node string, on bool) error {
	_, err := c.cordon(ctx, node, on)
	return err
}

// cordon says whether it was needed.
func (c *Client) cordon(ctx context.Context, node string, on bool) (changed bool, err error) {
	what := "uncordon node " + node
	if on {
		what = "cordon node " + node
	}
	err = persist(ctx, what, func() error {
		n, err := c.set.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		// A mark that is left on a node that others have made schedulable would make the next cordon look like cove's.
		if n.Spec.Unschedulable == on && (on || !cordonedByCove(n)) {
			return nil
		}
		var mark any // null removes it
		if on {
			mark = "true"
		}
		// With the version nobody else's cordon is taken for cove's.
		patch, err := json.Marshal(map[string]any{
			"spec":     map[string]any{"unschedulable": on},
			"metadata": map[string]any{"resourceVersion": n.ResourceVersion, "annotations": map[string]any{annotationCordoned: mark}},
		})
		if err != nil {
			return err
		}
		_, err = c.set.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		if apierrors.IsNotFound(err) {
			return nil
		}
		changed = err == nil
		return err
	})
	return changed, err
}

// cordonedByCove reports whether the node has cove's mark.
func cordonedByCove(n *corev1.Node) bool { return n.Annotations[annotationCordoned] == "true" }

// SetNode gives a node labels (nil removes one) and taints, and takes taints away: those of the key and the effect. What is so already
// is not written again. The errors are those of CreateNodeObject.
func (c *Client) SetNode(ctx context.Context, name string, labels map[string]*string, add, remove []Taint) error {
	return persist(ctx, "label node "+name, func() error { // again where somebody else changed it meanwhile
		n, err := c.set.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		// A patch and no update, which would drop what a newer API server has and this client does not know.
		meta, patch := map[string]any{}, map[string]any{}
		if changed := labelChanges(n.Labels, labels); len(changed) > 0 {
			meta["labels"] = changed
		}
		if taints := mergeTaints(n.Spec.Taints, add, remove); !slices.Equal(taints, n.Spec.Taints) {
			patch["spec"] = map[string]any{"taints": taints}
			meta["resourceVersion"] = n.ResourceVersion // the list goes as a whole, and Kubernetes has taints of its own in it
		}
		if len(meta) == 0 {
			return nil
		}
		patch["metadata"] = meta
		data, err := json.Marshal(patch)
		if err != nil {
			return err
		}
		_, err = c.set.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
}

// labelChanges returns those of the labels that differ.
func labelChanges(have map[string]string, want map[string]*string) map[string]*string {
	changed := map[string]*string{}
	for key, value := range want {
		old, is := have[key]
		if value == nil && is || value != nil && (!is || old != *value) {
			changed[key] = value
		}
	}
	return changed
}

// mergeTaints returns the taints that a node is to have. Those that stay keep their place.
func mergeTaints(have []corev1.Taint, add, remove []Taint) []corev1.Taint {
	taints := []corev1.Taint{}
	for _, t := range have {
		same := func(o Taint) bool { return o.Key == t.Key && o.Effect == string(t.Effect) }
		i := slices.IndexFunc(add, same)
		if i < 0 && slices.ContainsFunc(remove, same) {
			continue
		}
		if i >= 0 && add[i].Value != t.Value {
			t = corev1.Taint{Key: t.Key, Value: add[i].Value, Effect: t.Effect}
		}
		taints = append(taints, t)
	}
	for _, a := range add {
		t := corev1.Taint{Key: a.Key, Value: a.Value, Effect: corev1.TaintEffect(a.Effect)}
		if !slices.ContainsFunc(taints, func(o corev1.Taint) bool { return o.Key == t.Key && o.Effect == t.Effect }) {
			taints = append(taints, t)
		}
	}
	return taints
}

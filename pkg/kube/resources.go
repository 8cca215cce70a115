package kube

import (
	"cmp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// resource is where the objects of a kind are found.
type resource struct {
	schema.GroupVersionResource
	namespaced bool
}

// client returns the client of the resource, in the namespace where it has one (empty: default).
func (r resource) client(dyn dynamic.Interface, namespace string) dynamic.ResourceInterface {
	if !r.namespaced {
		return dyn.Resource(r.GroupVersionResource)
	}
	return dyn.Resource(r.GroupVersionResource).Namespace(cmp.Or(namespace, metav1.NamespaceDefault))
}

// resourceOf returns the resource of a kind. It knows Kubernetes' own kinds and asks the API server for others, because
// asking takes time, and as long as the server starts it gives half an answer.
func (c *Client) resourceOf(gvk schema.GroupVersionKind) (resource, error) {
	if builtIn(gvk.Group) {
		plural, _ := meta.UnsafeGuessKindToResource(gvk)
		return resource{plural, !clusterScoped(gvk.Kind)}, nil
	}
	c.mu.Lock()
	known, ok := c.resources[gvk]
	c.mu.Unlock()
	if ok {
		return known, nil
	}
	found, err := c.set.Discovery().ServerResourcesForGroupVersion(gvk.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return resource{}, &noKindError{gvk.Kind, gvk.GroupVersion().String()}
	}
	if err != nil {
		return resource{}, err
	}
	for _, r := range found.APIResources {
		if r.Kind == gvk.Kind && !strings.Contains(r.Name, "/") {
			known = resource{gvk.GroupVersion().WithResource(r.Name), r.Namespaced}
			c.mu.Lock()
			c.resources[gvk] = known
			c.mu.Unlock()
			return known, nil
		}
	}
	return resource{}, &noKindError{gvk.Kind, gvk.GroupVersion().String()}
}

// builtIn reports whether an API group is part of Kubernetes' own API server.
func builtIn(group string) bool {
	return slices.Contains([]string{
		"", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps",
		"authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io",
		"coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io",
		"internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "policy", "rbac.authorization.k8s.io",
		"resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
	}, group)
}

// clusterScoped reports whether objects of one of Kubernetes' own kinds belong to no namespace.
func clusterScoped(kind string) bool {
	return slices.Contains([]string{
		"APIService", "CSIDriver", "CSINode", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding",
		"ClusterTrustBundle", "ComponentStatus", "CustomResourceDefinition", "DeviceClass", "DeviceTaintRule", "FlowSchema",
		"IPAddress", "IngressClass", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
		"MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PriorityClass",
		"PriorityLevelConfiguration", "ResourcePoolStatusRequest", "ResourceSlice", "RuntimeClass", "SelfSubjectAccessReview",
		"SelfSubjectReview", "SelfSubjectRulesReview", "ServiceCIDR", "StorageClass", "StorageVersion", "StorageVersionMigration",
		"SubjectAccessReview", "TokenReview", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
		"ValidatingWebhookConfiguration", "VolumeAttachment", "VolumeAttributesClass",
	}, kind)
}

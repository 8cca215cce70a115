package kube

import (
	"context"
	"maps"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cove-k8s/cove/pkg/fault"
)

// splitToken returns the parts of a bootstrap token. Its form is k8s.io/cluster-bootstrap's BootstrapTokenPattern. The error does not
// show the token.
func splitToken(token string) (id, secret string, err error) {
	m := regexp.MustCompile(`^([a-z0-9]{6})\.([a-z0-9]{16})$`).FindStringSubmatch(token)
	if m == nil {
		return "", "", fault.New(fault.Internal, "a bootstrap token is not of the form [a-z0-9]{6}.[a-z0-9]{16}")
	}
	return m[1], m[2], nil
}

// CreateBootstrapToken makes a token by which nodes join, good for ttl, as kubeadm does
// (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/). One that is there is renewed. Errors are
// KubernetesRefused or APITimeout; a token of another form is Internal.
func (c *Client) CreateBootstrapToken(ctx context.Context, token string, ttl time.Duration) error {
	id, secret, err := splitToken(token)
	if err != nil {
		return err
	}
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id, Namespace: metav1.NamespaceSystem},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{
			"token-id": id, "token-secret": secret, "expiration": time.Now().Add(ttl).UTC().Format(time.RFC3339),
			"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
			"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
			"description":       "cove adds nodes with it",
		},
	}
	return persist(ctx, "make a bootstrap token", func() error {
		_, err := c.set.CoreV1().Secrets(metav1.NamespaceSystem).Create(ctx, s, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) {
			_, err = c.set.CoreV1().Secrets(metav1.NamespaceSystem).Update(ctx, s, metav1.UpdateOptions{FieldManager: fieldManager})
		}
		return err
	})
}

// DeleteBootstrapToken removes a token. No such token is no error. The errors are those of CreateBootstrapToken.
func (c *Client) DeleteBootstrapToken(ctx context.Context, token string) error {
	id, _, err := splitToken(token)
	if err != nil {
		return err
	}
	return persist(ctx, "remove a bootstrap token", func() error {
		err := c.set.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, "bootstrap-token-"+id, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// PatchConfigMap changes a ConfigMap's data, anew where somebody else changed it meanwhile. What change leaves as it is, is not
// written. An error of change is returned at once and as it is; no such ConfigMap is KubernetesRefused.
func (c *Client) PatchConfigMap(ctx context.Context, namespace, name string, change func(data map[string]string) error) error {
	var own error // change's: no time helps against it
	err := persist(ctx, "change ConfigMap "+namespace+"/"+name, func() error {
		m, err := c.set.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if m.Data == nil {
			m.Data = map[string]string{}
		}
		was := maps.Clone(m.Data)
		if own = change(m.Data); own != nil || maps.Equal(was, m.Data) {
			return nil //nolint:nilerr // it is returned below
		}
		_, err = c.set.CoreV1().ConfigMaps(namespace).Update(ctx, m, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	})
	if own != nil {
		return own
	}
	return err
}

package addon

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/pki"
	"github.com/cove-k8s/cove/pkg/profile"
)

// caSecret holds the CA that signs the certificates of a cluster's addons. It is another one than Kubernetes' own, so that
// a browser that trusts it trusts no more than that. It is made once, and stays with the cluster.
const caSecret = "cove-ca"

// Keys of a Secret of type kubernetes.io/tls.
const (
	keyCert = "tls.crt"
	keyKey  = "tls.key"
	keyCA   = "ca.crt"
)

// CA returns the certificate (PEM) of the cluster-local CA, which signs what addons generate; nil where the cluster has
// none, because no addon ever needed one.
func (m *Manager) CA(ctx context.Context) ([]byte, error) {
	o, err := m.API.Get(ctx, kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: systemNamespace, Name: caSecret})
	if err != nil || o == nil {
		return nil, err
	}
	return secretValue(o, keyCert)
}

// ensureCA returns the cluster-local CA, and makes it where there is none yet.
func (m *Manager) ensureCA(ctx context.Context) (*pki.CA, error) {
	name := "cove CA of " + m.Facts.Name
	fresh, err := pki.NewCA(name, m.Now())
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot make the CA of the addons")
	}
	o := newSecret(caSecret, systemNamespace, "kubernetes.io/tls", map[string][]byte{keyCert: fresh.CertPEM(), keyKey: fresh.KeyPEM()})
	got, created, err := m.API.Create(ctx, o)
	if err != nil || created {
		return fresh, err
	}
	cert, err := secretValue(got, keyCert)
	if err != nil {
		return nil, err
	}
	key, err := secretValue(got, keyKey)
	if err != nil {
		return nil, err
	}
	ca, err := pki.LoadCA(m.Now(), cert, key)
	return ca, fault.Wrap(fault.AddonFailed, err, "secret %s/%s cannot be used: delete it, and enable the addons again", systemNamespace, caSecret)
}

// generate returns the Secrets that the addon wants made. What is there is left as it is.
func (m *Manager) generate(ctx context.Context, i Instance, ca *pki.CA) ([]*unstructured.Unstructured, error) {
	var objs []*unstructured.Unstructured
	for _, g := range i.Addon.Generate {
		o, err := m.API.Get(ctx, kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: g.Namespace, Name: g.Secret})
		if err != nil {
			return nil, err
		}
		var data map[string][]byte
		if o != nil {
			data, err = secretData(o, g)
		}
		if err == nil && data == nil {
			data, err = m.newData(i, g, ca)
		}
		if err != nil {
			return nil, fault.Wrap(fault.AddonFailed, err, "cannot make secret %s/%s", g.Namespace, g.Secret)
		}
		objs = append(objs, newSecret(g.Secret, g.Namespace, secretType(g), data))
	}
	return objs, nil
}

// newData makes what the Secret holds.
func (m *Manager) newData(i Instance, g profile.Generate, ca *pki.CA) (map[string][]byte, error) {
	if g.Type == profile.GenerateRandom {
		raw := make([]byte, g.Bytes)
		if _, err := rand.Read(raw); err != nil {
			return nil, err
		}
		return map[string][]byte{g.Key: []byte(base64.StdEncoding.EncodeToString(raw))}, nil
	}
	names := make([]string, len(g.DNSNames))
	for j, n := range g.DNSNames {
		text, err := execute("dnsNames", n, view{Name: i.Name(), Params: i.Parameters, Cluster: m.Facts})
		if err != nil {
			return nil, err
		}
		names[j] = string(text)
	}
	cert, key, err := ca.ServingCert(nil, names, nil, 0)
	return map[string][]byte{keyCert: cert, keyKey: key, keyCA: ca.CertPEM()}, err
}

// secretData returns the data of a Secret that is there, or nil where it lacks what was to be generated.
func secretData(o *unstructured.Unstructured, g profile.Generate) (map[string][]byte, error) {
	keys := []string{g.Key}
	if g.Type == profile.GenerateCertificate {
		keys = []string{keyCert, keyKey, keyCA}
	}
	data := map[string][]byte{}
	for _, k := range keys {
		v, err := secretValue(o, k)
		if err != nil {
			return nil, err
		}
		if len(v) == 0 {
			return nil, nil
		}
		data[k] = v
	}
	return data, nil
}

func secretType(g profile.Generate) string {
	if g.Type == profile.GenerateCertificate {
		return "kubernetes.io/tls"
	}
	return "Opaque"
}

func newSecret(name, namespace, typ string, data map[string][]byte) *unstructured.Unstructured {
	encoded := map[string]any{}
	for k, v := range data {
		encoded[k] = base64.StdEncoding.EncodeToString(v)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": typ,
		"metadata": map[string]any{"name": name, "namespace": namespace},
		"data":     encoded,
	}}
}

func secretValue(o *unstructured.Unstructured, key string) ([]byte, error) {
	text, _, err := unstructured.NestedString(o.Object, "data", key)
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", o.GetNamespace(), o.GetName(), err)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %s: %w", o.GetNamespace(), o.GetName(), key, err)
	}
	return data, nil
}

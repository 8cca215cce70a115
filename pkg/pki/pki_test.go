package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, certPEM []byte) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode(certPEM)
	if block == nil || len(rest) > 0 {
		t.Fatalf("not one PEM block: %q", certPEM)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCA(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, err := NewCA(Kubernetes, now)
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, ca.CertPEM())
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		t.Errorf("the key is %T", c.PublicKey)
	}
	if c.Subject.CommonName != "kubernetes" || !slices.Equal(c.DNSNames, []string{"kubernetes"}) || !c.IsCA {
		t.Errorf("subject %s, names %v, CA %v", c.Subject, c.DNSNames, c.IsCA)
	}
	if c.KeyUsage != x509.KeyUsageKeyEncipherment|x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign {
		t.Errorf("key usage %b", c.KeyUsage)
	}
	if !c.NotBefore.Before(now) || !c.NotAfter.After(now.AddDate(9, 11, 0)) || c.NotAfter.After(now.AddDate(10, 0, 1)) {
		t.Errorf("good from %s to %s", c.NotBefore, c.NotAfter)
	}
	other, err := NewCA(Kubernetes, now)
	if err != nil || parse(t, other.CertPEM()).SerialNumber.Cmp(c.SerialNumber) == 0 {
		t.Errorf("two CAs have one serial number (%v)", err)
	}
}

func TestClientCert(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, err := NewCA(Kubernetes, now)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ca.ClientCert("kubernetes-admin", []string{"kubeadm:cluster-admins"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	c := parse(t, certPEM)
	roots := x509.NewCertPool()
	roots.AddCert(parse(t, ca.CertPEM()))
	for at, good := range map[time.Time]bool{
		now.Add(-time.Minute): true, now.Add(59 * time.Minute): true,
		now.Add(-time.Hour): false, now.Add(61 * time.Minute): false,
	} {
		_, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if (err == nil) != good {
			t.Errorf("at %s: %v", at, err)
		}
	}
	if c.Subject.CommonName != "kubernetes-admin" || !slices.Equal(c.Subject.Organization, []string{"kubeadm:cluster-admins"}) || c.IsCA {
		t.Errorf("subject %s, CA %v", c.Subject, c.IsCA)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("the certificate would do for a server")
	}
	long, _, err := ca.ClientCert("x", nil, 20*365*24*time.Hour)
	if err != nil || parse(t, long).NotAfter.After(parse(t, ca.CertPEM()).NotAfter) {
		t.Errorf("a certificate outlives its CA (%v)", err)
	}
}

func TestLoadCA(t *testing.T) {
	now := time.Now()
	a, err := NewCA(Kubernetes, now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewCA(Kubernetes, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCA(now, a.CertPEM(), a.KeyPEM()); err != nil {
		t.Error(err)
	}
	for name, pair := range map[string][2][]byte{
		"belongs to another": {a.CertPEM(), b.KeyPEM()},
		"certificate":        {[]byte("x"), b.KeyPEM()},
		"key":                {a.CertPEM(), []byte("x")},
	} {
		if _, err := LoadCA(now, pair[0], pair[1]); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExtend(t *testing.T) {
	ca, err := NewCA(Kubernetes, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::2")
	old, _, err := ca.ServingCert([]string{"org"}, []string{"a", "b"}, []netip.Addr{one}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ca.Extend(old, []netip.Addr{one}); err != nil || got != nil {
		t.Errorf("with what it has: %s, %v", got, err)
	}
	extended, err := ca.Extend(old, []netip.Addr{one, two})
	if err != nil {
		t.Fatal(err)
	}
	was, now := parse(t, old), parse(t, extended)
	if err := now.VerifyHostname("2001:db8::2"); err != nil {
		t.Error(err)
	}
	if now.VerifyHostname("192.0.2.1") != nil || now.VerifyHostname("b") != nil || !now.NotAfter.Equal(was.NotAfter) ||
		now.Subject.String() != was.Subject.String() || !was.PublicKey.(*ecdsa.PublicKey).Equal(now.PublicKey) || now.SerialNumber.Cmp(was.SerialNumber) == 0 {
		t.Errorf("was %+v\nis %+v", was, now)
	}
	if err := now.CheckSignatureFrom(parse(t, ca.CertPEM())); err != nil {
		t.Error(err)
	}
	if _, err := ca.Extend([]byte("x"), nil); err == nil {
		t.Error("no certificate is no error")
	}
}

func TestServingCert(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, err := NewCA("cove dev", now)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ca.ServingCert([]string{"system:nodes"}, []string{"node", "other"}, []netip.Addr{netip.MustParseAddr("10.0.0.1")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Error(err)
	}
	c, issuer := parse(t, certPEM), parse(t, ca.CertPEM())
	roots := x509.NewCertPool()
	roots.AddCert(issuer)
	for _, name := range []string{"node", "other", "10.0.0.1"} {
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("a serving certificate is good for a client")
	}
	if !c.NotAfter.Equal(issuer.NotAfter) || c.Subject.CommonName != "node" || issuer.Subject.CommonName != "cove dev" {
		t.Errorf("good until %s, the CA until %s; %s of %s", c.NotAfter, issuer.NotAfter, c.Subject, issuer.Subject)
	}
}

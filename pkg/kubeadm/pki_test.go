package kubeadm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"regexp"
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
	ca, err := NewCA(now)
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
	other, err := NewCA(now)
	if err != nil || parse(t, other.CertPEM()).SerialNumber.Cmp(c.SerialNumber) == 0 {
		t.Errorf("two CAs have one serial number (%v)", err)
	}
}

func TestClientCert(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, err := NewCA(now)
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
	a, err := NewCA(now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewCA(now)
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

func TestNewToken(t *testing.T) {
	form := regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)
	seen := map[string]bool{}
	counts := map[rune]int{}
	const tokens = 2000
	for range tokens {
		token, err := NewToken()
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(token) || seen[token] {
			t.Fatalf("token %q", token)
		}
		seen[token] = true
		for _, r := range strings.Replace(token, ".", "", 1) {
			counts[r]++
		}
	}
	// 44,000 characters of 36 kinds: 1222 of each, standard deviation 35. A bias as of one byte modulo 36 makes 1203 to
	// 1375; six deviations let a fair one pass but once in ten million runs.
	for r, n := range counts {
		if n < 1012 || n > 1432 {
			t.Errorf("%q comes %d times", r, n)
		}
	}
	if len(counts) != 36 {
		t.Errorf("%d different characters", len(counts))
	}
}

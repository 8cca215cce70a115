// Package pki makes certificates: authorities, and what they sign. Keys are ECDSA P-256. It writes nothing anywhere.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// caTTL is kubeadm's own: its CACertificateValidityPeriod.
const caTTL = 10 * 365 * 24 * time.Hour

// clockSkew is how far certificates begin in the past, for hosts whose clocks are a little behind this one's.
const clockSkew = 10 * time.Minute

// Kubernetes is the common name that kubeadm gives a cluster's CA.
const Kubernetes = "kubernetes"

// CA is a certificate authority. Whoever holds the key of a cluster's own may do anything with the cluster.
type CA struct {
	now     time.Time
	cert    *x509.Certificate
	key     crypto.Signer
	certPEM []byte
	keyPEM  []byte
}

// NewCA makes a CA as kubeadm would: self-signed, good for ten years from now. kubeadm uses one named Kubernetes where it
// finds it at /etc/kubernetes/pki/ca.{crt,key}.
func NewCA(cn string, now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	begin := now.Add(-clockSkew).UTC()
	der, err := sign(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: cn},
		DNSNames:              []string{cn},
		NotBefore:             begin,
		NotAfter:              begin.Add(caTTL),
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}, nil, key, key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, fmt.Errorf("cannot write a key: %w", err)
	}
	return LoadCA(now, encodeCert(der), keyPEM)
}

// LoadCA reads a CA: cove's own of an earlier run, or one that kubeadm made. now is when the certificates that it signs begin.
func LoadCA(now time.Time, certPEM, keyPEM []byte) (*CA, error) {
	certs, err := cert.ParseCertsPEM(certPEM)
	if err != nil {
		return nil, fmt.Errorf("cannot read the CA's certificate: %w", err)
	}
	parsed, err := keyutil.ParsePrivateKeyPEM(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("cannot read the CA's key: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("cannot read the CA's key: it cannot sign")
	}
	if pub, ok := certs[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key.Public()) {
		return nil, errors.New("cannot use the CA: its key belongs to another certificate")
	}
	return &CA{now: now, cert: certs[0], key: key, certPEM: certPEM, keyPEM: keyPEM}, nil
}

// CertPEM returns the CA's certificate.
func (ca *CA) CertPEM() []byte { return ca.certPEM }

// KeyPEM returns the CA's private key.
func (ca *CA) KeyPEM() []byte { return ca.keyPEM }

// ClientCert makes a certificate by which the API server takes its holder for the user cn in the groups orgs, for ttl from
// the CA's now, but never beyond the CA's own end.
func (ca *CA) ClientCert(cn string, orgs []string, ttl time.Duration) (certPEM, keyPEM []byte, err error) {
	return ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: cn, Organization: orgs},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ttl)
}

// ServingCert makes a certificate for a server of the names and addresses; the first name is also its common name. It is
// good for ttl from the CA's now, but never beyond the CA's own end; 0 is until then.
func (ca *CA) ServingCert(orgs, names []string, ips []netip.Addr, ttl time.Duration) (certPEM, keyPEM []byte, err error) {
	if ttl == 0 {
		ttl = ca.cert.NotAfter.Sub(ca.now)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0], Organization: orgs},
		DNSNames:    names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
	}
	return ca.issue(template, ttl)
}

// issue completes the template, signs it, and makes a key for it.
func (ca *CA) issue(template *x509.Certificate, ttl time.Duration) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a key: %w", err)
	}
	if template.SerialNumber, err = newSerial(); err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = ca.now.Add(-clockSkew).UTC(), ca.now.Add(ttl).UTC()
	if template.NotBefore.Before(ca.cert.NotBefore) {
		template.NotBefore = ca.cert.NotBefore
	}
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err := sign(template, ca.cert, key, ca.key)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot write a key: %w", err)
	}
	return encodeCert(der), keyPEM, nil
}

// sign returns the certificate of the template, for key, signed by parent (nil: by itself) with signer.
func sign(template, parent *x509.Certificate, key, signer crypto.Signer) ([]byte, error) {
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("cannot sign a certificate: %w", err)
	}
	return der, nil
}

// newSerial returns a random serial number in [1, 2^63), as kubeadm has it.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(math.MaxInt64-1))
	if err != nil {
		return nil, fmt.Errorf("cannot make a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func encodeCert(der []byte) []byte {
	out, _ := cert.EncodeCertificates(&x509.Certificate{Raw: der}) // cannot fail: it writes to memory
	return out
}

// NewKeyPair makes a key, and its public half, as PEM: what service accounts' tokens are signed and checked with.
func NewKeyPair() (privatePEM, publicPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a key: %w", err)
	}
	if privatePEM, err = keyutil.MarshalPrivateKeyToPEM(key); err != nil {
		return nil, nil, fmt.Errorf("cannot write a key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("cannot write a key: %w", err)
	}
	return privatePEM, pem.EncodeToMemory(&pem.Block{Type: keyutil.PublicKeyBlockType, Bytes: der}), nil
}

// Renew returns a certificate for the same key, holder and uses as the first one of certPEM, good from the CA's now for as long as that
// one was; nil where that one is good for longer than ahead. The period is kept on purpose, as kubeadm does: who configured a short one
// (certificateValidityPeriod), be it of minutes, gets it again, and then every call with an ahead beyond it renews.
func (ca *CA) Renew(certPEM []byte, ahead time.Duration) ([]byte, error) {
	certs, err := cert.ParseCertsPEM(certPEM)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate: %w", err)
	}
	old := certs[0]
	if old.NotAfter.After(ca.now.Add(ahead)) {
		return nil, nil
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: old.Subject, DNSNames: old.DNSNames, IPAddresses: old.IPAddresses, KeyUsage: old.KeyUsage,
		ExtKeyUsage: old.ExtKeyUsage, BasicConstraintsValid: true,
		NotBefore: ca.now.Add(-clockSkew).UTC(), NotAfter: ca.now.Add(old.NotAfter.Sub(old.NotBefore)).UTC(),
	}
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, old.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("cannot sign a certificate: %w", err)
	}
	return encodeCert(der), nil
}

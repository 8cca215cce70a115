package kubeadm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// caTTL is kubeadm's own: its CACertificateValidityPeriod.
const caTTL = 10 * 365 * 24 * time.Hour

// clockSkew is how far certificates begin in the past, for hosts whose clocks are a little behind this one's.
const clockSkew = 10 * time.Minute

// CA is a cluster's certificate authority, whose key whoever holds it may do anything with the cluster.
type CA struct {
	now     time.Time
	cert    *x509.Certificate
	key     crypto.Signer
	certPEM []byte
	keyPEM  []byte
}

// NewCA makes a CA as kubeadm would: self-signed, named "kubernetes", good for ten years from now, with an ECDSA P-256 key.
// kubeadm uses it where it finds it at /etc/kubernetes/pki/ca.{crt,key}.
func NewCA(now time.Time) (*CA, error) {
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
		Subject:               pkix.Name{CommonName: "kubernetes"},
		DNSNames:              []string{"kubernetes"},
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	begin, end := ca.now.Add(-clockSkew).UTC(), ca.now.Add(ttl).UTC()
	if begin.Before(ca.cert.NotBefore) {
		begin = ca.cert.NotBefore
	}
	if end.After(ca.cert.NotAfter) {
		end = ca.cert.NotAfter
	}
	der, err := sign(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: cn, Organization: orgs},
		NotBefore:             begin,
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, ca.cert, key, ca.key)
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

// NewToken returns a random bootstrap token, [a-z0-9]{6}.[a-z0-9]{16}, of 82 secret bits. Each character is as likely
// as any other.
func NewToken() (string, error) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	token := make([]byte, len("abcdef.0123456789abcdef"))
	for i := range token {
		if i == 6 {
			token[i] = '.'
			continue
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", fmt.Errorf("cannot make a token: %w", err)
		}
		token[i] = alphabet[n.Int64()]
	}
	return string(token), nil
}

package pki

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"k8s.io/client-go/util/cert"
)

// Extend returns a certificate for the same key, holder, uses and time as the first one of certPEM that is good for these addresses, too;
// nil where that one is.
func (ca *CA) Extend(certPEM []byte, ips []netip.Addr) ([]byte, error) {
	certs, err := cert.ParseCertsPEM(certPEM)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate: %w", err)
	}
	old := certs[0]
	all := slices.Clone(old.IPAddresses)
	for _, ip := range ips {
		if !slices.ContainsFunc(all, net.IP(ip.AsSlice()).Equal) {
			all = append(all, ip.AsSlice())
		}
	}
	if len(all) == len(old.IPAddresses) {
		return nil, nil
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: old.Subject, DNSNames: old.DNSNames, IPAddresses: all, KeyUsage: old.KeyUsage, ExtKeyUsage: old.ExtKeyUsage,
		BasicConstraintsValid: true, NotBefore: old.NotBefore, NotAfter: old.NotAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, old.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("cannot sign a certificate: %w", err)
	}
	return encodeCert(der), nil
}

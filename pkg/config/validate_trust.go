package config

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/api/validate/content"
)

// trust checks what nodes reach other hosts by: proxy, certificate authorities and mirrors.
func (v *validator) trust() {
	if p := v.doc.Proxy; p != nil {
		for _, one := range [][2]string{{"proxy.http", p.HTTP}, {"proxy.https", p.HTTPS}} {
			if one[1] == "" {
				continue
			}
			if problem := proxyProblem(one[1]); problem != "" {
				v.problems.Invalid(one[0], "%s", problem)
			}
		}
		for i, entry := range p.NoProxy {
			if problem := noProxyProblem(entry); problem != "" {
				v.problems.Invalid(fmt.Sprintf("proxy.noProxy[%d]", i), "%s", problem)
			}
		}
	}
	v.authorities()
	v.mirrors()
}

func (v *validator) mirrors() {
	mirrors := v.doc.Registries.Mirrors
	for _, name := range slices.Sorted(maps.Keys(mirrors)) {
		at, m := fmt.Sprintf("registries.mirrors[%q]", name), mirrors[name]
		if !isRegistry(name) {
			v.problems.Invalid(at, "it is no registry; write it as docker.io or registry.example:5000, or * for all others")
		}
		if len(m.Endpoints) == 0 {
			v.problems.Invalid(at+".endpoints", "it is missing; name a mirror as http://10.0.0.1:5000")
		}
		for i, endpoint := range m.Endpoints {
			if problem := endpointProblem(endpoint); problem != "" {
				v.problems.Invalid(fmt.Sprintf("%s.endpoints[%d]", at, i), "%s", problem)
			}
		}
		switch ca := m.CertificateAuthority; {
		case ca == "":
		case m.SkipVerify:
			v.problems.Invalid(at+".certificateAuthority", "skipVerify is true, so that it changes nothing; leave one of them out")
		case isPEM(ca):
			if problem := pemProblem(ca, false); problem != "" {
				v.problems.Invalid(at+".certificateAuthority", "%s", problem)
			}
		}
	}
}

func (v *validator) authorities() {
	taken := map[string]int{}
	for i, ca := range v.doc.CertificateAuthorities {
		at := fmt.Sprintf("certificateAuthorities[%d]", i)
		first, again := taken[ca.Name]
		switch {
		case ca.Name == "":
			v.problems.Invalid(at+".name", "it is missing")
		case len(content.IsDNS1123Label(ca.Name)) > 0:
			v.problems.Invalid(at+".name", "%q is no name for a file; use lower-case letters, digits and hyphens", ca.Name)
		case again:
			v.problems.Invalid(at+".name", "%s is certificateAuthorities[%d] already", ca.Name, first)
		default:
			taken[ca.Name] = i
		}
		switch {
		case ca.Path == "" && ca.PEM == "":
			v.problems.Invalid(at, "it has no certificate; write path or pem")
		case ca.Path != "" && ca.PEM != "":
			v.problems.Invalid(at, "it has path and pem; write one of them")
		case ca.PEM != "":
			if problem := pemProblem(ca.PEM, true); problem != "" {
				v.problems.Invalid(at+".pem", "%s", problem)
			}
		}
	}
}

// pemProblem says what is wrong with certificates; "" where nothing is. With authority, one of them must be a certificate
// authority's: a certificate of version 1 does not say what it is for, and may be.
func pemProblem(text string, authority bool) string {
	n, found, rest := 0, false, []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		n++
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return "it has a private key, which no node needs; give the certificate alone"
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Sprintf("block %d is %q; give certificates alone", n, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Sprintf("certificate %d cannot be read: %s", n, strings.TrimPrefix(err.Error(), "x509: "))
		}
		found = found || cert.IsCA || cert.Version < 3
	}
	switch {
	case n == 0:
		return "it has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----"
	case strings.Count(text, "-----BEGIN ") != n:
		return fmt.Sprintf("%d of its %d certificates are broken PEM", strings.Count(text, "-----BEGIN ")-n, strings.Count(text, "-----BEGIN "))
	case authority && !found:
		return "it has no certificate authority's certificate, but only servers' or clients' own"
	}
	return ""
}

// notOfHost is why a loop-back address is of no use to a node.
const notOfHost = "to a node, that is the node itself; name an address that nodes reach, such as that of the engine's host"

// proxyProblem says what is wrong with the URL of a proxy; "" where nothing is. It never shows a password.
func proxyProblem(s string) string {
	const form = "write it as http://proxy.example:3128"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "it is no URL; " + form
	case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) || u.Hostname() == "" || !isPort(u.Port()):
		return fmt.Sprintf("%q is no URL of a proxy; %s", u.Redacted(), form)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Sprintf("%s has more than host and port; %s", u.Redacted(), form)
	case isLoopback(u.Hostname()):
		return u.Redacted() + ": " + notOfHost
	}
	return ""
}

// endpointProblem says what is wrong with the URL of a mirror; "" where nothing is.
func endpointProblem(s string) string {
	const form = "write it as http://10.0.0.1:5000"
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "it is no URL; " + form
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !isPort(u.Port()):
		return fmt.Sprintf("%q is no URL of a registry; %s", u.Redacted(), form)
	case u.User != nil:
		return u.Redacted() + ": a mirror takes no credentials; leave them out"
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Sprintf("%s has more than host, port and path; %s", s, form)
	case isLoopback(u.Hostname()):
		return s + ": " + notOfHost
	}
	return ""
}

// isPort reports whether a URL's port is one, or left out.
func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return s == "" || err == nil && n >= 1 && n <= maxPort
}

// isLoopback reports whether a host is the one that asks.
func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr.IsUnspecified()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// noProxyProblem says what is wrong with an entry; "" where nothing is. They end up in one variable, with commas between.
func noProxyProblem(entry string) string {
	if entry == "" || strings.ContainsFunc(entry, func(r rune) bool { return r == ',' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return fmt.Sprintf("%q is no name, address or subnet; write one an item, as .example.com or 10.0.0.0/8", entry)
	}
	return ""
}

// isRegistry reports whether s names a registry as images do, or is * for all.
func isRegistry(s string) bool {
	host, port := s, ""
	if strings.Contains(s, ":") {
		var err error
		if host, port, err = net.SplitHostPort(s); err != nil || port == "" {
			return false
		}
	}
	_, err := netip.ParseAddr(host)
	isName := regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`).MatchString(host)
	return s == "*" || isPort(port) && (isName || err == nil)
}

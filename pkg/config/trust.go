package config

import (
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
)

// maxCertificates is how large a file of certificates may be, in bytes.
const maxCertificates = 1 << 20

// environProxy gives a document that says nothing of a proxy the one of the environment, by the names and the precedence
// that kind has. What no node could use is left out, with a warning: it was not said of the cluster.
func (r *resolver) environProxy() {
	if r.doc.Proxy != nil || r.Environ == nil {
		return
	}
	get := func(name string) (key, value string) {
		for _, key := range []string{name, strings.ToLower(name)} {
			if value := strings.TrimSpace(r.Environ(key)); value != "" {
				return key, value
			}
		}
		return "", ""
	}
	proxy := func(name string) string {
		key, value := get(name)
		if value != "" && !strings.Contains(value, "://") {
			value = "http://" + value // as golang.org/x/net/http/httpproxy reads it
		}
		problem := ""
		if value != "" {
			problem = proxyProblem(value)
		}
		if problem == "" {
			return value
		}
		if r.Warn != nil {
			r.Warn(Problem{Code: fault.ConfigInvalid, Path: key, Message: "left out for the nodes: " + problem})
		}
		return ""
	}
	out := v1alpha1.Proxy{HTTP: proxy("HTTP_PROXY"), HTTPS: proxy("HTTPS_PROXY")}
	if out.HTTP == "" && out.HTTPS == "" {
		return
	}
	_, none := get("NO_PROXY")
	for entry := range strings.SplitSeq(none, ",") {
		if entry = strings.TrimSpace(entry); entry != "" && noProxyProblem(entry) == "" {
			out.NoProxy = append(out.NoProxy, entry)
		}
	}
	r.doc.Proxy = &out
}

// inline reads the files of certificates, so that the document is complete without them.
func (r *resolver) inline() {
	for i := range r.doc.CertificateAuthorities {
		ca := &r.doc.CertificateAuthorities[i]
		if ca.Path == "" || ca.PEM != "" {
			continue // check says what is wrong
		}
		if text, ok := r.readPEM(fmt.Sprintf("certificateAuthorities[%d].path", i), ca.Path); ok {
			ca.Path, ca.PEM = "", text
		}
	}
	mirrors := r.doc.Registries.Mirrors
	for _, name := range slices.Sorted(maps.Keys(mirrors)) {
		m := mirrors[name]
		if m.CertificateAuthority == "" || isPEM(m.CertificateAuthority) {
			continue
		}
		if text, ok := r.readPEM(fmt.Sprintf("registries.mirrors[%q].certificateAuthority", name), m.CertificateAuthority); ok {
			m.CertificateAuthority = text
			mirrors[name] = m
		}
	}
}

// isPEM tells certificates from the path of a file that has them.
func isPEM(s string) bool { return strings.Contains(s, "-----BEGIN") }

// readPEM reads a file, whose path is at a path of the document. What is between certificates is left out, which often says
// at length what they are.
func (r *resolver) readPEM(at, path string) (string, bool) {
	if !filepath.IsAbs(path) {
		if r.documentDir() == "" {
			r.problems.Invalid(at, "%q is not absolute", path)
			return "", false
		}
		path = filepath.Join(r.documentDir(), path)
	}
	data, err := readFile(path)
	if err != nil {
		r.problems.Invalid(at, "cannot read it: %s", err)
		return "", false
	}
	if problem := pemProblem(string(data), false); problem != "" {
		r.problems.Invalid(at, "%s: %s", path, problem)
		return "", false
	}
	out := []byte{}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	return string(out), true
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the user's own choice
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCertificates+1))
	if err == nil && len(data) > maxCertificates {
		err = fmt.Errorf("%s is larger than 1 MiB, so it has no certificates", path)
	}
	return data, err
}

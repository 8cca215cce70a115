package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
)

// TestAPIProblem wraps errors as an HTTP client does.
func TestAPIProblem(t *testing.T) {
	of := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://127.0.0.1:6443", Err: &tls.CertificateVerificationError{Err: err}}
	}
	const cure = "its certificates have ended: `cove restart dev` renews them"
	if got := apiProblem("dev", of(x509.CertificateInvalidError{Reason: x509.Expired})); got != cure {
		t.Errorf("ended certificates: %q", got)
	}
	for name, err := range map[string]error{
		"refused":       errors.New("connection refused"),
		"another CA":    of(x509.UnknownAuthorityError{}),
		"another fault": of(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}),
	} {
		if got := apiProblem("dev", err); !strings.HasPrefix(got, "the API server does not answer: ") || !strings.HasSuffix(got, err.Error()) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

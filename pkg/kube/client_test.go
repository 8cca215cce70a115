package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/pki"
)

// notReady is what the real server answers while it starts.
func notReady(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "[+]ping ok\n[-]informer-sync failed: reason withheld\n[-]poststarthook/x failed: reason withheld\nreadyz check failed", http.StatusInternalServerError)
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }

func TestWaitAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		f.setDown(true)
		f.on("/readyz", times(3, notReady, ok))
		time.AfterFunc(3*time.Second, func() { f.setDown(false) })
		begun, r := time.Now(), &reports{}
		if err := c.WaitAPI(t.Context(), r.add); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 3*time.Second+6*apiPoll {
			t.Errorf("took %s", took)
		}
		want := "the API server: connection refused\nthe API server: not ready: informer-sync and 1 more"
		if r.String() != want {
			t.Errorf("reports %q; want %q", r, want)
		}
		for _, q := range f.seen("/readyz") {
			wantParts(t, q, "exclude=poststarthook%2Frbac%2Fbootstrap-roles", "exclude=poststarthook%2Fscheduling%2Fbootstrap-system-priority-classes")
		}
	})
}

func TestWaitAPIEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		set   func(*fakeAPI)
		parts []string
	}{
		"refused":   {func(f *fakeAPI) { f.setDown(true) }, []string{"the API server did not get ready in time: ", "connection refused"}},
		"not ready": {func(f *fakeAPI) { f.on("/readyz", notReady) }, []string{"in time: not ready: informer-sync and 1 more"}},
		"hangs": {func(f *fakeAPI) {
			f.on("/readyz", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}, []string{"in time: no answer within 2s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFakeAPI(t)
				tt.set(f)
				begun := time.Now()
				err := c.WaitAPI(within(t, 31*time.Second), nil)
				if !fault.Is(err, fault.APITimeout) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				wantParts(t, err.Error(), tt.parts...)
				if took := time.Since(begun); took < 31*time.Second || took > 31*time.Second+apiTry {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestWaitAPIInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFakeAPI(t)
		f.setDown(true)
		err := c.WaitAPI(interrupted(t), nil)
		if !errors.Is(err, errStop) || strings.Contains(err.Error(), "in time") {
			t.Errorf("got %v", err)
		}
	})
}

// The client trusts the CA that it is given and no other, checks the name that it is told, and shows its
// certificate.
func TestNewSpeaksTLS(t *testing.T) {
	ca, err := pki.NewCA(pki.Kubernetes, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.ClientCert("kube", []string{"system:masters"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server, serverKey := serverCert(t, ca, "dev-endpoint")
	pair, err := tls.X509KeyPair(server, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.CertPEM())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.PeerCertificates[0].Subject.CommonName == "kube" {
			ok(w, r)
		}
	}), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	o := Options{
		Server: "https://dev-endpoint:6443", CA: ca.CertPEM(), Cert: cert, Key: key,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
		},
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WaitAPI(within(t, 10*time.Second), nil); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Options){
		"certificate is valid for dev-endpoint": func(o *Options) { o.ServerName = "other" },
		"unknown authority": func(o *Options) {
			other, err := pki.NewCA(pki.Kubernetes, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			o.CA = other.CertPEM()
		},
	} {
		bad := o
		change(&bad)
		c, err := New(bad)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.WaitAPI(within(t, 200*time.Millisecond), nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{Server: "https://x", CA: ca.CertPEM(), Cert: cert, Key: []byte("no key")}); !fault.Is(err, fault.Internal) {
		t.Errorf("a broken key: %v", err)
	}
}

// What Dial is for must not go to a proxy that the environment names.
func TestNewAsksNoProxy(t *testing.T) {
	c, err := New(Options{Server: "https://dev-endpoint:6443", Dial: (&net.Dialer{}).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	if c.RESTConfig().Proxy == nil { // net/http asks the environment then
		t.Fatal("no word about proxies")
	}
	if proxy, err := c.RESTConfig().Proxy(nil); proxy != nil || err != nil {
		t.Errorf("proxy %v, %v", proxy, err)
	}
}

// serverCert makes a certificate of the CA's for a server of that name.
func serverCert(t *testing.T, ca *pki.CA, name string) (certPEM, keyPEM []byte) {
	t.Helper()
	signer, err := tls.X509KeyPair(ca.CertPEM(), ca.KeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, signer.Leaf, key.Public(), signer.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func TestBrief(t *testing.T) {
	for want, err := range map[string]error{
		"connect: connection refused": &url.Error{Op: "Get", URL: "https://x", Err: &net.OpError{Op: "dial", Err: errors.New("connect: connection refused")}},
		"EOF":                         &url.Error{Op: "Get", URL: "https://x", Err: errors.New("EOF")},
		"plain":                       errors.New("plain"),
		"connection refused":          &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
	} {
		if got := brief(err); got != want {
			t.Errorf("%v: %q; want %q", err, got, want)
		}
	}
}

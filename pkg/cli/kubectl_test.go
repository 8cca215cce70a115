package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/kubeconfig"
	"github.com/cove-k8s/cove/pkg/pki"
)

// apiServer is as much of one as `kubectl get pods` asks for. It notes who asks, and what.
type apiServer struct {
	*httptest.Server

	mu    sync.Mutex
	users map[string]bool
	paths map[string]bool
}

func newAPIServer(t *testing.T) (*apiServer, kubeconfig.Context) {
	t.Helper()
	ca, err := pki.NewCA(pki.Kubernetes, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.ClientCert("me", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s := &apiServer{users: map[string]bool{}, paths: map[string]bool{}}
	answers := map[string]string{
		"/api":                            `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis":                           `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
		"/version":                        `{"gitVersion":"v1.36.3","major":"1","minor":"36"}`,
		"/api/v1":                         `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list"],"shortNames":["po"]}]}`,
		"/api/v1/namespaces/default/pods": `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"web","namespace":"default"},"status":{"phase":"Running"}}]}`,
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		for _, c := range r.TLS.PeerCertificates {
			s.users[c.Subject.CommonName] = true
		}
		s.paths[r.URL.Path] = true
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if answer, ok := answers[r.URL.Path]; ok {
			_, _ = io.WriteString(w, answer)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","message":"it is not there","code":404}`)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	server := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return s, kubeconfig.Context{Name: "dev", Server: s.URL, CA: server, ClientCert: cert, ClientKey: key}
}

func TestKubectl(t *testing.T) {
	t.Setenv("HOME", t.TempDir()) // kubectl keeps a cache there
	t.Setenv("KUBECONFIG", "/nonexistent/config")
	s, to := newAPIServer(t)
	run := func(args ...string) (out, errOut string, status int) {
		b := newBench(t)
		b.BuildInfo = func() (*debug.BuildInfo, bool) {
			return &debug.BuildInfo{Deps: []*debug.Module{{Path: "k8s.io/kubectl", Version: "v0.36.3"}}}, true
		}
		err := b.waitKubectl(t.Context(), to, args)
		if exit := (*statusError)(nil); errors.As(err, &exit) {
			status = exit.status
		} else if err != nil {
			t.Errorf("%v: %v", args, err)
		}
		return b.out.String(), b.errOut.String(), status
	}
	if out, errOut, status := run("get", "po"); status != 0 || !strings.Contains(out, "web") {
		t.Errorf("status %d: %s%s", status, out, errOut)
	}
	if !s.users["me"] || !s.paths["/api/v1/namespaces/default/pods"] {
		t.Errorf("the server saw %v asking for %v", s.users, s.paths)
	}
	if out, _, status := run("version"); status != 0 || out != "Client Version: v1.36.3\nServer Version: v1.36.3\n" {
		t.Errorf("status %d: %s", status, out)
	}
	for _, args := range []string{"get po nosuch", "get nosuch", "frob", "get po --frob", "get po --context nosuch"} {
		if out, errOut, status := run(strings.Fields(args)...); status != 1 || out != "" || errOut == "" {
			t.Errorf("%s: status %d: %q %q", args, status, out, errOut)
		}
	}
	if out, _, status := run("get", "po", "--raw", "/version"); status == 0 {
		t.Errorf("wrong usage passed: %s", out)
	}
	if out, _, _ := run("get", "--raw", "/version"); !strings.Contains(out, "v1.36.3") {
		t.Errorf("printed %s", out)
	}
}

// An interrupt ends kubectl even where it does not look.
func TestKubectlInterrupted(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	hang := make(chan struct{})
	reached := make(chan struct{}, 16)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	b := newBench(t)
	err := b.waitKubectl(ctx, kubeconfig.Context{Server: s.URL}, []string{"get", "--raw", "/"})
	if exit := (*statusError)(nil); !errors.As(err, &exit) || exit.status != 130 {
		t.Errorf("got %v", err)
	}
}

func TestForward(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Value
	at, err := forward(ctx, func(_ context.Context, network, _ string) (net.Conn, error) {
		asked.Store(network)
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			line, err := bufio.NewReader(there).ReadString('\n')
			if err == nil {
				_, _ = fmt.Fprintf(there, "you said %s", line)
			}
		}()
		return here, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" || u.Hostname() != "127.0.0.1" {
		t.Fatalf("%s: %v", at, err)
	}
	if !answers(ctx, at) {
		t.Error("nobody answers")
	}
	for range 3 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "hello\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != "you said hello\n" {
			t.Errorf("got %q, %v", got, err)
		}
		_ = conn.Close()
	}
	if asked.Load() != "tcp" {
		t.Errorf("dialled %s", asked.Load())
	}
	cancel()
	for answers(t.Context(), at) { // the listener is closed soon after
		t.Log("still there")
	}
}

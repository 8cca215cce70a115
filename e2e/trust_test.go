//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/cove-k8s/cove/pkg/pki"
)

// trustDocument makes a cluster that knows the world by a proxy, an authority and mirrors alone: no name of example.test resolves.
const trustDocument = `apiVersion: cove.dev/v1alpha1
kind: Cluster
proxy: {http: "http://PROXY", https: "http://PROXY", noProxy: [HOST]}
certificateAuthorities: [{name: e2e, path: ca.pem}]
registries:
  mirrors:
    registry.example.test: {endpoints: ["https://TRUSTED"]}
    own.example.test: {endpoints: ["https://OWN/v2/hub"], certificateAuthority: own.pem}
    plain.example.test: {endpoints: ["http://plain.example.test"]}
`

// trustHooks has the API server ask two web hooks before it makes a ConfigMap: one by a URL, one by a Service, which leads to the same
// server. Neither names an authority.
const trustHooks = `
{apiVersion: v1, kind: Service, metadata: {name: hooked}, spec: {ports: [{port: 443}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: hooked, labels: {kubernetes.io/service-name: hooked}}
addressType: IPv4
endpoints: [{addresses: [HOST]}]
ports: [{port: PORT}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hooks}
webhooks:
- name: url.example.test
  clientConfig: {url: "https://hook.example.test/hook"}
  rules: &rules [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  objectSelector: &asked {matchLabels: {ask: hooks}}
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 5
- name: service.example.test
  clientConfig: {service: {name: hooked, namespace: default, path: /hook}}
  rules: *rules
  objectSelector: *asked
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 5
`

// changedDocument takes away proxy and authority, and leads the one mirror that it has elsewhere.
const changedDocument = `apiVersion: cove.dev/v1alpha1
kind: Cluster
proxy: {}
registries:
  mirrors:
    registry.example.test: {endpoints: ["http://PLAIN"]}
`

// TestTrust gives a cluster a proxy, a certificate authority and mirrors, all of them real and on the engine's host, and wants each
// image pulled the way that the document says, the API server to use proxy and authority too, and nothing of the cluster's own to go
// through the proxy.
func TestTrust(t *testing.T) {
	onMachine(t)
	c := newCove(t, machine{})
	o := newOutside(t)
	routes := []string{"registry", "own", "plain", "private"} // the mirrors of the document, and a registry that has none
	o.push(routes...)
	cl := c.create("trust", "-f", o.document(trustDocument), "--profile", "minimal")

	for _, route := range routes {
		puller(cl, route)
	}
	for _, route := range routes {
		t.Run(route, func(t *testing.T) { cl.in(t).kubectl("wait", "--for=condition=Ready", "pod/"+route, "--timeout=90s") })
	}
	if t.Failed() {
		t.Logf("the pods: %s", cl.kubectl("get", "events", "--field-selector=type=Warning", "-o", "custom-columns=OF:.involvedObject.name,SAYS:.message"))
	}
	t.Run("APIServer", func(t *testing.T) { testHooks(cl.in(t), o) })
	t.Run("Own", func(t *testing.T) { testOwnTraffic(cl.in(t)) })
	t.Run("Asked", func(t *testing.T) { testAsked(cl.in(t), o) })
	t.Run("Changed", func(t *testing.T) { testChangedTrust(cl.in(t), o, routes) })
}

// puller makes a pod whose image comes by the route.
func puller(cl cluster, route string) {
	cl.apply(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %[1]s}, spec: {terminationGracePeriodSeconds: 1, containers: [
		{name: it, image: %[1]s.example.test/%[1]s:e2e, imagePullPolicy: Always, args: [netexec, --http-port=8080],
		readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}]}}`, route))
}

// testChangedTrust changes all of it on the living cluster: what is new is used, and what is gone is not, by nodes and by the API server.
func testChangedTrust(cl cluster, o *outside, routes []string) {
	t := cl.t
	cl.kubectl(append([]string{"delete", "pod", "--now"}, routes...)...)
	file := o.document(changedDocument + "name: " + cl.name + "\n")
	const node = "-control-plane: what all nodes get (container replaced, about 5 s)"
	diff := cl.call(t.Context(), "", "apply", "-f", file, "--diff")
	for _, want := range []string{"http proxy http://" + o.proxy.address() + " → none", "- certificate authority e2e", "another mirror of registry.example.test", cl.name + node} {
		if !strings.Contains(diff.stdout, want) || diff.status != 10 {
			t.Errorf("the difference does not have %q: %s", want, diff)
		}
	}
	cl.run("apply", "-f", file)
	o.forget()
	puller(cl, "registry")
	puller(cl, "private")
	cl.kubectl("wait", "--for=condition=Ready", "pod/registry", "--timeout=90s")
	cl.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull", "pod/private", "--timeout=90s")
	const asking = `{apiVersion: v1, kind: ConfigMap, metadata: {name: asking, labels: {ask: hooks}}}`
	eventually(t, 30*time.Second, "the API server to reach no web hook", func(ctx context.Context) error {
		r := cl.call(ctx, asking, "kubectl", "--name", cl.name, "--", "create", "--dry-run=server", "-f", "-")
		if r.status == 0 || !strings.Contains(r.stderr, "failed calling webhook") {
			return fmt.Errorf("it says %s", r)
		}
		return nil
	})
	if got := o.list(o.proxied); len(got) > 0 {
		t.Errorf("through the proxy went %q", got)
	}
	if got, want := o.list(o.pulled), []string{o.plain.address() + " registry"}; !slices.Equal(got, want) {
		t.Errorf("the registry was asked for %q, want %q", got, want)
	}
	if r := cl.call(t.Context(), "", "apply", "-f", file, "--diff"); r.status != 0 {
		t.Errorf("then there is still a difference: %s", r)
	}
}

// testHooks wants the API server, a pod, to have reached both hooks.
func testHooks(cl cluster, o *outside) {
	cl.apply(strings.NewReplacer("HOST", o.host.String(), "PORT", o.trusted.port()).Replace(trustHooks))
	const asking = `{apiVersion: v1, kind: ConfigMap, metadata: {name: asking, labels: {ask: hooks}}}`
	want := []string{"hook.example.test", "hooked.default.svc"}
	eventually(cl.t, 30*time.Second, "both web hooks to be asked", func(ctx context.Context) error {
		r := cl.call(ctx, asking, "kubectl", "--name", cl.name, "--", "create", "--dry-run=server", "-f", "-")
		if got := o.list(o.hooked); r.status != 0 || !slices.Equal(got, want) { // a while passes until the API server knows of them
			return fmt.Errorf("%q were: %s", got, r)
		}
		return nil
	})
}

// testOwnTraffic has the API server speak to the kubelet and to a pod.
func testOwnTraffic(cl cluster) {
	if out := cl.kubectl("exec", "private", "--", "/agnhost", "--version"); !strings.Contains(out, "version") {
		cl.t.Errorf("exec in the pod prints %q", out)
	}
	if out := cl.kubectl("logs", "private"); !strings.Contains(out, "Started HTTP server on port 8080") {
		cl.t.Errorf("the pod's log is %q", out)
	}
	if out := cl.kubectl("get", "--raw", "/api/v1/namespaces/default/pods/private:8080/proxy/hostname"); out != "private" {
		cl.t.Errorf("the pod answers %q", out)
	}
	cl.kubectl("get", "--raw", "/api/v1/nodes/"+cl.name+"-control-plane/proxy/healthz")
	if s := cl.status(); !s.Usable || len(s.Problems) > 0 {
		cl.t.Errorf("status: %+v", s)
	}
}

// testAsked wants what came through the proxy, and the names by which the registry was asked, to be what the document says.
func testAsked(cl cluster, o *outside) {
	want := []string{"CONNECT hook.example.test:443", "CONNECT private.example.test:443", "http plain.example.test"}
	if got := o.list(o.proxied); !slices.Equal(got, want) {
		cl.t.Errorf("through the proxy went %q, want %q", got, want)
	}
	want = []string{o.own.address() + " hub/own", o.trusted.address() + " registry", "plain.example.test plain", "private.example.test private"}
	slices.Sort(want)
	if got := o.list(o.pulled); !slices.Equal(got, want) {
		cl.t.Errorf("the registry was asked for %q, want %q", got, want)
	}
}

// outside is what the cluster reaches beside itself: a registry, at three addresses, a web hook and a proxy, on the engine's host.
type outside struct {
	t    *testing.T
	host netip.Addr // by which containers reach it

	authority, ownAuthority *pki.CA
	trusted, own            *listening // by TLS, with certificates of authority and of ownAuthority
	plain, proxy            *listening

	mu                      sync.Mutex
	proxied, pulled, hooked map[string]bool
}

// listening is a server of outside's.
type listening struct{ *httptest.Server }

func (l *listening) address() string { return l.Listener.Addr().String() }

func (l *listening) port() string {
	_, port, _ := net.SplitHostPort(l.address())
	return port
}

// newOutside starts the servers, which end with the test.
func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{t: t, host: engineHost(t), proxied: map[string]bool{}, pulled: map[string]bool{}, hooked: map[string]bool{}}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	handler := http.NewServeMux()
	handler.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		if repository, _, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/"); ok && r.Method != http.MethodPut {
			o.note(o.pulled, r.Host+" "+repository)
		}
		images.ServeHTTP(w, r)
	})
	handler.HandleFunc("/hook", o.hook)
	o.authority, o.ownAuthority = authority(t, "cove e2e"), authority(t, "cove e2e, of the mirror alone")
	o.trusted = o.listen(handler, o.authority, "private.example.test", "hook.example.test", "hooked.default.svc")
	o.own = o.listen(handler, o.ownAuthority, "own.example.test")
	o.plain = o.listen(handler, nil)
	o.proxy = o.listen(http.HandlerFunc(o.forward), nil)
	return o
}

func authority(t *testing.T, cn string) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(cn, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// engineHost is the address by which containers of any network reach this host: its own on the engine's default bridge.
func engineHost(t *testing.T) netip.Addr {
	t.Helper()
	out := docker(t, machine{}, "network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}")
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, subnet := range strings.Fields(out) {
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err == nil && prefix.Addr().Is4() && prefix.Masked().String() == subnet {
				return prefix.Addr()
			}
		}
	}
	need(t, fmt.Errorf("this host has no address on the engine's default bridge, %s", out))
	return netip.Addr{}
}

// listen serves on a port of the host: by TLS, with a certificate of ca for the names and the host, if there is one.
func (o *outside) listen(handler http.Handler, ca *pki.CA, names ...string) *listening {
	o.t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(o.host, 0).String())
	if err != nil {
		o.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	_ = s.Listener.Close()
	s.Listener, s.Config.ErrorLog = l, log.New(io.Discard, "", 0)
	o.t.Cleanup(s.Close)
	if ca == nil {
		s.Start()
		return &listening{s}
	}
	cert, key, err := ca.ServingCert(nil, names, []netip.Addr{o.host}, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		o.t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	return &listening{s}
}

// document writes the document, and the certificates beside it.
func (o *outside) document(text string) string {
	o.t.Helper()
	dir := o.t.TempDir()
	filled := strings.NewReplacer("PROXY", o.proxy.address(), "HOST", o.host.String(), "TRUSTED", o.trusted.address(), "OWN", o.own.address(),
		"PLAIN", o.plain.address())
	for name, data := range map[string][]byte{
		"ca.pem": o.authority.CertPEM(), "own.pem": o.ownAuthority.CertPEM(), "cluster.yaml": []byte(filled.Replace(text)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			o.t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cluster.yaml")
}

// push puts an image of each name into the registry: agnhost, with a layer of its own, so that each has something to be pulled.
func (o *outside) push(names ...string) {
	o.t.Helper()
	data := agnhostArchive(o.t)
	agnhost, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, what := range names {
		img, err := mutate.AppendLayers(agnhost, layerOf(o.t, tarOf(o.t, "route", []byte(what))))
		if err != nil {
			o.t.Fatal(err)
		}
		for _, repository := range []string{what, "hub/" + what} {
			ref, err := name.ParseReference(o.plain.address()+"/"+repository+":e2e", name.Insecure)
			if err != nil {
				o.t.Fatal(err)
			}
			if err := remote.Write(ref, img, remote.WithTransport(&http.Transport{}), remote.WithContext(o.t.Context())); err != nil {
				o.t.Fatal(err)
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.pulled) // push asks what is there
}

// forward is the proxy. It knows where the names of example.test are, and refuses all others.
func (o *outside) forward(w http.ResponseWriter, r *http.Request) {
	connect := r.Method == http.MethodConnect
	if connect {
		o.note(o.proxied, "CONNECT "+r.Host)
	} else {
		o.note(o.proxied, r.URL.Scheme+" "+r.Host)
	}
	switch {
	case !strings.HasSuffix(strings.TrimSuffix(r.Host, ":443"), ".example.test"):
		http.Error(w, "no way to "+r.Host, http.StatusForbidden)
		return
	case !connect:
		o.plain.Config.Handler.ServeHTTP(w, r)
		return
	}
	there, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", o.trusted.address())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	if _, err := io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	ended := make(chan struct{}, 2)
	pipe := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		ended <- struct{}{}
	}
	go pipe(there, buffered)
	go pipe(here, there)
	<-ended
}

// hook is the web hook. It admits all.
func (o *outside) hook(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "no review", http.StatusBadRequest)
		return
	}
	o.note(o.hooked, strings.TrimSuffix(r.Host, ":443"))
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

func (o *outside) note(in map[string]bool, what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	in[what] = true
}

// forget forgets what was asked for.
func (o *outside) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, asked := range []map[string]bool{o.proxied, o.pulled, o.hooked} {
		clear(asked)
	}
}

func (o *outside) list(of map[string]bool) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(of))
}

// Package kube is the little Kubernetes client that cove's steps need: wait for the API, apply objects, wait until nodes
// and workloads are ready, and say what there is. It never reads or writes a kubeconfig, never prints, and never waits
// by sleeping where it can watch.
package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/cove-k8s/cove/pkg/fault"
)

// fieldManager is cove's name as an owner of fields.
const fieldManager = "cove"

// Options say which API to speak to, and as whom.
type Options struct {
	Server        string // "https://dev-endpoint:6443"
	ServerName    string // the name in the API server's certificate; empty: that of Server
	CA, Cert, Key []byte // PEM
	// Dial opens connections, whatever Server resolves to; nil: as usual. With it, no proxy is asked.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client speaks to one cluster's API. Its methods may be called from many goroutines.
type Client struct {
	config *rest.Config
	http   *http.Client
	raw    rest.Interface
	set    kubernetes.Interface
	dyn    dynamic.Interface

	mu        sync.Mutex
	resources map[schema.GroupVersionKind]resource // those that discovery has told
}

// New returns a client. It does no I/O. It is not limited in how much it may ask: the API server is.
func New(o Options) (*Client, error) {
	config := &rest.Config{
		Host:            o.Server,
		TLSClientConfig: rest.TLSClientConfig{ServerName: o.ServerName, CAData: o.CA, CertData: o.Cert, KeyData: o.Key},
		QPS:             -1,
		UserAgent:       fieldManager,
		WarningHandler:  rest.NoWarnings{}, // they would be printed
	}
	if o.Dial != nil {
		config.Dial = o.Dial
		config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } //nolint:nilnil // net/http's way to say: none
	}
	return newClient(config)
}

// NewForConfig returns a client of the API that a kubeconfig leads to. It does no I/O.
func NewForConfig(config *rest.Config) (*Client, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.UserAgent, config.WarningHandler = -1, fieldManager, rest.NoWarnings{}
	return newClient(config)
}

func newClient(config *rest.Config) (*Client, error) {
	fail := func(err error) (*Client, error) {
		return nil, fault.Wrap(fault.Internal, err, "cannot make a client of %s", config.Host)
	}
	hc, err := rest.HTTPClientFor(config)
	if err != nil {
		return fail(err)
	}
	c := &Client{config: config, http: hc, resources: map[schema.GroupVersionKind]resource{}}
	if c.set, err = kubernetes.NewForConfigAndClient(config, hc); err != nil {
		return fail(err)
	}
	if c.dyn, err = dynamic.NewForConfigAndClient(config, hc); err != nil {
		return fail(err)
	}
	c.raw = c.set.Discovery().RESTClient()
	return c, nil
}

// RESTConfig returns a copy of the client's configuration, for other clients of the same API.
func (c *Client) RESTConfig() *rest.Config { return rest.CopyConfig(c.config) }

// Clientset returns the typed client.
func (c *Client) Clientset() kubernetes.Interface { return c.set }

// Close gives up connections that are idle.
func (c *Client) Close() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

// Times of waiting for the API.
const (
	apiPoll = 25 * time.Millisecond // how often it is asked, at first;
	apiSlow = 10 * time.Second      // after this
	apiRest = 250 * time.Millisecond
	apiTry  = 2 * time.Second // how long one question may take
)

// WaitAPI waits until the API server serves all it has to an administrator, and tells report (may be nil) what it waits
// for. Left out is what it writes last, a second later: the roles of RBAC, which an administrator needs not, and the
// classes of priority, which pods need. The controller manager does not begin before both are there, and kubeadm waits
// by itself. The error is APITimeout and says what was wrong last.
func (c *Client) WaitAPI(ctx context.Context, report func(waiting string)) error {
	begun := time.Now()
	var last error
	for {
		err := c.askReady(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // else it says no more than that ctx has ended
			last = err
		}
		if report != nil && ctx.Err() == nil {
			report("the API server: " + brief(err))
		}
		poll := apiPoll
		if time.Since(begun) > apiSlow {
			poll = apiRest
		}
		if pause(ctx, poll) != nil {
			return ended(ctx, fault.APITimeout, last, "the API server did not get ready")
		}
	}
}

// askReady asks once; the error is short enough to be shown.
func (c *Client) askReady(ctx context.Context) error {
	try, cancel := context.WithTimeout(ctx, apiTry)
	defer cancel()
	status := 0
	body, err := c.raw.Get().AbsPath("/readyz").
		Param("exclude", "poststarthook/rbac/bootstrap-roles").
		Param("exclude", "poststarthook/scheduling/bootstrap-system-priority-classes").
		MaxRetries(0).Do(try).StatusCode(&status).Raw()
	switch {
	case err == nil:
		return nil
	case status == http.StatusInternalServerError:
		var failed []string
		for line := range strings.Lines(string(body)) {
			if name, ok := strings.CutPrefix(line, "[-]"); ok {
				failed = append(failed, strings.Fields(name + " ?")[0])
			}
		}
		switch len(failed) {
		case 0:
		case 1:
			return fmt.Errorf("not ready: %s", failed[0])
		default:
			return fmt.Errorf("not ready: %s and %d more", failed[0], len(failed)-1)
		}
	case ctx.Err() == nil && errors.Is(try.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s", apiTry)
	}
	return err
}

// brief returns the innermost part of an error of the network, for display.
func brief(err error) string {
	for _, target := range []any{new(*net.OpError), new(*tls.CertificateVerificationError)} {
		switch t := target.(type) {
		case **net.OpError:
			if errors.As(err, t) {
				return (*t).Err.Error()
			}
		case **tls.CertificateVerificationError:
			if errors.As(err, t) {
				return (*t).Err.Error()
			}
		}
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// endedError is what was wrong last (nil: nothing is known) when a context ended a wait.
type endedError struct{ last, cause error }

func (e *endedError) Error() string {
	switch {
	case e.last == nil:
		return e.cause.Error()
	case errors.Is(e.cause, context.DeadlineExceeded):
		return e.last.Error() // the message says "in time"
	}
	return fmt.Sprintf("%v (at last: %v)", e.cause, e.last)
}

func (e *endedError) Unwrap() []error {
	if e.last == nil {
		return []error{e.cause}
	}
	return []error{e.cause, e.last}
}

// ended returns the error of a wait that ctx has ended, of which last (may be nil) says what it was waiting for.
func ended(ctx context.Context, code fault.Code, last error, format string, args ...any) error {
	e := &endedError{last, context.Cause(ctx)}
	msg := fmt.Sprintf(format, args...)
	if errors.Is(e.cause, context.DeadlineExceeded) {
		msg += " in time"
	}
	return fault.Wrap(code, e, "%s", msg)
}

//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dialFunc makes connections.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialTo goes to the host of that address, whatever the name of the one that is asked for.
func dialTo(host string) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(host, port))
	}
}

// browser returns a client that makes a connection for each request, and trusts these CAs; nil are the system's.
func browser(dial dialFunc, cas *x509.CertPool) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: cas, MinVersion: tls.VersionTLS12},
	}}
}

// frontDoor returns a client that goes to the address whatever the host's name is, and trusts the cluster's own CA alone.
func (cl cluster) frontDoor(address string) *http.Client {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(cl.run("export", "ca", "--name", cl.name))) {
		cl.t.Fatal("the exported CA cannot be read")
	}
	return browser(dialTo(address), pool)
}

// get asks for a URL, as the place's network sees it, until it is answered.
func get(t *testing.T, p place, url string) string {
	t.Helper()
	return fetch(t, browser(p.DialContext, nil), time.Minute, url, "")
}

// fetch asks for a URL until it is answered with a text that begins so, and returns the text.
func fetch(t *testing.T, client *http.Client, limit time.Duration, url, prefix string) string {
	t.Helper()
	body := ""
	eventually(t, limit, url, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(data), prefix)) {
			err = fmt.Errorf("%s: %s", resp.Status, data)
		}
		body = string(data)
		return err
	})
	return body
}

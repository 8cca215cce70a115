// Package waitfor blocks until something on the node is there, so that a host can wait inside the node instead of asking
// through the engine again and again. It changes nothing.
package waitfor

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"cove.dev/images/node/internal/watch"
)

const (
	// interval is the pause between two tries at what sends no event.
	interval = 20 * time.Millisecond
	// oneTry is how long a single try may take.
	oneTry = 2 * time.Second
)

// File waits until path exists and has content. The only error is ctx's.
func File(ctx context.Context, path string) error {
	return watch.Until(ctx, path, watch.Filled(path))
}

// Dial waits until address accepts a connection. The error has the last refusal.
func Dial(ctx context.Context, network, address string) error {
	if network == "unix" {
		if err := watch.Until(ctx, address, watch.Present(address)); err != nil {
			return fmt.Errorf("%s is not there: %w", address, err)
		}
	}
	var dialer net.Dialer
	return retry(ctx, func(ctx context.Context) error {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// Get waits until a GET of url is answered with a status of 200 to 299. The error has the last answer.
func Get(ctx context.Context, url string) error {
	client := &http.Client{Transport: &http.Transport{
		Proxy: nil, // the node's own proxy settings are for images, not for itself
		//nolint:gosec // it asks whether somebody is there, sends no secret and believes no answer
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	defer client.CloseIdleConnections()
	return retry(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	})
}

func retry(ctx context.Context, try func(ctx context.Context) error) error {
	var last error
	for {
		once, cancel := context.WithTimeout(ctx, oneTry)
		err := try(once)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() == nil || last == nil:
			last = err // the one that the deadline made says less
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(interval):
		}
	}
}

package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"time"
)

// answerTimeout bounds the look whether an API server is to be reached from here.
const answerTimeout = time.Second

// answers reports whether somebody accepts connections at the server's address.
func answers(ctx context.Context, server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was written
	return true
}

// dialFunc opens connections to one place, whatever the address.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// forward listens on a free port of the loopback address and connects who comes with what dial opens, until ctx ends. It
// returns the URL for a client.
func forward(ctx context.Context, dial dialFunc) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go join(ctx, conn, dial)
		}
	}()
	return "https://" + l.Addr().String(), nil
}

// join copies between a connection and a new one, both ways, until both have ended or ctx does.
func join(ctx context.Context, here net.Conn, dial dialFunc) {
	defer here.Close()
	there, err := dial(ctx, "tcp", here.LocalAddr().String())
	if err != nil {
		return // the client sees its connection closed
	}
	defer there.Close()
	stop := context.AfterFunc(ctx, func() { _ = errors.Join(here.Close(), there.Close()) })
	defer stop()
	var group sync.WaitGroup
	group.Go(func() { pass(there, here) })
	group.Go(func() { pass(here, there) })
	group.Wait()
}

// pass copies until the source ends, and passes the end on.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}

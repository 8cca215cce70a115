//go:build linux

package testbed

import (
	"context"
	"fmt"
	"net"
	"runtime"

	"golang.org/x/sys/unix"
)

// netnsDir is where `ip netns` keeps namespaces.
const netnsDir = "/run/netns"

// DialIn connects to a numeric address from inside a network namespace, which is given by a path such as
// /proc/PID/ns/net. Only the making of the socket happens there; the connection then works everywhere.
func DialIn(ctx context.Context, namespace, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// The thread is in another namespace for good: never unlocked, it ends with the goroutine.
		runtime.LockOSThread()
		conn, err := dialHere(ctx, namespace, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// dialHere moves the thread into the namespace and connects. A numeric address is dialled on the caller's own thread.
func dialHere(ctx context.Context, namespace, network, address string) (net.Conn, error) {
	fd, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open network namespace %s: %w", namespace, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("cannot enter network namespace %s: %w", namespace, err)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

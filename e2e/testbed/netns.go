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
	// A numeric address is dialled on the caller's own thread.
	return within(namespace, func() (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, network, address) })
}

// listenIn opens a socket for packets to a numeric address in a network namespace. It then works everywhere.
func listenIn(ctx context.Context, namespace, network, address string) (net.PacketConn, error) {
	return within(namespace, func() (net.PacketConn, error) { return (&net.ListenConfig{}).ListenPacket(ctx, network, address) })
}

// within calls do on a thread that is in the network namespace.
func within[T any](namespace string, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		// The thread is in another namespace for good: never unlocked, it ends with the goroutine.
		runtime.LockOSThread()
		var r result
		if r.err = enter(namespace); r.err == nil {
			r.value, r.err = do()
		}
		done <- r
	}()
	r := <-done
	return r.value, r.err
}

// enter moves the thread into the namespace.
func enter(namespace string) error {
	fd, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open network namespace %s: %w", namespace, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot enter network namespace %s: %w", namespace, err)
	}
	return nil
}

// Package balancer knows how the haproxy of a load balancer is run, told of a new configuration, and seen to listen. What the
// configuration says is up to whoever writes it.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// Config is haproxy's configuration. A container that has it when it starts is a load balancer.
	Config = "/etc/cove/haproxy.cfg"
	// Socket is where haproxy's master process takes commands.
	Socket = "/run/cove/haproxy.sock"
)

const (
	// replyGrace is how long the master may take to read a configuration and to start a worker with it.
	replyGrace = 5 * time.Second
	maxReply   = 64 << 10
	// tick is the pause between two looks at the sockets: no event tells that one listens.
	tick = 10 * time.Millisecond
)

// Command is haproxy with a master process that stays in the foreground and starts a worker for each configuration.
func Command() []string {
	return []string{"haproxy", "-W", "-db", "-S", Socket + ",mode,600", "-f", Config}
}

// Reload has the master behind the socket take its configuration anew: a new worker accepts from then on, and the old one
// ends with its last connection. It is what SIGUSR2 does, and tells how it went: it returns once the new worker runs, and
// fails when haproxy refuses the configuration; it goes on with the old one then.
func Reload(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, replyGrace)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("cannot reach haproxy: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := io.WriteString(conn, "reload\n"); err != nil {
		return fmt.Errorf("cannot ask haproxy to reload: %w", err)
	}
	reply, err := io.ReadAll(io.LimitReader(conn, maxReply))
	if ctx.Err() != nil {
		return fmt.Errorf("haproxy has not reloaded within %s: %w", replyGrace, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("haproxy gave no answer: %w", err)
	}
	status, _, _ := strings.Cut(string(reply), "\n")
	if strings.TrimSpace(status) != "Success=1" {
		return errors.New("haproxy refuses its new configuration and keeps the old one: its log has the reason")
	}
	return nil
}

// WaitListening waits until something listens on every port that the configuration binds. The only other error is of a
// configuration that cannot be read or binds none.
func WaitListening(ctx context.Context, config string, proc fs.FS) error {
	text, err := os.ReadFile(config) //nolint:gosec // of a name that the code has
	if err != nil {
		return fmt.Errorf("cannot read haproxy's configuration: %w", err)
	}
	want := ports(string(text))
	if len(want) == 0 {
		return fmt.Errorf("%s binds no port", config)
	}
	for {
		open := listening(proc)
		if !slices.ContainsFunc(want, func(p uint16) bool { return !slices.Contains(open, p) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tick):
		}
	}
}

// ports returns the ports of the bind lines: "bind *:6443", "bind :::6443 v4v6", "bind 10.0.0.2:80,10.0.0.2:81".
func ports(config string) []uint16 {
	var list []uint16
	for line := range strings.Lines(config) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "bind" {
			continue
		}
		for _, address := range strings.Split(words[1], ",") {
			n, err := strconv.ParseUint(address[strings.LastIndexByte(address, ':')+1:], 10, 16)
			if err == nil {
				list = append(list, uint16(n))
			}
		}
	}
	return list
}

// listening returns the TCP ports that somebody listens on, from proc(5)'s net/tcp and net/tcp6.
func listening(proc fs.FS) []uint16 {
	const stateListen = "0A"
	var list []uint16
	for _, name := range []string{"self/net/tcp", "self/net/tcp6"} {
		text, err := fs.ReadFile(proc, name)
		if err != nil {
			continue // a kernel without IPv6
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line) // number, local address, remote address, state, …
			if len(words) < 4 || words[3] != stateListen {
				continue
			}
			_, port, _ := strings.Cut(words[1], ":")
			if n, err := strconv.ParseUint(port, 16, 16); err == nil {
				list = append(list, uint16(n))
			}
		}
	}
	return list
}

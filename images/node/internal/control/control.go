// Package control is how other processes of a node talk to PID 1: one JSON request and one JSON answer per connection to a
// unix socket that only root may use.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"cove.dev/images/node/internal/unit"
)

// Socket is where PID 1 listens.
const Socket = "/run/cove/init.sock"

// What a request may ask for.
const (
	Start           = "start"
	Stop            = "stop"
	Restart         = "restart"
	Reload          = "reload"
	ReloadOrRestart = "reload-or-restart" // a restart where a unit cannot reload
	Enable          = "enable"
	Disable         = "disable"
	Status          = "status"
)

// maxRequest is how long a client may take to ask.
const maxRequest = 5 * time.Second

// bootGrace is how long a client waits for PID 1 to listen: a command may run as soon as the container does.
const bootGrace = 5 * time.Second

// Request asks for a verb on a unit; Status needs none and is about all.
type Request struct {
	Verb string `json:"verb"`
	Unit string `json:"unit,omitempty"`
}

// UnitStatus is a unit's status, and whether it starts with the node.
type UnitStatus struct {
	unit.Status
	Enabled bool `json:"enabled"`
}

// Response has an error or, for Status, the units.
type Response struct {
	Error string       `json:"error,omitempty"`
	Units []UnitStatus `json:"units,omitempty"`
}

// Handler answers one request.
type Handler func(ctx context.Context, req Request) Response

// Listen makes the socket, in place of one that an earlier PID 1 left.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Serve answers requests until ctx is done.
func Serve(ctx context.Context, l net.Listener, handle Handler) {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		all.Go(func() {
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(maxRequest))
			var req Request
			if json.NewDecoder(conn).Decode(&req) != nil {
				return
			}
			_ = json.NewEncoder(conn).Encode(handle(ctx, req)) // a client that is gone needs none
		})
	}
}

// Ask sends one request to the socket at path and returns the answer. Fails when there is no PID 1 of cove's, after waiting
// for it for a moment, or when its answer has an error.
func Ask(ctx context.Context, path string, req Request) (Response, error) {
	conn, err := connect(ctx, path)
	if err != nil {
		return Response{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var resp Response
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return resp, fmt.Errorf("cannot ask the node's init: %w", err)
	}
	if err := json.NewDecoder(conn).Decode(&resp); err != nil {
		return resp, fmt.Errorf("the node's init gave no answer: %w", err)
	}
	if resp.Error != "" {
		return resp, errors.New(resp.Error)
	}
	return resp, nil
}

func connect(ctx context.Context, path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, bootGrace)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", path)
		if err == nil {
			return conn, nil
		}
		early := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot reach the node's init: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
		if !early {
			return nil, fmt.Errorf("cannot reach the node's init: %w", err)
		}
	}
}

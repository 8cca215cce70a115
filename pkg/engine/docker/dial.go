package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/pkg/stdcopy"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// dialPrograms are the commands that connect their standard input and output to an address: cove's own node program, and
// what kind's images have, or once had. Bash cannot end one direction alone: it ends when the other side closes.
func dialPrograms(address string) [][]string {
	host, port, _ := net.SplitHostPort(address) // Dial has checked it
	return [][]string{
		{"cove-node", "dial", "tcp", address},
		{"socat", "-", "TCP:" + address},
		{"bash", "-c", "exec 3<>/dev/tcp/$0/$1 4<&0 && { cat <&4 >&3 & cat <&3; kill $! 2>/dev/null || :; }", host, port},
	}
}

// Dial connects to an address as the node sees it, through an exec. It returns as soon as a program in the node has
// started: an address that refuses shows at the first Read, as an error with the program's own words. ctx bounds only the
// dialling.
func (e *Engine) Dial(ctx context.Context, node, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot connect to %q from %s", address, node)
	}
	// The program outlives the dialling; whoever gives up meanwhile ends it.
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	p, err := e.startDialProgram(lifetime, node, address)
	if !stop() {
		if err == nil {
			p.stream.Close()
		}
		err = context.Cause(ctx)
	}
	if err != nil {
		end()
		return nil, e.fail(fault.EngineFailed, err, "cannot connect to %s from %s", address, node)
	}
	c := newConn(node, address, p.stream.CloseWrite, func() { end(); p.stream.Close() })
	go c.receive(p.stream.Reader, func() error {
		code, err := e.exitCode(lifetime, p.id)
		if err == nil && code != 0 {
			err = &engine.ExitError{Node: node, Args: []string{"dial", address}, Code: code}
		}
		return err
	})
	go c.send(p.stream.Conn)
	return c, nil
}

// startDialProgram starts the first program that the node has; which one that is, is remembered.
func (e *Engine) startDialProgram(ctx context.Context, node, address string) (process, error) {
	programs := dialPrograms(address)
	e.mu.Lock()
	first := e.dials[node]
	e.mu.Unlock()
	for i := range programs {
		i = (first + i) % len(programs)
		p, err := e.startProcess(ctx, node, engine.Command{Args: programs[i], Stdin: eof{}})
		if isMissingProgram(err) {
			continue
		}
		if err != nil {
			return process{}, err
		}
		missing, err := e.isMissing(ctx, p.id)
		if err == nil && !missing {
			e.mu.Lock()
			e.dials[node] = i
			e.mu.Unlock()
			return p, nil
		}
		p.stream.Close()
		if err != nil {
			return process{}, err
		}
	}
	return process{}, fault.New(fault.ImageBroken, "the image of %s has none of cove-node, socat and bash", node)
}

// isMissing waits until an exec's program has started or could not. Newer engines tell that it is not there when they are
// asked to start it, older ones by its status alone.
func (e *Engine) isMissing(ctx context.Context, id string) (bool, error) {
	for {
		x, err := e.api.ContainerExecInspect(ctx, id)
		if err != nil {
			return false, err
		}
		switch {
		case !x.Running && (x.ExitCode == 126 || x.ExitCode == 127):
			return true, nil
		case !x.Running || x.Pid > 0:
			return false, nil
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// isMissingProgram tells the error of an engine that looks for the program first.
func isMissingProgram(err error) bool {
	return err != nil && strings.Contains(err.Error(), "executable file not found")
}

// eof is an input that is only there to ask for one.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// conn is a connection through an exec. The stream to the engine knows no deadlines of its own here, so two pipes that do
// stand between it and the caller, one a direction; that also lets one direction end before the other.
type conn struct {
	local, remote addr
	in, out       net.Conn // the caller's ends: in is read, out is written
	inFar, outFar net.Conn // the stream's ends
	closeWrite    func() error
	closeStream   func()
	once          sync.Once
	failed        atomic.Pointer[error] // why the stream ended, if not well
}

func newConn(node, address string, closeWrite func() error, closeStream func()) *conn {
	c := &conn{local: addr(node), remote: addr(address), closeWrite: closeWrite, closeStream: closeStream}
	c.in, c.inFar = net.Pipe()
	c.out, c.outFar = net.Pipe()
	return c
}

// receive moves what comes from the node to the caller, and notes how it ended.
func (c *conn) receive(stream io.Reader, exit func() error) {
	var said bytes.Buffer
	_, err := stdcopy.StdCopy(c.inFar, &limited{w: &said, left: 4096}, stream)
	switch {
	case errors.Is(err, io.ErrClosedPipe):
		err = nil // the caller closed first
	case err == nil:
		err = exit()
	}
	if err != nil {
		if words := strings.TrimSpace(said.String()); words != "" {
			err = errors.New(words)
		}
		wrapped := error(&net.OpError{Op: "read", Net: "tcp", Source: c.local, Addr: c.remote, Err: err})
		c.failed.Store(&wrapped)
	}
	_ = c.inFar.Close()
	_ = c.outFar.Close()
}

// send moves what the caller writes to the node.
func (c *conn) send(stream io.Writer) {
	if _, err := io.Copy(stream, c.outFar); err != nil {
		_ = c.outFar.Close() // further writes fail
		return
	}
	_ = c.closeWrite()
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if errors.Is(err, io.EOF) {
		if failed := c.failed.Load(); failed != nil {
			err = *failed
		}
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		if failed := c.failed.Load(); failed != nil {
			err = *failed
		}
	}
	return n, err
}

// CloseWrite tells the other side that nothing more comes.
func (c *conn) CloseWrite() error { return c.out.Close() }

func (c *conn) Close() error {
	c.once.Do(func() {
		_ = c.in.Close()
		_ = c.out.Close()
		c.closeStream()
	})
	return nil
}

func (c *conn) LocalAddr() net.Addr                { return c.local }
func (c *conn) RemoteAddr() net.Addr               { return c.remote }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.in.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.in.SetReadDeadline(t), c.out.SetWriteDeadline(t))
}

// addr is an end of a conn.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

// limited keeps the first bytes written to it and takes the rest in silence.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	keep := p[:min(len(p), l.left)]
	l.left -= len(keep)
	if _, err := l.w.Write(keep); err != nil {
		return 0, err
	}
	return len(p), nil
}

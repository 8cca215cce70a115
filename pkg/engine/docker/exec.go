package docker

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Exec runs a command in a node and waits for it. When ctx ends, its streams are closed and Exec returns: the engine has
// no way to end the command itself, which goes on unless it minds. A read from cmd.Stdin that is under way when the
// command ends is not waited for.
func (e *Engine) Exec(ctx context.Context, node string, cmd engine.Command) error {
	p, err := e.startProcess(ctx, node, cmd)
	if err != nil {
		return err
	}
	defer p.stream.Close()
	defer context.AfterFunc(ctx, p.stream.Close)()

	if cmd.Stdin != nil {
		go func() {
			_, _ = io.Copy(p.stream.Conn, cmd.Stdin) // the command may well end before its input does
			_ = p.stream.CloseWrite()
		}()
	}
	if cmd.TTY && cmd.Resize != nil {
		resizing, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { e.resize(resizing, p.id, cmd.Resize) })
		defer wg.Wait()
		defer stop()
	}
	stdout, stderr := orDiscard(cmd.Stdout), orDiscard(cmd.Stderr)
	if cmd.TTY {
		_, err = io.Copy(stdout, p.stream.Reader)
	} else {
		_, err = stdcopy.StdCopy(stdout, stderr, p.stream.Reader)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return e.fail(fault.EngineFailed, err, "cannot run %q on %s to its end", cmd.Args[0], node)
	}
	code, err := e.exitCode(ctx, p.id)
	if err != nil {
		return e.fail(fault.EngineFailed, err, "cannot tell how %q ended on %s", cmd.Args[0], node)
	}
	if code != 0 {
		return &engine.ExitError{Node: node, Args: cmd.Args, Code: code}
	}
	return nil
}

// process is a command that was started in a node.
type process struct {
	id     string
	stream types.HijackedResponse
}

// startProcess starts a command with its streams attached.
func (e *Engine) startProcess(ctx context.Context, node string, cmd engine.Command) (process, error) {
	if len(cmd.Args) == 0 {
		return process{}, fault.New(fault.Internal, "cannot run a command on %s: it is empty", node)
	}
	made, err := e.api.ContainerExecCreate(ctx, node, container.ExecOptions{
		Cmd: cmd.Args, Env: environment(cmd.Env), WorkingDir: cmd.Dir, Tty: cmd.TTY,
		AttachStdin: cmd.Stdin != nil, AttachStdout: true, AttachStderr: !cmd.TTY,
	})
	if err != nil {
		return process{}, e.nodeFail(err, node, "cannot run %q on %s", cmd.Args[0], node)
	}
	stream, err := e.attach(ctx, made.ID, cmd.TTY)
	return process{id: made.ID, stream: stream}, e.nodeFail(err, node, "cannot run %q on %s", cmd.Args[0], node)
}

// attach starts an exec. The client's own call does not mind its context once it is connected, so an engine that hangs is
// left alone here.
func (e *Engine) attach(ctx context.Context, id string, tty bool) (types.HijackedResponse, error) {
	type result struct {
		stream types.HijackedResponse
		err    error
	}
	done := make(chan result)
	go func() {
		stream, err := e.api.ContainerExecAttach(ctx, id, container.ExecAttachOptions{Tty: tty})
		select {
		case done <- result{stream, err}:
		case <-ctx.Done():
			if err == nil {
				stream.Close()
			}
		}
	}()
	select {
	case r := <-done:
		return r.stream, r.err
	case <-ctx.Done():
		return types.HijackedResponse{}, context.Cause(ctx)
	}
}

// exitCode returns an exec's exit status. Its streams may end a moment before the engine knows how it ended, or, of a
// command that closed them itself, long before.
func (e *Engine) exitCode(ctx context.Context, id string) (int, error) {
	wait := time.Millisecond
	for {
		x, err := e.api.ContainerExecInspect(ctx, id)
		if err != nil {
			return 0, err
		}
		if !x.Running {
			return x.ExitCode, nil
		}
		if err := pause(ctx, wait); err != nil {
			return 0, err
		}
		wait = min(2*wait, 100*time.Millisecond)
	}
}

// resize hands on the terminal's sizes until ctx ends. An exec takes none before its process is there.
func (e *Engine) resize(ctx context.Context, id string, sizes <-chan engine.Size) {
	for {
		select {
		case <-ctx.Done():
			return
		case s, ok := <-sizes:
			if !ok {
				return
			}
			for range 10 {
				err := e.api.ContainerExecResize(ctx, id, container.ResizeOptions{Height: s.Height, Width: s.Width})
				if err == nil || pause(ctx, 10*time.Millisecond) != nil {
					break
				}
			}
		}
	}
}

// pause waits for d, or until ctx ends, and then returns why.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// Logs writes what the node's PID 1 printed.
func (e *Engine) Logs(ctx context.Context, node string, follow bool, tail int, w io.Writer) error {
	err := e.logs(ctx, node, follow, tail, w)
	if follow && errors.Is(ctx.Err(), context.Canceled) {
		return nil // that is how following ends
	}
	return err
}

func (e *Engine) logs(ctx context.Context, node string, follow bool, tail int, w io.Writer) error {
	c, err := e.inspect(ctx, node)
	if err != nil {
		return err
	}
	o := container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow}
	if tail > 0 {
		o.Tail = strconv.Itoa(tail)
	}
	body, err := e.api.ContainerLogs(ctx, c.ID, o)
	if err != nil {
		return e.nodeFail(err, node, "cannot read the log of %s", node)
	}
	defer body.Close()
	if c.Config.Tty {
		_, err = io.Copy(&unixLines{w: w}, body)
	} else {
		_, err = stdcopy.StdCopy(w, w, body)
	}
	return e.fail(fault.EngineFailed, err, "cannot read the log of %s", node)
}

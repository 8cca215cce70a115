//go:build linux

package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a daemon may take to stop its containers and end.
const stopTimeout = 60 * time.Second

// pollInterval is the pause between two looks at something that nothing announces.
const pollInterval = 50 * time.Millisecond

// process is a daemon of an engine's.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// configure writes the daemon's configuration, and builds the runtime wrapper if it is wanted.
func (e *Engine) configure(ctx context.Context) error {
	config := map[string]any{"storage-driver": e.o.StorageDriver, "features": map[string]bool{"containerd-snapshotter": false}}
	if e.o.Names {
		config["dns"] = []string{nameServer}
	}
	whole, err := unrestricted()
	if err != nil {
		return err
	}
	if !e.o.Plain && !whole {
		wrapper := e.file("runcwrap")
		build := exec.CommandContext(ctx, "go", "build", "-o", wrapper, "github.com/cove-k8s/cove/e2e/testbed/runcwrap") //nolint:gosec // a path of our own
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build the runtime wrapper: %w: %s", err, out)
		}
		config["runtimes"] = map[string]any{"wrapped": map[string]string{"path": wrapper}}
		config["default-runtime"] = "wrapped"
	}
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(e.file("daemon.json"), data, 0o600)
}

// unrestricted reports whether this process, and so an engine that it starts, has every capability that the kernel knows.
func unrestricted() (bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, err
	}
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return false, err
	}
	highest, err := strconv.Atoi(strings.TrimSpace(string(last)))
	if err != nil {
		return false, err
	}
	_, set, _ := strings.Cut(string(status), "CapBnd:")
	set, _, _ = strings.Cut(strings.TrimSpace(set), "\n")
	have, err := strconv.ParseUint(set, 16, 64)
	return have == 1<<(highest+1)-1, err
}

// containerdConfig is for containerd 1 and 2. The CRI is the nodes' own affair.
const containerdConfig = `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
  address = %q
[ttrpc]
  address = %q
`

// start runs containerd, where it does not run any more, and dockerd, and waits until the engine answers. The engine has
// a containerd of its own because dockerd would share a system's, where there is one, and leave things in it.
func (e *Engine) start(ctx context.Context) error {
	begun := time.Now()
	socket := e.file("containerd.sock")
	if !e.containerd.runs() {
		config := fmt.Sprintf(containerdConfig, e.file("containerd"), e.file("exec-containerd"), socket, socket+".ttrpc")
		if err := os.WriteFile(e.file("containerd.toml"), []byte(config), 0o600); err != nil {
			return err
		}
		p, err := e.run("containerd", "--config", e.file("containerd.toml"))
		if err != nil {
			return err
		}
		e.containerd = p
	}
	// dockerd waits for containerd itself.
	p, err := e.run("dockerd", "--config-file", e.file("daemon.json"), "--data-root", e.file("data"),
		"--exec-root", e.file("exec"), "--pidfile", e.file("pid"), "-H", e.Host(), "--containerd", socket,
		"--cgroup-parent", "/"+e.id, "--exec-opt", "native.cgroupdriver=cgroupfs")
	if err != nil {
		return err
	}
	e.dockerd = p
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("dockerd did not answer within %s", startTimeout))
	defer cancel()
	if err := e.answers(ctx, p); err != nil {
		return fmt.Errorf("%w; the end of its log:\n%s", err, e.logTail())
	}
	e.o.Log("engine %s answers after %s", e.id, time.Since(begun).Round(time.Millisecond))
	return nil
}

// run starts a daemon in the engine's namespace; its log is NAME.log in the engine's folder.
func (e *Engine) run(name string, args ...string) (*process, error) {
	log, err := os.OpenFile(e.file(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the daemon has its own handle
	// Not `ip netns exec`: that mounts a new /sys, which has no cgroups. nsenter becomes the daemon.
	cmd := exec.Command("nsenter", append([]string{"--net=" + e.Namespace(), name}, args...)...) //nolint:gosec,noctx // the engine outlives the context of its start
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the tests
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, nil
}

// runs reports whether the process has been started and has not ended.
func (p *process) runs() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// end sends the signal and waits until the process is gone.
func (p *process) end(ctx context.Context, sig syscall.Signal) error {
	if !p.runs() {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("%s has not ended %s after %s", p.name, stopTimeout, sig))
	defer cancel()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// answers waits until the engine answers, or the daemon or the context ends.
func (e *Engine) answers(ctx context.Context, p *process) error {
	ended := errors.New("dockerd ended by itself")
	for {
		if body, err := call(ctx, e.api, http.MethodGet, "/_ping", nil); err == nil {
			return body.Close()
		}
		if err := pause(ctx, p.done, ended); err != nil {
			return err
		}
	}
}

// pause waits for one poll interval. It fails when the context ends, and with ended once done is closed.
func pause(ctx context.Context, done <-chan struct{}, ended error) error {
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-done:
		return ended
	case <-timer.C:
		return nil
	}
}

// logTail returns the end of the daemon's log.
func (e *Engine) logTail() []byte {
	data, err := e.Log()
	if err != nil {
		return []byte(err.Error())
	}
	const most = 4096
	return bytes.TrimSpace(data[max(0, len(data)-most):])
}

// Log returns what dockerd has logged.
func (e *Engine) Log() ([]byte, error) { return os.ReadFile(e.file("dockerd.log")) }

// file returns a path in the engine's folder.
func (e *Engine) file(name string) string { return filepath.Join(e.dir, name) }

// Terminate ends the engine as an orderly shutdown does: it stops its containers first. What it keeps on disk stays, for
// Resume.
func (e *Engine) Terminate(ctx context.Context) error {
	e.api.CloseIdleConnections()
	return errors.Join(e.dockerd.end(ctx, syscall.SIGTERM), e.containerd.end(ctx, syscall.SIGTERM))
}

// Kill ends dockerd, and nothing else, with SIGKILL: its containerd and its containers live on.
func (e *Engine) Kill(ctx context.Context) error {
	e.api.CloseIdleConnections()
	return e.dockerd.end(ctx, syscall.SIGKILL)
}

// PowerOff ends everything that runs on the engine at once, as a power cut does.
func (e *Engine) PowerOff(ctx context.Context) error {
	// The daemons first: they would see their containers end, and write that down.
	return errors.Join(e.Kill(ctx), e.containerd.end(ctx, syscall.SIGKILL), killAll(ctx, e.id))
}

// Resume starts the engine again, on what is on disk.
func (e *Engine) Resume(ctx context.Context) error {
	if e.dockerd.runs() {
		return fmt.Errorf("engine %s runs already", e.id)
	}
	return e.start(ctx)
}

// Stop ends the engine and removes everything of it, whatever state it is in. It reports what it could not remove.
func (e *Engine) Stop(ctx context.Context) error {
	err := e.dockerd.end(ctx, syscall.SIGTERM)
	if err != nil { // then without order
		e.o.Log("engine %s: %v", e.id, err)
	}
	e.api.CloseIdleConnections()
	if e.names != nil {
		_ = e.names.Close()
	}
	return remove(ctx, e.o.Dir, e.id)
}

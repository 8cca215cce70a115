//go:build linux

// Package testbed starts throw-away Docker engines, each in a network namespace of its own, for tests that restart,
// starve, time or multiply the engine. It never touches the machine's own engine, its iptables or its configuration, and
// it leaves nothing behind: no process, mount, namespace, cgroup or file.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Storage drivers that a throw-away engine can have.
const (
	Overlay2      = "overlay2"
	FuseOverlayFS = "fuse-overlayfs"
)

// Options are how the engine shall be. The zero value is an engine on overlay2 that can run what --privileged asks for.
type Options struct {
	StorageDriver string // "" is Overlay2
	// Plain leaves out the runtime wrapper. An engine that lacks capabilities itself then refuses --privileged, as the
	// machine's own does; with the wrapper it gives what it has. An engine that lacks none never has a wrapper.
	Plain bool
	// Names gives the engine a name server that answers, as most machines have one: it knows no name. Without it, questions of the nodes
	// for names from outside wait in the engine for as long as they would on a machine that is offline, where this one is.
	Names bool
	// Dir is where the engine's folder is made; "" is /var/tmp, which is a disk more often than /tmp is.
	Dir string
	// Log is told what the engine does; nil: nobody.
	Log func(format string, args ...any)
}

// Engine is a throw-away engine.
type Engine struct {
	id  string // names the namespace, the folder, the cgroup and whatever else belongs to it
	dir string
	o   Options

	api                 *http.Client
	dockerd, containerd *process // nil before the first start
	names               net.PacketConn
}

// startTimeout bounds how long a daemon may take until it answers: it takes 1 s on a quiet machine.
const startTimeout = 60 * time.Second

// Start makes an engine and waits until it answers. First it removes what processes that died have left behind. The
// caller ends it with Stop; ctx bounds the start only. It needs root, dockerd, iproute2 and util-linux.
func Start(ctx context.Context, o Options) (*Engine, error) {
	if err := Supported(); err != nil {
		return nil, err
	}
	if o.StorageDriver == "" {
		o.StorageDriver = Overlay2
	}
	if o.Dir == "" {
		o.Dir = "/var/tmp"
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	Sweep(ctx, o.Dir)
	id, err := newID(o.Dir)
	if err != nil {
		return nil, err
	}
	e := &Engine{id: id, dir: filepath.Join(o.Dir, id), o: o}
	e.api = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket())
	}}}
	if err := e.make(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start a throw-away engine: %w", err), e.Stop(context.WithoutCancel(ctx)))
	}
	return e, nil
}

// Supported reports why throw-away engines cannot be had here; nil where they can.
func Supported() error {
	if os.Geteuid() != 0 {
		return errors.New("throw-away engines need root")
	}
	for _, tool := range []string{"dockerd", "containerd", "runc", "nsenter", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("throw-away engines need %s: %w", tool, err)
		}
	}
	return nil
}

// make does all of the start.
func (e *Engine) make(ctx context.Context) error {
	for _, args := range [][]string{{"netns", "add", e.id}, {"-n", e.id, "link", "set", "lo", "up"}} {
		if err := ip(ctx, args...); err != nil {
			return err
		}
	}
	if e.o.Names {
		if err := e.serveNames(ctx); err != nil {
			return err
		}
	}
	if err := e.configure(ctx); err != nil {
		return err
	}
	return e.start(ctx)
}

// ip calls the tool of that name.
func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil { //nolint:gosec // names of our own
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Socket is the path of the engine's socket.
func (e *Engine) Socket() string { return filepath.Join(e.dir, "d.sock") }

// Host is the engine's endpoint, as DOCKER_HOST has it.
func (e *Engine) Host() string { return "unix://" + e.Socket() }

// Dir is a folder that goes when the engine goes.
func (e *Engine) Dir() string { return e.dir }

// Namespace is the path of the engine's network namespace.
func (e *Engine) Namespace() string { return filepath.Join(netnsDir, e.id) }

// Env is this process's environment, with the variables changed that choose an engine.
func (e *Engine) Env() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION":
		default:
			env = append(env, kv)
		}
	}
	return append(env, "DOCKER_HOST="+e.Host())
}

// Command returns a command that runs in the engine's network namespace, where its published ports are, and that finds
// the engine in its environment.
func (e *Engine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	// nsenter becomes the command, so signals reach it.
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + e.Namespace(), name}, args...)...) //nolint:gosec // the tests choose what runs
	cmd.Env = e.Env()
	return cmd
}

// DialContext connects to an address as the engine's network namespace sees it: a published port is on 127.0.0.1.
// The address has to be numeric.
func (e *Engine) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return DialIn(ctx, e.Namespace(), network, address)
}

// Transfer copies images from another engine, whose socket is given, into this one.
func (e *Engine) Transfer(ctx context.Context, socket string, images ...string) error {
	from := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer from.CloseIdleConnections()
	query := make([]string, len(images))
	for i, image := range images {
		query[i] = "names=" + image
	}
	archive, err := call(ctx, from, http.MethodGet, "/images/get?"+strings.Join(query, "&"), nil)
	if err != nil {
		return fmt.Errorf("cannot save images %s: %w", strings.Join(images, ", "), err)
	}
	defer archive.Close()
	return e.Load(ctx, archive)
}

// Load loads an archive as `docker save` makes it.
func (e *Engine) Load(ctx context.Context, archive io.Reader) error {
	answer, err := call(ctx, e.api, http.MethodPost, "/images/load?quiet=1", archive)
	if err != nil {
		return fmt.Errorf("cannot load images: %w", err)
	}
	defer answer.Close()
	return loadError(answer)
}

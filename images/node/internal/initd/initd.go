// Package initd is the first process of a node: it prepares the container, supervises containerd and the kubelet, and stops
// everything in order. In a container that has a configuration of haproxy it supervises that alone. It decides nothing about
// Kubernetes; whoever creates the cluster does.
package initd

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"cove.dev/images/node/internal/control"
	"cove.dev/images/node/internal/logfile"
	"cove.dev/images/node/internal/reaper"
	"cove.dev/images/node/internal/unit"
	"golang.org/x/sys/unix"
)

const (
	// BootMarker is the line that kind waits for in a node's log: systemd's words for a finished boot.
	BootMarker = "Reached target Multi-User System."
	// stopSignal is SIGRTMIN+3, with which images that run systemd are stopped.
	stopSignal = syscall.Signal(37)
	// stopBudget is what the whole stop may take: the engine kills after 10 s.
	stopBudget = 8 * time.Second
)

// role is what the container is: a node, or the load balancer of a cluster.
type role interface {
	// prepare makes the container fit for the units.
	prepare(ctx context.Context)
	// units are the supervised processes, in the order of their start.
	units() []*unit.Unit
	// reload has a unit take its configuration anew without a restart; errNoReload where that is not to be had.
	reload(ctx context.Context, u *unit.Unit) error
	// ready waits until the container does what it is there for, and says it in words.
	ready(ctx context.Context) (string, error)
	// stop ends all units, and leaves the disk clean.
	stop(ctx context.Context)
}

// daemon is what PID 1 has in any role.
type daemon struct {
	role   role
	marks  marks
	log    *log.Logger
	stdout io.Writer
	reaper *reaper.Reaper
	logs   map[string]io.Writer
}

// Run is PID 1. It returns the exit status when it was told to stop and everything has ended.
func Run(ctx context.Context, stdout io.Writer) int {
	signals := make(chan os.Signal, 4)
	// SIGPIPE is taken, not ignored: an ignored one would be inherited by every process of the node.
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, stopSignal, syscall.SIGPIPE)
	d := newDaemon(stdout)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		d.log.Printf("init: orphans go to another process: %v", err)
	}
	go d.reaper.Run(ctx)
	d.role.prepare(ctx)

	var running sync.WaitGroup
	for _, u := range d.role.units() {
		running.Go(func() { u.Run(ctx) })
	}
	d.listen(ctx)
	go d.announce(ctx)

	for s := range signals {
		if s != syscall.SIGPIPE {
			d.log.Printf("init: %s: stopping", s)
			break
		}
	}
	d.stop(ctx)
	cancel()
	running.Wait()
	return 0
}

func newDaemon(stdout io.Writer) *daemon {
	d := &daemon{marks: marks{volume: stateDir, container: holdDir}, stdout: stdout, reaper: reaper.New(), logs: map[string]io.Writer{}}
	var problems []error
	for _, name := range Logs() {
		w, err := logfile.Open(logfile.Path(logfile.Dir, name), logfile.MaxSize)
		if err != nil {
			problems = append(problems, err)
			d.logs[name] = io.Discard
			continue
		}
		d.logs[name] = w
	}
	d.log = log.New(io.MultiWriter(stdout, d.logs[initName]), "", log.LstdFlags|log.Lmicroseconds|log.LUTC)
	for _, err := range problems {
		d.log.Printf("init: %v", err)
	}
	if isBalancer() {
		d.role = newLoadBalancer(d)
	} else {
		d.role = newNode(d)
	}
	return d
}

// announce tells that the container does its work.
func (d *daemon) announce(ctx context.Context) {
	what, err := d.role.ready(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Printf("init: %v", err)
		}
		return
	}
	d.log.Printf("init: %s", what)
	_, _ = fmt.Fprintln(d.stdout, BootMarker)
}

func (d *daemon) listen(ctx context.Context) {
	l, err := control.Listen(ctx, control.Socket)
	if err != nil {
		d.log.Printf("init: systemctl and status will not work: %v", err)
		return
	}
	go control.Serve(ctx, l, d.handle)
}

func (d *daemon) stop(ctx context.Context) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, stopBudget)
	defer cancel()
	d.role.stop(ctx)
	d.log.Printf("init: stopped after %s", time.Since(began).Round(time.Millisecond))
}

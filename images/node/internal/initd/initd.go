// Package initd is the first process of a node: it prepares the container, supervises containerd and the kubelet, and stops
// everything in order. It decides nothing about Kubernetes; whoever creates the cluster does.
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
	"cove.dev/images/node/internal/mount"
	"cove.dev/images/node/internal/reaper"
	"cove.dev/images/node/internal/shutdown"
	"cove.dev/images/node/internal/unit"
	"golang.org/x/sys/unix"
)

const (
	// BootMarker is the line that kind waits for in a node's log: systemd's words for a finished boot.
	BootMarker = "Reached target Multi-User System."
	// stopSignal is SIGRTMIN+3, with which images that run systemd are stopped.
	stopSignal = syscall.Signal(37)
	// stopBudget is what the whole stop may take: the engine kills after 10 s.
	stopBudget      = 8 * time.Second
	kubeletGrace    = time.Second
	containerdGrace = 700 * time.Millisecond
)

type daemon struct {
	log        *log.Logger
	stdout     io.Writer
	reaper     *reaper.Reaper
	containerd *unit.Unit
	kubelet    *unit.Unit
	logs       map[string]io.Writer
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
	d.prepare(ctx)

	var units sync.WaitGroup
	units.Go(func() { d.containerd.Run(ctx) })
	units.Go(func() { d.kubelet.Run(ctx) })
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
	units.Wait()
	return 0
}

func newDaemon(stdout io.Writer) *daemon {
	d := &daemon{stdout: stdout, reaper: reaper.New(), logs: map[string]io.Writer{}}
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
	d.containerd = unit.New(unit.Config{
		Name: ContainerdName, Log: d.log, Held: disabled(ContainerdName),
		Launch: func() (unit.Process, error) { return d.launch(ContainerdName, containerdCommand()) },
	})
	d.kubelet = unit.New(unit.Config{
		Name: KubeletName, Log: d.log, Held: disabled(KubeletName), Ready: kubeletReady,
		Launch: func() (unit.Process, error) {
			cmd, err := kubeletCommand()
			if err != nil {
				return nil, err
			}
			return d.launch(KubeletName, cmd)
		},
	})
	return d
}

// announce tells that the node is up as soon as containerd answers.
func (d *daemon) announce(ctx context.Context) {
	if waitContainerd(ctx) != nil {
		return
	}
	d.log.Print("init: containerd answers")
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

// stop ends the kubelet, so that nothing is started again, then the pods, then containerd, and leaves the volume clean.
func (d *daemon) stop(ctx context.Context) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, stopBudget)
	defer cancel()
	if err := d.kubelet.Stop(ctx, kubeletGrace); err != nil {
		d.log.Printf("init: %v", err)
	}
	(&shutdown.Stopper{Log: d.log}).Pods(ctx, shutdown.DefaultBudgets())
	if err := d.containerd.Stop(ctx, containerdGrace); err != nil {
		d.log.Printf("init: %v", err)
	}
	d.log.Printf("init: stopped after %s", time.Since(began).Round(time.Millisecond))
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		if points, err := mount.Points(); err == nil {
			mount.Detach(points, "/run/containerd", "/run/netns", "/var/lib/kubelet")
		}
		unix.Sync()
	}()
	select {
	case <-synced:
	case <-ctx.Done(): // a slow disk must not make the engine kill us
	}
}

package initd

import (
	"context"
	"os"
	"time"

	"cove.dev/images/node/internal/mount"
	"cove.dev/images/node/internal/shutdown"
	"cove.dev/images/node/internal/size"
	"cove.dev/images/node/internal/unit"
	"golang.org/x/sys/unix"
)

const (
	kubeletGrace    = time.Second
	containerdGrace = 700 * time.Millisecond
)

// node is the role of a Kubernetes node.
type node struct {
	*daemon
	containerd *unit.Unit
	kubelet    *unit.Unit
}

func newNode(d *daemon) *node {
	n := &node{daemon: d}
	n.containerd = unit.New(unit.Config{
		Name: ContainerdName, Log: d.log, Held: d.marks.held(ContainerdName),
		Launch: func() (unit.Process, error) { return d.launch(ContainerdName, containerdCommand()) },
	})
	n.kubelet = unit.New(unit.Config{
		Name: KubeletName, Log: d.log, Held: d.marks.held(KubeletName), Ready: kubeletReady,
		Launch: func() (unit.Process, error) {
			cmd, err := kubeletCommand(n.reserved())
			if err != nil {
				return nil, err
			}
			return d.launch(KubeletName, cmd)
		},
	})
	return n
}

func (n *node) units() []*unit.Unit { return []*unit.Unit{n.containerd, n.kubelet} }

func (n *node) reload(context.Context, *unit.Unit) error { return errNoReload }

// ready tells as soon as containerd answers.
func (n *node) ready(ctx context.Context) (string, error) {
	return "containerd answers", waitContainerd(ctx)
}

// reserved is what of the host the kubelet leaves alone. What cannot be read is logged, and the node has the host's size.
func (n *node) reserved() string {
	want, err := size.Parse(os.Getenv(size.EnvCPUs), os.Getenv(size.EnvMemory))
	if err != nil {
		n.log.Printf("kubelet: %v", err)
	}
	if want == (size.Size{}) {
		return ""
	}
	host, err := size.ReadHost(os.DirFS("/sys"), os.DirFS("/proc"))
	if err != nil {
		n.log.Printf("kubelet: %v", err)
	}
	return size.Reserved(host, want)
}

// stop ends the kubelet, so that nothing is started again, then the pods, then containerd, and leaves the volume clean.
func (n *node) stop(ctx context.Context) {
	if err := n.kubelet.Stop(ctx, kubeletGrace); err != nil {
		n.log.Printf("init: %v", err)
	}
	(&shutdown.Stopper{Log: n.log}).Pods(ctx, shutdown.DefaultBudgets())
	if err := n.containerd.Stop(ctx, containerdGrace); err != nil {
		n.log.Printf("init: %v", err)
	}
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

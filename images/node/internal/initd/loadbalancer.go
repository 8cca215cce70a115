package initd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cove.dev/images/node/internal/balancer"
	"cove.dev/images/node/internal/unit"
)

// haproxyGrace is how long haproxy may take to end: it drops its connections on SIGTERM.
const haproxyGrace = 200 * time.Millisecond

// isBalancer says whether the container is a load balancer: it was given haproxy's configuration before its start.
func isBalancer() bool { return exists(balancer.Config) }

// loadBalancer is the role of the load balancer before a cluster's API: haproxy, and nothing of a node.
type loadBalancer struct {
	*daemon
	haproxy *unit.Unit
}

func newLoadBalancer(d *daemon) *loadBalancer {
	return &loadBalancer{daemon: d, haproxy: unit.New(unit.Config{
		Name: HAProxyName, Log: d.log,
		Launch: func() (unit.Process, error) { return d.launch(HAProxyName, command{argv: balancer.Command()}) },
	})}
}

func (l *loadBalancer) prepare(context.Context) {
	raiseLimits()
	clearRun()
	if err := os.MkdirAll(filepath.Dir(balancer.Socket), 0o750); err != nil {
		l.log.Printf("init: haproxy will not start: %v", err)
	}
}

func (l *loadBalancer) units() []*unit.Unit { return []*unit.Unit{l.haproxy} }

func (l *loadBalancer) reload(ctx context.Context, u *unit.Unit) error {
	if u.Status().State != unit.Running {
		return fmt.Errorf("%s does not run: it takes its configuration when it starts", u.Name())
	}
	return balancer.Reload(ctx, balancer.Socket)
}

// ready tells as soon as connections are accepted.
func (l *loadBalancer) ready(ctx context.Context) (string, error) {
	return "haproxy listens", balancer.WaitListening(ctx, balancer.Config, os.DirFS("/proc"))
}

func (l *loadBalancer) stop(ctx context.Context) {
	if err := l.haproxy.Stop(ctx, haproxyGrace); err != nil {
		l.log.Printf("init: %v", err)
	}
}

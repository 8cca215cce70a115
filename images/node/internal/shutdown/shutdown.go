// Package shutdown ends the processes of a node's pods in the order in which they need each other. It starts nothing and
// it leaves the kubelet and containerd to their supervisor.
package shutdown

import (
	"context"
	"log"
	"syscall"
	"time"
)

// tick is how often the processes are looked at while they end.
const tick = 20 * time.Millisecond

// Budgets are how long each group may take before it is killed. Together with the kubelet's and containerd's they stay
// within the 10 s that the engine gives a container; etcd's is its own, whatever pods did before.
type Budgets struct{ Pods, APIServer, Etcd time.Duration }

// DefaultBudgets are for the engine's default grace.
func DefaultBudgets() Budgets {
	return Budgets{Pods: 2500 * time.Millisecond, APIServer: 1500 * time.Millisecond, Etcd: 2 * time.Second}
}

// Stopper ends pods. The zero value with a Log is ready.
type Stopper struct {
	Log  *log.Logger
	Proc string                          // "" is /proc
	Kill func(int, syscall.Signal) error // nil is kill(2)
}

// Pods ends every pod: workloads first, then the API server, which they use until their end, then etcd, which it uses. The
// kubelet must have stopped, or it starts them again.
func (s *Stopper) Pods(ctx context.Context, b Budgets) {
	s.end(ctx, "pods", b.Pods, workload)
	s.end(ctx, "kube-apiserver", b.APIServer, apiServer)
	s.end(ctx, "etcd", b.Etcd, etcd)
}

// end asks the main process of each container of a role to end, as the kubelet would, and kills what is left after budget.
func (s *Stopper) end(ctx context.Context, what string, budget time.Duration, r role) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	left := s.of(r)
	if len(left) == 0 {
		return
	}
	began := time.Now()
	s.Log.Printf("stop: %s: %d processes", what, len(left))
	for _, p := range left {
		if p.main {
			s.signal(p.pid, syscall.SIGTERM)
		}
	}
	for ctx.Err() == nil {
		if left = s.of(r); len(left) == 0 {
			s.Log.Printf("stop: %s: ended after %s", what, time.Since(began).Round(time.Millisecond))
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(tick):
		}
	}
	s.Log.Printf("stop: %s: %d processes killed", what, len(left))
	for _, p := range left {
		s.signal(p.pid, syscall.SIGKILL)
	}
}

func (s *Stopper) of(r role) []process {
	proc := s.Proc
	if proc == "" {
		proc = "/proc"
	}
	var found []process
	for _, p := range scan(proc) {
		if p.role == r {
			found = append(found, p)
		}
	}
	return found
}

func (s *Stopper) signal(pid int, sig syscall.Signal) {
	kill := s.Kill
	if kill == nil {
		kill = syscall.Kill
	}
	_ = kill(pid, sig) // one that has ended meanwhile
}

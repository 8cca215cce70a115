package shutdown

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// machine is a /proc that loses processes as they are killed.
type machine struct {
	t    *testing.T
	proc string
	deaf map[int]bool
	mu   sync.Mutex
	log  []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	return &machine{t: t, proc: t.TempDir(), deaf: map[int]bool{}}
}

func (m *machine) add(pid, parent int, name, argv0, cgroup string) {
	m.t.Helper()
	dir := filepath.Join(m.proc, strconv.Itoa(pid))
	files := map[string]string{
		"cgroup":  "5:memory:" + cgroup + "\n",
		"stat":    fmt.Sprintf("%d (%s) S %d 1 1 0", pid, name, parent),
		"cmdline": argv0 + "\x00--flag\x00",
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		m.t.Fatal(err)
	}
	for f, text := range files {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *machine) kill(pid int, sig syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, fmt.Sprintf("%d %d", sig, pid))
	if sig == syscall.SIGKILL || !m.deaf[pid] {
		return os.RemoveAll(filepath.Join(m.proc, strconv.Itoa(pid)))
	}
	return nil
}

func (m *machine) stop(b Budgets) {
	(&Stopper{Log: log.New(io.Discard, "", 0), Proc: m.proc, Kill: m.kill}).Pods(m.t.Context(), b)
}

func TestOrder(t *testing.T) {
	m := newMachine(t)
	m.add(1, 0, "entrypoint", "/usr/local/bin/entrypoint", "/")
	m.add(20, 1, "containerd-shim", "containerd-shim-runc-v2", "/")
	m.add(30, 20, "etcd", "etcd", "/kubelet/kubepods/a/1")
	m.add(31, 20, "kube", "/usr/local/bin/kube-apiserver", "/kubelet/kubepods/b/1") // by argv[0]
	m.add(32, 20, "pause", "/pause", "/kubelet/kubepods/b/0")
	m.add(33, 20, "my (odd) app", "app", "/kubelet/kubepods/c/1")
	m.add(34, 33, "worker", "app", "/kubelet/kubepods/c/1") // a child: its parent's affair
	m.deaf[34] = true
	m.add(35, 20, "app", "app", "/docker/abc/kubelet/kubepods/d/1") // as without a namespace of its own
	m.deaf[35] = true
	before := time.Now()
	m.stop(Budgets{Pods: 100 * time.Millisecond, APIServer: time.Minute, Etcd: time.Minute})
	if took := time.Since(before); took < 100*time.Millisecond || took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	slices.Sort(m.log[:2])
	slices.Sort(m.log[2:4])
	if want := []string{"15 33", "15 35", "9 34", "9 35", "15 31", "15 30"}; !slices.Equal(m.log, want) {
		t.Errorf("got %q, want %q", m.log, want)
	}
	for _, pid := range []string{"1", "20", "32"} {
		if _, err := os.Stat(filepath.Join(m.proc, pid)); err != nil {
			t.Error("it was not ours to end:", err)
		}
	}
}

func TestNoPods(t *testing.T) {
	m := newMachine(t)
	m.add(1, 0, "entrypoint", "entrypoint", "/")
	m.stop(DefaultBudgets())
	if m.log != nil {
		t.Errorf("got %q", m.log)
	}
}

func TestParseStat(t *testing.T) {
	name, state, parent := parseStat("7 (a) b (c)) Z 42 1")
	if name != "a) b (c)" || state != "Z" || parent != 42 {
		t.Errorf("got %q %q %d", name, state, parent)
	}
	if name, _, _ := parseStat("garbage"); name != "" {
		t.Errorf("got %q", name)
	}
}

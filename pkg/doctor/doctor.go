// Package doctor checks an engine and its host for what nodes need. Every limit is a value with a name, what it is, what
// it should be and the cure; the package changes nothing, and never prints.
package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Status is a check's verdict.
type Status string

// The verdicts.
const (
	OK      Status = "ok"
	Warn    Status = "warn"    // clusters work, or may
	Fail    Status = "fail"    // no cluster can work
	Skipped Status = "skipped" // not to be known from here; Value says why
)

// Check is one limit or part, checked.
type Check struct {
	ID     string `json:"id" yaml:"id"`
	Title  string `json:"title" yaml:"title"`
	Status Status `json:"status" yaml:"status"`
	Value  string `json:"value" yaml:"value"`                     // what it is
	Need   string `json:"need,omitempty" yaml:"need,omitempty"`   // what it should be
	Cure   string `json:"cure,omitempty" yaml:"cure,omitempty"`   // one thing to do, where the status is not OK
	Fatal  bool   `json:"fatal,omitempty" yaml:"fatal,omitempty"` // create refuses to begin when it fails
	// Code is what create fails with.
	Code fault.Code `json:"code,omitempty" yaml:"code,omitempty"`
}

// Env is what is checked. Only Engine and FS must be there.
type Env struct {
	Engine engine.Engine
	// Info is what the engine said of itself; it is asked where this is the zero Info.
	Info engine.Info
	// Nodes is how many nodes are planned; 0 counts as one.
	Nodes int
	// FS is this machine's root directory. Its /proc says something of the engine's host only where that is this machine.
	FS fs.FS
	// DiskFree returns the free and the total bytes of the file system of a path; nil is what this system says.
	DiskFree func(path string) (free, total uint64, err error)
	// LookPath finds a program; nil leaves out the check for kubectl.
	LookPath func(file string) (string, error)
	// Image or, where it is empty, KubernetesVersion is what the nodes would run; where both are, no image is checked.
	Image, KubernetesVersion string
	// Kubeconfig is the file that create would write; "" leaves the check out.
	Kubeconfig string
	// Incomplete returns the clusters that runs left incomplete; nil leaves the check out.
	Incomplete func(ctx context.Context) ([]string, error)
}

// engineTimeout bounds what one check asks of an engine that has answered once.
const engineTimeout = 3 * time.Second

// host is an Env with what all checks share.
type host struct {
	Env
	local bool // the engine runs on this machine's kernel
	// running returns cove's nodes that there are; it asks the engine once.
	running func(ctx context.Context) ([]engine.Node, error)
}

// unknown reports whether the engine has not said what it is.
func (h *host) unknown() bool { return h.Info.Version == "" }

// prepare finds out how near the engine is. A socket on this machine alone says little: behind it may be a virtual
// machine (Docker Desktop) or another host (a forwarded socket), and these have kernels of their own.
func (h *host) prepare() {
	release, err := fs.ReadFile(h.FS, "proc/sys/kernel/osrelease")
	h.local = err == nil && h.Info.Host == "" && h.Info.Kernel != "" && strings.TrimSpace(string(release)) == h.Info.Kernel
	if h.Nodes < 1 {
		h.Nodes = 1
	}
	if h.DiskFree == nil {
		h.DiskFree = diskFree
	}
	var once sync.Once
	var nodes []engine.Node
	var failed error
	h.running = func(ctx context.Context) ([]engine.Node, error) {
		once.Do(func() { nodes, failed = h.Engine.Nodes(ctx, engine.Selector{}) })
		return nodes, failed
	}
}

// finding is what a check found: a Check without what the probe knows anyway.
type finding struct {
	status            Status
	value, need, cure string
	code              fault.Code // what to fail with, where it is not the probe's
}

// probe is a check to be made.
type probe struct {
	id, title string
	code      fault.Code // what a failure is; "" where the check cannot be fatal
	preflight bool       // create runs it too
	local     bool       // it reads this machine's /proc, and so says something of the engine only where that is here
	apart     bool       // it asks the engine nothing
	run       func(ctx context.Context, h *host) finding
}

// probes lists the checks in the order in which they are shown.
func probes() []probe {
	return []probe{
		{id: "engine-version", title: "Engine version", code: fault.EngineUnsupported, preflight: true, run: checkVersion},
		{id: "platform", title: "Platform", code: fault.EngineUnsupported, preflight: true, run: checkPlatform},
		{id: "capabilities", title: "Capabilities", run: checkCapabilities},
		{id: "cgroup-version", title: "Cgroup version", code: fault.CgroupUnsupported, preflight: true, run: checkCgroupVersion},
		{id: "cgroup-controllers", title: "Cgroup controllers", code: fault.CgroupUnsupported, preflight: true, run: checkControllers},
		{id: "cgroup-driver", title: "Cgroup driver", code: fault.CgroupUnsupported, preflight: true, run: checkCgroupDriver},
		{id: "storage-driver", title: "Storage driver", run: checkStorage},
		{id: "apparmor", title: "AppArmor", run: checkAppArmor},
		{id: "disk", title: "Free disk space", code: fault.DiskFull, preflight: true, local: true, run: checkDisk},
		{id: "memory", title: "Memory", code: fault.HostLimit, preflight: true, run: checkMemory},
		{id: "cpus", title: "Processors", run: checkCPUs},
		{id: "swap", title: "Swap", local: true, run: checkSwap},
		{id: "inotify-instances", title: "Inotify instances", code: fault.HostLimit, preflight: true, local: true, run: checkInotifyInstances},
		{id: "inotify-watches", title: "Inotify watches", code: fault.HostLimit, preflight: true, local: true, run: checkInotifyWatches},
		{id: "file-handles", title: "File handles of the host", code: fault.HostLimit, preflight: true, local: true, run: checkFileHandles},
		{id: "open-files", title: "Open files per process", code: fault.HostLimit, preflight: true, local: true, run: checkOpenFiles},
		{id: "pids", title: "Process numbers", code: fault.HostLimit, preflight: true, local: true, run: checkPids},
		{id: "kernel-overlay", title: "Kernel: overlay", local: true, run: checkOverlay},
		{id: "kernel-nftables", title: "Kernel: nftables", local: true, run: checkNftables},
		{id: "kernel-bridge", title: "Kernel: bridge netfilter", local: true, run: checkBridge},
		{id: "dns", title: "DNS of the host", local: true, run: checkDNS},
		{id: "subnets", title: "Free subnets", code: fault.NetworkExhausted, preflight: true, run: checkSubnets},
		{id: "image", title: "Node image", run: checkImage},
		{id: "kubeconfig", title: "Kubeconfig", code: fault.KubeconfigUnusable, preflight: true, apart: true, run: checkKubeconfig},
		{id: "leftovers", title: "Clusters left incomplete", run: checkLeftovers},
		{id: "kubectl", title: "kubectl", apart: true, run: checkKubectl},
	}
}

// Run makes all checks, side by side, and returns them in a fixed order. The first one is the engine itself: where it
// does not answer, checks that need it are skipped.
func Run(ctx context.Context, env Env) []Check {
	h := &host{Env: env}
	first := h.ask(ctx)
	return append([]Check{first}, h.check(ctx, probes())...)
}

// Failed returns the first check that failed, nil where none did.
func Failed(checks []Check) *Check {
	for i := range checks {
		if checks[i].Status == Fail {
			return &checks[i]
		}
	}
	return nil
}

// ask asks the engine what it is.
func (h *host) ask(ctx context.Context) Check {
	c := Check{ID: "engine", Title: "Engine", Status: OK, Fatal: true, Need: "a Docker Engine that answers"}
	if h.unknown() {
		ctx, cancel := context.WithTimeout(ctx, engineTimeout)
		defer cancel()
		info, err := h.Engine.Info(ctx)
		if err != nil {
			r := fault.ReportOf(err)
			c.Status, c.Value, c.Cure, c.Code = Fail, r.Message, r.Hint, r.Code
			return c
		}
		h.Info = info
	}
	h.prepare()
	c.Value = strings.TrimSpace(h.Info.Name + " " + h.Info.Version + " at " + h.Info.Endpoint)
	return c
}

// check makes the checks side by side.
func (h *host) check(ctx context.Context, list []probe) []Check {
	checks := make([]Check, len(list))
	var group sync.WaitGroup
	for i, p := range list {
		group.Go(func() { checks[i] = h.one(ctx, p) })
	}
	group.Wait()
	return checks
}

func (h *host) one(ctx context.Context, p probe) Check {
	var f finding
	switch {
	case h.unknown() && !p.apart:
		f = skip("the engine does not answer")
	case p.local && !h.local:
		f = skip("the engine does not run on this machine's kernel")
	default:
		ctx, cancel := context.WithTimeout(ctx, engineTimeout)
		defer cancel()
		f = p.run(ctx, h)
	}
	c := Check{
		ID: p.id, Title: p.title, Status: f.status, Value: f.value, Need: f.need, Cure: f.cure,
		Fatal: p.code != "", Code: p.code,
	}
	if f.code != "" {
		c.Code = f.code
	}
	if c.Status != Fail {
		c.Code = ""
	}
	if c.Status == OK || c.Status == Skipped {
		c.Cure = ""
	}
	return c
}

func skip(format string, args ...any) finding {
	return finding{status: Skipped, value: fmt.Sprintf(format, args...)}
}

package initd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cove.dev/images/node/internal/cgroup"
	"cove.dev/images/node/internal/cni"
	"cove.dev/images/node/internal/mount"
	"cove.dev/images/node/internal/relay"
	"cove.dev/images/node/internal/resolv"
	"cove.dev/images/node/internal/seed"
)

const (
	stateDir     = "/var/lib/cove" // on the volume: what must be the same after the container is replaced
	holdDir      = "/etc/cove"     // in the container: what is about this one alone
	resolvConf   = "/etc/resolv.conf"
	openFiles    = 1 << 20
	kmsg         = "/dev/kmsg"
	idBytes      = 16
	resolverPort = 53
	graftProgram = "containerd-graft"
	graftBudget  = time.Minute                       // on a disk that is slow to flush
	envFamily    = "COVE_NODE_FAMILY"                // cove's word for the only family that Kubernetes uses
	nodeLink     = "eth0"                            // the engine's name of a container's first link
	cniConf      = "/etc/cni/net.d/10-cove.conflist" // written by cove before the start
)

// prepare makes the container a node. Each step that fails is logged, and the boot goes on: a node that half works tells more
// than one that is gone.
func (n *node) prepare(ctx context.Context) {
	began := time.Now()
	raiseLimits()
	clearRun()
	points, err := mount.Points()
	if err != nil {
		n.log.Printf("init: %v", err)
	}
	mount.Prepare(points, n.log)
	mount.Kmsg(kmsg, n.log)
	version := cgroup.Setup(points, n.log)
	if text, err := os.ReadFile("/proc/self/cgroup"); err == nil && !cgroup.Private(string(text)) {
		n.log.Print("cgroup: the namespace is the host's, so pods may not start: run the node with --cgroupns=private")
	}
	if err := machineID(filepath.Join(stateDir, "machine-id"), "/etc/machine-id"); err != nil {
		n.log.Printf("init: the machine-id is not the node's own: %v", err)
	}
	result, err := seed.Plant("/", func() error { return n.graft(ctx) })
	if err != nil {
		n.log.Printf("seed: %v", err)
	} else {
		n.log.Printf("seed: %s", result)
	}
	n.fitCNI()
	n.masquerade(ctx)
	n.relayDNS(ctx)
	n.log.Printf("init: prepared in %s, cgroup version %d", time.Since(began).Round(time.Millisecond), version)
}

// graft adds the image's images to the state of a containerd that has run before: a program that is built with containerd's own
// libraries does it.
func (n *node) graft(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, graftBudget)
	defer cancel()
	out, err := n.run(ctx, command{argv: []string{graftProgram}})
	for line := range strings.Lines(out) {
		n.log.Printf("seed: %s", strings.TrimSpace(line))
	}
	return err
}

// fitCNI gives pods the MTU of the node's own network. flannel finds nothing to change then; a change while the first pods
// start would have containerd load the configuration anew.
func (n *node) fitCNI() {
	link, err := net.InterfaceByName(nodeLink)
	if err != nil {
		n.log.Printf("cni: %v", err)
		return
	}
	switch changed, err := cni.FitMTU(cniConf, link.MTU); {
	case err != nil:
		n.log.Printf("cni: %v", err)
	case changed:
		n.log.Printf("cni: pods have MTU %d, as %s has", link.MTU, nodeLink)
	}
}

// raiseLimits lets the node's processes open many files. The hard limit takes CAP_SYS_RESOURCE; without it the soft one is
// raised to it. Setting it by this call also stops the Go runtime from giving children the old one.
func raiseLimits() {
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: openFiles, Max: openFiles}) == nil {
		return
	}
	var now syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now) == nil {
		now.Cur = now.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now)
	}
}

// clearRun removes what an earlier run of this container left in /run when that is no tmpfs: sockets that nobody listens
// on, and state of pods that are gone.
func clearRun() {
	for _, path := range []string{"/run/containerd", "/run/netns", "/run/runc", "/run/cove"} {
		_ = os.RemoveAll(path)
	}
	pids, _ := filepath.Glob("/run/*.pid")
	for _, path := range pids {
		_ = os.Remove(path)
	}
}

// machineID gives the node an identity of its own (machine-id(5)), made once, kept at stored and written to target.
func machineID(stored, target string) error {
	text, err := os.ReadFile(stored) //nolint:gosec // of a name that the code has
	id := strings.TrimSpace(string(text))
	if raw, hexErr := hex.DecodeString(id); err != nil || hexErr != nil || len(raw) != idBytes {
		raw := make([]byte, idBytes)
		_, _ = rand.Read(raw) // never fails
		id = hex.EncodeToString(raw)
		if err := os.MkdirAll(filepath.Dir(stored), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(stored, []byte(id+"\n"), 0o600); err != nil {
			return err
		}
	}
	_ = os.Remove(target)                               // the image's may be read-only, or a link
	return os.WriteFile(target, []byte(id+"\n"), 0o444) //nolint:gosec // machine-id(5): everybody may read it
}

// relayDNS puts the node between its pods and the engine's resolver, if that is on a loopback address. The file is changed
// only once the relay listens.
func (n *node) relayDNS(ctx context.Context) {
	text, err := os.ReadFile(resolvConf)
	if err != nil {
		n.log.Printf("dns: %v", err)
		return
	}
	own := resolv.OfFamily(resolv.NodeAddresses(), os.Getenv(envFamily))
	path := filepath.Join(stateDir, "resolv.json")
	upstreams := resolv.Upstreams(string(text), own, resolv.LoadRecord(path))
	if upstreams == nil {
		return
	}
	if len(own) == 0 {
		n.log.Print("dns: the node has no address, so pods will not resolve names outside the cluster")
		return
	}
	var listen []netip.AddrPort
	for _, a := range own {
		listen = append(listen, netip.AddrPortFrom(a, resolverPort))
	}
	var ask []string
	for _, a := range upstreams {
		ask = append(ask, net.JoinHostPort(a.String(), "53"))
	}
	r, err := relay.Listen(ctx, listen, ask, n.log)
	if err != nil {
		n.log.Printf("dns: %v", err)
		return
	}
	go r.Serve(ctx)
	if err := (resolv.Record{Own: own, Upstreams: upstreams}).Save(path); err != nil {
		n.log.Printf("dns: %v", err)
	}
	if err := resolv.Rewrite(resolvConf, resolv.With(string(text), own)); err != nil {
		n.log.Printf("dns: %v", err)
		return
	}
	n.log.Printf("dns: %v relays to %v", own, upstreams)
}

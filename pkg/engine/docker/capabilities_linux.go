package docker

import (
	"math/bits"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// missingCapabilities returns the names of the capabilities that the dockerd behind a local socket does not have itself,
// so that it cannot give them to a container; nil where it has all of them or where that cannot be known.
func missingCapabilities(socket, proc string) []string {
	if socket == "" {
		return nil
	}
	pid := listener(socket)
	if pid <= 0 {
		return nil
	}
	root, err := os.OpenRoot(proc)
	if err != nil {
		return nil
	}
	defer root.Close()
	dir := strconv.Itoa(pid)
	// The listener may be systemd, or a proxy before the engine: their capabilities say nothing.
	if name, err := root.ReadFile(dir + "/comm"); err != nil || strings.TrimSpace(string(name)) != "dockerd" {
		return nil
	}
	last, err := root.ReadFile("sys/kernel/cap_last_cap")
	if err != nil {
		return nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(last)))
	if err != nil || n < 0 || n > 62 {
		return nil
	}
	status, err := root.ReadFile(dir + "/status")
	if err != nil {
		return nil
	}
	return absent(string(status), n)
}

// absent names the capabilities up to last that the CapEff line of a /proc/PID/status lacks.
func absent(status string, last int) []string {
	for line := range strings.Lines(status) {
		value, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		has, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return nil
		}
		var names []string
		for lacks := ^has & (1<<(last+1) - 1); lacks != 0; lacks &= lacks - 1 {
			name := capabilityName(bits.TrailingZeros64(lacks))
			if name == "" {
				return nil // a capability that is not known here cannot be dropped by name
			}
			names = append(names, name)
		}
		return names
	}
	return nil
}

// listener returns the process that listens on a Unix socket; 0 where the kernel does not tell.
func listener(socket string) int {
	conn, err := (&net.Dialer{Timeout: time.Second}).Dial("unix", socket)
	if err != nil {
		return 0
	}
	defer conn.Close()
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	if err := raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	}); err != nil {
		return 0
	}
	return pid
}

// capabilityName returns the name of a capability, as capabilities(7) numbers them in linux/capability.h.
func capabilityName(n int) string {
	names := []string{
		"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
		"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
		"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
		"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
		"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
		"CHECKPOINT_RESTORE",
	}
	if n >= len(names) {
		return ""
	}
	return names[n]
}

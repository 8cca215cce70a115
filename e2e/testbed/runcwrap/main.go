// Command runcwrap is runc for an engine that lacks capabilities itself, as engines in sandboxes do: --privileged asks
// for all of them, and runc then fails. It takes out of each process that is to be started what it cannot give, and
// becomes runc; it changes nothing else.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "runcwrap:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

func run(args []string) error {
	if file, in := processFile(args); file != "" {
		have, err := bounding()
		if err != nil {
			return err
		}
		if err := strip(file, in, have); err != nil {
			return err
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	return syscall.Exec(runc, append([]string{"runc"}, args...), os.Environ()) //nolint:gosec // to become runc is the purpose
}

// processFile returns the file that describes the process that runc is asked to start, and whether it is a member
// "process" of it, as in a bundle, or the whole file; "" where runc is asked for something else.
func processFile(args []string) (file string, member bool) {
	command := ""
	for i, arg := range args {
		value := ""
		if i+1 < len(args) {
			value = args[i+1]
		}
		switch {
		case arg == "create" || arg == "run" || arg == "exec":
			command = arg
		case arg == "--bundle" && command != "" && command != "exec":
			return filepath.Join(value, "config.json"), true
		case arg == "--process" && command == "exec":
			return value, false
		}
	}
	return "", false
}

// bounding returns the capabilities that this process could have, as a set of their numbers.
func bounding() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if hex, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no CapBnd")
}

// strip removes from the file all capabilities that are not in have.
func strip(file string, member bool, have uint64) error {
	data, err := os.ReadFile(file) //nolint:gosec // containerd names it
	if err != nil {
		return err
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return err
	}
	process := whole
	if member {
		process = nil
		if err := json.Unmarshal(whole["process"], &process); err != nil {
			return err
		}
	}
	if len(process["capabilities"]) == 0 {
		return nil
	}
	var sets map[string][]string
	if err := json.Unmarshal(process["capabilities"], &sets); err != nil {
		return err
	}
	for name, set := range sets {
		sets[name] = give(set, have)
	}
	if process["capabilities"], err = json.Marshal(sets); err != nil {
		return err
	}
	if member {
		if whole["process"], err = json.Marshal(process); err != nil {
			return err
		}
	}
	if data, err = json.Marshal(whole); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600) //nolint:gosec // containerd names it
}

// give returns those of the set that are in have. Names that it does not know it leaves to runc.
func give(set []string, have uint64) []string {
	given := make([]string, 0, len(set))
	for _, name := range set {
		if number, known := numbers()[name]; !known || have&(1<<number) != 0 {
			given = append(given, name)
		}
	}
	return given
}

// numbers are the capabilities by number. Source: linux/capability.h.
func numbers() map[string]uint {
	names := strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
		NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
		SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
		MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)
	m := make(map[string]uint, len(names))
	for i, name := range names {
		m["CAP_"+name] = uint(i)
	}
	return m
}

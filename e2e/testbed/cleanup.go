//go:build linux

package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// idPrefix begins the name of everything that belongs to a throw-away engine. The process that owns the engine follows,
// with its start time, because process numbers come again; then a number.
const idPrefix = "covetb-"

// newID names an engine, and makes its folder.
func newID(dir string) (string, error) {
	pid := os.Getpid()
	begun, err := startTime(pid)
	if err != nil {
		return "", err
	}
	for n := 0; ; n++ {
		id := idPrefix + strconv.Itoa(pid) + "-" + begun + "-" + strconv.Itoa(n)
		err := os.Mkdir(filepath.Join(dir, id), 0o700)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return id, err
		}
	}
}

// startTime returns when a process started, in the kernel's ticks since the boot. Source: proc_pid_stat(5), field 22.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", err
	}
	// The second field, the name, is in brackets and may hold anything.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	const field = 22 - 3 // what follows the name is field 3
	if len(fields) <= field {
		return "", fmt.Errorf("cannot read /proc/%d/stat", pid)
	}
	return fields[field], nil
}

// Sweep removes the engines in dir whose owners have died, as far as it can: it is for the leftovers of tests that were
// killed. Start does it too.
func Sweep(ctx context.Context, dir string) {
	var ids []string
	for _, d := range []string{dir, netnsDir} {
		entries, err := os.ReadDir(d)
		if err != nil {
			continue // no namespace was ever made
		}
		for _, entry := range entries {
			ids = append(ids, entry.Name())
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if strings.HasPrefix(id, idPrefix) && orphan(id) {
			_ = remove(ctx, dir, id) // what stays, the next sweep finds
		}
	}
}

// orphan reports whether the process that owns the engine has died.
func orphan(id string) bool {
	parts := strings.Split(strings.TrimPrefix(id, idPrefix), "-")
	pid, err := strconv.Atoi(parts[0])
	if err != nil || len(parts) != 3 {
		return false
	}
	begun, err := startTime(pid)
	return err != nil || begun != parts[1]
}

// remove ends and removes everything that belongs to the engine.
func remove(ctx context.Context, dir, id string) error {
	errs := []error{killAll(ctx, id), unmountAll(filepath.Join(dir, id))}
	if _, err := os.Stat(filepath.Join(netnsDir, id)); err == nil {
		if out, err := exec.CommandContext(ctx, "ip", "netns", "delete", id).CombinedOutput(); err != nil { //nolint:gosec // a name of our own
			errs = append(errs, fmt.Errorf("ip netns delete %s: %w: %s", id, err, out))
		}
	}
	errs = append(errs, os.RemoveAll(filepath.Join(dir, id)), removeCgroups(ctx, id))
	return errors.Join(errs...)
}

// killAll kills what belongs to the engine, until nothing is left: its daemons and shims have its name on their command
// lines, its containers in their cgroups.
func killAll(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("processes of engine %s do not end", id))
	defer cancel()
	for {
		left := belonging(id)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			// One that has ended in the meantime is no error; what does not end is found again.
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if err := pause(ctx, nil, nil); err != nil {
			return fmt.Errorf("%w: %v", err, left)
		}
	}
}

// belonging lists the processes of the engine that have not ended.
func belonging(id string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil // there is a /proc, or nothing here works
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A zombie has no command line, but keeps its cgroups; its parent collects it, or init does.
		for _, file := range []string{"cmdline", "cgroup"} {
			data, err := os.ReadFile(filepath.Join("/proc", entry.Name(), file)) //nolint:gosec // the kernel names it
			if err == nil && strings.Contains(string(data), id) && !zombie(pid) {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// zombie reports whether the process has ended and waits for its parent.
func zombie(pid int) bool {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true // it is gone
	}
	_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')'):]), " ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

// unmountAll unmounts what is mounted below dir, the last first.
func unmountAll(dir string) error {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer file.Close()
	var points []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// The fifth field is the mount point; its special characters are escaped, and ours has none.
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	var errs []error
	for _, point := range slices.Backward(points) {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("cannot unmount %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// removeCgroups removes the engine's cgroup in every hierarchy.
func removeCgroups(ctx context.Context, id string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.HasPrefix(fields[2], "cgroup") {
			errs = append(errs, removeCgroup(ctx, filepath.Join(fields[1], id)))
		}
	}
	return errors.Join(errs...)
}

// removeCgroup removes a cgroup and those below it. A cgroup is busy for a moment after its last process has ended.
func removeCgroup(ctx context.Context, root string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("cannot remove cgroup %s", root))
	defer cancel()
	for {
		var dirs []string
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, dir := range slices.Backward(dirs) {
			_ = unix.Rmdir(dir) // what stays is found by the next walk
		}
		if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := pause(ctx, nil, nil); err != nil {
			return err
		}
	}
}

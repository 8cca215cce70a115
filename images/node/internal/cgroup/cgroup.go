// Package cgroup gives the kubelet a cgroup of its own, /kubelet, in every hierarchy that the container sees: pods then
// live below the node's own cgroup, never beside it. It sets no limits.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"

	"cove.dev/images/node/internal/mount"
)

// Kubelet is the name of the cgroup that pods live under (cgroupRoot in the kubelet's configuration).
const Kubelet = "kubelet"

// Leaf is where the processes of a version 2 root go: a cgroup that has processes cannot give controllers to children.
const Leaf = "init"

// Setup prepares the hierarchies among points, and says which version the kubelet will see: 1 when there is any version 1
// controller (hybrid systems too), 2, or 0 when there is none. What cannot be done is logged; the kubelet will say more.
func Setup(points []mount.Point, logger *log.Logger) int {
	var v1, v2 []mount.Point
	for _, p := range points {
		switch p.Type {
		case "cgroup":
			v1 = append(v1, p)
		case "cgroup2":
			v2 = append(v2, p)
		}
	}
	switch {
	case len(v1) > 0:
		for _, p := range append(v1, v2...) {
			report(logger, p, setupV1(p))
		}
		return 1
	case len(v2) > 0:
		report(logger, v2[0], setupV2(v2[0].Path))
		return 2
	default:
		logger.Print("cgroup: no hierarchy is mounted: pods will not start")
		return 0
	}
}

func report(logger *log.Logger, p mount.Point, err error) {
	if err != nil {
		logger.Printf("cgroup: %s: %v", p.Path, err)
	}
}

// Private says whether this process is at the root of its cgroup namespace, as with the engine's --cgroupns=private. text is
// that of /proc/self/cgroup. Otherwise the kubelet looks for its cgroups in places that the container does not show.
func Private(text string) bool {
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if parts := strings.SplitN(line, ":", 3); len(parts) == 3 && parts[2] != "/" && parts[2] != "/"+Leaf {
			return false
		}
	}
	return true
}

// setupV1 makes the kubelet's cgroup. A new cpuset is empty and takes no process until it is given CPUs and memory nodes.
func setupV1(p mount.Point) error {
	dir := filepath.Join(p.Path, Kubelet)
	if err := mkdir(dir); err != nil {
		return err
	}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := read(p.Path, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another controller
		}
		if err != nil {
			return fmt.Errorf("cannot read the node's cpuset: %w", err)
		}
		if err := write(filepath.Join(dir, name), strings.TrimSpace(value)); err != nil {
			return err
		}
	}
	return nil
}

func setupV2(root string) error {
	leaf := filepath.Join(root, Leaf)
	if err := mkdir(leaf); err != nil {
		return err
	}
	evacuate(root, leaf)
	dir := filepath.Join(root, Kubelet)
	err := enable(root)
	if mkErr := mkdir(dir); mkErr != nil {
		return errors.Join(err, mkErr)
	}
	return errors.Join(err, enable(dir))
}

// evacuate moves every process of root to leaf. It looks again a few times: processes may be born meanwhile. One that is
// gone, or that may not be moved, is skipped; enable will complain if that matters.
func evacuate(root, leaf string) {
	const tries = 5
	for range tries {
		text, err := read(root, "cgroup.procs")
		pids := strings.Fields(text)
		if err != nil || len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = write(filepath.Join(leaf, "cgroup.procs"), pid)
		}
	}
}

// enable gives the children of dir every controller that dir has, each by a write of its own: one that is refused must not
// take the others with it.
func enable(dir string) error {
	text, err := read(dir, "cgroup.controllers")
	if err != nil {
		return fmt.Errorf("cannot list controllers: %w", err)
	}
	var errs []error
	for _, c := range strings.Fields(text) {
		errs = append(errs, write(filepath.Join(dir, "cgroup.subtree_control"), "+"+c))
	}
	return errors.Join(errs...)
}

func read(dir, name string) (string, error) {
	text, err := fs.ReadFile(os.DirFS(dir), name)
	return string(text), err
}

func mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make a cgroup: %w", err)
	}
	return nil
}

// write is one write system call, which is what cgroup files want.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // below a mount of the kernel's
	if err != nil {
		return fmt.Errorf("cannot set a cgroup: %w", err)
	}
	_, err = f.WriteString(value + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot set %s to %q: %w", path, value, err)
	}
	return nil
}

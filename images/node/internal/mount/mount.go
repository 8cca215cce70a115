// Package mount makes a container's mounts fit for running pods: shared, and writable where the kubelet writes. It mounts
// nothing that was not there, and every step is best effort: an engine that runs a node privileged has done it already.
package mount

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Point is one line of /proc/self/mountinfo: proc(5) has its fields.
type Point struct {
	Root    string // the part of the file system that is mounted
	Path    string
	Options []string // of this mount
	Type    string
	Super   []string // options of the file system: for cgroup v1 the controllers
}

// ReadOnly says whether this mount (not its file system) refuses writes.
func (p Point) ReadOnly() bool { return has(p.Options, "ro") }

// Points reads the mounts of this process.
func Points() ([]Point, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot list mounts: %w", err)
	}
	return Parse(string(text)), nil
}

// Parse reads the text of a mountinfo file; lines that it cannot read are left out.
func Parse(text string) []Point {
	var points []Point
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		left, right, ok := strings.Cut(sc.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 3 {
			continue
		}
		points = append(points, Point{
			Root: unescape(l[3]), Path: unescape(l[4]), Options: strings.Split(l[5], ","),
			Type: r[0], Super: strings.Split(r[2], ","),
		})
	}
	return points
}

// unescape undoes the kernel's \040 for a blank, and the like.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// Prepare shares all mounts, so that what the kubelet and the CSI drivers mount is seen in pods, and makes /sys, /proc/sys
// and the cgroup hierarchies writable. What the engine refuses is logged.
func Prepare(points []Point, logger *log.Logger) {
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		logger.Printf("mounts: / stays private: %v", err)
	}
	for _, p := range points {
		if !Writable(p) || !p.ReadOnly() {
			continue
		}
		if err := unix.Mount("", p.Path, "", Flags(p), ""); err != nil {
			logger.Printf("mounts: %s stays read-only: %v", p.Path, err)
		}
	}
}

// Writable says whether a node wants to write to this mount.
func Writable(p Point) bool {
	return p.Path == "/sys" || p.Path == "/proc/sys" || p.Path == "/sys/fs/cgroup" || p.Type == "cgroup" || p.Type == "cgroup2"
}

// Flags are those that remount p writable and keep its other flags. A remount replaces all of them, and dropping nosuid and
// its like is refused in a user namespace.
func Flags(p Point) uintptr {
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND)
	for _, o := range p.Options {
		switch o {
		case "nosuid":
			flags |= unix.MS_NOSUID
		case "nodev":
			flags |= unix.MS_NODEV
		case "noexec":
			flags |= unix.MS_NOEXEC
		case "noatime":
			flags |= unix.MS_NOATIME
		case "nodiratime":
			flags |= unix.MS_NODIRATIME
		case "relatime":
			flags |= unix.MS_RELATIME
		}
	}
	return flags
}

// Kmsg makes sure that the kubelet finds something at path (/dev/kmsg), which it reads for messages of the kernel's memory
// killer: the device itself, or where the engine refuses that, a link to what can at least be opened.
func Kmsg(path string, logger *log.Logger) {
	if openable(path) {
		return
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 11))) //nolint:gosec // 267
		if err == nil && openable(path) {
			return
		}
		logger.Printf("mounts: no %s of our own: %v", path, err)
	}
	_ = os.Remove(path)
	for _, instead := range []string{"/dev/console", "/dev/null"} {
		if openable(instead) && os.Symlink(instead, path) == nil {
			logger.Printf("mounts: %s is %s: messages of the kernel's memory killer will not show", path, instead)
			return
		}
	}
}

func openable(path string) bool {
	//nolint:gosec // a device, of a name that the code has
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

// Detach unmounts everything below the given directories, deepest first, so that the volumes are closed cleanly.
func Detach(points []Point, dirs ...string) {
	for i := len(points) - 1; i >= 0; i-- {
		for _, d := range dirs {
			if strings.HasPrefix(points[i].Path, d+"/") {
				_ = unix.Unmount(points[i].Path, unix.MNT_DETACH)
			}
		}
	}
}

func has(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

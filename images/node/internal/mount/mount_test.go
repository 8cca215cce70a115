package mount

import (
	"bytes"
	"log"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

const table = `105 50 0:49 / / rw,nodev,noatime shared:29 master:27 - overlay overlay rw,lowerdir=/a
109 105 0:54 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
111 110 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,relatime master:11 - cgroup cgroup rw,cpu,cpuacct
112 110 0:30 / /a\040b rw - tmpfs tmpfs rw
garbage
`

func TestParse(t *testing.T) {
	points := Parse(table)
	if len(points) != 4 {
		t.Fatalf("%d mounts", len(points))
	}
	cpu := points[2]
	if cpu.Root != "/docker/abc" || cpu.Path != "/sys/fs/cgroup/cpu,cpuacct" || cpu.Type != "cgroup" || !cpu.ReadOnly() ||
		!has(cpu.Super, "cpuacct") {
		t.Errorf("got %+v", cpu)
	}
	if points[3].Path != "/a b" {
		t.Errorf("got %q", points[3].Path)
	}
	if points[0].ReadOnly() || Writable(points[0]) || !Writable(points[1]) || !Writable(cpu) {
		t.Error("wrong mounts would be made writable")
	}
}

func TestFlagsKeepTheOthers(t *testing.T) {
	want := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RELATIME)
	if got := Flags(Parse(table)[1]); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestKmsgLinkWhereNoDeviceIsAllowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmsg")
	// A dangling link is what a run on another engine may have left.
	if err := os.Symlink("/no/such/device", path); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	Kmsg(path, log.New(&out, "", 0))
	if !openable(path) {
		t.Errorf("nothing to read at %s; log: %s", path, &out)
	}
	before := out.Len()
	Kmsg(path, log.New(&out, "", 0))
	if out.Len() != before {
		t.Errorf("a second run: %s", &out)
	}
}

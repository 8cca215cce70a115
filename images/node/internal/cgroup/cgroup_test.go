package cgroup

import (
	"bytes"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cove.dev/images/node/internal/mount"
)

// tree makes files below a new directory, as a mounted hierarchy has them.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func content(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func setup(points ...mount.Point) (int, string) {
	var out bytes.Buffer
	version := Setup(points, log.New(&out, "", 0))
	return version, out.String()
}

func TestVersion1(t *testing.T) {
	cpuset := tree(t, map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"})
	memory := tree(t, nil)
	unified := tree(t, map[string]string{"cgroup.controllers": ""})
	points := []mount.Point{{Path: unified, Type: "cgroup2"}, {Path: cpuset, Type: "cgroup"}, {Path: memory, Type: "cgroup"}}
	for range 2 { // a restart finds it all there
		if version, out := setup(points...); version != 1 || out != "" {
			t.Fatalf("version %d, log %q", version, out)
		}
	}
	if got := content(t, cpuset, "kubelet", "cpuset.cpus"); !strings.HasPrefix(got, "0-1\n") {
		t.Errorf("cpus %q", got)
	}
	if got := content(t, cpuset, "kubelet", "cpuset.mems"); !strings.HasPrefix(got, "0\n") {
		t.Errorf("mems %q", got)
	}
	for _, dir := range []string{memory, unified} {
		if _, err := os.Stat(filepath.Join(dir, "kubelet")); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(unified, Leaf)); err == nil {
		t.Error("a hybrid system's version 2 hierarchy has no controllers to enable")
	}
}

func TestVersion2(t *testing.T) {
	root := tree(t, map[string]string{"cgroup.controllers": "cpuset cpu memory pids\n", "cgroup.procs": "1\n17\n"})
	// The kernel makes these with the directory.
	if err := os.Mkdir(filepath.Join(root, "kubelet"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "kubelet", "cgroup.controllers"), []byte("cpu memory\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	version, out := setup(mount.Point{Path: root, Type: "cgroup2"})
	if version != 2 || out != "" {
		t.Errorf("version %d, log %q", version, out)
	}
	if got := content(t, root, Leaf, "cgroup.procs"); !strings.HasPrefix(got, "1\n17\n") {
		t.Errorf("moved %q", got)
	}
	if got := content(t, root, "cgroup.subtree_control"); got != "+cpuset\n+cpu\n+memory\n+pids\n" {
		t.Errorf("root enables %q", got)
	}
	if got := content(t, root, "kubelet", "cgroup.subtree_control"); got != "+cpu\n+memory\n" {
		t.Errorf("kubelet enables %q", got)
	}
}

func TestProblemsAreSaid(t *testing.T) {
	if version, out := setup(); version != 0 || !strings.Contains(out, "no hierarchy") {
		t.Errorf("version %d, log %q", version, out)
	}
	gone := filepath.Join(t.TempDir(), "gone")
	good := tree(t, nil)
	version, out := setup(mount.Point{Path: gone, Type: "cgroup"}, mount.Point{Path: good, Type: "cgroup"})
	if version != 1 || !strings.Contains(out, gone) {
		t.Errorf("version %d, log %q", version, out)
	}
	if _, err := os.Stat(filepath.Join(good, "kubelet")); err != nil {
		t.Error("one bad hierarchy kept another from its cgroup:", err)
	}
}

func TestPrivate(t *testing.T) {
	for text, want := range map[string]bool{
		"0::/\n":                           true,
		"0::/init\n":                       true,
		"5:memory:/\n4:cpu,cpuacct:/\n":    true,
		"0::/docker/abc\n":                 false,
		"5:memory:/\n4:cpu:/docker/abc\n":  false,
		"1:name=systemd:/system.slice/x\n": false,
	} {
		if got := Private(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

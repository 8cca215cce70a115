//go:build linux && e2e

package testbed_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/cove-k8s/cove/e2e/testbed"
)

const holdImage = "testbed/hold:1"

// TestEngine takes a throw-away engine through its life with a privileged container on it.
func TestEngine(t *testing.T) {
	require(t)
	ctx := t.Context()
	e, err := testbed.Start(ctx, testbed.Options{Names: true, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if err := e.Stop(context.WithoutCancel(ctx)); err != nil && !stopped {
			t.Error(err)
		}
		stopped = true
	}
	t.Cleanup(stop)

	var info struct{ Driver, CgroupDriver string }
	if err := e.Get(ctx, "/info", &info); err != nil {
		t.Fatal(err)
	}
	if info.Driver != testbed.Overlay2 {
		t.Errorf("the engine's storage driver is %q", info.Driver)
	}
	if err := e.Load(ctx, holdArchive(t)); err != nil {
		t.Fatal(err)
	}
	docker(t, e, "run", "-d", "--name", "hold", "--privileged", "--restart", "always", "-v", "hold:/data",
		"-p", "127.0.0.1:18080:80", holdImage)
	get(t, e, "/tell?it=kept")
	noSuchName(t, e)

	for _, outage := range []struct {
		name string
		do   func(context.Context) error
	}{{"SIGTERM", e.Terminate}, {"SIGKILL", e.Kill}, {"power cut", e.PowerOff}} {
		if err := outage.do(ctx); err != nil {
			t.Fatalf("%s: %v", outage.name, err)
		}
		if err := e.Get(ctx, "/info", &info); err == nil {
			t.Fatalf("the engine answers after %s", outage.name)
		}
		if err := e.Resume(ctx); err != nil {
			t.Fatalf("%s: %v", outage.name, err)
		}
		if got := get(t, e, "/"); got != "kept" {
			t.Errorf("after %s the container has %q", outage.name, got)
		}
	}
	// The engine's packet filter knows the published port; the machine's own does not.
	if rules := shell(t, e.Command(t.Context(), "bash", "-c", filter)); rules == "" {
		t.Error("the engine's own packet filter has no rule for the published port")
	}
	if rules := shell(t, exec.CommandContext(t.Context(), "bash", "-c", filter)); rules != "" {
		t.Errorf("the machine's packet filter has %q", rules)
	}
	look := func() string {
		return shell(t, exec.CommandContext(t.Context(), "bash", "-c", traces, "bash", filepath.Base(e.Dir())))
	}
	for _, kind := range []string{"namespace ", "mount ", "cgroup ", "process "} {
		if found := look(); !strings.Contains(found, kind) {
			t.Errorf("of a running engine no %sis found, and so none that would be left: %q", kind, found)
		}
	}
	stop()
	if left := look(); left != "" {
		t.Errorf("the engine left %q", left)
	}
	if _, err := os.Stat(e.Dir()); !os.IsNotExist(err) {
		t.Errorf("the engine's folder is still there: %v", err)
	}
}

// noSuchName wants the engine's name server, which its daemon hands to containers, to answer that a name does not exist.
func noSuchName(t *testing.T, e *testbed.Engine) {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(e.Dir(), "daemon.json"))
	if err != nil {
		t.Fatal(err)
	}
	var daemon struct{ DNS []string }
	if err := json.Unmarshal(config, &daemon); err != nil || len(daemon.DNS) != 1 {
		t.Fatalf("the daemon is told of no name server: %v: %s", err, config)
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return e.DialContext(ctx, "udp", net.JoinHostPort(daemon.DNS[0], "53"))
	}}
	_, err = resolver.LookupNetIP(t.Context(), "ip4", "some.example.")
	if missing := (*net.DNSError)(nil); !errors.As(err, &missing) || !missing.IsNotFound {
		t.Errorf("the name server says %v", err)
	}
}

// TestPlain wants an engine without the wrapper to run containers by runc itself, as the machine's own does.
func TestPlain(t *testing.T) {
	require(t)
	e, err := testbed.Start(t.Context(), testbed.Options{Plain: true, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	var runtimes struct{ DefaultRuntime string }
	if err := e.Get(t.Context(), "/info", &runtimes); err != nil {
		t.Fatal(err)
	}
	if runtimes.DefaultRuntime != "runc" {
		t.Errorf("the default runtime is %q", runtimes.DefaultRuntime)
	}
}

// TestSweep starts an engine in a process that is then killed, and wants the next sweep to remove it.
func TestSweep(t *testing.T) {
	require(t)
	if os.Getenv("TESTBED_CHILD") != "" {
		e, err := testbed.Start(t.Context(), testbed.Options{Dir: os.Getenv("TESTBED_CHILD")})
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(e.Dir() + "\n")
		select {} // until it is killed
	}
	dir, err := os.MkdirTemp("/var/tmp", "sweep") //nolint:usetesting // a disk, which /tmp may not be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	child := exec.Command(os.Args[0], "-test.run=^TestSweep$")
	child.Env = append(os.Environ(), "TESTBED_CHILD="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	left := strings.TrimSpace(string(line[:n]))
	child.Process.Kill()
	child.Wait()
	if _, err := os.Stat(filepath.Join(left, "d.sock")); err != nil {
		t.Fatalf("the killed process left no engine: %v", err)
	}
	testbed.Sweep(t.Context(), dir)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the sweep left %s: %v", left, err)
	}
	if out, err := exec.Command("pgrep", "-af", filepath.Base(left)).Output(); err == nil {
		t.Errorf("the sweep left processes:\n%s", out)
	}
}

// require skips where throw-away engines cannot be had; where the tests are required, that is a failure.
func require(t *testing.T) {
	t.Helper()
	err := testbed.Supported()
	if err != nil && os.Getenv("E2E_REQUIRE") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
}

// filter prints the packet filter's rules for the port that TestEngine publishes.
const filter = "iptables-save 2>/dev/null | grep -- '--dport 18080' || true"

// traces prints what bears an engine's name: its namespace, its mounts, its cgroups, its processes.
const traces = `ip netns list | grep "$1" | sed 's/^/namespace /'
	grep "$1" /proc/self/mounts | sed 's/^/mount /'
	find /sys/fs/cgroup -maxdepth 2 -name "$1" | sed 's/^/cgroup /'
	pgrep -af "$1" | grep -v pgrep | grep -v " $$ " | sed "/^$$ /d; s/^/process /"; true`

// shell runs a command and returns what it prints.
func shell(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return strings.TrimSpace(string(out))
}

// docker runs the docker command on the engine.
func docker(t *testing.T, e *testbed.Engine, args ...string) {
	t.Helper()
	if out, err := e.Command(t.Context(), "docker", args...).CombinedOutput(); err != nil {
		t.Fatalf("docker %v: %v: %s", args, err, out)
	}
}

// get asks the container through its published port, until it answers.
func get(t *testing.T, e *testbed.Engine, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: e.DialContext, DisableKeepAlives: true}}
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:18080"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil && resp.StatusCode == http.StatusOK {
			data, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s was not answered: %v", path, err)
		case <-ticks.C:
		}
	}
}

// holdArchive builds an image with testdata/hold as its only file.
func holdArchive(t *testing.T) io.Reader {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "hold")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "testdata/hold/main.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	w.WriteHeader(&tar.Header{Name: "hold", Mode: 0o755, Size: int64(len(data))})
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config.Entrypoint = "linux", "amd64", []string{"/hold"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(holdImage)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := tarball.Write(tag, img, &archive); err != nil {
		t.Fatal(err)
	}
	return &archive
}

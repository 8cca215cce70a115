//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// kubernetesVersion is what the default node image runs.
const kubernetesVersion = "v1.36.3"

// oldVersion is what oldImage runs, the node image that clusters are upgraded from.
const (
	oldVersion = "v1.35.4"
	oldImage   = "cove-node:" + oldVersion
)

// place is where clusters run: an engine, and the network in which its published ports are.
type place interface {
	Command(ctx context.Context, name string, args ...string) *exec.Cmd
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// machine is the machine's own engine.
type machine struct{}

func (machine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

func (machine) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// lanes are the engines. A test has a lane to itself; tests of different lanes run side by side.
var lanes struct {
	machine, throwAway sync.Mutex

	engine *testbed.Engine // of the lane throwAway; nil: not yet made
}

func TestMain(m *testing.M) {
	flag.Parse()
	// The lanes bound what runs at once, not the number of CPUs.
	if err := flag.Set("test.parallel", "64"); err != nil {
		panic(err)
	}
	status := m.Run()
	err := forgetAgnhost()
	if lanes.engine != nil {
		err = errors.Join(err, lanes.engine.Stop(context.Background()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the tests could not tidy up:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// onMachine takes the machine's engine for the test.
func onMachine(t *testing.T) {
	t.Helper()
	t.Parallel()
	lanes.machine.Lock()
	t.Cleanup(lanes.machine.Unlock)
	need(t, engineAnswers(t.Context()))
	need(t, haveImage(t.Context(), machine{}, nodeImage()))
}

// onThrowAway takes the throw-away engine for the test, with the node image on it.
func onThrowAway(t *testing.T) *testbed.Engine {
	t.Helper()
	t.Parallel()
	return alone(t)
}

// alone takes the throw-away engine as well, and leaves the test one of those that run before all others: nothing runs beside it.
func alone(t *testing.T) *testbed.Engine {
	t.Helper()
	lanes.throwAway.Lock()
	t.Cleanup(lanes.throwAway.Unlock)
	need(t, testbed.Supported())
	need(t, engineAnswers(t.Context()))
	need(t, haveImage(t.Context(), machine{}, nodeImage()))
	if lanes.engine == nil {
		begun := time.Now()
		e, err := testbed.Start(t.Context(), testbed.Options{})
		if err != nil {
			t.Fatal(err)
		}
		lanes.engine = e
		transfer(t, e, nodeImage())
		t.Logf("the throw-away engine is there after %s", time.Since(begun).Round(time.Millisecond))
	}
	return lanes.engine
}

// transfer copies images from the machine's engine.
func transfer(t *testing.T, e *testbed.Engine, images ...string) {
	t.Helper()
	save := exec.CommandContext(t.Context(), "docker", append([]string{"save"}, images...)...)
	var stderr bytes.Buffer
	save.Stderr = &stderr
	archive, err := save.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := save.Start(); err != nil {
		t.Fatal(err)
	}
	err = e.Load(t.Context(), archive)
	if err := errors.Join(err, save.Wait()); err != nil {
		t.Fatalf("cannot bring over %v: %v: %s", images, err, stderr.String())
	}
}

// need ends the test where err says what is missing.
func need(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("E2E_REQUIRE") == "1":
		t.Fatalf("E2E_REQUIRE=1: %v", err)
	default:
		t.Skip(err)
	}
}

func engineAnswers(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").CombinedOutput()
	if err != nil {
		return fmt.Errorf("no engine answers: %w: %s", err, out)
	}
	return nil
}

func haveImage(ctx context.Context, p place, image string) error {
	out, err := p.Command(ctx, "docker", "image", "inspect", "--format", "{{.Id}}", image).CombinedOutput()
	if err != nil {
		return fmt.Errorf("image %s is missing (`cove build node-image` makes it): %w: %s", image, err, out)
	}
	return nil
}

func nodeImage() string {
	if image := os.Getenv("COVE_IMAGE"); image != "" {
		return image
	}
	return "cove-node:" + kubernetesVersion
}

// root is the checkout.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// binary is the cove that is tested.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("COVE_BIN")
	if path == "" {
		path = filepath.Join(root(t), "bin", "cove")
	}
	if _, err := os.Stat(path); err != nil {
		need(t, fmt.Errorf("%w (`make build` makes it)", err))
	}
	return path
}

// docker runs the docker command on the place's engine and returns what it prints.
func docker(t *testing.T, p place, args ...string) string {
	t.Helper()
	cmd := p.Command(cleanupContext(t), "docker", args...) // it is for cleaning up, too
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// freePort returns a port of 127.0.0.1 that nobody uses.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// eventually calls check until it returns nil, and fails the test with its last error when the time is up.
func eventually(t *testing.T, limit time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	ticks := time.NewTicker(100 * time.Millisecond)
	defer ticks.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		case <-ticks.C:
		}
	}
}

// cleanupContext is for what has to happen when the test's own context has ended.
func cleanupContext(t *testing.T) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}

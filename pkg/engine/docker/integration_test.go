//go:build integration

package docker

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/fault"
)

const testImage = "cove.test/testnode:contract"

// openEngine returns the machine's engine. Without one the test is skipped, unless COVE_REQUIRE_ENGINE is set.
func openEngine(t *testing.T) *Engine {
	t.Helper()
	e, err := New(t.Context(), Options{})
	if err != nil && os.Getenv("COVE_REQUIRE_ENGINE") == "" &&
		(fault.Is(err, fault.EngineUnreachable) || fault.Is(err, fault.EnginePermission)) {
		t.Skipf("no engine: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestContract(t *testing.T) {
	e := openEngine(t)
	loadTestImage(t, e)
	enginetest.Contract(t, func(*testing.T) engine.Engine { return e }, testImage)
}

// loadTestImage compiles the test node, makes an image of it and loads it.
func loadTestImage(t *testing.T, e *Engine) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "testnode")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", file, "./testdata/testnode")
	info, err := e.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+info.Architecture)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	binary, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := tarball.Write(name.MustParseReference(testImage), testNodeImage(t, binary, info.Architecture), &archive); err != nil {
		t.Fatal(err)
	}
	if _, err := e.LoadImage(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.RemoveImage(withoutCancel(t), testImage); err != nil {
			t.Error(err)
		}
	})
}

// testNodeImage is an image of one binary under many names.
func testNodeImage(t *testing.T, binary []byte, arch string) v1.Image {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h *tar.Header, data []byte) {
		h.Size = int64(len(data))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin", "etc", "data", "run", "tmp"} {
		add(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, nil)
	}
	add(&tar.Header{Typeflag: tar.TypeReg, Name: "data/from-image", Mode: 0o644}, []byte("image"))
	add(&tar.Header{Typeflag: tar.TypeReg, Name: "bin/init", Mode: 0o755}, binary)
	for _, cmd := range []string{"echo", "complain", "cat", "env", "pwd", "stat", "status", "sleep", "write", "cove-node"} {
		add(&tar.Header{Typeflag: tar.TypeLink, Name: "bin/" + cmd, Linkname: "bin/init", Mode: 0o755}, nil)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: arch, Created: v1.Time{Time: time.Now()}, RootFS: rootFS(t, img),
		Config: v1.Config{Entrypoint: []string{"/bin/init"}, Env: []string{"PATH=/bin"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func rootFS(t *testing.T, img v1.Image) v1.RootFS {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.RootFS
}

// TestStartFindsOutRestriction: an engine that cannot give --privileged, and of which nothing is known beforehand, still
// starts a node, with all that was put into it; the next one is created right.
func TestStartFindsOutRestriction(t *testing.T) {
	e := openEngine(t)
	if !e.restricted.Load() {
		t.Skip("the engine can give --privileged, or does not tell beforehand that it cannot")
	}
	loadTestImage(t, e)
	e.restricted.Store(false)
	e.lacks = nil
	e.noModules.Store(false)
	net, err := e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: "restricted-test", Cluster: "restricted-test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := withoutCancel(t)
		err := errors.Join(e.RemoveNode(ctx, "restricted-test-a"), e.RemoveNode(ctx, "restricted-test-b"),
			e.RemoveVolume(ctx, "restricted-test-var"), e.RemoveNetwork(ctx, net.Name))
		if err != nil {
			t.Error(err)
		}
	})
	spec := engine.NodeSpec{
		Name: "restricted-test-a", Cluster: "restricted-test", Role: engine.RoleWorker, Run: "r", Image: testImage,
		Network: net.Name, IP: net.Gateway.Next(), Env: map[string]string{"A": "b"}, Memory: 256 << 20,
		Volumes: []engine.VolumeMount{{Name: "restricted-test-var", Target: "/data"}},
		Ports:   []engine.Port{{HostIP: "127.0.0.1", ContainerPort: 7, Protocol: "tcp"}},
		Files: []engine.File{
			{Path: "/etc/cove/deep/config", Data: []byte("rootfs"), Mode: 0o640}, {Path: "/data/x/y", Data: []byte("volume")},
			{Path: "/bin/echo2", Data: []byte("new"), Mode: 0o755},
		},
	}
	made, n := createAndStart(t, e, spec)
	if n.ID == made.ID || n.State != engine.StateRunning || n.IP != spec.IP || n.Run != "r" || len(n.Ports) != 1 || n.Ports[0].HostPort == 0 {
		t.Errorf("the node that was replaced is %+v", n)
	}
	wantWhatWasPut(t, e, spec.Name)
	if info, err := e.Info(t.Context()); err != nil || !info.Restricted {
		t.Errorf("the engine is not remembered as restricted: %v", err)
	}
	spec.Name, spec.IP, spec.Volumes = "restricted-test-b", spec.IP.Next(), nil
	if made, n := createAndStart(t, e, spec); n.ID != made.ID {
		t.Error("the second node was replaced too")
	}
}

// wantWhatWasPut looks at a node from inside.
func wantWhatWasPut(t *testing.T, e *Engine, node string) {
	t.Helper()
	for _, c := range []struct{ want, cmd, arg string }{
		{"rootfs", "cat", "/etc/cove/deep/config"}, {"volume", "cat", "/data/x/y"}, {"image", "cat", "/data/from-image"},
		{"new", "cat", "/bin/echo2"}, {"640\n", "stat", "/etc/cove/deep/config"}, {"755\n", "stat", "/etc/cove/deep"}, {"A=b\n", "env", ""},
	} {
		if out, err := engine.Output(t.Context(), e, node, c.cmd, c.arg); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s %s prints %q, %v", c.cmd, c.arg, out, err)
		}
	}
}

// createAndStart returns a node as it was created and as it is after its start.
func createAndStart(t *testing.T, e *Engine, spec engine.NodeSpec) (made, started engine.Node) {
	t.Helper()
	made, err := e.CreateNode(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.StartNode(t.Context(), spec.Name); err != nil {
		t.Fatal(err)
	}
	started, err = e.Node(t.Context(), spec.Name)
	if err != nil {
		t.Fatal(err)
	}
	return made, started
}

// TestLeavesForeignThingsAlone: what has the name but not the label is never touched.
func TestLeavesForeignThingsAlone(t *testing.T) {
	e := openEngine(t)
	loadTestImage(t, e)
	const foreign = "foreign-to-the-adapter"
	made, err := e.api.ContainerCreate(t.Context(), &container.Config{Image: testImage}, nil, nil, nil, foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.api.VolumeCreate(t.Context(), volume.CreateOptions{Name: foreign}); err != nil {
		t.Fatal(err)
	}
	net, err := e.api.NetworkCreate(t.Context(), foreign, network.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.api.ContainerRemove(withoutCancel(t), made.ID, container.RemoveOptions{Force: true})
		_ = e.api.VolumeRemove(withoutCancel(t), foreign, true)
		_ = e.api.NetworkRemove(withoutCancel(t), net.ID)
	})
	for _, err := range []error{
		e.RemoveNode(t.Context(), foreign), e.RemoveVolume(t.Context(), foreign), e.RemoveNetwork(t.Context(), foreign),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	_, c := e.api.ContainerInspect(t.Context(), foreign)
	_, v := e.api.VolumeInspect(t.Context(), foreign)
	_, n := e.api.NetworkInspect(t.Context(), foreign, network.InspectOptions{})
	if err := errors.Join(c, v, n); err != nil {
		t.Errorf("it was removed: %v", err)
	}
	if _, err := e.Node(t.Context(), foreign); !fault.Is(err, fault.NodeNotFound) {
		t.Errorf("a foreign container is a node: %v", err)
	}
	if err := e.StartNode(t.Context(), foreign); !fault.Is(err, fault.NodeNotFound) {
		t.Errorf("a foreign container was started: %v", err)
	}
	if _, err := e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: foreign, Cluster: "x"}); !fault.Is(err, fault.NameTaken) {
		t.Errorf("a network was made beside it: %v", err)
	}
	spec := engine.NodeSpec{Name: foreign, Cluster: "x", Image: testImage}
	if _, err := e.CreateNode(t.Context(), spec); !fault.Is(err, fault.NameTaken) {
		t.Errorf("CreateNode: %v", err)
	}
	spec.Name, spec.Volumes = "foreign-b", []engine.VolumeMount{{Name: foreign, Target: "/data"}}
	if _, err := e.CreateNode(t.Context(), spec); !fault.Is(err, fault.NameTaken) {
		t.Errorf("CreateNode with a foreign volume: %v", err)
	}
}

// TestUnprivileged: what is no host of pods cannot do what its host can; its limits are the kernel's, and what is to be done
// when the engine comes back leaves them alone.
func TestUnprivileged(t *testing.T) {
	e := openEngine(t)
	loadTestImage(t, e)
	const node = "unprivileged-test"
	t.Cleanup(func() {
		if err := e.RemoveNode(withoutCancel(t), node); err != nil {
			t.Error(err)
		}
	})
	spec := engine.NodeSpec{Name: node, Cluster: node, Role: engine.RoleLoadBalancer, Image: testImage, Unprivileged: true, Memory: 64 << 20}
	createAndStart(t, e, spec)
	out, err := engine.Output(t.Context(), e, node, "cat", "/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	const admin = 21 // CAP_SYS_ADMIN, capabilities(7)
	_, after, _ := strings.Cut(out, "CapBnd:\t")
	bounding, err := strconv.ParseUint(strings.Fields(after + " ?")[0], 16, 64)
	if err != nil || bounding == 0 || bounding&(1<<admin) != 0 {
		t.Errorf("its capabilities are %x, %v", bounding, err)
	}
	for _, down := range []bool{true, false} {
		if err := e.KeepDown(t.Context(), node, down); err != nil {
			t.Fatal(err)
		}
		c, err := e.api.ContainerInspect(t.Context(), node)
		if err != nil || c.HostConfig.RestartPolicy.IsAlways() == down || c.HostConfig.RestartPolicy.IsNone() != down {
			t.Errorf("down %v: the restart policy is %v, %v", down, c.HostConfig.RestartPolicy, err)
		}
		if limit := memoryLimit(t, e, node); limit != "" && limit != "67108864" {
			t.Errorf("the kernel's limit is %s", limit)
		}
	}
}

// memoryLimit is the kernel's limit of a node's memory; "" where it cannot be seen from inside.
func memoryLimit(t *testing.T, e *Engine, node string) string {
	t.Helper()
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if out, err := engine.Output(t.Context(), e, node, "cat", file); err == nil {
			return strings.TrimSpace(out)
		}
	}
	t.Log("the limit cannot be seen from inside")
	return ""
}

package enginetest

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

const testImage = "cove.test/testnode:contract"

func newFake(t *testing.T) *Fake {
	t.Helper()
	f := NewFake()
	f.AddImage(engine.Image{Names: []string{testImage}}, nil)
	return f
}

func TestContractOfFake(t *testing.T) {
	Contract(t, func(t *testing.T) engine.Engine {
		t.Helper()
		return newFake(t)
	}, testImage)
}

// TestContractOfSavedFake: the same with a state that goes through a file at every change.
func TestContractOfSavedFake(t *testing.T) {
	Contract(t, func(t *testing.T) engine.Engine {
		t.Helper()
		path := filepath.Join(t.TempDir(), "engine.json")
		if err := newFake(t).Save(path); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}, testImage)
}

// spec is a node with a volume and two files.
func spec(name string) engine.NodeSpec {
	return engine.NodeSpec{
		Name: name, Cluster: "dev", Role: engine.RoleWorker, Run: "r1", Image: testImage,
		Volumes: []engine.VolumeMount{{Name: name + "-var", Target: "/var"}},
		Files:   []engine.File{{Path: "/etc/a", Data: []byte("a")}, {Path: "/var/b", Data: []byte("b")}},
	}
}

// run is a small run: what each of its operations leaves when it fails is what the tests below look at.
func run(ctx context.Context, f *Fake) error {
	if _, err := f.CreateNetwork(ctx, engine.NetworkSpec{Name: "dev", Cluster: "dev", Run: "r1"}); err != nil {
		return err
	}
	if _, err := f.CreateNode(ctx, spec("dev-a")); err != nil {
		return err
	}
	if err := f.StartNode(ctx, "dev-a"); err != nil {
		return err
	}
	if err := f.PutFiles(ctx, "dev-a", []engine.File{{Path: "/etc/c"}, {Path: "/etc/d"}}); err != nil {
		return err
	}
	if err := f.Exec(ctx, "dev-a", engine.Command{Args: []string{"echo", "hello", "world"}}); err != nil {
		return err
	}
	if err := f.RemoveNode(ctx, "dev-a"); err != nil {
		return err
	}
	return f.RemoveVolume(ctx, "dev-a-var")
}

func TestOperations(t *testing.T) {
	f := newFake(t)
	if err := run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"CreateNetwork dev", "CreateNode dev-a", "StartNode dev-a", "PutFiles dev-a", "Exec dev-a echo hello", "RemoveNode dev-a",
		"RemoveVolume dev-a-var",
	}
	if got := f.Operations(); !slices.Equal(got, want) {
		t.Errorf("operations %q, want %q", got, want)
	}
}

// TestFailAt fails each operation in turn and looks at what it leaves.
func TestFailAt(t *testing.T) {
	boom := fault.New(fault.DiskFull, "boom")
	for n, left := range []struct {
		networks, volumes int
		node              engine.State
		files             []string
	}{
		{networks: 1}, // the network is there, though its maker was told otherwise
		{networks: 1, volumes: 1, node: engine.StateCreated},
		{networks: 1, volumes: 1, node: engine.StateCreated, files: []string{"/etc/a", "/var/b"}},
		{networks: 1, volumes: 1, node: engine.StateRunning, files: []string{"/etc/a", "/var/b", "/etc/c"}},
		{networks: 1, volumes: 1, node: engine.StateRunning, files: []string{"/etc/d"}},
		{networks: 1, volumes: 1, node: engine.StateRunning},
		{networks: 1, volumes: 1},
	} {
		for _, how := range []string{"fails", "is interrupted"} {
			f := newFake(t)
			ctx, cancel := context.WithCancel(t.Context())
			expect := error(boom)
			if how == "fails" {
				f.FailAt(n+1, boom)
			} else {
				f.At(n+1, cancel)
				expect = context.Canceled
			}
			if err := run(ctx, f); !errors.Is(err, expect) {
				t.Errorf("operation %d %s: %v", n+1, how, err)
			}
			cancel()
			networks, _ := f.Networks(t.Context(), engine.Selector{Run: "r1"})
			volumes, _ := f.Volumes(t.Context(), engine.Selector{Run: "r1"})
			node, err := f.Node(t.Context(), "dev-a")
			if len(networks) != left.networks || len(volumes) != left.volumes || node.State != left.node || (err == nil) != (left.node != "") {
				t.Errorf("operation %d %s and leaves %d networks, %d volumes and a node that is %q", n+1, how, len(networks), len(volumes), node.State)
			}
			for _, file := range left.files {
				if _, err := f.ReadFile(t.Context(), "dev-a", file); err != nil {
					t.Errorf("operation %d %s: %v", n+1, how, err)
				}
			}
			if _, err := f.ReadFile(t.Context(), "dev-a", "/etc/d"); err == nil && n < 4 {
				t.Errorf("operation %d %s: all files are there", n+1, how)
			}
		}
	}
}

// TestOpen: what one process makes the next one sees, failures that were asked for among them.
func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.json")
	first := newFake(t)
	first.FailOn("StartNode dev-a", fault.PortTaken, "cannot start node dev-a: port 127.0.0.1:6443 is in use")
	if err := first.Save(path); err != nil {
		t.Fatal(err)
	}
	second, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), second); !fault.Is(err, fault.PortTaken) {
		t.Fatalf("the run ended with %v", err)
	}
	third, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := third.Operations(); !slices.Equal(got, []string{"CreateNetwork dev", "CreateNode dev-a", "StartNode dev-a"}) {
		t.Errorf("operations %q", got)
	}
	if data, err := third.ReadFile(t.Context(), "dev-a", "/var/b"); err != nil || string(data) != "b" {
		t.Errorf("the file is %q, %v", data, err)
	}
	if _, err := Open(filepath.Dir(path)); err == nil {
		t.Error("a directory was opened")
	}
}

func TestCrashAndPrint(t *testing.T) {
	f := newFake(t)
	if _, err := f.CreateNode(t.Context(), spec("dev-a")); err != nil {
		t.Fatal(err)
	}
	if err := f.StartNode(t.Context(), "dev-a"); err != nil {
		t.Fatal(err)
	}
	var log syncBuffer
	if err := f.Print("dev-a", "booting"); err != nil {
		t.Fatal(err)
	}
	if err := f.Crash("dev-a", 3, "no init found"); err != nil {
		t.Fatal(err)
	}
	n, err := f.Node(t.Context(), "dev-a")
	if err != nil || n.State != engine.StateExited || n.ExitCode != 3 {
		t.Errorf("node %+v, %v", n, err)
	}
	if err := f.Logs(t.Context(), "dev-a", false, 2, &log); err != nil || log.String() != "booting\nno init found\n" {
		t.Errorf("log %q, %v", log.String(), err)
	}
}

// TestPorts: a port is taken by its address, its number and its protocol.
func TestPorts(t *testing.T) {
	for _, c := range []struct {
		a, b engine.Port
		both bool
	}{
		{engine.Port{HostIP: "127.0.0.1", HostPort: 80}, engine.Port{HostIP: "127.0.0.1", HostPort: 80, Protocol: "tcp"}, false},
		{engine.Port{HostIP: "127.0.0.1", HostPort: 80}, engine.Port{HostIP: "127.0.0.1", HostPort: 81}, true},
		{engine.Port{HostIP: "127.0.0.1", HostPort: 80}, engine.Port{HostIP: "127.0.0.2", HostPort: 80}, true},
		{engine.Port{HostIP: "127.0.0.1", HostPort: 80}, engine.Port{HostPort: 80}, false},
		{engine.Port{HostIP: "127.0.0.1", HostPort: 80}, engine.Port{HostIP: "127.0.0.1", HostPort: 80, Protocol: "udp"}, true},
	} {
		f := newFake(t)
		f.TakePort(c.a)
		s := spec("dev-a")
		s.Ports = []engine.Port{c.b}
		if _, err := f.CreateNode(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := f.StartNode(t.Context(), "dev-a"); (err == nil) != c.both || err != nil && !fault.Is(err, fault.PortTaken) {
			t.Errorf("%v beside %v: %v", c.b, c.a, err)
		}
	}
}

// TestFailFrom: a run that is killed does nothing more, and what comes after it finds what it left.
func TestFailFrom(t *testing.T) {
	f := newFake(t)
	boom := fault.New(fault.EngineUnreachable, "boom")
	f.FailFrom(3, boom)
	if err := run(t.Context(), f); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	for _, err := range []error{f.StartNode(t.Context(), "dev-a"), f.RemoveNode(t.Context(), "dev-a"), f.KeepDown(t.Context(), "dev-a", true)} {
		if !errors.Is(err, boom) {
			t.Errorf("after it: %v", err)
		}
	}
	f.Heal()
	if err := f.StartNode(t.Context(), "dev-a"); err != nil {
		t.Error(err)
	}
}

// TestRestart: an engine that is started anew starts what it had, stopped or not, but for what is to be kept down.
func TestRestart(t *testing.T) {
	f := newFake(t)
	for _, name := range []string{"new", "runs", "paused", "stopped", "down", "up-again"} {
		if _, err := f.CreateNode(t.Context(), engine.NodeSpec{Name: name, Cluster: "dev", Image: testImage}); err != nil {
			t.Fatal(err)
		}
		if name == "new" {
			continue
		}
		if err := f.StartNode(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		f.PauseNode(t.Context(), "paused"), f.StopNode(t.Context(), "stopped", 0), f.StopNode(t.Context(), "down", 0), f.KeepDown(t.Context(), "down", true),
		f.KeepDown(t.Context(), "up-again", true), f.KeepDown(t.Context(), "up-again", false), f.Restart(t.Context()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	nodes, err := f.Nodes(t.Context(), engine.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]engine.State{}
	for _, n := range nodes {
		got[n.Name] = n.State
	}
	want := map[string]engine.State{
		"new": engine.StateCreated, "runs": engine.StateRunning, "paused": engine.StateRunning, "stopped": engine.StateRunning,
		"down": engine.StateExited, "up-again": engine.StateRunning,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

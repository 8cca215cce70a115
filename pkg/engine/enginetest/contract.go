package enginetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// fixture is what a case of the contract has: an engine, and a cluster of its own on it.
type fixture struct {
	e       engine.Engine
	image   string
	cluster string
}

// Contract is what every engine must pass, the fake included: what the steps rely on, they rely on there too.
//
// image is an image of the engine's. Its PID 1 prints a line, sends back what it reads on port 7, and ends on SIGTERM.
// It has the commands echo, complain (echo to stderr), cat, env, pwd, stat FILE (mode in octal), status N (exit status),
// sleep DURATION (as Go writes it), write FILE TEXT, and `cove-node dial tcp ADDRESS`.
func Contract(t *testing.T, open func(t *testing.T) engine.Engine, image string) {
	t.Helper()
	cases := []struct {
		name string
		run  func(t *testing.T, f fixture)
	}{
		{"info", contractInfo},
		{"create and list", contractCreate},
		{"start and stop", contractStartStop},
		{"nodes that are not there", contractNotFound},
		{"taken name", contractTakenName},
		{"missing image", contractMissingImage},
		{"taken port", contractTakenPort},
		{"random port", contractRandomPort},
		{"identity", contractIdentity},
		{"volumes outlive nodes", contractVolumes},
		{"nodes are paused and go on", contractPause},
		{"paused nodes are ended", contractPausedEnds},
		{"nodes are kept down", contractKeepDown},
		{"limits", contractLimits},
		{"containers without privileges", contractUnprivileged},
		{"many at once", contractParallel},
		{"files before the start", contractFilesBefore},
		{"files of a running node", contractFilesRunning},
		{"files that are refused", contractFilesRefused},
		{"exec streams", contractExecStreams},
		{"exec status", contractExecStatus},
		{"exec environment", contractExecEnvironment},
		{"exec with a terminal", contractExecTTY},
		{"exec cancelled", contractExecCancel},
		{"logs", contractLogs},
		{"dial", contractDial},
		{"dial deadlines", contractDialDeadline},
		{"dial refused", contractDialRefused},
		{"networks", contractNetworks},
		{"picked subnets", contractSubnets},
		{"both families", contractFamilies},
		{"images", contractImages},
		{"save and load", contractSaveLoad},
		{"cancelled before it begins", contractCancelled},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			f := fixture{e: open(t), image: image, cluster: "contract-" + random(t)}
			t.Cleanup(func() { f.clean(t) })
			c.run(t, f)
		})
	}
}

func random(t *testing.T) string {
	t.Helper()
	b := make([]byte, 4)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// clean removes what the case made, and fails where something cannot be.
func (f fixture) clean(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	sel := engine.Selector{Cluster: f.cluster}
	nodes, err := f.e.Nodes(ctx, sel)
	errs := []error{err}
	for _, n := range nodes {
		errs = append(errs, f.e.RemoveNode(ctx, n.Name))
	}
	volumes, err := f.e.Volumes(ctx, sel)
	errs = append(errs, err)
	for _, v := range volumes {
		errs = append(errs, f.e.RemoveVolume(ctx, v.Name))
	}
	networks, err := f.e.Networks(ctx, sel)
	errs = append(errs, err)
	for _, n := range networks {
		errs = append(errs, f.e.RemoveNetwork(ctx, n.Name))
	}
	if err := errors.Join(errs...); err != nil {
		t.Errorf("cleaning up: %v", err)
	}
}

// name returns the full name of a thing of the case's cluster.
func (f fixture) name(suffix string) string { return f.cluster + "-" + suffix }

// spec is a node of the case's cluster.
func (f fixture) spec(suffix string) engine.NodeSpec {
	return engine.NodeSpec{Name: f.name(suffix), Cluster: f.cluster, Role: engine.RoleWorker, Run: "run-" + f.cluster, Image: f.image}
}

// create makes a node.
func (f fixture) create(t *testing.T, spec engine.NodeSpec) engine.Node {
	t.Helper()
	n, err := f.e.CreateNode(t.Context(), spec)
	if err != nil {
		t.Fatalf("CreateNode: %v", err)
	}
	return n
}

// start makes a node and starts it.
func (f fixture) start(t *testing.T, spec engine.NodeSpec) string {
	t.Helper()
	f.create(t, spec)
	if err := f.e.StartNode(t.Context(), spec.Name); err != nil {
		t.Fatalf("StartNode: %v", err)
	}
	return spec.Name
}

// node looks a node up.
func (f fixture) node(t *testing.T, name string) engine.Node {
	t.Helper()
	n, err := f.e.Node(t.Context(), name)
	if err != nil {
		t.Fatalf("Node: %v", err)
	}
	return n
}

// output runs a command that must succeed.
func (f fixture) output(t *testing.T, node string, args ...string) string {
	t.Helper()
	out, err := engine.Output(t.Context(), f.e, node, args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

// network makes a network for a case.
func (f fixture) network(t *testing.T, suffix string, subnet netip.Prefix) engine.Network {
	t.Helper()
	n, err := f.e.CreateNetwork(t.Context(), engine.NetworkSpec{Name: f.name(suffix), Cluster: f.cluster, Run: "run-" + f.cluster, Subnet: subnet})
	if err != nil {
		t.Fatalf("CreateNetwork: %v", err)
	}
	return n
}

// wantCode fails unless err has the code.
func wantCode(t *testing.T, err error, code fault.Code, doing string) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s: no error, want %s", doing, code)
	}
	if !fault.Is(err, code) {
		t.Fatalf("%s: %v has the code %q, want %s", doing, err, fault.ReportOf(err).Code, code)
	}
}

// wantNoError fails on an error.
func wantNoError(t *testing.T, err error, doing string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", doing, err)
	}
}

// want fails unless two values are equal.
func want[T comparable](t *testing.T, got, want T, what string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func contractInfo(t *testing.T, f fixture) {
	t.Helper()
	info, err := f.e.Info(t.Context())
	wantNoError(t, err, "Info")
	want(t, info.OS, "linux", "OS")
	for what, value := range map[string]string{
		"Name": info.Name, "Version": info.Version, "APIVersion": info.APIVersion, "Endpoint": info.Endpoint,
		"Architecture": info.Architecture, "Kernel": info.Kernel, "StorageDriver": info.StorageDriver, "RootDir": info.RootDir,
	} {
		if value == "" {
			t.Errorf("%s is empty", what)
		}
	}
	if info.CPUs < 1 || info.MemoryBytes < 1 {
		t.Errorf("%d CPUs and %d bytes of memory", info.CPUs, info.MemoryBytes)
	}
	if info.CgroupVersion != 1 && info.CgroupVersion != 2 {
		t.Errorf("cgroup version %d", info.CgroupVersion)
	}
}

// contractCancelled: whoever gave up before gets an error that says so, and nothing is made.
func contractCancelled(t *testing.T, f fixture) {
	t.Helper()
	node := f.start(t, f.spec("there"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"CreateNode": func() error { _, err := f.e.CreateNode(ctx, f.spec("x")); return err },
		"StartNode":  func() error { return f.e.StartNode(ctx, node) },
		"StopNode":   func() error { return f.e.StopNode(ctx, node, time.Second) },
		"RemoveNode": func() error { return f.e.RemoveNode(ctx, node) },
		"PauseNode":  func() error { return f.e.PauseNode(ctx, node) },
		"ResumeNode": func() error { return f.e.ResumeNode(ctx, node) },
		"KeepDown":   func() error { return f.e.KeepDown(ctx, node, true) },
		"Nodes":      func() error { _, err := f.e.Nodes(ctx, engine.Selector{}); return err },
		"Exec":       func() error { return f.e.Exec(ctx, node, engine.Command{Args: []string{"echo"}}) },
		"PutFiles":   func() error { return f.e.PutFiles(ctx, node, []engine.File{{Path: "/etc/x"}}) },
		"ReadFile":   func() error { _, err := f.e.ReadFile(ctx, node, "/etc/hosts"); return err },
		"CopyOut":    func() error { return f.e.CopyOut(ctx, node, "/etc", &bytes.Buffer{}) },
		"Dial":       func() error { _, err := f.e.Dial(ctx, node, "tcp", "127.0.0.1:7"); return err },
		"CreateNetwork": func() error {
			_, err := f.e.CreateNetwork(ctx, engine.NetworkSpec{Name: f.name("x"), Cluster: f.cluster})
			return err
		},
		"Image":     func() error { _, err := f.e.Image(ctx, f.image); return err },
		"LoadImage": func() error { _, err := f.e.LoadImage(ctx, strings.NewReader("")); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", name, err)
		} else if r := fault.ReportOf(err); r.Code != fault.Interrupted {
			t.Errorf("%s with a cancelled context is reported as %s", name, r.Code)
		}
	}
	nodes, err := f.e.Nodes(t.Context(), engine.Selector{Cluster: f.cluster})
	wantNoError(t, err, "Nodes")
	want(t, len(nodes), 1, "the number of nodes")
}

package enginetest

import (
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// wantState fails unless the node is in the state.
func wantState(t *testing.T, f fixture, name string, state engine.State) {
	t.Helper()
	want(t, f.node(t, name).State, state, "the state of "+name)
}

// contractPause: a frozen node stands still and goes on where it was.
func contractPause(t *testing.T, f fixture) {
	t.Helper()
	name := f.start(t, f.spec("a"))
	before := f.node(t, name)
	if time.Since(before.StartedAt).Abs() > time.Hour || !before.FinishedAt.IsZero() {
		t.Errorf("it was started at %v and ended at %v", before.StartedAt, before.FinishedAt)
	}
	f.output(t, name, "write", "/etc/kept", "kept")
	for range 2 {
		wantNoError(t, f.e.PauseNode(t.Context(), name), "PauseNode")
		wantState(t, f, name, engine.StatePaused)
	}
	wantCode(t, f.e.Exec(t.Context(), name, engine.Command{Args: []string{"echo"}}), fault.ClusterNotRunning, "Exec on a paused node")
	wantCode(t, f.e.StartNode(t.Context(), name), fault.NodeStart, "StartNode of a paused node")
	for range 2 {
		wantNoError(t, f.e.ResumeNode(t.Context(), name), "ResumeNode")
		wantState(t, f, name, engine.StateRunning)
	}
	want(t, f.output(t, name, "cat", "/etc/kept"), "kept", "the file")
	if after := f.node(t, name); !after.StartedAt.Equal(before.StartedAt) {
		t.Errorf("it was started anew, at %s and not at %s", after.StartedAt, before.StartedAt)
	}
	wantNoError(t, f.e.StopNode(t.Context(), name, 0), "StopNode")
	wantCode(t, f.e.PauseNode(t.Context(), name), fault.ClusterNotRunning, "PauseNode of a stopped node")
	wantNoError(t, f.e.ResumeNode(t.Context(), name), "ResumeNode of a stopped node")
	wantState(t, f, name, engine.StateExited)
	for what, err := range map[string]error{
		"PauseNode": f.e.PauseNode(t.Context(), f.name("no")), "ResumeNode": f.e.ResumeNode(t.Context(), f.name("no")),
		"KeepDown": f.e.KeepDown(t.Context(), f.name("no"), true),
	} {
		wantCode(t, err, fault.NodeNotFound, what+" of a node that is not there")
	}
}

// contractPausedEnds: a frozen node is stopped, in order, and removed as any other.
func contractPausedEnds(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.Ports = []engine.Port{{HostIP: "127.0.0.1", ContainerPort: 7, Protocol: "tcp"}}
	name := f.start(t, spec)
	wantNoError(t, f.e.PauseNode(t.Context(), name), "PauseNode")
	other := f.spec("b")
	other.Ports = f.node(t, name).Ports
	f.create(t, other)
	wantCode(t, f.e.StartNode(t.Context(), other.Name), fault.PortTaken, "StartNode with a paused node's port")
	wantNoError(t, f.e.StopNode(t.Context(), name, 10*time.Second), "StopNode of a paused node")
	n := f.node(t, name)
	want(t, n.State, engine.StateExited, "the state")
	want(t, n.ExitCode, 0, "ExitCode after SIGTERM")
	if n.FinishedAt.Before(n.StartedAt) {
		t.Errorf("it was started at %v and ended at %v", n.StartedAt, n.FinishedAt)
	}
	wantNoError(t, f.e.StartNode(t.Context(), name), "StartNode")
	if again := f.node(t, name); !again.StartedAt.After(n.FinishedAt) {
		t.Errorf("it ended at %v and was started again at %v", n.FinishedAt, again.StartedAt)
	}
	wantNoError(t, f.e.PauseNode(t.Context(), name), "PauseNode")
	wantNoError(t, f.e.RemoveNode(t.Context(), name), "RemoveNode of a paused node")
	_, err := f.e.Node(t.Context(), name)
	wantCode(t, err, fault.NodeNotFound, "Node after RemoveNode")
}

// contractKeepDown: what is to be done when the engine comes back can be said of a node in any state, and changes nothing of it.
func contractKeepDown(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.NanoCPUs, spec.Memory = 500_000_000, 128<<20
	f.create(t, spec)
	want(t, f.node(t, spec.Name).KeptDown, false, "whether a new node is kept down")
	for _, into := range []struct {
		state engine.State
		do    func() error
	}{
		{engine.StateCreated, func() error { return nil }},
		{engine.StateRunning, func() error { return f.e.StartNode(t.Context(), spec.Name) }},
		{engine.StatePaused, func() error { return f.e.PauseNode(t.Context(), spec.Name) }},
		{engine.StateExited, func() error { return f.e.StopNode(t.Context(), spec.Name, 0) }},
	} {
		wantNoError(t, into.do(), "making it "+string(into.state))
		for _, down := range []bool{true, true, false, false} {
			wantNoError(t, f.e.KeepDown(t.Context(), spec.Name, down), "KeepDown of a node that is "+string(into.state))
			want(t, f.node(t, spec.Name).KeptDown, down, "whether it is kept down")
		}
		n := f.node(t, spec.Name)
		want(t, n.State, into.state, "the state")
		want(t, n.NanoCPUs, spec.NanoCPUs, "the CPUs")
		want(t, n.Memory, spec.Memory, "the memory")
	}
}

// contractLimits: limits are those of the spec, and what the host cannot give is refused before anything is made.
func contractLimits(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.NanoCPUs, spec.Memory = 500_000_000, 128<<20
	n := f.node(t, f.start(t, spec))
	want(t, n.NanoCPUs, spec.NanoCPUs, "the CPUs")
	want(t, n.Memory, spec.Memory, "the memory")
	info, err := f.e.Info(t.Context())
	wantNoError(t, err, "Info")
	big := f.spec("b")
	big.NanoCPUs = int64(info.CPUs)*1e9 + 500_000_000
	big.Volumes = []engine.VolumeMount{{Name: f.name("left-over"), Target: "/data"}}
	_, err = f.e.CreateNode(t.Context(), big)
	wantCode(t, err, fault.ConfigInvalid, "CreateNode with more CPUs than there are")
	_, err = f.e.Node(t.Context(), big.Name)
	wantCode(t, err, fault.NodeNotFound, "Node")
	noVolumes(t, f)
}

// contractUnprivileged: a container that is no host of pods has what others have: files, volumes, limits, and its role.
func contractUnprivileged(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.Role = engine.RoleLoadBalancer
	spec.Unprivileged, spec.NanoCPUs, spec.Memory = true, 500_000_000, 64<<20
	spec.Volumes = []engine.VolumeMount{{Name: f.name("a-var"), Target: "/data"}}
	spec.Files = []engine.File{{Path: "/etc/balancer.cfg", Data: []byte("backend")}, {Path: "/data/x", Data: []byte("volume")}}
	name := f.start(t, spec)
	want(t, f.output(t, name, "cat", "/etc/balancer.cfg"), "backend", "the file")
	want(t, f.output(t, name, "cat", "/data/x"), "volume", "the file on the volume")
	n := f.node(t, name)
	want(t, n.Role, engine.RoleLoadBalancer, "Role")
	want(t, n.Memory, spec.Memory, "the memory")
	nodes, err := f.e.Nodes(t.Context(), engine.Selector{Cluster: f.cluster, Role: engine.RoleLoadBalancer})
	wantNoError(t, err, "Nodes")
	want(t, len(nodes), 1, "the number of load balancers")
}

package enginetest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

func contractCreate(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("b")
	spec.Labels = map[string]string{"example.com/x": "y"}
	spec.Ports = []engine.Port{{HostIP: "127.0.0.1", ContainerPort: 7, Protocol: "tcp"}}
	spec.Volumes = []engine.VolumeMount{{Name: f.name("b-var"), Target: "/data"}}
	spec.Mounts = []engine.Mount{{Source: "/tmp", Target: "/host/tmp"}, {Source: "/etc", Target: "/host/etc", ReadOnly: true, Propagation: "rslave"}}
	n := f.create(t, spec)
	want(t, n.Name, spec.Name, "Name")
	want(t, n.Cluster, f.cluster, "Cluster")
	want(t, n.Role, engine.RoleWorker, "Role")
	want(t, n.Run, spec.Run, "Run")
	want(t, n.State, engine.StateCreated, "State")
	want(t, n.Image, f.image, "Image")
	want(t, n.Labels["example.com/x"], "y", "the label")
	want(t, n.IP.IsValid(), false, "that it has an address")
	if !slices.Equal(n.Ports, spec.Ports) || !slices.Equal(n.Volumes, spec.Volumes) || !slices.Equal(n.Mounts, spec.Mounts) {
		t.Errorf("ports %v, volumes %v and mounts %v, want those of the spec", n.Ports, n.Volumes, n.Mounts)
	}
	if !n.StartedAt.IsZero() || !n.FinishedAt.IsZero() || n.NanoCPUs != 0 || n.Memory != 0 {
		t.Errorf("a node that was never started and has no limits is %+v", n)
	}
	if time.Since(n.Created).Abs() > time.Hour {
		t.Errorf("created %v", n.Created)
	}
	first := f.spec("a")
	first.Role, first.Run = engine.RoleControlPlane, "other-"+f.cluster
	f.create(t, first)
	for _, c := range []struct {
		sel  engine.Selector
		want []string
	}{
		{engine.Selector{Cluster: f.cluster}, []string{first.Name, spec.Name}},
		{engine.Selector{Run: spec.Run}, []string{spec.Name}},
		{engine.Selector{Cluster: f.cluster, Role: engine.RoleControlPlane}, []string{first.Name}},
		{engine.Selector{Cluster: f.cluster, Run: "no"}, nil},
		{engine.Selector{Cluster: f.cluster[:len(f.cluster)-1]}, nil},
	} {
		if got := names(t, f, c.sel); !slices.Equal(got, c.want) {
			t.Errorf("%+v selects %v, want %v", c.sel, got, c.want)
		}
	}
	if all := names(t, f, engine.Selector{}); !slices.Contains(all, first.Name) || !slices.Contains(all, spec.Name) {
		t.Errorf("the empty selector selects %v", all)
	}
}

func names(t *testing.T, f fixture, sel engine.Selector) []string {
	t.Helper()
	nodes, err := f.e.Nodes(t.Context(), sel)
	wantNoError(t, err, "Nodes")
	var list []string
	for _, n := range nodes {
		list = append(list, n.Name)
	}
	return list
}

func contractStartStop(t *testing.T, f fixture) {
	t.Helper()
	net := f.network(t, "net", netip.Prefix{})
	spec := f.spec("a")
	spec.Network, spec.IP = net.Name, net.Gateway.Next().Next()
	name := f.start(t, spec)
	n := f.node(t, name)
	want(t, n.State, engine.StateRunning, "State")
	want(t, n.IP, spec.IP, "IP")
	want(t, fmt.Sprint(n.Networks), fmt.Sprint([]engine.Attachment{{Network: net.Name, IP: spec.IP}}), "the networks of a node that runs")
	wantNoError(t, f.e.StartNode(t.Context(), name), "starting what runs")
	wantNoError(t, f.e.StopNode(t.Context(), name, 10*time.Second), "StopNode")
	n = f.node(t, name)
	want(t, n.State, engine.StateExited, "State")
	want(t, n.ExitCode, 0, "ExitCode after SIGTERM")
	want(t, n.IP.IsValid(), false, "that it has an address")
	want(t, fmt.Sprint(n.Networks), fmt.Sprint([]engine.Attachment{{Network: net.Name}}), "the networks of a node that does not run")
	wantNoError(t, f.e.StopNode(t.Context(), name, 10*time.Second), "stopping what stopped")
	wantNoError(t, f.e.StartNode(t.Context(), name), "starting again")
	n = f.node(t, name)
	want(t, n.State, engine.StateRunning, "State")
	want(t, n.IP, spec.IP, "IP")
	wantNoError(t, f.e.StopNode(t.Context(), name, 0), "StopNode at once")
	want(t, f.node(t, name).State, engine.StateExited, "State")
	wantNoError(t, f.e.StartNode(t.Context(), name), "starting again")
	if err := f.e.RemoveNetwork(t.Context(), net.Name); err == nil {
		t.Error("a network with a running node was removed")
	}
	wantNoError(t, f.e.RemoveNode(t.Context(), name), "RemoveNode of what runs")
	wantNoError(t, f.e.RemoveNode(t.Context(), name), "RemoveNode again")
	_, err := f.e.Node(t.Context(), name)
	wantCode(t, err, fault.NodeNotFound, "Node after RemoveNode")
}

func contractNotFound(t *testing.T, f fixture) {
	t.Helper()
	name := f.name("nobody")
	_, err := f.e.Node(t.Context(), name)
	wantCode(t, err, fault.NodeNotFound, "Node")
	wantCode(t, f.e.StartNode(t.Context(), name), fault.NodeNotFound, "StartNode")
	wantCode(t, f.e.StopNode(t.Context(), name, time.Second), fault.NodeNotFound, "StopNode")
	wantCode(t, f.e.Exec(t.Context(), name, engine.Command{Args: []string{"echo"}}), fault.NodeNotFound, "Exec")
	wantCode(t, f.e.PutFiles(t.Context(), name, []engine.File{{Path: "/etc/x"}}), fault.NodeNotFound, "PutFiles")
	wantCode(t, f.e.CopyOut(t.Context(), name, "/etc", nopWriter{}), fault.NodeNotFound, "CopyOut")
	wantCode(t, f.e.Logs(t.Context(), name, false, 0, nopWriter{}), fault.NodeNotFound, "Logs")
	_, err = f.e.ReadFile(t.Context(), name, "/etc/x")
	wantCode(t, err, fault.NodeNotFound, "ReadFile")
	want(t, errors.Is(err, fs.ErrNotExist), false, "that a missing node is taken for a missing file")
	_, err = f.e.Dial(t.Context(), name, "tcp", "127.0.0.1:7")
	wantCode(t, err, fault.NodeNotFound, "Dial")
	wantNoError(t, f.e.RemoveNode(t.Context(), name), "RemoveNode")
	wantNoError(t, f.e.RemoveVolume(t.Context(), name), "RemoveVolume")
	wantNoError(t, f.e.RemoveNetwork(t.Context(), name), "RemoveNetwork")
	wantNoError(t, f.e.RemoveImage(t.Context(), "example.invalid/"+name+":none"), "RemoveImage")
}

type nopWriter struct{}

func (nopWriter) Write(p []byte) (int, error) { return len(p), nil }

// contractTakenName: who comes second fails, leaves the first alone, and leaves nothing behind.
func contractTakenName(t *testing.T, f fixture) {
	t.Helper()
	first := f.create(t, f.spec("a"))
	second := f.spec("a")
	second.Volumes = []engine.VolumeMount{{Name: f.name("left-over"), Target: "/data"}}
	_, err := f.e.CreateNode(t.Context(), second)
	wantCode(t, err, fault.NameTaken, "CreateNode")
	want(t, f.node(t, first.Name).ID, first.ID, "ID")
	noVolumes(t, f)

	// A volume of that name that is another cluster's is not used either.
	other := f.spec("b")
	other.Volumes = second.Volumes
	f.create(t, other)
	stranger := fixture{e: f.e, image: f.image, cluster: f.cluster + "x"}
	spec := stranger.spec("c")
	spec.Volumes = second.Volumes
	_, err = f.e.CreateNode(t.Context(), spec)
	wantCode(t, err, fault.NameTaken, "CreateNode with another cluster's volume")
	_, err = f.e.Node(t.Context(), spec.Name)
	wantCode(t, err, fault.NodeNotFound, "Node")
}

func noVolumes(t *testing.T, f fixture) {
	t.Helper()
	volumes, err := f.e.Volumes(t.Context(), engine.Selector{Cluster: f.cluster})
	wantNoError(t, err, "Volumes")
	if len(volumes) > 0 {
		t.Errorf("a failed creation left %v", volumes)
	}
}

func contractMissingImage(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.Image = "example.invalid/" + f.cluster + ":none"
	spec.Volumes = []engine.VolumeMount{{Name: f.name("left-over"), Target: "/data"}}
	_, err := f.e.CreateNode(t.Context(), spec)
	wantCode(t, err, fault.ImageNotFound, "CreateNode")
	if !strings.Contains(err.Error(), spec.Image) {
		t.Errorf("%q does not name the image", err)
	}
	_, err = f.e.Node(t.Context(), spec.Name)
	wantCode(t, err, fault.NodeNotFound, "Node")
	noVolumes(t, f)
}

// contractTakenPort: only the start shows it, and the node that could not start can be removed.
func contractTakenPort(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.Ports = []engine.Port{{HostIP: "127.0.0.1", ContainerPort: 7, Protocol: "tcp"}}
	taken := f.node(t, f.start(t, spec)).Ports[0]
	second := f.spec("b")
	second.Ports = []engine.Port{taken}
	f.create(t, second)
	err := f.e.StartNode(t.Context(), second.Name)
	wantCode(t, err, fault.PortTaken, "StartNode")
	if port := net.JoinHostPort(taken.HostIP, strconv.Itoa(int(taken.HostPort))); !strings.Contains(err.Error(), port) {
		t.Errorf("%q does not name %s", err, port)
	}
	n := f.node(t, second.Name)
	if n.State == engine.StateRunning {
		t.Error("it runs all the same")
	}
	wantNoError(t, f.e.RemoveNode(t.Context(), spec.Name), "RemoveNode")
	wantNoError(t, f.e.StartNode(t.Context(), second.Name), "StartNode once the port is free")
}

func contractRandomPort(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.Ports = []engine.Port{
		{HostIP: "127.0.0.1", ContainerPort: 7, Protocol: "tcp"},
		{HostIP: "127.0.0.1", ContainerPort: 53, Protocol: "udp"},
	}
	got := f.node(t, f.start(t, spec)).Ports
	if len(got) != 2 || got[0].HostPort == 0 || got[1].HostPort == 0 {
		t.Fatalf("ports %v", got)
	}
	want(t, got[0].ContainerPort, 7, "the first container port")
	want(t, got[1].Protocol, "udp", "the second protocol")
}

// contractIdentity: a node's host name, the hosts it knows, its variables and its limits are those of the spec.
func contractIdentity(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.Hosts = map[string]netip.Addr{"api.example": netip.MustParseAddr("10.1.2.3")}
	spec.Env = map[string]string{"FLAVOUR": "vanilla"}
	spec.NanoCPUs, spec.Memory = 500_000_000, 128<<20
	name := f.start(t, spec)
	if hosts := f.output(t, name, "cat", "/etc/hosts"); !strings.Contains(hosts, "10.1.2.3\tapi.example") {
		t.Errorf("/etc/hosts has\n%s", hosts)
	}
	want(t, strings.TrimSpace(f.output(t, name, "cat", "/etc/hostname")), name, "the host name")
	if env := f.output(t, name, "env"); !strings.Contains(env, "FLAVOUR=vanilla\n") {
		t.Errorf("the environment is\n%s", env)
	}
}

// contractVolumes: a node's container is disposable, its volume is not.
func contractVolumes(t *testing.T, f fixture) {
	t.Helper()
	spec := f.spec("a")
	spec.Volumes = []engine.VolumeMount{{Name: f.name("a-var"), Target: "/data"}}
	spec.VolumeLabels = map[string]string{"cove.dev/place": "7/1"}
	name := f.start(t, spec)
	f.output(t, name, "write", "/data/kept", "kept")
	if err := f.e.RemoveVolume(t.Context(), f.name("a-var")); err == nil {
		t.Error("a volume in use was removed")
	}
	wantNoError(t, f.e.RemoveNode(t.Context(), name), "RemoveNode")
	volumes, err := f.e.Volumes(t.Context(), engine.Selector{Cluster: f.cluster, Run: spec.Run})
	wantNoError(t, err, "Volumes")
	expect := []engine.Volume{{Name: f.name("a-var"), Cluster: f.cluster, Run: spec.Run, Node: name, Labels: map[string]string{
		engine.LabelCluster: f.cluster, engine.LabelRun: spec.Run, engine.LabelNode: name, "cove.dev/place": "7/1",
	}}}
	if !reflect.DeepEqual(volumes, expect) {
		t.Fatalf("volumes %v, want %v", volumes, expect)
	}
	spec.Run = "later"
	f.start(t, spec)
	want(t, f.output(t, name, "cat", "/data/kept"), "kept", "the file")
	wantNoError(t, f.e.RemoveNode(t.Context(), name), "RemoveNode")
	wantNoError(t, f.e.RemoveVolume(t.Context(), f.name("a-var")), "RemoveVolume")
	wantNoError(t, f.e.RemoveVolume(t.Context(), f.name("a-var")), "RemoveVolume again")
	noVolumes(t, f)
}

func contractParallel(t *testing.T, f fixture) {
	t.Helper()
	net := f.network(t, "net", netip.Prefix{})
	var group errgroup.Group
	ip := net.Gateway
	for _, suffix := range []string{"a", "b", "c"} {
		spec := f.spec(suffix)
		ip = ip.Next()
		spec.Network, spec.IP = net.Name, ip
		spec.Volumes = []engine.VolumeMount{{Name: spec.Name + "-var", Target: "/data"}}
		spec.Files = []engine.File{{Path: "/data/name", Data: []byte(spec.Name)}}
		group.Go(func() error {
			if _, err := f.e.CreateNode(t.Context(), spec); err != nil {
				return err
			}
			return f.e.StartNode(t.Context(), spec.Name)
		})
	}
	wantNoError(t, group.Wait(), "three nodes")
	for _, suffix := range []string{"a", "b", "c"} {
		want(t, f.output(t, f.name(suffix), "cat", "/data/name"), f.name(suffix), "the file")
	}
}

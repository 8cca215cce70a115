package cluster_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

const nodeImage = "cove-node:" + clustertest.Version

// setup is a world without clusters, and a machine of its own to run cove on.
type setup struct {
	*clustertest.World
	t      *testing.T
	mu     sync.Mutex
	loaded []string // images, by the names that pods use
	deps   cluster.Deps
	log    *recorder
}

// recorder keeps the events of a run.
type recorder struct {
	events []event.Event
	on     func(event.Event) // if set, is told of each
}

// Emit keeps the event.
func (r *recorder) Emit(e event.Event) {
	r.events = append(r.events, e)
	if r.on != nil {
		r.on(e)
	}
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	fake := enginetest.NewFake()
	clustertest.AddNodeImage(fake, nodeImage, true)
	s := &setup{World: clustertest.New(fake), t: t, log: &recorder{}}
	dir := t.TempDir()
	s.deps = cluster.Deps{
		Engine: fake, Now: time.Now, Connect: s.Connect, ConnectConfig: s.ConnectConfig,
		EnsureAddonImage: func(_ context.Context, _ engine.Engine, _ *event.Reporter, img profile.Image) (string, error) {
			return "cove.dev/" + img.Build, s.Fail["EnsureAddonImage"]
		},
		LoadImages: func(_ context.Context, _ engine.Engine, _ []engine.Node, images map[string]string, _ *event.Reporter) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.loaded = append(s.loaded, slices.Collect(maps.Keys(images))...)
			return s.Fail["LoadImages"]
		},
		EnsureImage: func(ctx context.Context, e engine.Engine, _ *event.Reporter, name, _ string) (engine.Image, error) {
			if name == "" {
				name = nodeImage
			}
			return e.Image(ctx, name)
		},
		Kubeconfig: filepath.Join(dir, "kubeconfig"), StateDir: filepath.Join(dir, "state"), Quiet: time.Millisecond,
	}
	return s
}

// run gives the next call of cove a run of its own.
func (s *setup) run() cluster.Deps {
	d := s.deps
	d.Emitter = event.NewEmitter(event.NewRunID(time.Now()), "dev", time.Now, s.log)
	return d
}

func (s *setup) create(ctx context.Context, doc v1alpha1.Cluster, o cluster.CreateOptions) error {
	_, err := cluster.Create(ctx, s.run(), doc, instances(s.t, doc), o)
	return err
}

// nothingLeft fails where the engine or the kubeconfig still has something of a cluster's.
func (s *setup) nothingLeft(t *testing.T) {
	t.Helper()
	if left := s.Left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if data, err := os.ReadFile(s.deps.Kubeconfig); err == nil && strings.Contains(string(data), "cove-dev") {
		t.Errorf("the kubeconfig still has the context:\n%s", data)
	}
}

func TestCreateListStatusDelete(t *testing.T) {
	s := newSetup(t)
	ctx := t.Context()
	if err := s.create(ctx, document(t, "dev", 2), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := cluster.List(ctx, s.Engine)
	if err != nil || len(list) != 1 {
		t.Fatalf("list: %v, %v", list, err)
	}
	if got := list[0]; got.Name != "dev" || got.State != cluster.Running || got.ControlPlanes != 1 || got.Workers != 2 ||
		got.KubernetesVersion != clustertest.Version || got.Created.IsZero() || got.API == "" {
		t.Errorf("summary: %+v", got)
	}
	status, err := cluster.GetStatus(ctx, s.deps, "dev")
	if err != nil || !status.Usable || !status.APIUp || len(status.Nodes) != 3 {
		t.Errorf("status: %+v, %v", status, err)
	}
	applied := s.Applied()
	for _, want := range []string{"Deployment kube-system/coredns", "DaemonSet kube-system/kube-proxy", "DaemonSet kube-flannel/flannel", "Deployment local-path-storage/local-path-provisioner"} {
		if !slices.Contains(applied, want) {
			t.Errorf("%s was not applied: %v", want, applied)
		}
	}
	if err := s.create(ctx, document(t, "dev", 0), cluster.CreateOptions{}); !fault.Is(err, fault.ClusterExists) {
		t.Errorf("a second create: %v", err)
	}
	if err := cluster.Delete(ctx, s.run(), "dev", cluster.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft(t)
	if err := cluster.Delete(ctx, s.run(), "dev", cluster.DeleteOptions{}); !fault.Is(err, fault.ClusterNotFound) {
		t.Errorf("a second delete: %v", err)
	}
}

// Addresses and shares of the pod subnet follow from a node's place alone, and never change.
func TestAddressesAreFixed(t *testing.T) {
	s := newSetup(t)
	if err := s.create(t.Context(), document(t, "dev", 2), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct{ last, cidr string }{
		"dev-control-plane": {".10", "10.244.0.0/24"}, "dev-worker": {".20", "10.244.1.0/24"}, "dev-worker2": {".21", "10.244.2.0/24"},
	} {
		n, err := s.Engine.Node(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(n.IP.String(), want.last) {
			t.Errorf("%s has address %s, want …%s", name, n.IP, want.last)
		}
		conf, err := s.Engine.ReadFile(t.Context(), name, "/etc/cni/net.d/10-cove.conflist")
		if err != nil || !strings.Contains(string(conf), want.cidr) {
			t.Errorf("%s has no share %s: %s, %v", name, want.cidr, conf, err)
		}
	}
}

// Whatever operation of the engine fails in a create that would go well: the error has a code, and nothing stays.
func TestEveryOperationFailing(t *testing.T) {
	good := newSetup(t)
	if err := good.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	operations := len(good.Engine.Operations())
	if operations < 6 {
		t.Fatalf("only %d operations: %v", operations, good.Engine.Operations())
	}
	for n := 1; n <= operations; n++ {
		s := newSetup(t)
		s.Engine.FailAt(n, fault.New(fault.EngineFailed, "injected"))
		err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{})
		if !fault.Is(err, fault.EngineFailed) {
			t.Errorf("operation %d: %v", n, err)
		}
		s.nothingLeft(t)
	}
}

// An interrupt at any operation ends the run as interrupted, and nothing stays.
func TestInterruptAtEveryOperation(t *testing.T) {
	good := newSetup(t)
	if err := good.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= len(good.Engine.Operations()); n++ {
		s := newSetup(t)
		ctx, cancel := context.WithCancel(t.Context())
		s.Engine.At(n, cancel)
		err := s.create(ctx, document(t, "dev", 1), cluster.CreateOptions{})
		cancel()
		if got := fault.ReportOf(err).Code; got != fault.Interrupted {
			t.Errorf("operation %d: %s, %v", n, got, err)
		}
		s.nothingLeft(t)
	}
}

func TestEveryCallOfTheAPIFailing(t *testing.T) {
	for call, code := range map[string]fault.Code{
		"WaitAPI": fault.APITimeout, "Apply": fault.AddonFailed, "CreateNodeObject": fault.KubernetesRefused,
		"WaitNodesReady": fault.NotReady, "WaitReady": fault.AddonFailed,
	} {
		s := newSetup(t)
		s.Fail[call] = errors.New("injected")
		err := s.create(t.Context(), document(t, "dev", 1), cluster.CreateOptions{})
		if !fault.Is(err, code) {
			t.Errorf("%s: %v, want %s", call, err, code)
		}
		s.nothingLeft(t)
		if found, _ := filepath.Glob(filepath.Join(s.deps.StateDir, "evidence", "*", "error.json")); len(found) != 1 {
			t.Errorf("%s: evidence %v", call, found)
		}
	}
}

// kubeadm's own words must be in the report, and the code says which half of it failed.
func TestKubeadmFailing(t *testing.T) {
	const join = "kind: JoinConfiguration\ntimeouts: {discovery: 1m}\n"
	for name, tt := range map[string]struct {
		node, verb, patch string
		code              fault.Code
	}{
		"init":          {"dev-control-plane", "init", "", fault.KubeadmInit},
		"start":         {"dev-worker", "init phase kubelet-start", "", fault.KubeadmJoin},
		"join":          {"dev-worker", "join", join, fault.KubeadmJoin},
		"control plane": {"dev-control-plane2", "init", "", fault.KubeadmJoin},
	} {
		s := newSetup(t)
		s.OnExec = func(node string, cmd engine.Command) (bool, error) {
			if cmd.Args[0] != "kubeadm" || node != tt.node || slices.Contains(cmd.Args, "addon") {
				return false, nil
			}
			_, _ = cmd.Stderr.Write([]byte("error: the moon is in the wrong phase\n"))
			return true, &engine.ExitError{Node: "dev", Args: cmd.Args, Code: 1}
		}
		doc := document(t, "dev", 1, func(c *v1alpha1.Cluster) { c.Cluster.KubeadmConfigPatches = []string{tt.patch} })
		if name == "control plane" {
			doc = resized(t, doc, 3, 1)
		}
		r := fault.ReportOf(s.create(t.Context(), doc, cluster.CreateOptions{}))
		if r.Code != tt.code || !strings.Contains(r.Output, "wrong phase") || !strings.HasPrefix(r.Command, "kubeadm "+tt.verb) {
			t.Errorf("%s: %+v", name, r)
		}
		s.nothingLeft(t)
	}
}

// A wait that does not end within the time limit is an error of its own, with what was waited for.
func TestTimeout(t *testing.T) {
	s := newSetup(t)
	s.Fail["WaitReady"] = &clustertest.HangError{}
	err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{Timeout: 200 * time.Millisecond})
	if r := fault.ReportOf(err); r.Exit != fault.ExitKubernetes || !strings.Contains(r.Message, "200ms") {
		t.Errorf("%+v", r)
	}
	s.nothingLeft(t)
}

func TestRetainKeeps(t *testing.T) {
	s := newSetup(t)
	s.Fail["WaitAPI"] = errors.New("injected")
	if err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{Retain: true}); err == nil {
		t.Fatal("no error")
	}
	if left := s.Left(); len(left) != 5 { // a node, a load balancer, two volumes, a network
		t.Errorf("kept: %v", left)
	}
	list, err := cluster.List(t.Context(), s.Engine)
	if err != nil || len(list) != 1 || list[0].State != cluster.Incomplete {
		t.Errorf("list: %+v, %v", list, err)
	}
	// What a run left that was cut off is in nobody's way: the next create removes it.
	delete(s.Fail, "WaitAPI")
	// Another machine's run may still be at it; one of this machine's is not, or its lock would be held.
	if err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{}); !fault.Is(err, fault.ClusterBusy) {
		t.Errorf("with another machine's run: %v", err)
	}
	nodes, err := cluster.Nodes(t.Context(), s.Engine, "dev")
	if err != nil {
		t.Fatal(err)
	}
	runs := filepath.Join(s.deps.StateDir, "runs")
	if err := os.MkdirAll(runs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(runs, nodes[0].Run+".ndjson"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Delete(t.Context(), s.run(), "dev", cluster.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft(t)
}

// What is not the run's own stays: a network of the same name that a user made.
func TestTakenNameStays(t *testing.T) {
	s := newSetup(t)
	other := engine.NetworkSpec{Name: "cove-dev", Cluster: "other", Run: "another"}
	if _, err := s.Engine.CreateNetwork(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := s.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{}); !fault.Is(err, fault.NameTaken) {
		t.Errorf("%v", err)
	}
	if left := s.Left(); !slices.Equal(left, []string{"network cove-dev"}) {
		t.Errorf("left: %v", left)
	}
}

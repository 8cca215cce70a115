package doctor

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// collector keeps events.
type collector struct{ events []event.Event }

func (c *collector) Emit(ev event.Event) { c.events = append(c.events, ev) }

func preflight(t *testing.T, env Env, info engine.Info, nodes int) ([]event.Event, error) {
	t.Helper()
	c := &collector{}
	e := event.NewEmitter("run", "cluster", time.Now, c)
	err := e.Step(t.Context(), "host", "Check", func(ctx context.Context, rep *event.Reporter) error {
		return Preflight(env)(ctx, info, nodes, rep)
	})
	return slices.DeleteFunc(c.events, func(e event.Event) bool { return e.Type != event.Warning }), err
}

// What runs already counts.
func TestRunningNodesCount(t *testing.T) {
	env, root := goodHost(t)
	root["proc/sys/fs/inotify/max_user_instances"] = &fstest.MapFile{Data: []byte("128")}
	e := fakeEngine{info: goodInfo(), images: []string{"cove-node:v1.36.3"}}
	status := func() Status {
		env.Engine, env.Nodes = e, 1
		for _, c := range Run(t.Context(), env) {
			if c.ID == "inotify-instances" {
				return c.Status
			}
		}
		return ""
	}
	if got := status(); got != OK {
		t.Errorf("one node: %s", got)
	}
	e.nodes = []engine.Node{{Role: engine.RoleControlPlane, State: engine.StateRunning}, {Role: engine.RoleWorker, State: engine.StateExited}}
	if got := status(); got != OK {
		t.Errorf("beside a control plane: %s", got)
	}
	for range 4 {
		e.nodes = append(e.nodes, engine.Node{Role: engine.RoleWorker, State: engine.StateRunning})
	}
	if got := status(); got != Warn {
		t.Errorf("beside five nodes: %s", got)
	}
	for range 5 {
		e.nodes = append(e.nodes, engine.Node{Role: engine.RoleWorker, State: engine.StateRunning})
	}
	if got := status(); got != Fail {
		t.Errorf("beside ten nodes: %s", got)
	}
}

func TestPreflight(t *testing.T) {
	env, root := goodHost(t)
	if warnings, err := preflight(t, env, goodInfo(), 1); err != nil || len(warnings) > 0 {
		t.Fatalf("a good host: %v %v", warnings, err)
	}
	root["proc/sys/fs/inotify/max_user_instances"] = &fstest.MapFile{Data: []byte("128")}
	warnings, err := preflight(t, env, goodInfo(), 7)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Message, "inotify instances: 128") || !strings.Contains(warnings[0].Hint, "sysctl") {
		t.Fatalf("got %+v, %v", warnings, err)
	}
	_, err = preflight(t, env, goodInfo(), 50)
	r := fault.ReportOf(err)
	if r.Code != fault.HostLimit || r.Exit != fault.ExitHost || !strings.Contains(r.Hint, "sudo sysctl fs.inotify.max_user_instances=") {
		t.Errorf("got %+v", r)
	}
	env.Kubeconfig = t.TempDir()
	if _, err := preflight(t, env, goodInfo(), 1); !fault.Is(err, fault.KubeconfigUnusable) {
		t.Errorf("got %v", err)
	}
	env.Kubeconfig = ""
	env.DiskFree = func(string) (uint64, uint64, error) { return 0, 1, nil }
	if _, err := preflight(t, env, goodInfo(), 1); !fault.Is(err, fault.DiskFull) {
		t.Errorf("got %v", err)
	}
}

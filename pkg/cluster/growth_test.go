package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// command is what `cove node` does: it changes the document that the cluster has.
type command func(s *setup) error

func (s *setup) edited(o cluster.ApplyOptions, edit func(v1alpha1.Cluster) (v1alpha1.Cluster, error)) error {
	_, _, err := cluster.Apply(context.Background(), s.run(), "dev", func(current *v1alpha1.Cluster) (v1alpha1.Cluster, error) { return edit(*current) }, o)
	return err
}

func addNodes(role string, count int) command {
	return func(s *setup) error {
		return s.edited(s.applyOptions(), func(doc v1alpha1.Cluster) (v1alpha1.Cluster, error) {
			out, _, err := cluster.AddNodes(doc, v1alpha1.Node{Role: role}, count)
			return out, err
		})
	}
}

func removeNodes(names ...string) command {
	return func(s *setup) error {
		o := s.applyOptions()
		var left []string
		o.Left = func(nodes []string) { left = nodes }
		return s.edited(o, func(doc v1alpha1.Cluster) (v1alpha1.Cluster, error) { return cluster.RemoveNodes(doc, names, left...) })
	}
}

func replaceNodes(names ...string) command {
	return func(s *setup) error {
		o := s.applyOptions()
		o.Again = names
		return s.edited(o, func(doc v1alpha1.Cluster) (v1alpha1.Cluster, error) { return doc, nil })
	}
}

// living returns a cluster of the document.
func living(t *testing.T, doc v1alpha1.Cluster) *setup {
	t.Helper()
	s := newSetup(t)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// labelled gives the worker a label and a size, which must not be lost.
func labelled(doc v1alpha1.Cluster) v1alpha1.Cluster {
	out := *doc.DeepCopy()
	nodes := out.Nodes()
	for i := range nodes {
		if nodes[i].Role == engine.RoleWorker {
			nodes[i].Labels, nodes[i].Memory = map[string]string{"disk": "ssd"}, 1<<30
		}
	}
	out.SetNodes(nodes)
	return out
}

// A command that was killed at any operation is finished by the same command, and so by the next apply of the document. While it is
// not, the document has all nodes that are wanted.
func TestSameCommandFinishes(t *testing.T) {
	base := document(t, "dev", 1)
	three := labelled(resized(t, base, 3, 2))
	for name, tt := range map[string]struct {
		from, to v1alpha1.Cluster
		command  command
	}{
		"replace a worker":                {three, three, replaceNodes("dev-worker")},
		"replace a control plane":         {three, three, replaceNodes("dev-control-plane2")},
		"remove two control planes":       {resized(t, base, 3, 1), base, removeNodes("control-plane2", "control-plane3")},
		"remove a worker and another one": {resized(t, base, 1, 3), base, removeNodes("worker2", "worker3")},
		"add two control planes":          {base, resized(t, base, 3, 1), addNodes(engine.RoleControlPlane, 2)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := living(t, tt.from)
			before := len(s.Engine.Operations())
			if err := tt.command(s); err != nil {
				t.Fatal(err)
			}
			count := len(s.Engine.Operations()) - before
			s.follows(t, tt.to)
			for n := 1; n <= count; n++ {
				s := living(t, tt.from)
				s.Engine.FailFrom(len(s.Engine.Operations())+n, fault.New(fault.EngineUnreachable, "the run was killed"))
				if err := tt.command(s); err == nil {
					t.Errorf("operation %d: the run that was cut off went well", n)
				}
				s.Engine.Heal()
				s.numbers(t, n)
				// Where all of what was to go is gone, or all of what was to come is there, there is nothing to name.
				if err := tt.command(s); err != nil && !fault.Is(err, fault.NodeNotFound) {
					t.Errorf("operation %d, again: %v", n, err)
					continue
				} else if err != nil {
					if _, err := s.apply(t.Context(), tt.to); err != nil {
						t.Errorf("operation %d, apply: %v", n, err)
					}
				}
				s.followsGrown(t, tt.to, n)
			}
		})
	}
}

// numbers wants the document to have a number of control planes that is allowed.
func (s *setup) numbers(t *testing.T, n int) {
	t.Helper()
	doc, err := cluster.Document(t.Context(), s.Engine, "dev")
	if err != nil {
		if !fault.Is(err, fault.ClusterIncomplete) && !fault.Is(err, fault.ClusterNotFound) {
			t.Errorf("operation %d: %v", n, err)
		}
		return
	}
	count := 0
	for _, node := range doc.Nodes() {
		if node.Role == engine.RoleControlPlane {
			count++
		}
		if node.Role == engine.RoleWorker && strings.HasPrefix(fmt.Sprint(node.Labels), "map[disk") != (node.Memory > 0) {
			t.Errorf("operation %d: %+v", n, node)
		}
	}
	if count%2 == 0 {
		t.Errorf("operation %d: the document has %d control planes", n, count)
	}
}

// followsGrown is follows; a command that was finished may have been given once more, and have added as many again.
func (s *setup) followsGrown(t *testing.T, to v1alpha1.Cluster, n int) {
	t.Helper()
	doc, err := cluster.Document(t.Context(), s.Engine, "dev")
	if err != nil {
		t.Errorf("operation %d: %v", n, err)
		return
	}
	if len(doc.Nodes()) > len(to.Nodes()) {
		to = doc
	}
	s.follows(t, to)
}

// execIDs collects the IDs of processes in etcd's containers.
func (s *setup) execIDs() func() []string {
	var mu sync.Mutex
	var ids []string
	s.OnExec = func(_ string, cmd engine.Command) (bool, error) {
		if i := slices.Index(cmd.Args, "--exec-id"); i > 0 {
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, cmd.Args[i+1])
		}
		return false, nil
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(ids)
		return ids
	}
}

// What joined leaves again one after the other: etcd changes one member at a time.
func TestUndoOfJoins(t *testing.T) {
	doc := document(t, "dev", 0)
	s := living(t, doc)
	ids := s.execIDs()
	s.Fail["WaitNodesReady"] = fault.New(fault.NotReady, "injected")
	left := map[string]bool{}
	for _, name := range []string{"dev-control-plane2", "dev-control-plane3"} {
		s.Engine.On("StopNode "+name, func() { left[name] = slices.Contains(s.Calls(), "etcd remove "+name) })
	}
	begun := len(s.Calls())
	if _, err := s.apply(t.Context(), resized(t, doc, 3, 1)); !fault.Is(err, fault.NotReady) {
		t.Fatal(err)
	}
	delete(s.Fail, "WaitNodesReady")
	used := ids()
	if len(used) < 6 || len(slices.Compact(slices.Clone(used))) != len(used) {
		t.Errorf("IDs of processes: %v", used)
	}
	calls := s.Calls()[begun:]
	for _, name := range []string{"dev-control-plane2", "dev-control-plane3"} {
		if !left[name] {
			t.Errorf("%s was stopped while it had a vote", name)
		}
		inOrder(t, calls, "DeleteNodeObject "+name, "kubeadm join "+name, "pkill "+name, "etcd remove "+name, "DeleteNodeObject "+name)
	}
	s.follows(t, doc)
	for _, name := range []string{"dev-control-plane2", "dev-control-plane3", "dev-worker"} {
		if !slices.Contains(s.Engine.Operations(), "StopNode "+name) {
			t.Errorf("%s was not stopped before its object went", name)
		}
	}
}

// A member that does not leave etcd keeps its data: the cluster may have no majority without it. The next run takes it out.
func TestMembersThatStayKeepTheirData(t *testing.T) {
	doc := document(t, "dev", 0)
	s := living(t, doc)
	s.OnExec = func(_ string, cmd engine.Command) (bool, error) {
		return slices.Contains(cmd.Args, "remove"), &engine.ExitError{Code: 1}
	}
	s.Fail["WaitNodesReady"] = fault.New(fault.NotReady, "injected")
	if _, err := s.apply(t.Context(), resized(t, doc, 3, 0)); !fault.Is(err, fault.NotReady) {
		t.Fatal(err)
	}
	delete(s.Fail, "WaitNodesReady")
	s.OnExec = nil
	for _, name := range []string{"dev-control-plane2", "dev-control-plane3"} {
		if n, err := s.Engine.Node(t.Context(), name); err != nil || n.State != engine.StateRunning || !slices.Contains(s.Left(), "volume "+name+"-var") {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	if _, err := s.apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	s.follows(t, doc)
}

// What etcd refuses for the moment is asked again.
func TestEtcdIsAskedAgain(t *testing.T) {
	doc := document(t, "dev", 0)
	s := living(t, resized(t, doc, 3, 0))
	refused := 0
	s.OnExec = func(_ string, cmd engine.Command) (bool, error) {
		if !slices.Contains(cmd.Args, "remove") || refused > 0 {
			return false, nil
		}
		refused++
		fmt.Fprintln(cmd.Stderr, "Error: etcdserver: unhealthy cluster")
		return true, &engine.ExitError{Code: 1}
	}
	if _, err := s.apply(t.Context(), doc); err != nil || refused != 1 {
		t.Errorf("refused %d times: %v", refused, err)
	}
	s.follows(t, doc)
}

// Who does not run leaves first: the others have a majority of those that are left, then.
func TestDeadControlPlanesLeaveFirst(t *testing.T) {
	doc := document(t, "dev", 0)
	s := living(t, resized(t, doc, 3, 0))
	if err := s.Engine.Crash("dev-control-plane3", 137, "killed"); err != nil {
		t.Fatal(err)
	}
	if err := removeNodes("control-plane2", "control-plane3")(s); err != nil {
		t.Fatal(err)
	}
	inOrder(t, s.Calls(), "etcd remove dev-control-plane3", "etcd remove dev-control-plane2")
	s.follows(t, doc)
}

// Where all are stopped, those that are to go are started too: etcd wants a majority.
func TestVotersAreStarted(t *testing.T) {
	doc := document(t, "dev", 0)
	three := resized(t, doc, 3, 0)
	for name, tt := range map[string]struct {
		command command
		to      v1alpha1.Cluster
	}{
		"remove": {removeNodes("control-plane2", "control-plane3"), doc}, "replace": {replaceNodes("dev-control-plane2", "dev-control-plane3"), three},
	} {
		s := living(t, three)
		if err := cluster.Stop(t.Context(), s.run(), "dev", cluster.PowerOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := tt.command(s); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s.follows(t, tt.to)
	}
}

// Without the data of a majority there is no API to wait for: that is said before anything is touched.
func TestNoMajorityIsSaidAtOnce(t *testing.T) {
	three := resized(t, document(t, "dev", 0), 3, 0)
	s := living(t, three)
	for _, name := range []string{"dev-control-plane2", "dev-control-plane3"} {
		if err := s.Engine.RemoveNode(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		for _, v := range []string{"-var", "-kubernetes"} {
			if err := s.Engine.RemoveVolume(t.Context(), name+v); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := len(s.Engine.Operations())
	_, err := s.apply(t.Context(), three)
	if !fault.Is(err, fault.ClusterIncomplete) || !strings.Contains(fmt.Sprint(err), "no majority: dev-control-plane2, dev-control-plane3 of its 3") {
		t.Errorf("got %v", err)
	}
	if did := s.Engine.Operations()[before:]; len(did) > 0 {
		t.Errorf("did %v", did)
	}
}

// A node that is made anew is drained if it is there to be.
func TestReplaceDrains(t *testing.T) {
	doc := document(t, "dev", 2)
	s := living(t, doc)
	if err := replaceNodes("dev-worker")(s); err != nil {
		t.Fatal(err)
	}
	if err := s.Engine.Crash("dev-worker2", 137, "killed"); err != nil {
		t.Fatal(err)
	}
	if err := replaceNodes("dev-worker2")(s); err != nil {
		t.Fatal(err)
	}
	if calls := s.Calls(); !slices.Contains(calls, "Drain dev-worker") || slices.Contains(calls, "Drain dev-worker2") {
		t.Errorf("calls: %v", calls)
	}
	s.Fail["Drain"] = fault.New(fault.DrainFailed, "injected")
	if err := replaceNodes("dev-worker")(s); !fault.Is(err, fault.DrainFailed) {
		t.Errorf("got %v", err)
	}
	s.follows(t, doc)
}

// Who has no vote yet is stopped before it leaves etcd: its kubeadm would come back, or another one's come into its place.
func TestUndoOfALearner(t *testing.T) {
	const name = "dev-control-plane2"
	doc := document(t, "dev", 0)
	s := living(t, doc)
	s.OnExec = func(node string, cmd engine.Command) (bool, error) {
		if node != name || !strings.HasPrefix(strings.Join(cmd.Args, " "), "kubeadm join") {
			return false, nil
		}
		n, err := s.Engine.Node(t.Context(), node)
		if err != nil {
			return true, err
		}
		for _, file := range []string{"/var/lib/etcd/member", clustertest.LearnerFile} {
			if err := s.Engine.DefaultExec(node, engine.Command{Args: []string{"write", file, n.IP.String()}}); err != nil {
				return true, err
			}
		}
		return true, &engine.ExitError{Code: 1}
	}
	early := true
	s.Engine.On("StopNode "+name, func() { early = slices.Contains(s.Calls(), "etcd remove "+name) })
	if _, err := s.apply(t.Context(), resized(t, doc, 3, 0)); !fault.Is(err, fault.KubeadmJoin) {
		t.Fatal(err)
	}
	if early || !slices.Contains(s.Calls(), "etcd remove "+name) {
		t.Errorf("it left before it was stopped: %v; %v", early, s.Calls())
	}
	s.follows(t, doc)
}

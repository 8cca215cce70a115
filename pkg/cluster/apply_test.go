package cluster_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

func (s *setup) applyOptions() cluster.ApplyOptions {
	return cluster.ApplyOptions{Addons: func(doc v1alpha1.Cluster) ([]addon.Instance, error) { return instances(s.t, doc), nil }}
}

// apply brings the cluster to the document, and returns what was found to do, a change a line.
func (s *setup) apply(ctx context.Context, doc v1alpha1.Cluster) (string, error) {
	diff, _, err := cluster.Apply(ctx, s.run(), doc.Name, func(*v1alpha1.Cluster) (v1alpha1.Cluster, error) { return doc, nil }, s.applyOptions())
	var lines []string
	for _, c := range diff.Changes {
		lines = append(lines, c.String())
	}
	return strings.Join(lines, "\n"), err
}

// follows fails where the cluster is not as the document says, or something else is there.
func (s *setup) follows(t *testing.T, doc v1alpha1.Cluster) {
	t.Helper()
	if left, err := s.apply(t.Context(), doc); err != nil || left != "" {
		t.Errorf("there is still something to do: %s, %v", left, err)
	}
	var want []string
	for _, n := range doc.Nodes() {
		want = append(want, "node "+n.Name, "volume "+n.Name+"-kubernetes", "volume "+n.Name+"-var")
	}
	want = append(want, "network cove-"+doc.Name, "node "+doc.Name+"-external-load-balancer")
	got := s.Left()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("there is %v, want %v", got, want)
	}
	s.boots(t, doc)
	s.elects(t, doc)
	status, err := cluster.GetStatus(t.Context(), s.deps, doc.Name)
	if err != nil || !status.Usable {
		t.Errorf("status: %+v, %v", status, err)
	}
}

// elects wants the first control plane to lead without an election where it is the only one.
func (s *setup) elects(t *testing.T, doc v1alpha1.Cluster) {
	t.Helper()
	var names []string
	for _, n := range doc.Nodes() {
		if n.Role == engine.RoleControlPlane {
			names = append(names, n.Name)
		}
	}
	conf, err := s.Engine.ReadFile(t.Context(), slices.Min(names), "/etc/kubernetes/manifests/kube-scheduler.yaml")
	if other := "--leader-elect=" + strconv.FormatBool(len(names) == 1); err != nil || strings.Contains(string(conf), other) {
		t.Errorf("%d control planes, and %s, %v", len(names), conf, err)
	}
}

// boots wants every container to have what was put into it before it was started.
func (s *setup) boots(t *testing.T, doc v1alpha1.Cluster) {
	t.Helper()
	files := map[string][]string{doc.Name + "-external-load-balancer": {"/etc/cove/haproxy.cfg"}}
	for _, n := range doc.Nodes() {
		files[n.Name] = []string{"/etc/cni/net.d/10-cove.conflist"}
		for registry := range doc.Registries.Mirrors {
			files[n.Name] = append(files[n.Name], "/etc/containerd/certs.d/"+registry+"/hosts.toml")
		}
	}
	for node, list := range files {
		for _, file := range list {
			if _, err := s.Engine.ReadFile(t.Context(), node, file); err != nil {
				t.Errorf("%s was started without %s: %v", node, file, err)
			}
		}
	}
}

func resized(t *testing.T, doc v1alpha1.Cluster, controlPlanes, workers int) v1alpha1.Cluster {
	t.Helper()
	out := *doc.DeepCopy()
	var nodes []v1alpha1.Node
	for role, n := range map[string]int{engine.RoleControlPlane: controlPlanes, engine.RoleWorker: workers} {
		for i := 1; i <= n; i++ {
			nodes = append(nodes, v1alpha1.Node{Name: v1alpha1.NodeName(doc.Name, role, i), Role: role})
		}
	}
	slices.SortFunc(nodes, func(a, b v1alpha1.Node) int { return strings.Compare(a.Name, b.Name) })
	out.SetNodes(nodes)
	return out
}

func TestApplyMakesWhatIsNotThere(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 1)
	diff, err := s.apply(t.Context(), doc)
	if err != nil || !strings.HasPrefix(diff, "+ cluster dev: Kubernetes v1.36.3\n+ control-plane dev-control-plane\n+ worker dev-worker\n+ addon flannel") {
		t.Fatalf("got %q, %v", diff, err)
	}
	s.follows(t, doc)
}

func TestApplyRefusesToMake(t *testing.T) {
	s := newSetup(t)
	o := s.applyOptions()
	o.Only = true
	_, _, err := cluster.Apply(t.Context(), s.run(), "dev", func(*v1alpha1.Cluster) (v1alpha1.Cluster, error) {
		return v1alpha1.Cluster{}, errors.New("asked")
	}, o)
	if !fault.Is(err, fault.ClusterNotFound) {
		t.Errorf("got %v", err)
	}
}

// A cluster goes through its life: every step is reached, nothing more is there than wanted, and what stays is not touched.
func TestApplyLife(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 0)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	first, err := s.Engine.Node(t.Context(), "dev-control-plane")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range [][2]int{{1, 2}, {3, 2}, {3, 0}, {1, 0}, {3, 1}} {
		next := resized(t, doc, size[0], size[1])
		if _, err := s.apply(t.Context(), next); err != nil {
			t.Fatalf("%v: %v", size, err)
		}
		s.follows(t, next)
	}
	now, err := s.Engine.Node(t.Context(), "dev-control-plane")
	if err != nil || now.ID != first.ID || !now.StartedAt.Equal(first.StartedAt) {
		t.Errorf("the first control plane was touched: %+v, %v", now, err)
	}
	calls := s.Calls()
	for _, want := range []string{"Drain dev-worker", "etcd remove dev-control-plane3", "DeleteNodeObject dev-control-plane3", "PatchConfigMap kube-system/kubeadm-config"} {
		if !slices.Contains(calls, want) {
			t.Errorf("%q did not happen: %v", want, calls)
		}
	}
	calls = calls[slices.Index(calls, "Drain dev-control-plane3"):] // before, it was looked whether something stale is in its way
	if drain, member, object := slices.Index(calls, "Drain dev-control-plane3"), slices.Index(calls, "etcd remove dev-control-plane3"),
		slices.Index(calls, "DeleteNodeObject dev-control-plane3"); drain > member || member > object {
		t.Errorf("pods, etcd, object: %d, %d, %d", drain, member, object)
	}
	if conf, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", "/etc/kubernetes/manifests/kube-scheduler.yaml"); err != nil || !strings.Contains(string(conf), "--leader-elect=true") {
		t.Errorf("three control planes have no election: %s, %v", conf, err)
	}
}

func TestApplyReplacesContainers(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 1)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before, _ := s.Engine.Node(t.Context(), "dev-worker")
	created := len(s.Calls())
	next := *doc.DeepCopy()
	nodes := next.Nodes()
	nodes[1].NanoCPUs, nodes[1].Memory = 1_500_000_000, 1<<30
	next.SetNodes(nodes)
	diff, err := s.apply(t.Context(), next)
	if err != nil || diff != "~ worker dev-worker: cpus unlimited → 1.5, memory unlimited → 1Gi (container replaced, about 5 s)" {
		t.Fatalf("got %q, %v", diff, err)
	}
	after, err := s.Engine.Node(t.Context(), "dev-worker")
	if err != nil || after.ID == before.ID || after.IP != before.IP || after.NanoCPUs != 1_500_000_000 || after.Memory != 1<<30 {
		t.Errorf("before %+v, after %+v, %v", before, after, err)
	}
	inOrder(t, s.Calls()[created:], "dns dev-worker") // its rules are there when it is said to be back
	s.follows(t, next)
}

// operations returns how many operations of the engine the changes take, on a cluster of the document.
func operations(t *testing.T, doc v1alpha1.Cluster, steps ...v1alpha1.Cluster) int {
	t.Helper()
	s := newSetup(t)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before := len(s.Engine.Operations())
	for _, next := range steps {
		if _, err := s.apply(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	return len(s.Engine.Operations()) - before
}

// A run is killed at every operation in turn; the next one reaches the document all the same, from whatever was left.
func TestApplyConvergesFromEveryOperation(t *testing.T) {
	base := document(t, "dev", 1)
	bigger := resized(t, base, 3, 2)
	nodes := bigger.Nodes()
	for i := range nodes {
		if nodes[i].Name == "dev-worker" {
			nodes[i].Memory = 1 << 30
		}
	}
	bigger.SetNodes(nodes)
	trusting := *base.DeepCopy()
	trusting.Registries.Mirrors = map[string]v1alpha1.Mirror{"docker.io": {Endpoints: []string{"http://10.0.0.5:5000"}}}
	for name, tt := range map[string]struct{ from, to v1alpha1.Cluster }{
		"grow and replace": {base, bigger}, "shrink": {resized(t, base, 3, 2), base}, "trust": {base, trusting},
	} {
		t.Run(name, func(t *testing.T) {
			count := operations(t, tt.from, tt.to)
			if count < 10 {
				t.Fatalf("only %d operations", count)
			}
			for n := 1; n <= count; n++ {
				s := newSetup(t)
				if err := s.create(t.Context(), tt.from, cluster.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				before := len(s.Engine.Operations())
				s.Engine.FailFrom(before+n, fault.New(fault.EngineUnreachable, "the run was killed"))
				if _, err := s.apply(t.Context(), tt.to); err == nil {
					t.Errorf("operation %d: the run that was cut off went well", n)
				}
				s.Engine.Heal()
				if diff, err := s.apply(t.Context(), tt.to); err != nil {
					t.Errorf("operation %d: %s\n%v", n, diff, err)
					continue
				}
				s.follows(t, tt.to)
			}
		})
	}
}

// What fails in the middle of growing is taken back: the cluster is as it was.
func TestApplyUndoesWhatItAdded(t *testing.T) {
	for _, call := range []string{"CreateBootstrapToken", "CreateNodeObject", "WaitNodesReady"} {
		s := newSetup(t)
		doc := document(t, "dev", 1)
		if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		s.Fail[call] = fault.New(fault.NotReady, "injected")
		if _, err := s.apply(t.Context(), resized(t, doc, 3, 2)); !fault.Is(err, fault.NotReady) {
			t.Errorf("%s: %v", call, err)
		}
		delete(s.Fail, call)
		s.follows(t, doc)
	}
}

func TestApplyAsksFirst(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 1)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	before := len(s.Engine.Operations())
	o := s.applyOptions()
	o.Confirm = func(d cluster.Difference) (bool, error) {
		if len(d.Changes) != 1 || d.Changes[0].Destroys == "" || len(d.Plan.Stages) == 0 {
			t.Errorf("asked about %+v", d)
		}
		return false, nil
	}
	_, _, err := cluster.Apply(t.Context(), s.run(), "dev", func(cur *v1alpha1.Cluster) (v1alpha1.Cluster, error) {
		return cluster.RemoveNodes(*cur, []string{"worker"})
	}, o)
	if err != nil || len(s.Engine.Operations()) != before {
		t.Errorf("%v; did %v", err, s.Engine.Operations()[before:])
	}
}

func TestReplaceANodeThatIsLost(t *testing.T) {
	s := newSetup(t)
	doc := resized(t, document(t, "dev", 1), 3, 1)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	old, _ := s.Engine.Node(t.Context(), "dev-control-plane")
	if err := s.Engine.Crash("dev-control-plane", 137, "killed"); err != nil {
		t.Fatal(err)
	}
	o := s.applyOptions()
	o.Again = []string{"dev-control-plane"}
	if _, _, err := cluster.Apply(t.Context(), s.run(), "dev", func(cur *v1alpha1.Cluster) (v1alpha1.Cluster, error) { return *cur, nil }, o); err != nil {
		t.Fatal(err)
	}
	now, err := s.Engine.Node(t.Context(), "dev-control-plane")
	if err != nil || now.ID == old.ID || now.IP != old.IP {
		t.Errorf("it was %+v, is %+v, %v", old, now, err)
	}
	if calls := s.Calls(); !slices.Contains(calls, "etcd remove dev-control-plane") {
		t.Errorf("etcd still has it: %v", calls)
	}
	s.follows(t, doc)
	// Without a majority elsewhere there is nobody to replace the last one from.
	one := newSetup(t)
	if err := one.create(t.Context(), document(t, "dev", 0), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cluster.Apply(t.Context(), one.run(), "dev", func(cur *v1alpha1.Cluster) (v1alpha1.Cluster, error) { return *cur, nil }, o); !fault.Is(err, fault.ConfigUnsupported) {
		t.Errorf("the last control plane: %v", err)
	}
}

// A node whose pods do not go stays a node of the cluster, whatever is changed next.
func TestDrainThatFailsKeepsTheNode(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 2)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Fail["Drain"] = fault.New(fault.DrainFailed, "injected")
	if _, err := s.apply(t.Context(), resized(t, doc, 1, 1)); !fault.Is(err, fault.DrainFailed) {
		t.Errorf("got %v", err)
	}
	if len(s.Cordoned) > 0 {
		t.Errorf("cordoned: %v", s.Cordoned)
	}
	s.follows(t, doc)
	s.Cordoned["dev-worker2"] = false // by somebody else
	if _, err := s.apply(t.Context(), resized(t, doc, 1, 1)); !fault.Is(err, fault.DrainFailed) {
		t.Errorf("got %v", err)
	}
	if _, is := s.Cordoned["dev-worker2"]; !is {
		t.Error("somebody else's cordon is gone")
	}
	s.follows(t, doc)
}

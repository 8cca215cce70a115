package cluster_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

func TestStopStartPauseResume(t *testing.T) {
	s := newSetup(t)
	ctx := t.Context()
	doc := resized(t, document(t, "dev", 1), 3, 1)
	if err := s.create(ctx, doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	state := func() string {
		t.Helper()
		list, err := cluster.List(ctx, s.Engine)
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		return string(list[0].State)
	}
	for _, step := range []struct {
		name string
		do   func() error
		want string
	}{
		{"pause", func() error { return cluster.Pause(ctx, s.run(), "dev", cluster.PowerOptions{}) }, "paused"},
		{"pause again", func() error { return cluster.Pause(ctx, s.run(), "dev", cluster.PowerOptions{}) }, "paused"},
		{"resume", func() error { return cluster.Resume(ctx, s.run(), "dev", cluster.PowerOptions{}) }, "running"},
		{"pause for stop", func() error { return cluster.Pause(ctx, s.run(), "dev", cluster.PowerOptions{}) }, "paused"},
		{"stop", func() error { return cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{}) }, "stopped"},
		{"stop again", func() error { return cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{}) }, "stopped"},
		{"the engine starts anew", func() error { return s.Engine.Restart(ctx) }, "stopped"},
		{"start", func() error { return cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{}) }, "running"},
		{"start again", func() error { return cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{}) }, "running"},
		{"the engine starts anew", func() error { return s.Engine.Restart(ctx) }, "running"},
		{"stop a node", func() error {
			return cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{Nodes: []string{"worker"}})
		}, "degraded"},
		{"start it", func() error {
			return cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{Nodes: []string{"dev-worker"}})
		}, "running"},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := state(); got != step.want {
			t.Errorf("%s: the cluster is %s, want %s", step.name, got, step.want)
		}
	}
	for name, err := range map[string]error{
		"node":    cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{Nodes: []string{"worker9"}}),
		"cluster": cluster.Start(ctx, s.run(), "nosuch", cluster.PowerOptions{}),
	} {
		if !fault.Is(err, fault.NodeNotFound) && !fault.Is(err, fault.ClusterNotFound) {
			t.Errorf("a %s that is not there: %v", name, err)
		}
	}
	s.follows(t, doc)
}

// A port that something else has taken while the cluster was down: it gets another one, and the kubeconfig follows.
func TestStartWithoutItsPort(t *testing.T) {
	s := newSetup(t)
	ctx := t.Context()
	doc := document(t, "dev", 0)
	if err := s.create(ctx, doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	balancer, err := s.Engine.Node(ctx, "dev-external-load-balancer")
	if err != nil {
		t.Fatal(err)
	}
	s.Engine.TakePort(balancer.Ports[0])
	if err := cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	now, err := s.Engine.Node(ctx, "dev-external-load-balancer")
	if err != nil || now.Ports[0].HostPort == balancer.Ports[0].HostPort {
		t.Fatalf("it has %v, %v", now.Ports, err)
	}
	data, err := os.ReadFile(s.deps.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), fmt.Sprintf("https://127.0.0.1:%d", now.Ports[0].HostPort)) {
		t.Errorf("the kubeconfig has\n%s", data)
	}
	s.follows(t, doc)
}

// An address that the host has no more is named, and another one is given by the document: the certificates and the kubeconfig follow.
func TestAnotherAddress(t *testing.T) {
	s := newSetup(t)
	ctx := t.Context()
	doc := resized(t, document(t, "dev", 0), 3, 0)
	doc.Cluster.Networking.APIServerAddress = "192.0.2.9"
	if err := s.create(ctx, doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Engine.FailOn("StartNode dev-external-load-balancer", fault.AddressMissing, "the host has no address for port 192.0.2.9:6443")
	err := cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{})
	if !fault.Is(err, fault.AddressMissing) || !strings.Contains(fault.ReportOf(err).Hint, "networking.apiServerAddress") {
		t.Errorf("start: %v", err)
	}
	s.Engine.Heal()
	doc.Cluster.Networking.APIServerAddress = "192.0.2.10"
	diff, err := s.apply(ctx, doc)
	if want := "~ load balancer: address 192.0.2.9 → 192.0.2.10 (the context in the kubeconfig follows)"; err != nil || !strings.HasPrefix(diff, want) {
		t.Fatalf("got %s, %v", diff, err)
	}
	s.follows(t, doc)
	for _, node := range []string{"dev-control-plane", "dev-control-plane2", "dev-control-plane3"} {
		data, err := s.Engine.ReadFile(ctx, node, "/etc/kubernetes/pki/apiserver.crt")
		if err != nil {
			t.Fatal(err)
		}
		certs, err := cert.ParseCertsPEM(data)
		if err != nil || certs[0].VerifyHostname("192.0.2.10") != nil {
			t.Errorf("the certificate of %s: %v, %v", node, certs[0].IPAddresses, err)
		}
	}
	data, err := os.ReadFile(s.deps.Kubeconfig)
	if err != nil || !strings.Contains(string(data), "https://192.0.2.10:") {
		t.Errorf("the kubeconfig: %s, %v", data, err)
	}
	if !slices.Contains(s.Calls(), "PatchConfigMap kube-system/kubeadm-config") {
		t.Errorf("calls: %q", s.Calls())
	}
}

// A cluster that is found again after its certificates have ended starts with new ones, and so does the kubeconfig.
func TestStartRenewsCertificates(t *testing.T) {
	s := newSetup(t)
	ctx := t.Context()
	if err := s.create(ctx, document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	read := func(node, path string) string {
		t.Helper()
		data, err := s.Engine.ReadFile(ctx, node, path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	const conf = "/etc/kubernetes/admin.conf"
	before := read("dev-control-plane", conf)
	kubeconfig, err := os.ReadFile(s.deps.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	start := func(after time.Duration) {
		t.Helper()
		s.deps.Now = func() time.Time { return time.Now().Add(after) }
		if err := cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	start(24 * time.Hour)
	if read("dev-control-plane", conf) != before {
		t.Error("certificates that are good for a year were renewed after a day")
	}
	start(13 * 30 * 24 * time.Hour)
	if read("dev-control-plane", conf) == before {
		t.Error("certificates that have ended were not renewed")
	}
	if now, err := os.ReadFile(s.deps.Kubeconfig); err != nil || string(now) == string(kubeconfig) {
		t.Errorf("the kubeconfig was not renewed: %v", err)
	}
}

// A cluster that the engine brought back after a year runs with certificates that end: start leaves them alone and says what renews them.
func TestStartNamesCertificatesThatEnd(t *testing.T) {
	s := newSetup(t)
	ctx := t.Context()
	if err := s.create(ctx, document(t, "dev", 1), cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	start := func(after time.Duration) (warnings []string) {
		t.Helper()
		s.deps.Now = func() time.Time { return time.Now().Add(after) }
		s.log.events = nil
		if err := cluster.Start(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, e := range s.log.events {
			if e.Type == event.Warning {
				warnings = append(warnings, e.Message+": "+e.Hint)
			}
		}
		return warnings
	}
	const day = 24 * time.Hour
	if got := start((365 - 31) * day); len(got) > 0 {
		t.Errorf("31 days before they end: %q", got)
	}
	conf, err := s.Engine.ReadFile(ctx, "dev-control-plane", "/etc/kubernetes/admin.conf")
	if err != nil {
		t.Fatal(err)
	}
	const want = "certificates of nodes that run have ended or end within 30 days: dev-control-plane: `cove restart dev` renews them"
	if got := start((365 - 29) * day); len(got) != 1 || got[0] != want {
		t.Errorf("29 days before they end: %q; want %q", got, want)
	}
	now, err := s.Engine.ReadFile(ctx, "dev-control-plane", "/etc/kubernetes/admin.conf")
	if err != nil || string(now) != string(conf) {
		t.Errorf("they were changed under what runs: %v", err)
	}
	if err := cluster.Stop(ctx, s.run(), "dev", cluster.PowerOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := start((365 - 29) * day); len(got) != 1 || !strings.HasSuffix(got[0], "they are renewed: ") {
		t.Errorf("after a stop: %q", got)
	}
	if got := start((365 - 29) * day); len(got) > 0 {
		t.Errorf("once they are renewed: %q", got)
	}
}

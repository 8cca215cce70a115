//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// kindConfig makes kind run an image of cove's: on cgroup v1 the kubelet has to be told that it may; without
// CAP_SYS_RESOURCE, that it has not all of root's rights; and kubeadm, which etcd and which CoreDNS the image has.
const kindConfig = `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes: [{role: control-plane}, {role: worker}]
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  failCgroupV1: false
  featureGates: {KubeletInUserNamespace: true}
- |
  kind: ClusterConfiguration
  etcd: {local: {imageTag: %q}}
  dns: {imageTag: %q}
`

// TestKindRunsOurImage has kind itself bring up a cluster of cove's node image.
func TestKindRunsOurImage(t *testing.T) {
	e := onThrowAway(t)
	before := contents(t, e)
	kind := buildKind(t)
	var facts struct{ EtcdTag, CoreDNSTag string }
	label := docker(t, e, "image", "inspect", "--format", `{{index .Config.Labels "cove.dev/node-image"}}`, nodeImage())
	if err := json.Unmarshal([]byte(label), &facts); err != nil {
		t.Fatalf("the image's label is %q: %v", label, err)
	}
	dir := t.TempDir()
	config, kubeconfig := filepath.Join(dir, "kind.yaml"), filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(config, fmt.Appendf(nil, kindConfig, facts.EtcdTag, facts.CoreDNSTag), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("E2E_ARTIFACTS") != "" {
			runKind(t, e, kind, "export", "logs", "--name", "peer", filepath.Join(os.Getenv("E2E_ARTIFACTS"), t.Name()))
		}
		runKind(t, e, kind, "delete", "cluster", "--name", "peer", "--kubeconfig", kubeconfig)
		docker(t, e, "network", "rm", "kind")
		if after := contents(t, e); after != before {
			t.Errorf("the engine had\n%s\nand has\n%s", before, after)
		}
	})
	begun := time.Now()
	runKind(t, e, kind, "create", "cluster", "--name", "peer", "--image", nodeImage(), "--config", config, "--kubeconfig", kubeconfig, "--wait", "120s")
	t.Logf("kind was done after %.1f s", time.Since(begun).Seconds())
	wantReady(t, e, kubeconfig, 2)
	// Kubeadm's own addons and what the image brings along: every pod has to run.
	eventually(t, 2*time.Minute, "all pods to be ready", func(ctx context.Context) error {
		pods, err := clientFor(t, kubeconfig, e).CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			if !hasCondition(p.Status.Conditions, corev1.PodReady) {
				return fmt.Errorf("pod %s/%s is %s", p.Namespace, p.Name, p.Status.Phase)
			}
		}
		return nil
	})
}

func hasCondition(conditions []corev1.PodCondition, want corev1.PodConditionType) bool {
	for _, c := range conditions {
		if c.Type == want {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// wantReady waits until as many nodes are there, all Ready.
func wantReady(t *testing.T, p place, kubeconfig string, count int) {
	t.Helper()
	client := clientFor(t, kubeconfig, p)
	eventually(t, 2*time.Minute, "all nodes to be ready", func(ctx context.Context) error {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		ready := 0
		for _, n := range nodes.Items {
			for _, c := range n.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		if ready != count {
			return fmt.Errorf("%d of %d nodes are Ready", ready, count)
		}
		return nil
	})
}

// buildKind compiles kind's command from the module that cove uses.
func buildKind(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "kind")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "sigs.k8s.io/kind")
	build.Dir = root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot compile kind: %v: %s", err, out)
	}
	return bin
}

// runKind runs kind on a throw-away engine; it must succeed.
func runKind(t *testing.T, e *testbed.Engine, kind string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(cleanupContext(t), runLimit)
	defer cancel()
	if out, err := e.Command(ctx, kind, args...).CombinedOutput(); err != nil {
		t.Errorf("kind %v: %v\n%s", args, err, out)
	}
}

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// guarded is a pod on the node NODE that a budget lets nobody evict.
const guarded = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: guarded}
spec:
  selector: {matchLabels: {app: guarded}}
  template:
    metadata: {labels: {app: guarded}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {kubernetes.io/hostname: NODE}
      containers: [{name: it, image: ` + agnhostImage + `, imagePullPolicy: Never, args: [pause]}]
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: guarded}, spec: {minAvailable: 1, selector: {matchLabels: {app: guarded}}}}
`

// TestNodes changes single nodes of a cluster that runs.
func TestNodes(t *testing.T) {
	e := onThrowAway(t)
	agnhostOn(t, e)
	c := newCove(t, e)
	cl := c.create("nodes", "--workers", "2")
	cl.run("image", "load", agnhostImage, "--name", cl.name)
	t.Run("StoppedAndStarted", func(t *testing.T) { stoppedNode(cl.in(t), cl.name+"-worker2") })
	t.Run("Shell", func(t *testing.T) {
		cl := cl.in(t)
		if r := cl.call(t.Context(), "hostname\n", "node", "shell", "worker", "--name", cl.name); r.status != 0 || strings.TrimSpace(r.stdout) != cl.name+"-worker" {
			t.Errorf("its shell: %s", r)
		}
	})
	t.Run("PortsAndMounts", func(t *testing.T) { portsAndMounts(cl.in(t)) })
	t.Run("Budget", func(t *testing.T) { budget(cl.in(t), cl.name+"-worker2") })
	t.Run("RemovalIsCutOff", func(t *testing.T) {
		cl, node := cl.in(t), cl.name+"-worker2"
		remove := []string{"node", "remove", "worker2", "--force", "--drain-timeout", "5s", "--name", cl.name}
		cl.killAt("✓ Remove "+node+" from Kubernetes", remove...)
		cl.run(remove...)
		if left := cl.leavings(); slices.ContainsFunc(left, func(s string) bool { return strings.Contains(s, node) }) {
			t.Errorf("it left %q", left)
		}
		if nodes := nodeNames(t, c.kubeconfig(), e); len(nodes) != 2 {
			t.Errorf("the nodes are %q", nodes)
		}
		follows(cl)
	})
}

// stoppedNode stops and starts one node: the cluster goes on without it meanwhile.
func stoppedNode(cl cluster, node string) {
	cl.run("node", "stop", node, "--name", cl.name)
	stopped := false
	for _, n := range cl.status().Nodes {
		stopped = stopped || n.Name == node && n.Container == "exited"
	}
	if !stopped {
		cl.t.Errorf("after its stop: %+v", cl.status())
	}
	cl.kubectl("get", "nodes")
	cl.run("node", "start", node, "--name", cl.name)
	cl.kubectl("wait", "--for=condition=Ready", "node/"+node, "--timeout=1s") // it is said to be back
}

// portsAndMounts gives a node a port and a mount while a pod runs on it, and takes both away: volume, address and pod stay.
func portsAndMounts(cl cluster) {
	t, node, port := cl.t, cl.name+"-worker", freePort(cl.t)
	shared := t.TempDir()
	if err := os.WriteFile(filepath.Join(shared, "hello"), []byte("from the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	cl.apply(strings.ReplaceAll(site, "NODE", node))
	cl.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	cl.apply(pod("Job", "write", `"mounttest", "--new_file_0644=/data/kept"`, "data"))
	cl.kubectl("wait", "--for=condition=Complete", "job/write", "--timeout=90s")
	address := cl.addressOf(node)
	cl.run("node", "update", "worker", "-p", fmt.Sprintf("127.0.0.1:%d:30080", port), "--mount", shared+":/shared:ro", "--name", cl.name)
	url := fmt.Sprintf("http://127.0.0.1:%d/data/kept", port)
	if kept := get(t, cl.at, url); kept != "mount-tester new file\n" {
		t.Errorf("the port serves %q", kept)
	}
	if hello := cl.run("exec", "worker", "--name", cl.name, "--", "cat", "/shared/hello"); hello != "from the host" {
		t.Errorf("the mount has %q", hello)
	}
	follows(cl)
	cl.run("node", "update", "worker", "--remove-port", fmt.Sprint(port), "--remove-mount", "/shared", "--name", cl.name)
	if conn, err := cl.at.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		_ = conn.Close()
		t.Error("the port that was removed is still there")
	}
	if r := cl.call(t.Context(), "", "exec", "worker", "--name", cl.name, "--", "cat", "/shared/hello"); r.status == 0 {
		t.Error("the mount that was removed is still there")
	}
	cl.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	if now := cl.addressOf(node); now != address {
		t.Errorf("the node had address %s and has %s", address, now)
	}
	follows(cl)
}

// addressOf is the address that Kubernetes has of a node.
func (cl cluster) addressOf(node string) string {
	cl.t.Helper()
	return cl.kubectl("get", "node", node, "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`)
}

// budget wants a node to stay, and to take pods, when its pods must not go.
func budget(cl cluster, node string) {
	cl.apply(strings.ReplaceAll(guarded, "NODE", node))
	cl.kubectl("rollout", "status", "deployment/guarded", "--timeout=60s")
	cl.fails(5, "DRAIN_FAILED", "node", "remove", "worker2", "--drain-timeout", "3s", "--name", cl.name)
	cl.kubectl("rollout", "status", "deployment/guarded", "--timeout=1s")
	if cordoned := cl.kubectl("get", "node", node, "-o", "jsonpath={.spec.unschedulable}"); cordoned != "" {
		cl.t.Error("the node takes no pods any more")
	}
	follows(cl)
}

// killWhen runs cove until the condition is met, and kills it then.
func (cl cluster) killWhen(what string, met func(context.Context) (bool, error), args ...string) {
	cl.t.Helper()
	ctx, cancel := context.WithTimeout(cl.t.Context(), runLimit)
	defer cancel()
	cmd := cl.command(ctx, args...)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		cl.t.Fatal(err)
	}
	eventually(cl.t, 2*time.Minute, what, func(ctx context.Context) error {
		ok, err := met(ctx)
		if err == nil && !ok {
			err = errors.New("not yet")
		}
		return err
	})
	killed := cmd.Process.Kill()
	if err := cmd.Wait(); err == nil || killed != nil {
		cl.t.Fatalf("it ended (%v) before %s, and said\n%s", killed, what, said.String())
	}
}

// members asks etcd, by way of one control plane, how many members it has.
func (cl cluster) members(ctx context.Context, node string) (int, error) {
	const pki = "/etc/kubernetes/pki/etcd/"
	out, err := cl.ask(ctx, "exec", "-n", "kube-system", "etcd-"+node, "--", "etcdctl", "--endpoints=https://localhost:2379",
		"--cacert="+pki+"ca.crt", "--cert="+pki+"healthcheck-client.crt", "--key="+pki+"healthcheck-client.key", "member", "list")
	return len(strings.Split(out, "\n")), err
}

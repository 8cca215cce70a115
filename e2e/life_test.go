//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// site is a pod that serves what is on a volume, under /data. The volume is on one node, NODE.
const site = `
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {kubernetes.io/hostname: NODE}
      containers:
      - {name: web, image: ` + agnhostImage + `, imagePullPolicy: Never, args: [test-webserver, --port=8080], volumeMounts: [{name: data, mountPath: /data}]}
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}}
`

// TestLife takes one cluster through all that a cluster lives through: it grows, stops, starts, gets two more control planes, loses
// the first, gets it back, goes to the next version of Kubernetes, shrinks. What runs on it serves all the while, and what it said
// was written is there in the end.
func TestLife(t *testing.T) {
	onMachine(t)
	need(t, haveImage(t.Context(), machine{}, oldImage))
	c := newCove(t, machine{})
	cl := c.createOf("life", oldImage)
	port := freePort(t)
	cl.run("node", "add", "--name", cl.name, "--count", "2", "--labels", "tier=front", "--cpus", "1.5", "--memory", "1Gi",
		"--image", oldImage)
	cl.run("node", "update", "worker", "--name", cl.name, "-p", fmt.Sprintf("127.0.0.1:%d:30080", port))
	cl.run("image", "load", agnhost(t), "--name", cl.name)
	cl.apply(strings.ReplaceAll(site, "NODE", cl.name+"-worker")) // where its volume is, it stays
	cl.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	cl.apply(pod("Job", "write", `"mounttest", "--new_file_0644=/data/kept"`, "data"))
	cl.kubectl("wait", "--for=condition=Complete", "job/write", "--timeout=90s")
	serves := func(t *testing.T) {
		t.Helper()
		if kept := get(t, c.at, fmt.Sprintf("http://127.0.0.1:%d/data/kept", port)); kept != "mount-tester new file\n" {
			t.Errorf("the volume has %q", kept)
		}
		follows(cl.in(t))
	}
	sizes(cl)
	always := &writer{cl: cl, prefix: "always", pace: 250 * time.Millisecond}
	stop := always.start()
	defer stop()
	for _, step := range []struct {
		name string
		do   func(cl cluster)
	}{
		{"Grown", func(cluster) {}},
		{"StoppedAndStarted", func(cl cluster) {
			cl.run("stop", cl.name)
			if s := cl.status(); s.State != "stopped" {
				cl.t.Errorf("it is %s", s.State)
			}
			cl.age()
			if r := cl.call(cl.t.Context(), "", "start", cl.name); r.status != 0 || !strings.Contains(r.stderr, "they are renewed") {
				cl.t.Fatalf("it does not start with renewed certificates: %s", r)
			}
			cl.goodFor(30*24*time.Hour, true)
			if err := apiAnswers(cl.t.Context(), cl); err != nil {
				cl.t.Error(err)
			}
		}},
		{"CertificatesEndSoon", endingSoon},
		{"ThreeControlPlanes", func(cl cluster) {
			before := podsOf(cl)
			// The rest of a run that is killed while etcd takes in a member is cleared away by the next one.
			add := []string{"node", "add", "--role", "control-plane", "--count", "2", "--name", cl.name}
			cl.killWhen("another member of etcd", func(ctx context.Context) (bool, error) {
				n, err := cl.members(ctx, cl.name+"-control-plane")
				return n > 1, err
			}, add...)
			cl.run(add...)
			if after := podsOf(cl); !slices.Equal(before, after) {
				cl.t.Errorf("pods were touched: %q before, %q after", before, after)
			}
		}},
		{"OneIsKilledAndReplaced", killed},
		{"BalancerKilled", func(cl cluster) {
			docker(cl.t, cl.at, "exec", cl.name+"-external-load-balancer", "pkill", "-9", "haproxy")
			eventually(cl.t, time.Minute, "the API", func(ctx context.Context) error {
				return apiAnswers(ctx, cl)
			})
		}},
		{"AddressChanged", addressChanged},
		{"Upgraded", upgraded},
		{"Shrunk", func(cl cluster) {
			cl.run("node", "remove", "control-plane2", "control-plane3", "--name", cl.name)
			cl.fails(2, "CONFIG_UNSUPPORTED", "node", "remove", "control-plane", "--name", cl.name)
		}},
		{"LessOfAWorker", func(cl cluster) { cl.run("node", "remove", "worker2", "--name", cl.name, "--force") }},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			begun := time.Now()
			step.do(cl.in(t))
			t.Logf("it took %.1f s", time.Since(begun).Seconds())
			serves(t)
		}) {
			return // what comes after would fail for the same reason
		}
	}
	stop()
	always.kept()
}

// addressChanged publishes the API on another address of the host. The kubeconfig leads there, and what answers has a certificate for it.
func addressChanged(cl cluster) {
	file := filepath.Join(cl.t.TempDir(), "moved.yaml")
	document := strings.Replace(cl.run("config", "get", cl.name), "apiServerAddress: 127.0.0.1", "apiServerAddress: 127.0.0.3", 1)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		cl.t.Fatal(err)
	}
	cl.run("apply", "-f", file)
	if data, err := os.ReadFile(cl.kubeconfig()); err != nil || !strings.Contains(string(data), "https://127.0.0.3:") {
		cl.t.Errorf("the kubeconfig, %v:\n%s", err, data)
	}
	client := clientFor(cl.t, cl.kubeconfig(), cl.at)
	for range 6 { // the load balancer has three to choose from
		eventually(cl.t, time.Minute, "an API server with a certificate for the address", func(context.Context) error {
			_, err := client.Discovery().ServerVersion()
			return err
		})
		client = clientFor(cl.t, cl.kubeconfig(), cl.at)
	}
}

// follows wants the cluster to be as the document says that it prints, and usable.
func follows(cl cluster) {
	cl.t.Helper()
	file := filepath.Join(cl.t.TempDir(), "now.yaml")
	document := cl.run("config", "get", cl.name)
	cl.t.Logf("its document:\n%s", document)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		cl.t.Fatal(err)
	}
	if r := cl.call(cl.t.Context(), "", "apply", "-f", file, "--diff"); r.status != 0 {
		cl.t.Errorf("the cluster is not as its own document says: %s", r)
	}
	usable(cl, time.Minute)
}

// usable waits until the cluster says that it is.
func usable(cl cluster, limit time.Duration) {
	cl.t.Helper()
	eventually(cl.t, limit, "the cluster to be usable", func(ctx context.Context) error {
		r := cl.call(ctx, "", "status", cl.name, "-o", "json")
		if r.status != 0 || !strings.Contains(r.stdout, `"usable": true`) {
			return fmt.Errorf("status: %s", r)
		}
		return nil
	})
}

// sizes wants the workers to have what they were given, for the scheduler too: a pod that asks for more stays Pending.
func sizes(cl cluster) {
	cl.t.Helper()
	for what, want := range map[string]string{"cpu": "1500m", "memory": "1Gi"} {
		if got := cl.kubectl("get", "node", cl.name+"-worker", "-o", "jsonpath={.status.allocatable."+what+"}"); got != want {
			cl.t.Errorf("%s of the worker is %s, want %s", what, got, want)
		}
	}
	cl.apply(`{apiVersion: v1, kind: Pod, metadata: {name: large}, spec: {nodeSelector: {tier: front}, containers: [{name: it, image: "` + agnhostImage +
		`", imagePullPolicy: Never, args: [pause], resources: {requests: {memory: 2Gi}}}]}}`)
	eventually(cl.t, time.Minute, "the scheduler to refuse the large pod", func(ctx context.Context) error {
		r := cl.call(ctx, "", "kubectl", "--name", cl.name, "--", "get", "pod", "large", "-o", `jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}`)
		if !strings.Contains(r.stdout, "Insufficient memory") {
			return fmt.Errorf("it says %q", r.stdout)
		}
		return nil
	})
	cl.kubectl("delete", "pod", "large", "--now")
}

// podsOf lists the users' pods and those of DNS with the number of their restarts.
func podsOf(cl cluster) []string {
	cl.t.Helper()
	out := cl.kubectl("get", "pods", "-A", "-l", "app=web", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].restartCount}{"\n"}{end}`)
	out += cl.kubectl("get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].restartCount}{"\n"}{end}`)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return lines
}

// apiAnswers asks the API for something.
func apiAnswers(ctx context.Context, cl cluster) error {
	if r := cl.call(ctx, "", "kubectl", "--name", cl.name, "--", "get", "nodes", "--request-timeout=2s"); r.status != 0 {
		return fmt.Errorf("%s", r)
	}
	return nil
}

// killed kills the first control plane while objects are written through the kubeconfig that the user has, and replaces it. What the
// API said was written must be there.
func killed(cl cluster) {
	t := cl.t
	w := &writer{cl: cl, prefix: "killed"}
	stop := w.start()
	wrote(w, time.Now()) // some before
	docker(t, cl.at, "kill", cl.name+"-control-plane")
	dead := time.Now()
	eventually(t, time.Minute, "writes to be accepted again", func(context.Context) error {
		if w.last().Before(dead.Add(2 * time.Second)) {
			return fmt.Errorf("the last one was %s after the kill", w.last().Sub(dead))
		}
		return nil
	})
	cl.run("node", "replace", "control-plane", "--name", cl.name, "--yes")
	stop()
	w.noneLost()
}

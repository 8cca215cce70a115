//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// elsewhere is a kubeconfig that a user has already.
const elsewhere = `apiVersion: v1
kind: Config
current-context: elsewhere
clusters: [{name: elsewhere, cluster: {server: "https://192.0.2.1:6443"}}]
users: [{name: me, user: {token: secret}}]
contexts: [{name: elsewhere, context: {cluster: elsewhere, user: me, namespace: mine}}]
`

// web is served by two pods on two nodes.
const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {matchLabels: {app: web}}
        matchLabelKeys: [pod-template-hash] # or a rollout's new pods find no place beside the old ones
        nodeTaintsPolicy: Honor
      containers:
      - name: web
        image: ` + agnhostImage + `
        imagePullPolicy: Never
        args: [netexec, --http-port=8080]
        env: [{name: EDITION, value: first}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-outside}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
`

// TestLifecycle makes a cluster of three nodes, uses it as people do, and deletes it.
func TestLifecycle(t *testing.T) {
	onMachine(t)
	c := newCove(t, machine{})
	if err := os.WriteFile(c.kubeconfig(), []byte(elsewhere), 0o600); err != nil {
		t.Fatal(err)
	}
	hostPort := freePort(t)
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	document := fmt.Sprintf(`apiVersion: cove.dev/v1alpha1
kind: Cluster
cluster:
  nodes:
  - role: control-plane
    extraPortMappings: [{containerPort: 30080, hostPort: %d, listenAddress: 127.0.0.1}]
  - role: worker
  - role: worker
`, hostPort)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	cl := c.create("life", "-f", file)
	t.Run("Listed", func(t *testing.T) { testListed(cl.in(t)) })
	t.Run("Kubeconfig", func(t *testing.T) { testKubeconfig(cl.in(t)) })
	cl.run("image", "load", agnhost(t), "--name", cl.name)
	cl.apply(web)
	cl.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	t.Run("Service", func(t *testing.T) { testService(cl.in(t)) })
	t.Run("NodePort", func(t *testing.T) {
		body := get(t, machine{}, fmt.Sprintf("http://127.0.0.1:%d/hostname", hostPort))
		if !slices.Contains(webPods(cl.in(t)), body) {
			t.Errorf("the published port is answered by %q, which is no pod of the service", body)
		}
	})
	t.Run("Exec", func(t *testing.T) { testExec(cl.in(t)) })
	t.Run("Logs", func(t *testing.T) { testLogs(cl.in(t)) })
	t.Run("PortForward", func(t *testing.T) { testPortForward(cl.in(t)) })
	t.Run("Job", func(t *testing.T) { testJob(cl.in(t)) })
	t.Run("Rollout", func(t *testing.T) { testRollout(cl.in(t)) })
	t.Run("Volume", func(t *testing.T) { testVolume(cl.in(t)) })
	if t.Failed() {
		return // and leave the cluster as evidence
	}
	t.Run("Delete", func(t *testing.T) { testDelete(cl.in(t)) })
}

func testListed(cl cluster) {
	clusters := decode[[]summary](cl.cove, "list")
	i := slices.IndexFunc(clusters, func(s summary) bool { return s.Name == cl.name })
	if i < 0 {
		cl.t.Fatalf("the list lacks cluster %s: %+v", cl.name, clusters)
	}
	got := clusters[i]
	got.API = ""
	want := summary{Name: cl.name, State: "running", KubernetesVersion: kubernetesVersion, ControlPlanes: 1, Workers: 2, Context: "cove-" + cl.name}
	if got != want {
		cl.t.Errorf("the list has %+v, want %+v", got, want)
	}
	s := cl.status()
	if !s.APIUp || !s.Usable || len(s.Problems) > 0 {
		cl.t.Errorf("status: %+v", s)
	}
	var nodes []string
	for _, n := range s.Nodes {
		nodes = append(nodes, fmt.Sprint(n.Name, n.Role, n.Container, n.Ready))
	}
	if want := []string{
		fmt.Sprint(cl.name+"-control-plane", "control-plane", "running", true),
		fmt.Sprint(cl.name+"-worker", "worker", "running", true),
		fmt.Sprint(cl.name+"-worker2", "worker", "running", true),
	}; !slices.Equal(nodes, want) {
		cl.t.Errorf("status has nodes %q, want %q", nodes, want)
	}
	if got := cl.containers(cl.t.Context()); !slices.Equal(got, []string{cl.name + "-control-plane", cl.name + "-external-load-balancer", cl.name + "-worker", cl.name + "-worker2"}) {
		cl.t.Errorf("the engine has containers %q", got)
	}
}

// testKubeconfig wants the context beside what the user had, and a client of the user's own to work with it.
func testKubeconfig(cl cluster) {
	t := cl.t
	info, err := os.Stat(cl.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig has mode %o", info.Mode().Perm())
	}
	config, err := clientcmd.LoadFromFile(cl.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "cove-"+cl.name {
		t.Errorf("the current context is %q", config.CurrentContext)
	}
	if mine := config.Contexts["elsewhere"]; mine == nil || mine.Namespace != "mine" {
		t.Errorf("the context that was there before is now %+v", mine)
	}
	if path := strings.TrimSpace(cl.run("kubeconfig", "path", cl.name)); path != cl.kubeconfig() {
		t.Errorf("kubeconfig path says %q, want %q", path, cl.kubeconfig())
	}
	server := config.Clusters[config.Contexts["cove-"+cl.name].Cluster].Server
	if !strings.HasPrefix(server, "https://127.0.0.1:") {
		t.Errorf("the API server is at %s", server)
	}
	if nodes := nodeNames(t, cl.kubeconfig(), cl.at); len(nodes) != 3 {
		t.Errorf("a client that uses the kubeconfig sees nodes %q", nodes)
	}
}

// testService asks each of the two pods to ask the service by its DNS name, and wants answers from both nodes.
func testService(cl cluster) {
	t := cl.t
	pods := webPods(cl)
	nodes := strings.Fields(cl.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"))
	if len(pods) != 2 || nodes[0] == nodes[1] {
		t.Fatalf("pods %q are on nodes %q", pods, nodes)
	}
	for _, pod := range pods {
		path := fmt.Sprintf("/api/v1/namespaces/default/pods/%s:8080/proxy/dial?host=web.default.svc.cluster.local&port=80&protocol=http&request=hostname&tries=30", pod)
		var dialled struct {
			Responses []string `json:"responses"`
			Errors    []string `json:"errors"`
		}
		out := cl.kubectl("get", "--raw", path)
		if err := json.Unmarshal([]byte(out), &dialled); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if len(dialled.Errors) > 0 {
			t.Errorf("from %s: %q", pod, dialled.Errors)
		}
		slices.Sort(dialled.Responses)
		if got := slices.Compact(dialled.Responses); !slices.Equal(got, pods) {
			t.Errorf("from %s the service is answered by %q, want %q", pod, got, pods)
		}
	}
}

func testExec(cl cluster) {
	pod := webPods(cl)[0]
	if out := cl.kubectl("exec", pod, "--", "/agnhost", "--version"); !strings.Contains(out, "version") {
		cl.t.Errorf("exec in the pod prints %q", out)
	}
	r := cl.call(cl.t.Context(), "", "kubectl", "--name", cl.name, "--", "exec", pod, "--", "/agnhost", "connect", "--timeout=2s", "web:1")
	if r.status == 0 {
		cl.t.Error("a command that fails in a pod is a success for cove kubectl")
	}
	if out := strings.TrimSpace(cl.run("exec", "--name", cl.name, cl.name+"-worker2", "--", "cat", "/etc/hostname")); out != cl.name+"-worker2" {
		cl.t.Errorf("exec in the node prints %q", out)
	}
	if r := cl.call(cl.t.Context(), "through", "exec", "--name", cl.name, cl.name+"-worker", "--", "bash", "-c", "cat; exit 7"); r.status != 7 || r.stdout != "through" {
		cl.t.Errorf("want the command's status and its output, got %s", r)
	}
}

func testLogs(cl cluster) {
	pod := webPods(cl)[0]
	if out := cl.kubectl("logs", pod); !strings.Contains(out, "Started HTTP server on port 8080") {
		cl.t.Errorf("the pod's log is %q", out)
	}
	if out := cl.run("logs", cl.name+"-worker", "--name", cl.name); !strings.Contains(out, "kubelet") {
		cl.t.Errorf("the node's log has nothing of the kubelet: %.500s", out)
	}
}

// testPortForward forwards a local port to the service and uses it.
func testPortForward(cl cluster) {
	t := cl.t
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	forward := cl.command(ctx, "kubectl", "--name", cl.name, "--", "port-forward", "service/web", ":80")
	out, err := forward.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	local := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindString(line)
	if err != nil || local == "" {
		t.Fatalf("port-forward prints %q: %v", line, err)
	}
	if body := get(t, cl.at, "http://"+local+"/hostname"); !slices.Contains(webPods(cl), body) {
		t.Errorf("the forwarded port is answered by %q", body)
	}
	cancel()
	if err := forward.Wait(); err == nil {
		t.Error("port-forward ended with success, though it was interrupted")
	}
}

func testJob(cl cluster) {
	cl.apply(pod("Job", "connect", `"connect", "--timeout=5s", "web.default.svc.cluster.local:80"`, ""))
	cl.kubectl("wait", "--for=condition=Complete", "job/connect", "--timeout=60s")
}

// testRollout changes the deployment and takes the change back.
func testRollout(cl cluster) {
	edition := func() string {
		return cl.kubectl("get", "deployment/web", "-o", "jsonpath={.spec.template.spec.containers[0].env[0].value}")
	}
	before := webPods(cl)
	cl.kubectl("set", "env", "deployment/web", "EDITION=second")
	cl.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	if got := edition(); got != "second" {
		cl.t.Errorf("after the rollout the edition is %q", got)
	}
	for _, pod := range webPods(cl) {
		if slices.Contains(before, pod) {
			cl.t.Errorf("pod %s has survived the rollout", pod)
		}
	}
	cl.kubectl("rollout", "undo", "deployment/web")
	cl.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	if got := edition(); got != "first" {
		cl.t.Errorf("after the roll-back the edition is %q", got)
	}
}

// testVolume writes to a claim of the default storage class in one pod, and reads it in another after the first is gone.
func testVolume(cl cluster) {
	cl.apply(`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}`)
	cl.apply(pod("Job", "write", `"mounttest", "--new_file_0644=/data/kept"`, "data"))
	cl.kubectl("wait", "--for=condition=Complete", "job/write", "--timeout=90s")
	cl.kubectl("delete", "job/write", "--cascade=foreground", "--wait", "--timeout=60s")
	cl.apply(pod("Job", "read", `"mounttest", "--file_content=/data/kept"`, "data"))
	cl.kubectl("wait", "--for=condition=Complete", "job/read", "--timeout=90s")
	if out := cl.kubectl("logs", "job/read"); !strings.Contains(out, "mount-tester new file") {
		cl.t.Errorf("the second pod reads %q", out)
	}
}

// testDelete wants everything gone, and the kubeconfig as it was.
func testDelete(cl cluster) {
	t := cl.t
	cl.run("delete", cl.name)
	if left := cl.leavings(); len(left) > 0 {
		t.Errorf("delete left %q", left)
	}
	config, err := clientcmd.LoadFromFile(cl.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	want, err := clientcmd.Load([]byte(elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	got, errGot := clientcmd.Write(*config)
	wanted, errWant := clientcmd.Write(*want)
	if errGot != nil || errWant != nil || string(got) != string(wanted) {
		t.Errorf("the kubeconfig is now\n%s\nwant\n%s", got, wanted)
	}
	cl.fails(3, "CLUSTER_NOT_FOUND", "status", cl.name)
	cl.fails(3, "CLUSTER_NOT_FOUND", "delete", cl.name)
}

// webPods returns the names of web's pods that are not on their way out, in order.
func webPods(cl cluster) []string {
	cl.t.Helper()
	out := cl.kubectl("get", "pods", "-l", "app=web", "-o",
		`go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}`)
	names := strings.Fields(out)
	slices.Sort(names)
	return names
}

// pod returns a Pod, or a Job with one, that runs agnhost with args; claim, if not empty, is mounted at /data.
func pod(kind, name, args, claim string) string {
	mounts, volumes := "", ""
	if claim != "" {
		mounts = "volumeMounts: [{name: data, mountPath: /data}], "
		volumes = fmt.Sprintf("volumes: [{name: data, persistentVolumeClaim: {claimName: %s}}], ", claim)
	}
	spec := fmt.Sprintf(`{restartPolicy: Never, terminationGracePeriodSeconds: 1, %scontainers: [{name: it, image: %q, imagePullPolicy: Never, %sargs: [%s]}]}`,
		volumes, agnhostImage, mounts, args)
	if kind == "Job" {
		return fmt.Sprintf("{apiVersion: batch/v1, kind: Job, metadata: {name: %s}, spec: {backoffLimit: 0, template: {spec: %s}}}", name, spec)
	}
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: %s}", name, spec)
}

//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// haveAddonImages wants the images of addons on the machine's engine, as cove builds them: no registry is asked here.
func haveAddonImages(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "image", "ls", "--format", "{{.Repository}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"metrics-server", "metallb-controller", "metallb-speaker", "traefik", "kwok"} {
		if !slices.Contains(strings.Fields(string(out)), "cove.dev/"+want) {
			need(t, fmt.Errorf("image cove.dev/%s is missing (`cove build addon-images` makes it)", want))
		}
	}
}

// TestAddons makes a cluster of the profile dev with a worker and uses what it is furnished with, as people would.
func TestAddons(t *testing.T) {
	onMachine(t)
	haveAddonImages(t)
	cl := newCove(t, machine{}).create("addons", "--profile", "dev", "--workers", "1")
	// At once: these are the claims of create.
	t.Run("Top", func(t *testing.T) { testTop(cl.in(t)) })
	t.Run("VerifiedTLS", func(t *testing.T) { testVerifiedTLS(cl.in(t)) })
	t.Run("NodeAdded", func(t *testing.T) { testNodeAdded(cl.in(t)) })
	cl.run("image", "load", agnhost(t), "--name", cl.name)
	t.Run("LoadBalancer", func(t *testing.T) { testLoadBalancer(cl.in(t)) })
	t.Run("Volumes", func(t *testing.T) { testVolumes(cl.in(t)) })
	t.Run("Autoscaler", func(t *testing.T) { testAutoscaler(cl.in(t)) })
	t.Run("Traefik", func(t *testing.T) { testTraefik(cl.in(t)) })
	t.Run("Kwok", func(t *testing.T) { testKwok(cl.in(t)) })
	t.Run("Drift", func(t *testing.T) { testDrift(cl.in(t)) })
	t.Run("Own", func(t *testing.T) { testOwn(cl.in(t)) })
	t.Run("BrokenAndMended", func(t *testing.T) { testBroken(cl.in(t)) })
	t.Run("DisableAll", func(t *testing.T) { testDisableAll(cl.in(t)) })
}

// testNodeAdded wants the pods of DaemonSets on a new node to find their images there.
func testNodeAdded(cl cluster) {
	cl.run("node", "add", "--name", cl.name)
	there := "--field-selector=spec.nodeName=" + cl.name + "-worker2"
	cl.kubectl("-n", "metallb-system", "wait", "pod", there, "--for=condition=Ready", "--timeout=60s")
	speaker := cl.kubectl("-n", "metallb-system", "get", "pods", there, "-l", "component=speaker", "-o", "jsonpath={.items[*].metadata.name}")
	failed := cl.kubectl("-n", "metallb-system", "get", "events", "--field-selector=reason=Failed,involvedObject.name="+speaker, "-o", "jsonpath={.items[*].message}")
	if speaker == "" || failed != "" {
		cl.t.Errorf("%q met: %s", speaker, failed)
	}
	cl.run("node", "remove", "worker2", "--name", cl.name)
}

func testTop(cl cluster) {
	nodes := cl.kubectl("top", "nodes", "--no-headers")
	for _, n := range []string{cl.name + "-control-plane", cl.name + "-worker"} {
		if !strings.Contains(nodes, n) {
			cl.t.Errorf("kubectl top nodes lacks %s:\n%s", n, nodes)
		}
	}
	eventually(cl.t, time.Minute, "metrics of etcd's pod", func(ctx context.Context) error {
		out, err := cl.ask(ctx, "top", "pods", "-n", "kube-system")
		if err == nil && !strings.Contains(out, "etcd-"+cl.name) {
			err = fmt.Errorf("kubectl top pods:\n%s", out)
		}
		return err
	})
}

// testVerifiedTLS wants nobody to look away: neither metrics-server from the kubelets' certificates, nor the API server
// from metrics-server's.
func testVerifiedTLS(cl cluster) {
	args := cl.kubectl("get", "deployment", "-n", "kube-system", "metrics-server", "-o", "jsonpath={.spec.template.spec.containers[0].args}")
	if strings.Contains(args, "insecure") || !strings.Contains(args, "--kubelet-certificate-authority=") {
		cl.t.Errorf("metrics-server runs with %s", args)
	}
	if got := cl.kubectl("get", "apiservice", "v1beta1.metrics.k8s.io", "-o", "jsonpath={.spec.insecureSkipTLSVerify}"); got == "true" {
		cl.t.Error("the API server does not verify metrics-server")
	}
	// The kubelet serves with a certificate of the cluster's CA, for its name and address.
	for _, s := range cl.status().Nodes {
		dial := tls.Dialer{Config: &tls.Config{RootCAs: cl.clusterCA(), ServerName: s.Name, MinVersion: tls.VersionTLS12}}
		conn, err := dial.DialContext(cl.t.Context(), "tcp", net.JoinHostPort(s.IP, "10250"))
		if err != nil {
			cl.t.Errorf("the kubelet of %s: %v", s.Name, err)
			continue
		}
		_ = conn.Close()
	}
}

// clusterCA returns the CA of the cluster's Kubernetes.
func (cl cluster) clusterCA() *x509.CertPool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(cl.kubectl("get", "configmap", "kube-root-ca.crt", "-o", `jsonpath={.data.ca\.crt}`))) {
		cl.t.Fatal("the cluster's CA cannot be read")
	}
	return pool
}

const shop = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: shop
        image: ` + agnhostImage + `
        imagePullPolicy: Never
        args: [netexec, --http-port=8080]
        resources: {requests: {cpu: 100m}}
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {type: LoadBalancer, selector: {app: shop}, ports: [{port: 80, targetPort: 8080}]}
`

// testLoadBalancer wants the address to answer from the host within seconds, and status to show it.
func testLoadBalancer(cl cluster) {
	t := cl.t
	cl.apply(strings.Split(shop, "---")[0])
	cl.kubectl("rollout", "status", "deployment/shop", "--timeout=90s")
	begun := time.Now()
	cl.apply(strings.Split(shop, "---")[1])
	address := cl.address("default", "shop")
	get(t, machine{}, "http://"+address+"/hostname")
	t.Logf("the service answers from the host %s after it was made", time.Since(begun).Round(10*time.Millisecond))
	type balancer struct {
		Service   string   `json:"service"`
		Addresses []string `json:"addresses"`
		Reachable string   `json:"reachable"`
	}
	s := decode[struct {
		LoadBalancers []balancer `json:"loadBalancers"`
	}](cl.cove, "status", cl.name)
	if len(s.LoadBalancers) != 1 || s.LoadBalancers[0].Service != "default/shop" || !slices.Equal(s.LoadBalancers[0].Addresses, []string{address}) || s.LoadBalancers[0].Reachable != "" {
		t.Errorf("status: %+v", s.LoadBalancers)
	}
	for _, n := range cl.status().Nodes {
		if n.IP == address {
			t.Errorf("the service has the address of node %s", n.Name)
		}
	}
}

// address waits for the address of a Service.
func (cl cluster) address(namespace, name string) string {
	address := ""
	eventually(cl.t, time.Minute, "an address of service "+name, func(ctx context.Context) (err error) {
		address, err = cl.ask(ctx, "get", "service", "-n", namespace, name, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
		if err == nil && address == "" {
			err = errors.New("it has none")
		}
		return err
	})
	return address
}

// testVolumes writes and reads a volume on each node.
func testVolumes(cl cluster) {
	for i, node := range []string{cl.name + "-control-plane", cl.name + "-worker"} {
		claim := "data" + strconv.Itoa(i)
		cl.apply(`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: ` + claim + `}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}`)
		for _, job := range [][2]string{{"write", `"mounttest", "--new_file_0644=/data/kept"`}, {"read", `"mounttest", "--file_content=/data/kept"`}} {
			name := job[0] + strconv.Itoa(i)
			cl.apply(strings.Replace(pod("Job", name, job[1], claim), "containers:", "nodeSelector: {kubernetes.io/hostname: "+node+"}, tolerations: [{operator: Exists}], containers:", 1))
			cl.kubectl("wait", "--for=condition=Complete", "job/"+name, "--timeout=90s")
			if job[0] == "write" {
				cl.kubectl("delete", "job/"+name, "--cascade=foreground", "--wait", "--timeout=60s")
			} else if out := cl.kubectl("logs", "job/"+name); !strings.Contains(out, "mount-tester new file") {
				cl.t.Errorf("on %s the second pod reads %q", node, out)
			}
		}
	}
}

// testAutoscaler loads a deployment until it is scaled up, and takes the load away until it is scaled down again.
func testAutoscaler(cl cluster) {
	t := cl.t
	cl.apply(`
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}
  minReplicas: 1
  maxReplicas: 2
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}, scaleUp: {stabilizationWindowSeconds: 0}}
`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	busy := make(chan result, 1)
	go func() {
		busy <- cl.call(ctx, "", "kubectl", "--name", cl.name, "--", "exec", "deploy/shop", "--", "timeout", "150", "sh", "-c", "while :; do :; done")
	}()
	replicas := func(want string) func(context.Context) error {
		return func(ctx context.Context) error {
			got, err := cl.ask(ctx, "get", "deployment", "shop", "-o", "jsonpath={.spec.replicas}")
			if err != nil || got == want {
				return err
			}
			scaler, err := cl.ask(ctx, "get", "hpa", "shop", "--no-headers")
			return errors.Join(err, fmt.Errorf("%s replicas; the autoscaler: %s", got, scaler))
		}
	}
	eventually(t, 2*time.Minute, "two replicas under load", replicas("2"))
	cl.kubectl("exec", "deploy/shop", "--", "sh", "-c", "kill $(pidof timeout) $(ps | grep 'while :' | grep -v grep | awk '{print $1}') 2>/dev/null; true")
	stop()
	<-busy
	eventually(t, 3*time.Minute, "one replica without load", replicas("1"))
	cl.kubectl("delete", "hpa", "shop")
}

// snapshot lists what is there in all namespaces: kubectl's all, definitions of kinds, and who may do what.
func (cl cluster) snapshot() []string {
	names := strings.Fields(cl.kubectl("get", "all,crd,namespace,clusterrole,clusterrolebinding,apiservice", "-A", "-o", "name"))
	slices.Sort(names)
	return names
}

// atRest is the snapshot of a cluster of which no pod is on its way out any more, as a rollout or a scale down leaves one behind.
func (cl cluster) atRest() []string {
	eventually(cl.t, 2*time.Minute, "no pod is being deleted", func(ctx context.Context) error {
		leaving, err := cl.ask(ctx, "get", "pods", "-A", "-o", `jsonpath={.items[?(@.metadata.deletionTimestamp)].metadata.name}`)
		if err == nil && leaving != "" {
			err = fmt.Errorf("on their way out: %s", leaving)
		}
		return err
	})
	return cl.snapshot()
}

// difference lists what two snapshots do not share.
func difference(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, "-"+s)
		}
	}
	for _, s := range b {
		if !slices.Contains(a, s) {
			out = append(out, "+"+s)
		}
	}
	return out
}

// testTraefik enables the addon, reaches a pod by Ingress, Gateway and TLS, and disables it without a trace.
func testTraefik(cl cluster) {
	t := cl.t
	before := cl.atRest()
	cl.run("addon", "enable", "traefik", "--name", cl.name)
	cl.apply(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  rules: [{host: shop.localhost, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: traefik, namespace: traefik}]
  hostnames: [gate.` + cl.name + `.localhost]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
`)
	address := cl.address("traefik", "traefik")
	client := cl.frontDoor(address)
	for _, url := range []string{
		"http://shop.localhost/hostname", "http://gate." + cl.name + ".localhost/hostname", "https://gate." + cl.name + ".localhost/hostname",
	} {
		fetch(t, client, 30*time.Second, url, "shop-")
	}
	cl.run("addon", "enable", "traefik", "--name", cl.name) // again: nothing happens
	cl.kubectl("delete", "ingress,httproute", "shop")
	cl.run("addon", "disable", "traefik", "--name", cl.name)
	if changed := difference(before, cl.snapshot()); len(changed) > 0 {
		t.Errorf("the addon left or took %q", changed)
	}
}

// testKwok simulates nodes, more and fewer of them.
func testKwok(cl cluster) {
	ready := func(want int) func(context.Context) error {
		return func(context.Context) error {
			out := cl.kubectl("get", "nodes", "-l", "type=kwok", "--no-headers")
			if got := strings.Count(out, " Ready "); got != want || strings.Count(out, "\n")+1 != max(want, 1) {
				return fmt.Errorf("%d nodes are Ready", got)
			}
			return nil
		}
	}
	cl.run("addon", "enable", "kwok", "--set", "nodes=200", "--name", cl.name)
	eventually(cl.t, time.Minute, "200 simulated nodes", ready(200))
	cl.run("addon", "enable", "kwok", "--set", "nodes=3", "--name", cl.name)
	eventually(cl.t, time.Minute, "3 simulated nodes", ready(3))
	cl.run("addon", "disable", "kwok", "--name", cl.name)
	if out := cl.kubectl("get", "nodes", "-l", "type=kwok", "-o", "name"); out != "" {
		cl.t.Errorf("disable left %s", out)
	}
}

// addonStatus is what `cove addon status` tells, as users' scripts read it.
type addonStatus struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Health   string   `json:"health"`
	Problems []string `json:"problems"`
	Drift    []string `json:"drift"`
}

// testDrift wants a change to be told, and mended.
func testDrift(cl cluster) {
	t := cl.t
	drift := func() []string {
		all := decode[[]addonStatus](cl.cove, "addon", "status", "--name", cl.name)
		var out []string
		for _, s := range all {
			if s.Health != "healthy" {
				t.Errorf("addon %s is %s: %q", s.Name, s.Health, s.Problems)
			}
			out = append(out, s.Drift...)
		}
		return out
	}
	if got := drift(); len(got) > 0 {
		t.Errorf("nobody changed anything, and this has drifted: %q", got)
	}
	cl.kubectl("label", "storageclass", "standard", "mine=1") // not cove's
	cl.kubectl("set", "env", "-n", "metallb-system", "deployment/controller", "MINE=1")
	cl.kubectl("patch", "ipaddresspool", "-n", "metallb-system", "default", "--type=merge", "-p", `{"spec":{"autoAssign":false}}`)
	cl.kubectl("scale", "-n", "local-path-storage", "deployment/local-path-provisioner", "--replicas=2")
	cl.kubectl("rollout", "status", "-n", "local-path-storage", "deployment/local-path-provisioner", "--timeout=60s")
	cl.kubectl("rollout", "status", "-n", "metallb-system", "deployment/controller", "--timeout=60s")
	got := drift()
	if !slices.Contains(got, "deployment local-path-storage/local-path-provisioner: spec.replicas") {
		t.Errorf("drift: %q", got)
	}
	cl.run("addon", "enable", "local-path", "--name", cl.name)
	if got := drift(); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "local-path") }) {
		t.Errorf("after enable: %q", got)
	}
}

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// familyDocument is a cluster with a worker; FAMILY is that of its pods and services.
const familyDocument = `apiVersion: cove.dev/v1alpha1
kind: Cluster
cluster:
  networking: {ipFamily: FAMILY}
  nodes: [{role: control-plane}, {role: worker}]
addons: [{name: metallb}]
`

// familyWeb is a pod on every node, and Services to them: one of the families that POLICY says, one of IPv6 alone, and one
// with an address for the host.
const familyWeb = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations: [{operator: Exists}]
      containers:
      - name: web
        image: ` + agnhostImage + `
        imagePullPolicy: Never
        args: [netexec, --http-port=8080]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ipFamilyPolicy: POLICY, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: six}, spec: {ipFamilies: [IPv6], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: lb}, spec: {type: LoadBalancer, ipFamilies: [IPv6], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}
`

// TestDualStack uses a cluster whose pods and Services have an address of each family.
func TestDualStack(t *testing.T) { testFamily(t, "dual", "RequireDualStack", 2, true) }

// TestIPv6 uses a cluster whose nodes, pods and Services have addresses of IPv6 alone.
func TestIPv6(t *testing.T) { testFamily(t, "ipv6", "SingleStack", 1, false) }

// testFamily makes a cluster of the family, in which a pod and a Service of the policy have that many addresses, and takes it through a
// stop and a start, in which it may grow by a node before.
func testFamily(t *testing.T, family, policy string, addresses int, grow bool) {
	t.Helper()
	onMachine(t)
	haveAddonImages(t)
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(familyDocument, "FAMILY", family)), 0o600); err != nil {
		t.Fatal(err)
	}
	cl := newCove(t, machine{}).create(family, "-f", file)
	cl.run("image", "load", agnhost(t), "--name", cl.name)
	cl.apply(strings.ReplaceAll(familyWeb, "POLICY", policy))
	use := func(t *testing.T) {
		t.Helper()
		familyReaches(cl.in(t), addresses)
	}
	t.Run("Created", use)
	t.Run("Unchanged", func(t *testing.T) {
		follows(cl.in(t))
		other := filepath.Join(t.TempDir(), "other.yaml")
		if err := os.WriteFile(other, []byte(strings.ReplaceAll(familyDocument, "FAMILY", "ipv4")), 0o600); err != nil {
			t.Fatal(err)
		}
		cl.in(t).fails(2, "CONFIG_UNSUPPORTED", "apply", cl.name, "--diff", "-f", other)
	})
	if grow {
		cl.run("node", "add", "--name", cl.name, "--image", nodeImage())
		cl.run("image", "load", agnhostImage, "--name", cl.name)
	}
	cl.run("stop", cl.name)
	cl.run("start", cl.name)
	t.Run("StoppedAndStarted", use)
}

// familyReaches wants each pod to reach the others, wherever they are, and the Services by each of their addresses and by name; names
// that only the engine knows to resolve, which takes the way through CoreDNS and the node to the engine's own DNS; and the host to
// reach what has an address for it.
func familyReaches(cl cluster, addresses int) {
	t := cl.t
	usable(cl, time.Minute)
	cl.kubectl("rollout", "status", "daemonset/web", "--timeout=60s")
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct{ PodIPs []struct{ IP string } }
		}
	}
	if err := json.Unmarshal([]byte(cl.kubectl("get", "pods", "-l", "app=web", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	services := strings.Fields(cl.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIPs[*]}"))
	if len(services) != addresses {
		t.Errorf("the service has addresses %q, want %d", services, addresses)
	}
	for _, from := range list.Items {
		for _, to := range list.Items {
			if len(to.Status.PodIPs) != addresses {
				t.Errorf("pod %s has addresses %v, want %d", to.Metadata.Name, to.Status.PodIPs, addresses)
			}
			for _, ip := range to.Status.PodIPs {
				if got := familyDial(cl, from.Metadata.Name, ip.IP, 8080); got != to.Metadata.Name {
					t.Errorf("from %s, %s is answered by %q, want %s", from.Metadata.Name, ip.IP, got, to.Metadata.Name)
				}
			}
		}
		for _, host := range append(slices.Clone(services), "web.default.svc.cluster.local", "six") {
			if got := familyDial(cl, from.Metadata.Name, host, 80); !strings.HasPrefix(got, "web-") {
				t.Errorf("from %s, the service %s is answered by %q", from.Metadata.Name, host, got)
			}
		}
		cl.kubectl("exec", from.Metadata.Name, "--", "/agnhost", "connect", "--timeout=5s", cl.name+"-external-load-balancer:6443")
	}
	address := cl.address("default", "lb")
	if a, err := netip.ParseAddr(address); err != nil || !a.Is6() {
		t.Fatalf("the load balancer's address is %q, want one of IPv6", address)
	}
	if host := get(t, machine{}, "http://["+address+"]/hostname"); !strings.HasPrefix(host, "web-") {
		t.Errorf("the load balancer's address is answered by %q", host)
	}
}

// familyDial has a pod ask a host for its name, and returns the answer, or what went wrong.
func familyDial(cl cluster, pod, host string, port int) string {
	q := url.Values{"host": {host}, "port": {fmt.Sprint(port)}, "protocol": {"http"}, "request": {"hostname"}, "tries": {"1"}}
	out := cl.kubectl("get", "--raw", fmt.Sprintf("/api/v1/namespaces/default/pods/%s:8080/proxy/dial?%s", pod, q.Encode()))
	var dialled struct{ Responses, Errors []string }
	if err := json.Unmarshal([]byte(out), &dialled); err != nil {
		cl.t.Fatalf("%v: %s", err, out)
	}
	return strings.Join(append(dialled.Responses, dialled.Errors...), " ")
}

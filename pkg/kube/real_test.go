//go:build real

package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cove-k8s/cove/pkg/kubeadm"
)

func run(t *testing.T, bin string, args ...string) *exec.Cmd {
	cmd := exec.Command(bin, args...)
	log, _ := os.Create("/tmp/kt/" + filepath.Base(bin) + ".log")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

func TestReal(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"kubeadm", "kube-apiserver", "kube-controller-manager"} {
		os.Symlink("/tmp/out/kube", filepath.Join(dir, n))
	}
	ca, err := kubeadm.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pki := filepath.Join(dir, "pki")
	os.Mkdir(pki, 0o755)
	os.WriteFile(pki+"/ca.crt", ca.CertPEM(), 0o644)
	os.WriteFile(pki+"/ca.key", ca.KeyPEM(), 0o600)
	conf := `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 192.0.2.2}
nodeRegistration: {name: cp, criSocket: unix:///x}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.3
encryptionAlgorithm: ECDSA-P256
certificatesDir: ` + pki + `
controlPlaneEndpoint: dev-endpoint:6443
`
	os.WriteFile(dir+"/c.yaml", []byte(conf), 0o644)
	out, err := exec.Command(dir+"/kubeadm", "init", "phase", "certs", "all", "--config", dir+"/c.yaml").CombinedOutput()
	fmt.Println(string(out), err)
	run(t, "/tmp/out/etcd", "--data-dir", dir+"/etcd", "--listen-client-urls", "http://127.0.0.1:12379", "--advertise-client-urls", "http://127.0.0.1:12379",
		"--listen-peer-urls", "http://127.0.0.1:12380", "--unsafe-no-fsync")
	cert, key, err := ca.ClientCert("cove", []string{"system:masters"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{Server: "https://dev-endpoint:6443", ServerName: "dev-endpoint", CA: ca.CertPEM(), Cert: cert, Key: key,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:16443")
		}})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	last := ""
	at := func(what string) {
		if what == last {
			return
		}
		last = what
		fmt.Printf("%6.3f %s\n", time.Since(begun).Seconds(), what)
	}
	run(t, dir+"/kube-apiserver", "--secure-port=16443", "--bind-address=127.0.0.1", "--etcd-servers=http://127.0.0.1:12379", "--client-ca-file="+pki+"/ca.crt",
		"--tls-cert-file="+pki+"/apiserver.crt", "--tls-private-key-file="+pki+"/apiserver.key", "--authorization-mode=Node,RBAC", "--allow-privileged",
		"--service-account-issuer=https://x", "--service-account-key-file="+pki+"/sa.pub", "--service-account-signing-key-file="+pki+"/sa.key", "--service-cluster-ip-range=10.96.0.0/16",
		"--enable-admission-plugins=NodeRestriction", "--runtime-config=api/all=true")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 60*time.Second, context.DeadlineExceeded)
	defer cancel()
	if err := c.WaitAPI(ctx, func(s string) { at(s) }); err != nil {
		t.Fatal(err)
	}
	at("API")
	objs, err := Decode([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	applied := make(chan error, 1)
	go func() { err := c.Apply(ctx, objs); at("applied"); applied <- err }()
	if err := c.CreateNodeObject(ctx, "w1", netip.MustParsePrefix("10.244.1.0/24"), map[string]string{"node-role.kubernetes.io/x": ""}); err != nil {
		t.Error(err)
	}
	at("node")
	for {
		if _, err := c.raw.Get().AbsPath("/readyz").Do(ctx).Raw(); err == nil {
			break
		}
		pause(ctx, 5*time.Millisecond)
	}
	at("readyz with roles")
	if err := <-applied; err != nil {
		t.Error(err)
	}
	// kinds
	_, lists, err := c.set.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Error(err)
	}
	n := 0
	var kinds []string
	defer func() { os.WriteFile("testdata/kinds.txt", []byte(strings.Join(kinds, "")), 0o644) }()
	for _, l := range lists {
		gv, _ := schema.ParseGroupVersion(l.GroupVersion)
		for _, r := range l.APIResources {
			if strings.Contains(r.Name, "/") {
				continue
			}
			n++
			if strings.HasSuffix(l.GroupVersion, "v1") || strings.HasSuffix(l.GroupVersion, "v2") {
				kinds = append(kinds, fmt.Sprintf("%s %s %s %v\n", l.GroupVersion, r.Kind, r.Name, r.Namespaced))
			}
			got, err := c.resourceOf(gv.WithKind(r.Kind))
			if err != nil || got.Resource != r.Name || got.namespaced != r.Namespaced {
				t.Errorf("%s %s: %+v %v; want %s %v", gv, r.Kind, got, err, r.Name, r.Namespaced)
			}
		}
	}
	fmt.Println(n, "kinds compared")
	// errors
	for _, bad := range []string{
		"{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: x}}",
		"{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: 1}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: {b: c}}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: X_}}",
	} {
		o, _ := Decode([]byte(bad))
		fmt.Println("=>", c.Apply(ctx, o))
	}
	short, cancel2 := context.WithTimeout(ctx, 300*time.Millisecond)
	o, _ := Decode([]byte("{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: none}}\n---\n{apiVersion: nope.io/v1, kind: Foo, metadata: {name: x}}"))
	fmt.Println("=>", c.Apply(short, o))
	cancel2()
	if err := c.CreateNodeObject(ctx, "w1", netip.MustParsePrefix("10.244.1.0/24"), map[string]string{"a": "b"}); err != nil {
		t.Error(err)
	}
	fmt.Println("=>", c.CreateNodeObject(ctx, "w1", netip.MustParsePrefix("10.244.2.0/24"), nil))
	if _, err := c.set.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w2"}}, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	if err := c.CreateNodeObject(ctx, "w2", netip.MustParsePrefix("10.244.2.0/24"), map[string]string{"a": "b"}); err != nil {
		t.Error(err)
	}
	nodes, err := c.Nodes(ctx)
	fmt.Printf("%+v %v\n", nodes, err)
	short, cancel2 = context.WithTimeout(ctx, 300*time.Millisecond)
	fmt.Println("=>", c.WaitNodesReady(short, []string{"w1", "w2", "w9"}, func(s string) { at(s) }))
	cancel2()
	// controller manager, and WaitWorkloads that fails for want of a scheduler
	adminConf := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: "https://127.0.0.1:16443", certificate-authority: %[1]s/ca.crt, tls-server-name: dev-endpoint}}], contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {client-certificate: %[2]s/a.crt, client-key: %[2]s/a.key}}]}`, pki, dir)
	os.WriteFile(dir+"/a.crt", cert, 0o600)
	os.WriteFile(dir+"/a.key", key, 0o600)
	os.WriteFile(dir+"/admin.conf", []byte(adminConf), 0o600)
	run(t, dir+"/kube-controller-manager", "--kubeconfig="+dir+"/admin.conf", "--leader-elect=false", "--kube-api-qps=1000", "--kube-api-burst=2000", "--secure-port=0")
	short, cancel2 = context.WithTimeout(ctx, 20*time.Second)
	fmt.Println("=>", c.WaitWorkloads(short, []Ref{{"Deployment", "mine", "web"}, {"DaemonSet", "mine", "ds"}, {"Deployment", "mine", "none"}}, func(s string) { at(s) }))
	cancel2()
	go func() {
		pause(ctx, 500*time.Millisecond)
		for _, n := range []string{"w1", "w2"} {
			_, err := c.set.CoreV1().Nodes().Patch(ctx, n, "application/strategic-merge-patch+json", []byte(`{"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady"}]}}`), metav1.PatchOptions{}, "status")
			if err != nil {
				t.Error(err)
			}
			at("patched " + n)
		}
	}()
	if err := c.WaitNodesReady(ctx, []string{"w1", "w2"}, func(s string) { at(s) }); err != nil {
		t.Error(err)
	}
	at("nodes ready")
	if err := c.Evidence(ctx, dir+"/ev"); err != nil {
		t.Error(err)
	}
	ev, _ := exec.Command("sh", "-c", "ls -la "+dir+"/ev; head -30 "+dir+"/ev/pods.yaml; cat "+dir+"/ev/events.yaml | head -40").CombinedOutput()
	fmt.Println(string(ev))
	for _, n := range []string{"w1", "w1"} {
		if err := c.DeleteNodeObject(ctx, n); err != nil {
			t.Error(err)
		}
	}
	_ = errors.New
}

const manifest = `
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: mine}}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: mine}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
  subjects: [{kind: ServiceAccount, name: web, namespace: mine}]
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: one, namespace: mine}
spec: {a: 1}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: mine, creationTimestamp: null}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, creationTimestamp: null}
    spec: {serviceAccountName: web, priorityClassName: system-cluster-critical, containers: [{name: web, image: nothing}]}
status: {}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ds, namespace: mine}
spec:
  selector: {matchLabels: {app: ds}}
  template:
    metadata: {labels: {app: ds}}
    spec: {serviceAccountName: missing, containers: [{name: web, image: nothing}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: mine}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

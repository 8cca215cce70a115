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

	"k8s.io/client-go/tools/clientcmd"

	"github.com/cove-k8s/cove/pkg/addon/addontest"
	"github.com/cove-k8s/cove/pkg/kube"
)

// write writes files below a folder of the test's and returns the folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// testOwn enables a folder of manifests and a chart of the user's own, upgrades by applying again, and disables them.
func testOwn(cl cluster) {
	t := cl.t
	before := cl.atRest()
	settings := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: default}\ndata: {color: red}\n"
	dir := write(t, map[string]string{
		"mine/a.yaml":             fmt.Sprintf(settings, "mine-a"),
		"mine/b.yaml":             fmt.Sprintf(settings, "mine-b"),
		"chart/Chart.yaml":        "apiVersion: v2\nname: chart\nversion: 0.1.0\n",
		"chart/values.yaml":       "color: red\n",
		"chart/templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-chart}\ndata: {color: {{ .Values.color }}}\n",
	})
	cl.run("addon", "enable", filepath.Join(dir, "mine"), "--name", cl.name)
	if err := os.Remove(filepath.Join(dir, "mine/b.yaml")); err != nil {
		t.Fatal(err)
	}
	cl.run("addon", "enable", filepath.Join(dir, "mine"), "--name", cl.name)
	if got := cl.kubectl("get", "configmap", "-o", "name", "--field-selector", "metadata.name!=kube-root-ca.crt"); got != "configmap/mine-a" {
		t.Errorf("config maps: %s", got)
	}
	cl.run("addon", "enable", filepath.Join(dir, "chart"), "--set", "color=blue", "--name", cl.name)
	if got := cl.kubectl("get", "configmap", "-n", "chart", "of-chart", "-o", "jsonpath={.data.color}"); got != "blue" {
		t.Errorf("the chart's value is %q", got)
	}
	cl.run("addon", "disable", "mine", "chart", "--name", cl.name)
	if changed := difference(before, cl.snapshot()); len(changed) > 0 {
		t.Errorf("the addons left or took %q", changed)
	}
}

// testBroken enables an addon whose image nobody has, and mends it.
func testBroken(cl cluster) {
	t := cl.t
	deployment := `apiVersion: apps/v1
kind: Deployment
metadata: {name: broken, namespace: default}
spec:
  selector: {matchLabels: {app: broken}}
  template:
    metadata: {labels: {app: broken}}
    spec: {containers: [{name: main, image: "%s", imagePullPolicy: %s, args: [pause]}]}
`
	dir := write(t, map[string]string{"broken/d.yaml": fmt.Sprintf(deployment, "cove.test/none:v1", "Never")})
	path := filepath.Join(dir, "broken")
	r := cl.fails(5, "ADDON_FAILED", "addon", "enable", path, "--timeout", "15s", "--name", cl.name)
	if !strings.Contains(r.stderr, "ErrImageNeverPull") {
		t.Errorf("the error does not say what the pod says: %s", r.stderr)
	}
	status := cl.call(t.Context(), "", "addon", "status", "broken", "--name", cl.name)
	if status.status == 0 || !strings.Contains(status.stdout, "failed") {
		t.Error(status)
	}
	if err := os.WriteFile(filepath.Join(path, "d.yaml"), fmt.Appendf(nil, deployment, agnhostImage, "IfNotPresent"), 0o600); err != nil {
		t.Fatal(err)
	}
	cl.run("addon", "enable", path, "--name", cl.name)
	cl.run("addon", "disable", "broken", "--name", cl.name)
	// A manifest that is refused: the error names the object, and the next run mends what is there of it.
	bad := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine, namespace: default}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name, namespace: default}\n"
	file := filepath.Join(write(t, map[string]string{"bad.yaml": bad}), "bad.yaml")
	if r := cl.fails(5, "KUBERNETES_REFUSED", "addon", "enable", file, "--name", cl.name); !strings.Contains(r.stderr, "Not_A_Name") {
		t.Errorf("the error does not name the object: %s", r.stderr)
	}
	if s := cl.call(t.Context(), "", "addon", "status", "bad", "--name", cl.name); !strings.Contains(s.stdout, "interrupted") {
		t.Error(s)
	}
	cl.run("addon", "disable", "bad", "--name", cl.name)
}

// testDisableAll takes all addons off: what is left is a cluster of the profile minimal.
func testDisableAll(cl cluster) {
	t := cl.t
	cl.kubectl("delete", "service,deployment", "shop")
	cl.kubectl("delete", "job", "--all", "--cascade=foreground")
	cl.kubectl("delete", "pvc", "--all", "--wait=true", "--timeout=60s")
	cl.run("addon", "disable", "metrics-server", "metallb", "local-path", "--force", "--name", cl.name)
	for _, name := range cl.snapshot() {
		if strings.Contains(name, "metrics") && !strings.Contains(name, "system:") || strings.Contains(name, "metallb") || strings.Contains(name, "local-path") {
			t.Errorf("left: %s", name)
		}
	}
	if out := cl.kubectl("get", "nodes", "--no-headers"); strings.Count(out, " Ready ") != 2 {
		t.Errorf("nodes: %s", out)
	}
}

// TestIngressPorts makes a cluster of the profile ingress whose ports are on the host's loopback.
func TestIngressPorts(t *testing.T) {
	onMachine(t)
	haveAddonImages(t)
	port := freePort(t)
	cl := newCove(t, machine{}).create("ingress", "--profile", "ingress", "--set", fmt.Sprintf("traefik.hostPorts.http=%d", port))
	cl.run("image", "load", agnhost(t), "--name", cl.name)
	cl.apply(shop + `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  rules: [{host: shop.localhost, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}}]
`)
	url := fmt.Sprintf("http://shop.localhost:%d/hostname", port)
	fetch(t, browser(dialTo("127.0.0.1"), nil), time.Minute, url, "shop-") // as a browser resolves *.localhost
	// A port that the node does not publish cannot be had by the addon alone, and the error says what can be done.
	https := freePort(t)
	r := cl.fails(2, "ADDON_UNFIT", "addon", "enable", "traefik", "--set", fmt.Sprintf("hostPorts.https=%d", https), "--name", cl.name)
	if !strings.Contains(r.stderr, "cove apply") {
		t.Errorf("no way out is told: %s", r.stderr)
	}
	cl.run("apply", cl.name, "--set", fmt.Sprintf("traefik.hostPorts.https=%d", https))
	fetch(t, browser(dialTo("127.0.0.1"), nil), time.Minute, url, "shop-") // the port before is still there
	if out := docker(t, machine{}, "port", cl.name+"-control-plane"); !strings.Contains(out, fmt.Sprintf(":%d\n", https)) && !strings.HasSuffix(out, fmt.Sprintf(":%d", https)) {
		t.Errorf("the node publishes\n%s", out)
	}
	t.Run("Contract", func(t *testing.T) {
		config, err := clientcmd.BuildConfigFromFlags("", cl.kubeconfig())
		if err != nil {
			t.Fatal(err)
		}
		client, err := kube.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		addontest.Contract(t, client)
	})
}

// TestForeign works on the addons of a cluster as if cove had not made it: by its kubeconfig alone.
func TestForeign(t *testing.T) {
	onMachine(t)
	haveAddonImages(t)
	cl := newCove(t, machine{}).create("foreign", "--profile", "minimal")
	// Its nodes pull images, and no registry is here: they have them already.
	const upstream = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
	docker(t, machine{}, "tag", "cove.dev/metrics-server:v0.9.0", upstream)
	t.Cleanup(func() { docker(t, machine{}, "rmi", upstream) })
	cl.run("image", "load", upstream, "--name", cl.name)
	there := []string{"--kubeconfig", cl.kubeconfig(), "--context", "cove-" + cl.name}
	r := cl.call(t.Context(), "", append([]string{"profile", "apply", "dev", "--timeout", "3m"}, there...)...)
	if r.status != 0 {
		t.Fatal(r)
	}
	for _, left := range []string{"flannel", "local-path", "metallb"} {
		if !strings.Contains(r.stderr+r.stdout, left) {
			t.Errorf("it is not said that %s is left out: %s", left, r)
		}
	}
	names := []string{}
	for _, s := range decode[[]addonStatus](cl.cove, append([]string{"addon", "status"}, there...)...) {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"flannel", "metrics-server"}) {
		t.Errorf("addons: %q", names)
	}
	cl.kubectl("top", "nodes")
	cl.fails(2, "ADDON_PARAMETER", append([]string{"addon", "enable", "metallb"}, there...)...)
	cl.fails(2, "ADDON_UNFIT", append([]string{"addon", "enable", "local-path"}, there...)...)
	cl.run(append([]string{"addon", "disable", "metrics-server"}, there...)...)
}

// TestNoCNI leaves the pod network to the user: nodes are not awaited, and get Ready when there is one.
func TestNoCNI(t *testing.T) {
	onMachine(t)
	cl := newCove(t, machine{}).create("nocni", "--profile", "minimal", "--cni", "none")
	if out := cl.kubectl("get", "nodes", "--no-headers"); !strings.Contains(out, "NotReady") {
		t.Errorf("nodes: %s", out)
	}
	cl.run("addon", "enable", "flannel", "--name", cl.name)
	cl.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
}

// TestAddonInterrupted ends a run in the middle, and one whose API goes away: the next one mends it.
func TestAddonInterrupted(t *testing.T) {
	onMachine(t)
	haveAddonImages(t)
	cl := newCove(t, machine{}).create("cut", "--profile", "minimal")
	cmd := cl.command(t.Context(), "addon", "enable", "metallb", "--name", cl.name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the addon's record", func(ctx context.Context) error {
		_, err := cl.ask(ctx, "get", "secret", "-n", "kube-system", "cove-addon-metallb", "-o", "name")
		return err
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if r := cl.call(t.Context(), "", "apply", cl.name, "--diff"); r.status != 10 || !strings.Contains(r.stdout, "~ addon metallb: a run that was cut off was changing it") {
		t.Errorf("the next run would not go on: %s", r)
	}
	cl.run("addon", "enable", "metallb", "--name", cl.name)
	follows(cl)
	cl.run("addon", "disable", "metallb", "--name", cl.name)
	backToTheOldDocument(cl)
	cl.run("addon", "enable", "metallb", "--name", cl.name)
	cp := cl.name + "-control-plane"
	docker(t, machine{}, "stop", "--time", "1", cp)
	cl.fails(4, "CLUSTER_NOT_RUNNING", "addon", "disable", "metallb", "--name", cl.name)
	docker(t, machine{}, "start", cp)
	eventually(t, time.Minute, "the API", func(ctx context.Context) error {
		if r := cl.call(ctx, "", "addon", "status", "--name", cl.name); r.status != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	cl.run("addon", "disable", "metallb", "--name", cl.name)
}

// backToTheOldDocument kills a run in the middle of what it changes in Kubernetes alone, and has the document applied that was there before.
func backToTheOldDocument(cl cluster) {
	cl.t.Helper()
	old := cl.run("config", "get", cl.name)
	next := strings.Replace(old, "\naddons:\n", "\naddons:\n  - name: metallb\n", 1)
	next = strings.Replace(next, "- role: control-plane\n", "- role: control-plane\n      labels: {cove.test/rack: a}\n", 1)
	dir := write(cl.t, map[string]string{"old.yaml": old, "next.yaml": next})
	cl.killWhen("the addon's record", func(ctx context.Context) (bool, error) {
		_, err := cl.ask(ctx, "get", "secret", "-n", "kube-system", "cove-addon-metallb", "-o", "name")
		return err == nil, err
	}, "apply", "-f", filepath.Join(dir, "next.yaml"))
	label := []string{"get", "node", cl.name + "-control-plane", "-o", `jsonpath={.metadata.labels.cove\.test/rack}`}
	if got := cl.kubectl(label...); got != "a" {
		cl.t.Errorf("the run that was killed had set the label to %q", got)
	}
	cl.run("apply", "-f", filepath.Join(dir, "old.yaml"), "--yes")
	if got := cl.kubectl(label...); got != "" {
		cl.t.Errorf("the label is still there: %q", got)
	}
	if got := cl.kubectl("get", "secrets", "-n", "kube-system", "-l", "cove.dev/addon=metallb", "-o", "name"); got != "" {
		cl.t.Errorf("the addon is still there: %s", got)
	}
	follows(cl)
}

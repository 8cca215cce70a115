//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKindDocument gives cove a file that was written for kind, with every field that it honours, and looks for each in
// the cluster.
func TestKindDocument(t *testing.T) {
	onMachine(t)
	c := newCove(t, machine{})
	shared := t.TempDir()
	if err := os.WriteFile(filepath.Join(shared, "hello"), []byte("from the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	apiPort, webPort := freePort(t), freePort(t)
	file := filepath.Join(t.TempDir(), "kind.yaml")
	document := fmt.Sprintf(`kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
featureGates:
  CoordinatedLeaderElection: true
runtimeConfig:
  "coordination.k8s.io/v1beta1": "true"
networking:
  apiServerAddress: 127.0.0.1
  apiServerPort: %d
  podSubnet: 10.77.0.0/16
  serviceSubnet: 10.78.0.0/16
  kubeProxyMode: nftables
containerdConfigPatches:
- |-
  [plugins."io.containerd.cri.v1.runtime"]
    max_container_log_line_size = 12345
containerdConfigPatchesJSON6902:
- |
  [{"op": "add", "path": "/plugins/io.containerd.cri.v1.images/max_concurrent_downloads", "value": 5}]
kubeadmConfigPatches:
- |
  kind: ClusterConfiguration
  apiServer:
    extraArgs:
    - name: v
      value: "3"
nodes:
- role: control-plane
  kubeadmConfigPatches:
  - |
    kind: InitConfiguration
    nodeRegistration:
      kubeletExtraArgs:
      - name: node-labels
        value: "patched=init"
  extraPortMappings:
  - containerPort: 30081
    hostPort: %d
    listenAddress: "127.0.0.1"
    protocol: TCP
  - {containerPort: 30082, hostPort: 0, listenAddress: "127.0.0.1"}
- role: worker
  labels:
    tier: frontend
  kubeadmConfigPatches:
  - |
    kind: JoinConfiguration
    nodeRegistration:
      taints: [{key: soft, value: "1", effect: PreferNoSchedule}]
      kubeletExtraArgs: {node-labels: "patched=join"}
  extraMounts:
  - hostPath: %s
    containerPath: /shared
    readOnly: true
`, apiPort, webPort, shared)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	cl := c.create("kinddoc", "-f", file)
	controlPlane, worker := cl.name+"-control-plane", cl.name+"-worker"

	for _, want := range []struct{ what, in string }{
		{"CoordinatedLeaderElection=true", cl.run("exec", controlPlane, "--name", cl.name, "--", "cat", "/etc/kubernetes/manifests/kube-apiserver.yaml")},
		{"--v=3", cl.run("exec", controlPlane, "--name", cl.name, "--", "cat", "/etc/kubernetes/manifests/kube-apiserver.yaml")},
		{"CoordinatedLeaderElection: true", cl.run("exec", worker, "--name", cl.name, "--", "cat", "/var/lib/kubelet/config.yaml")},
		{"coordination.k8s.io/v1beta1", cl.kubectl("api-versions")},
		{fmt.Sprintf("https://127.0.0.1:%d", apiPort), cl.run("kubeconfig", "get", cl.name)},
		{"10.78.0.1", cl.kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")},
		{"nftables", cl.kubectl("get", "configmap", "kube-proxy", "-n", "kube-system", "-o", "jsonpath={.data}")},
		{"max_concurrent_downloads = 5", cl.run("exec", worker, "--name", cl.name, "--", "containerd", "config", "dump")},
		{"= 12345", cl.run("exec", worker, "--name", cl.name, "--", "containerd", "config", "dump")},
		{"init", cl.kubectl("get", "node", controlPlane, "-o", "jsonpath={.metadata.labels.patched}")},
		{"join", cl.kubectl("get", "node", worker, "-o", "jsonpath={.metadata.labels.patched}")},
		{"soft=1:PreferNoSchedule", cl.kubectl("get", "node", worker, "-o", "jsonpath={range .spec.taints[*]}{.key}={.value}:{.effect} {end}")},
		{"frontend", cl.kubectl("get", "node", worker, "-o", "jsonpath={.metadata.labels.tier}")},
		{"from the host", cl.run("exec", worker, "--name", cl.name, "--", "cat", "/shared/hello")},
	} {
		if !strings.Contains(want.in, want.what) {
			t.Errorf("%q is not in %.2000q", want.what, want.in)
		}
	}
	for _, cidr := range strings.Fields(cl.kubectl("get", "nodes", "-o", "jsonpath={.items[*].spec.podCIDR}")) {
		if !strings.HasPrefix(cidr, "10.77.") {
			t.Errorf("a node has pods in %s", cidr)
		}
	}
	if r := cl.call(t.Context(), "", "exec", worker, "--name", cl.name, "--", "touch", "/shared/new"); r.status == 0 {
		t.Error("a mount that is to be read-only can be written")
	}
	cl.run("image", "load", agnhost(t), "--name", cl.name)
	cl.apply(pod("Pod", "web", `"netexec", "--http-port=8080"`, ""))
	cl.kubectl("label", "pod", "web", "app=web")
	cl.apply(`{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: NodePort, selector: {app: web}, ports: [{name: a, port: 80, targetPort: 8080, nodePort: 30081}, {name: b, port: 81, targetPort: 8080, nodePort: 30082}]}}`)
	cl.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
	if body := get(t, machine{}, fmt.Sprintf("http://127.0.0.1:%d/hostname", webPort)); body != "web" {
		t.Errorf("the published port is answered by %q", body)
	}
	random, err := cl.at.Command(t.Context(), "docker", "port", controlPlane, "30082/tcp").Output()
	if err != nil {
		t.Fatal(err)
	}
	if body := get(t, machine{}, "http://"+strings.TrimSpace(string(random))+"/hostname"); body != "web" {
		t.Errorf("the port that the engine chose, %s, is answered by %q", random, body)
	}
}

// TestRefusals gives cove documents that it cannot honour, and wants it to name what is wrong and to make nothing.
func TestRefusals(t *testing.T) {
	onMachine(t)
	c := newCove(t, machine{})
	for name, test := range map[string]struct {
		document string
		code     string
		names    []string
	}{
		"UnknownField": {"kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodez: []\n", "CONFIG_INVALID", []string{"nodez"}},
		"AllErrors": {
			"kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: worker\n  extraPortMappings: [{containerPort: 99999}]\nnetworking: {podSubnet: nowhere}\n",
			"CONFIG_INVALID",
			[]string{"extraPortMappings[0].containerPort", "networking.podSubnet"},
		},
		"TwoControlPlanes": {
			"kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: control-plane}, {role: control-plane}]\n", "CONFIG_INVALID", []string{"majority"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "cluster.yaml")
			if err := os.WriteFile(file, []byte(test.document), 0o600); err != nil {
				t.Fatal(err)
			}
			in := *c
			in.t = t
			cl := in.newName("refused")
			r := in.fails(2, test.code, "create", cl.name, "-f", file, "--image", nodeImage())
			for _, want := range test.names {
				if !strings.Contains(r.stderr, want) {
					t.Errorf("the message does not name %s: %s", want, r.stderr)
				}
			}
			if left := cl.leavings(); len(left) > 0 {
				t.Errorf("cove made %q", left)
			}
		})
	}
}

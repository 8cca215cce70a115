//go:build e2e

package e2e

import ("testing";"time";"os";"path/filepath")

func TestZZ(t *testing.T) {
	e := onThrowAway(t)
	begun := time.Now()
	buildKindLayout(t, e)
	t.Logf("the image was there after %.1f s", time.Since(begun).Seconds())
	t.Log(docker(t,e,"images"))
	kind := buildKind(t)
	dir := t.TempDir()
	config, kubeconfig := filepath.Join(dir, "kind.yaml"), filepath.Join(dir, "kubeconfig")
	os.WriteFile(config, []byte(`kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes: [{role: control-plane}, {role: worker}]
containerdConfigPatches:
- |
  [plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  failCgroupV1: false
  featureGates: {KubeletInUserNamespace: true}
`), 0o600)
	runKind(t, e, kind, "create", "cluster", "--name", "peer", "--image", kindLayoutImage, "--config", config, "--kubeconfig", kubeconfig, "--wait", "120s", "--retain","-v","3")
	t.Log(docker(t,e,"exec","peer-control-plane","kubectl","--kubeconfig=/etc/kubernetes/admin.conf","get","pods,nodes","-A","-o","wide"))
	t.Logf("after %.1f s", time.Since(begun).Seconds())
	if os.Getenv("HOLD")!="" { t.Log(e.Host()); time.Sleep(600*time.Second) }
}

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// tool is a launcher of clusters. Both name the containers of a cluster's nodes NAME-control-plane, NAME-worker,
// NAME-worker2 and so on.
type tool struct {
	name string
	// create and remove are the command lines for a cluster of so many nodes.
	create func(cluster string, nodes int) ([]string, error)
	remove func(cluster string) []string
}

// prepare returns cove and kind, in the order of their turns.
func prepare(ctx context.Context, engine *testbed.Engine, o options) ([]tool, error) {
	dir := engine.Dir()
	kind := filepath.Join(dir, "kind")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", kind, "sigs.k8s.io/kind").CombinedOutput(); err != nil { //nolint:gosec // a path of our own
		return nil, fmt.Errorf("cannot compile kind: %w: %s", err, out)
	}
	facts, err := readFacts(ctx, engine, o.peerImage)
	if err != nil {
		return nil, err
	}
	return []tool{
		{
			name: "cove",
			create: func(cluster string, nodes int) ([]string, error) {
				return []string{o.cove, "create", cluster, "--image", o.image, "--profile", "ci", "--workers", fmt.Sprint(nodes - 1)}, nil
			},
			remove: func(cluster string) []string { return []string{o.cove, "delete", cluster} },
		},
		{
			name: "kind",
			create: func(cluster string, nodes int) ([]string, error) {
				config := filepath.Join(dir, cluster+".yaml")
				err := os.WriteFile(config, []byte(facts.kindConfig(nodes)), 0o600)
				return []string{kind, "create", "cluster", "--name", cluster, "--image", o.peerImage, "--config", config}, err
			},
			remove: func(cluster string) []string { return []string{kind, "delete", "cluster", "--name", cluster} },
		},
	}, nil
}

// facts is what an image of cove's says of itself; images of others say nothing.
type facts struct {
	EtcdTag    string `json:"etcdTag"`
	CoreDNSTag string `json:"coreDNSTag"`
}

// readFacts reads the label of the image.
func readFacts(ctx context.Context, engine *testbed.Engine, image string) (facts, error) {
	var inspected struct {
		Config struct{ Labels map[string]string }
	}
	if err := engine.Get(ctx, "/images/"+image+"/json", &inspected); err != nil {
		return facts{}, err
	}
	var f facts
	label := inspected.Config.Labels["cove.dev/node-image"]
	if label == "" {
		return f, nil
	}
	return f, json.Unmarshal([]byte(label), &f)
}

// kindConfig is the least that kind needs to run the image: on cgroup v1, and without CAP_SYS_RESOURCE, the kubelet has
// to be told; and kubeadm, which etcd and CoreDNS there are in an image of cove's.
func (f facts) kindConfig(nodes int) string {
	var b strings.Builder
	b.WriteString("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nkubeadmConfigPatches:\n" +
		"- |\n  kind: KubeletConfiguration\n  failCgroupV1: false\n  featureGates: {KubeletInUserNamespace: true}\n")
	if f.EtcdTag != "" {
		fmt.Fprintf(&b, "- |\n  kind: ClusterConfiguration\n  etcd: {local: {imageTag: %q}}\n  dns: {imageTag: %q}\n", f.EtcdTag, f.CoreDNSTag)
	} else {
		b.WriteString("containerdConfigPatches:\n- |\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    restrict_oom_score_adj = true\n")
	}
	b.WriteString("nodes:\n- role: control-plane\n" + strings.Repeat("- role: worker\n", nodes-1))
	return b.String()
}

// nodeNames are the names of a cluster's containers.
func nodeNames(cluster string, nodes int) []string {
	names := []string{cluster + "-control-plane"}
	for i := 1; i < nodes; i++ {
		name := cluster + "-worker"
		if i > 1 {
			name += fmt.Sprint(i)
		}
		names = append(names, name)
	}
	return names
}

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

// size is how many nodes a cluster has, and how many of them are control planes.
type size struct {
	Nodes         int `json:"nodes"`
	ControlPlanes int `json:"controlPlanes"`
}

func (s size) String() string {
	if s.ControlPlanes > 1 {
		return fmt.Sprintf("%d nodes, %d of them control planes", s.Nodes, s.ControlPlanes)
	}
	return fmt.Sprintf("%d node(s)", s.Nodes)
}

// tool is a launcher of clusters. Both name the containers of a cluster's nodes NAME-control-plane, NAME-control-plane2,
// NAME-worker, NAME-worker2 and so on.
type tool struct {
	name string
	// create and remove are the command lines for a cluster of this size.
	create func(cluster string, size size) ([]string, error)
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
			create: func(cluster string, size size) ([]string, error) {
				return append(coveCreate(o, cluster),
					"--control-planes", fmt.Sprint(size.ControlPlanes), "--workers", fmt.Sprint(size.Nodes-size.ControlPlanes)), nil
			},
			remove: func(cluster string) []string { return []string{o.cove, "delete", cluster} },
		},
		{
			name: "kind",
			create: func(cluster string, size size) ([]string, error) {
				config := filepath.Join(dir, cluster+".yaml")
				err := os.WriteFile(config, []byte(facts.kindConfig(size)), 0o600)
				return []string{kind, "create", "cluster", "--name", cluster, "--image", o.peerImage, "--config", config}, err
			},
			remove: func(cluster string) []string { return []string{kind, "delete", "cluster", "--name", cluster} },
		},
	}, nil
}

// coveCreate is the command line for what compares with kind's cluster of one node.
func coveCreate(o options, cluster string) []string {
	return []string{o.cove, "create", cluster, "--image", o.image, "--profile", "ci"}
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
func (f facts) kindConfig(size size) string {
	var b strings.Builder
	b.WriteString("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nkubeadmConfigPatches:\n" +
		"- |\n  kind: KubeletConfiguration\n  failCgroupV1: false\n  featureGates: {KubeletInUserNamespace: true}\n")
	if f.EtcdTag != "" {
		fmt.Fprintf(&b, "- |\n  kind: ClusterConfiguration\n  etcd: {local: {imageTag: %q}}\n  dns: {imageTag: %q}\n", f.EtcdTag, f.CoreDNSTag)
	} else {
		b.WriteString("containerdConfigPatches:\n- |\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    restrict_oom_score_adj = true\n")
	}
	b.WriteString("nodes:\n" + strings.Repeat("- role: control-plane\n", size.ControlPlanes) +
		strings.Repeat("- role: worker\n", size.Nodes-size.ControlPlanes))
	return b.String()
}

// nodeNames are the names of a cluster's containers.
func nodeNames(cluster string, size size) []string {
	names := make([]string, 0, size.Nodes)
	for i := range size.Nodes {
		name, number := cluster+"-control-plane", i+1
		if i >= size.ControlPlanes {
			name, number = cluster+"-worker", i-size.ControlPlanes+1
		}
		if number > 1 {
			name += fmt.Sprint(number)
		}
		names = append(names, name)
	}
	return names
}

package cluster

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeadm"
)

// electing are the static pods of a control plane that have a leader among them.
func electing() []string { return []string{"kube-controller-manager", "kube-scheduler"} }

// leaderFlag is the flag of these.
const leaderFlag = "--leader-elect="

// setElection returns the step that lets the control planes elect leaders, or ends that: one that stands alone need not wait
// until a lease is over when it starts.
func setElection(on bool, names []string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		err := patchKubeadm(ctx, rc, func(conf []byte) ([]byte, error) { return kubeadm.SetLeaderElection(conf, on) })
		if err != nil {
			return err
		}
		for _, node := range names {
			for _, pod := range electing() {
				if err := editManifest(ctx, rc.Engine, node, pod, on); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// undoElection lets the only control plane lead without an election again, where the others did not come to be.
func undoElection(ctx context.Context, rc *Context) error {
	names := controlPlanes(rc.record.nodes())
	if len(names) != 1 {
		return nil
	}
	return setElection(false, names)(ctx, rc)
}

// patchKubeadm changes the ClusterConfiguration that kubeadm keeps in the cluster, by which later nodes join and versions are upgraded.
func patchKubeadm(ctx context.Context, rc *Context, change func([]byte) ([]byte, error)) error {
	return rc.kube.PatchConfigMap(ctx, "kube-system", "kubeadm-config", func(data map[string]string) error {
		changed, err := change([]byte(data["ClusterConfiguration"]))
		data["ClusterConfiguration"] = string(changed)
		return err
	})
}

// editManifest changes the flag in a static pod's manifest, which its kubelet then starts anew.
func editManifest(ctx context.Context, e engine.Access, node, pod string, on bool) error {
	path := "/etc/kubernetes/manifests/" + pod + ".yaml"
	data, err := e.ReadFile(ctx, node, path)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.ClusterIncomplete, "control plane %s has no %s", node, path)
	}
	if err != nil {
		return err
	}
	from, to := leaderFlag+"true", leaderFlag+"false"
	if on {
		from, to = to, from
	}
	changed := strings.Replace(string(data), from, to, 1)
	if changed == string(data) {
		return nil
	}
	return e.PutFiles(ctx, node, []engine.File{{Path: path, Mode: 0o600, Data: []byte(changed)}})
}

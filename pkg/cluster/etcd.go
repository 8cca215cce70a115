package cluster

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// etcdPeerPort is where members of etcd reach each other, as kubeadm has it.
const etcdPeerPort = 2380

// etcdctl runs etcdctl in the etcd container of a control plane that runs, with kubeadm's own certificate for it.
func etcdctl(ctx context.Context, e engine.Access, node string, args ...string) (string, error) {
	id, err := etcdContainer(ctx, e, node)
	if err != nil {
		return "", err
	}
	command := []string{
		"ctr", "--namespace", "k8s.io", "tasks", "exec", "--exec-id", "cove-etcdctl-" + strings.Join(args[:min(2, len(args))], "-"), id,
		"etcdctl", "--endpoints=https://localhost:2379", "--cacert=" + pkiDir + "etcd/ca.crt",
		"--cert=" + pkiDir + "etcd/healthcheck-client.crt", "--key=" + pkiDir + "etcd/healthcheck-client.key",
	}
	out, err := engine.Output(ctx, e, node, append(command, args...)...)
	return out, fault.Wrap(fault.KubernetesRefused, err, "etcdctl %s failed on %s", strings.Join(args, " "), node)
}

// etcdContainer returns the ID of the etcd container that runs in the node.
func etcdContainer(ctx context.Context, e engine.Access, node string) (string, error) {
	known, err := engine.Output(ctx, e, node, "ctr", "--namespace", "k8s.io", "containers", "list", "--quiet", `labels."io.kubernetes.container.name"==etcd`)
	if err != nil {
		return "", fault.Wrap(fault.EngineFailed, err, "cannot list the containers of %s", node)
	}
	tasks, err := engine.Output(ctx, e, node, "ctr", "--namespace", "k8s.io", "tasks", "list")
	if err != nil {
		return "", fault.Wrap(fault.EngineFailed, err, "cannot list the containers of %s", node)
	}
	ids := strings.Fields(known)
	for line := range strings.Lines(tasks) {
		f := strings.Fields(line)
		if len(f) == 3 && f[2] == "RUNNING" && slices.Contains(ids, f[0]) {
			return f[0], nil
		}
	}
	return "", fault.New(fault.KubernetesRefused, "etcd does not run on %s", node)
}

// etcdMember is a member of etcd's cluster.
type etcdMember struct {
	ID   uint64 `json:"ID"`
	Name string `json:"name"` // kubeadm gives it the node's
	// PeerURLs tell a member that has not started yet, and has no name.
	PeerURLs []string `json:"peerURLs"`
}

func etcdMembers(ctx context.Context, e engine.Access, via string) ([]etcdMember, error) {
	out, err := etcdctl(ctx, e, via, "member", "list", "--write-out=json")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Members []etcdMember `json:"members"`
	}
	err = json.Unmarshal([]byte(out), &answer)
	return answer.Members, fault.Wrap(fault.Internal, err, "cannot read etcd's list of members")
}

// removeEtcdMember takes a control plane out of etcd's cluster, by way of another one. One that is not in it is no error.
func removeEtcdMember(ctx context.Context, rc *Context, via, node string) error {
	members, err := etcdMembers(ctx, rc.Engine, via)
	if err != nil {
		return err
	}
	peer := "https://" + netip.AddrPortFrom(rc.nodeIP(node), etcdPeerPort).String()
	for _, m := range members {
		if m.Name == node || slices.Contains(m.PeerURLs, peer) {
			if _, err := etcdctl(ctx, rc.Engine, via, "member", "remove", strconv.FormatUint(m.ID, 16)); err != nil {
				return fault.Wrap(fault.KubernetesRefused, err, "cannot take %s out of etcd", node)
			}
		}
	}
	return nil
}

// leaveEtcd returns what takes a control plane out of etcd, by way of another one that runs.
func (d *delta) leaveEtcd(node string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		var last error
		for _, via := range controlPlanes(rc.record.nodes()) {
			n, err := rc.Engine.Node(ctx, via)
			if via == node || err != nil || n.State != engine.StateRunning {
				continue
			}
			if last = removeEtcdMember(ctx, rc, via, node); last == nil {
				return nil
			}
		}
		if last != nil {
			return last
		}
		return fault.New(fault.ClusterNotRunning, "no other control plane of cluster %q runs that could take %s out of etcd", rc.Name(), node)
	}
}

// stopLeaving returns the step that stops a control plane that has left etcd; it may be gone already. Where a run that was cut off has
// left it joining, it may have come into etcd again by then, as a learner, and etcd takes in one learner at a time.
func (d *delta) stopLeaving(name string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		err := rc.Engine.StopNode(ctx, name, 0)
		if fault.Is(err, fault.NodeNotFound) {
			return event.Skip("its container is gone")
		}
		if err != nil {
			return err
		}
		return d.leaveEtcd(name)(ctx, rc)
	}
}

package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/wait"
)

// etcdPeerPort is where members of etcd reach each other, as kubeadm has it.
const etcdPeerPort = 2380

const (
	// etcdPatience is how long etcd is asked again that is not ready to answer: it counts who has been connected for 5 s.
	etcdPatience = 15 * time.Second
	etcdPace     = 500 * time.Millisecond
)

// etcdctl runs etcdctl in the etcd container of a control plane that runs, with kubeadm's own certificate for it. What etcd refuses
// for the moment is asked again.
func etcdctl(ctx context.Context, e engine.Access, node string, args ...string) (string, error) {
	limited, cancel := context.WithTimeout(ctx, etcdPatience)
	defer cancel()
	var out string
	var last error
	err := wait.Until(limited, etcdPace, nil, wait.Condition{Name: "etcd on " + node, Check: func(ctx context.Context) (bool, string, error) {
		text, err := etcdctlOnce(ctx, e, node, args...)
		if why := etcdRefusal(err); why != "" {
			last = err
			return false, why, nil
		}
		out = text
		return err == nil, "", fault.Wrap(fault.KubernetesRefused, err, "etcdctl %s failed on %s", strings.Join(args, " "), node)
	}})
	if unmet := (*wait.UnmetError)(nil); errors.As(err, &unmet) {
		return "", fault.Wrap(fault.KubernetesRefused, errors.Join(last, err), "etcdctl %s failed on %s", strings.Join(args, " "), node)
	}
	return out, err
}

// etcdctlOnce runs it once. containerd refuses an ID that another process of the container has, and several may be asking at a time.
func etcdctlOnce(ctx context.Context, e engine.Access, node string, args ...string) (string, error) {
	id, err := etcdContainer(ctx, e, node)
	if err != nil {
		return "", err
	}
	command := []string{
		"ctr", "--namespace", "k8s.io", "tasks", "exec", "--exec-id", "cove-etcdctl-" + strings.ToLower(rand.Text()), id,
		"etcdctl", "--endpoints=https://localhost:2379", "--cacert=" + pkiDir + "etcd/ca.crt",
		"--cert=" + pkiDir + "etcd/healthcheck-client.crt", "--key=" + pkiDir + "etcd/healthcheck-client.key",
	}
	return engine.Output(ctx, e, node, append(command, args...)...)
}

// etcdRefusal says what etcd refuses for the moment only; "" where it is something else.
func etcdRefusal(err error) string {
	exit := (*engine.ExitError)(nil)
	if !errors.As(err, &exit) {
		return ""
	}
	for _, why := range []string{
		"unhealthy cluster", "too many learner", "request timed out", "context deadline exceeded", "leader changed", "no leader",
	} {
		if strings.Contains(exit.Output, why) {
			return why
		}
	}
	return ""
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
	// IsLearner: it has no vote yet, and is missed by nobody.
	IsLearner bool `json:"isLearner"`
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

// etcdMembersOf returns those of the members that are the node: by its name, or before it has one by its address.
func etcdMembersOf(ctx context.Context, rc *Context, via, node string) ([]etcdMember, error) {
	members, err := etcdMembers(ctx, rc.Engine, via)
	peer := "https://" + netip.AddrPortFrom(rc.nodeIP(node), etcdPeerPort).String()
	return slices.DeleteFunc(members, func(m etcdMember) bool { return m.Name != node && !slices.Contains(m.PeerURLs, peer) }), err
}

// removeEtcdMember takes a control plane out of etcd's cluster, by way of another one. One that is not in it is no error.
func removeEtcdMember(ctx context.Context, rc *Context, via, node string) error {
	members, err := etcdMembersOf(ctx, rc, via, node)
	if err != nil {
		return err
	}
	for _, m := range members {
		if _, err := etcdctl(ctx, rc.Engine, via, "member", "remove", strconv.FormatUint(m.ID, 16)); err != nil {
			return fault.Wrap(fault.KubernetesRefused, err, "cannot take %s out of etcd", node)
		}
	}
	return nil
}

// viaOthers asks etcd on the control planes that run beside the node, one after the other, until one has answered.
func viaOthers(ctx context.Context, rc *Context, node string, ask func(via string) error) error {
	var last error
	for _, via := range controlPlanes(rc.record.nodes()) {
		n, err := rc.Engine.Node(ctx, via)
		if via == node || err != nil || n.State != engine.StateRunning {
			continue
		}
		if last = ask(via); last == nil {
			return nil
		}
	}
	if last != nil {
		return last
	}
	return fault.New(fault.ClusterNotRunning, "no other control plane of cluster %q runs that could take %s out of etcd", rc.Name(), node)
}

// leaveEtcd returns what takes a control plane out of etcd, by way of another one that runs.
func (d *delta) leaveEtcd(node string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		return viaOthers(ctx, rc, node, func(via string) error { return removeEtcdMember(ctx, rc, via, node) })
	}
}

package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
)

// removedFile is on a control plane that was taken out of etcd.
const removedFile = "/var/lib/etcd/removed"

// LearnerFile is on a control plane that has no vote in etcd yet, and no name: its address.
const LearnerFile = "/var/lib/etcd/learner"

// etcd is ctr where it leads to etcd's container, and etcdctl in it.
func (w *World) etcd(node string, cmd engine.Command) error {
	ctx := context.Background()
	args := strings.Join(cmd.Args[3:], " ")
	if _, err := w.Engine.ReadFile(ctx, node, "/var/lib/etcd/member"); err != nil {
		return nil //nolint:nilerr // no etcd, nothing listed
	}
	if w.held(ctx, node) { // it is the kubelet that starts etcd
		return nil
	}
	if slices.Contains(cmd.Args, "--exec-id") {
		id := cmd.Args[slices.Index(cmd.Args, "--exec-id")+1]
		if !w.begins(node + " " + id) {
			fmt.Fprintf(cmd.Stderr, "ctr: id %s: already exists\n", id)
			return &engine.ExitError{Code: 1}
		}
		if !w.quorate(ctx, node) {
			fmt.Fprintln(cmd.Stderr, "Error: context deadline exceeded")
			return &engine.ExitError{Code: 1}
		}
	}
	switch {
	case strings.HasPrefix(args, "containers list"):
		fmt.Fprintln(cmd.Stdout, "etcd-old\netcd-of-"+node)
		return nil
	case args == "tasks list":
		fmt.Fprintf(cmd.Stdout, "TASK PID STATUS\nother 1 RUNNING\netcd-old 2 STOPPED\netcd-of-%s 3 RUNNING\n", node)
		return nil
	case strings.HasSuffix(args, "member list --write-out=json"):
		members, err := w.etcdMembers(ctx, node)
		if err != nil {
			return err
		}
		return json.NewEncoder(cmd.Stdout).Encode(map[string]any{"members": members})
	case strings.HasSuffix(args, "endpoint health"):
		if w.CutOff[node] || !w.quorate(ctx, node) {
			fmt.Fprintln(cmd.Stderr, "https://localhost:2379 is unhealthy: failed to commit proposal: context deadline exceeded")
			return &engine.ExitError{Code: 1}
		}
		return nil
	case strings.Contains(args, "member remove "):
		return w.removeMember(ctx, node, args[strings.LastIndex(args, " ")+1:])
	}
	return &engine.ExitError{Code: 1}
}

// held reports whether the kubelet of the node waits, and with it all that the kubelet runs.
func (w *World) held(ctx context.Context, node string) bool {
	_, err := w.Engine.ReadFile(ctx, node, holdFile)
	return err == nil
}

// begins takes the ID of a process in etcd's container. None is free again: a process of that ID may still be there.
func (w *World) begins(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.processes == nil {
		w.processes = map[string]bool{}
	}
	free := !w.processes[id]
	w.processes[id] = true
	return free
}

// quorate reports whether more than half of the members of etcd in the node's cluster are up and reach the others. One that has none
// yet has it.
func (w *World) quorate(ctx context.Context, node string) bool {
	members, err := w.etcdMembers(ctx, node)
	if err != nil {
		return false
	}
	members = slices.DeleteFunc(members, func(m member) bool { return m.IsLearner })
	up := 0
	for _, m := range members {
		if n, err := w.Engine.Node(ctx, m.Name); err == nil && n.State == engine.StateRunning && !w.held(ctx, m.Name) && !w.CutOff[m.Name] {
			up++
		}
	}
	return len(members) == 0 || up > len(members)/2
}

type member struct {
	ID        uint64   `json:"ID"`
	Name      string   `json:"name"`
	IsLearner bool     `json:"isLearner,omitempty"`
	PeerURLs  []string `json:"peerURLs"`

	node string
}

// etcdMembers returns the control planes of the node's cluster that were not taken out.
func (w *World) etcdMembers(ctx context.Context, node string) ([]member, error) {
	self, err := w.Engine.Node(ctx, node)
	if err != nil {
		return nil, err
	}
	nodes, err := w.Engine.Nodes(ctx, engine.Selector{Cluster: self.Cluster, Role: engine.RoleControlPlane})
	if err != nil {
		return nil, err
	}
	var members []member
	for i, n := range nodes {
		_, joined := w.Engine.ReadFile(ctx, n.Name, "/var/lib/etcd/member")
		if _, removed := w.Engine.ReadFile(ctx, n.Name, removedFile); joined == nil && removed != nil {
			m := member{ID: uint64(i) + 0xabc, Name: n.Name, node: n.Name}
			if address, err := w.Engine.ReadFile(ctx, n.Name, LearnerFile); err == nil {
				m.Name, m.IsLearner, m.PeerURLs = "", true, []string{"https://" + string(address) + ":2380"}
			}
			members = append(members, m)
		}
	}
	return members, nil
}

func (w *World) removeMember(ctx context.Context, via, id string) error {
	members, err := w.etcdMembers(ctx, via)
	if err != nil {
		return err
	}
	for _, m := range members {
		if strconv.FormatUint(m.ID, 16) != id {
			continue
		}
		w.log("etcd remove " + m.node)
		if n, err := w.Engine.Node(ctx, m.node); err == nil && n.State == engine.StateRunning {
			return w.write(m.node, removedFile, via)
		}
		return w.Engine.PutFiles(ctx, m.node, []engine.File{{Path: removedFile, Data: []byte(via)}})
	}
	return &engine.ExitError{Code: 1}
}

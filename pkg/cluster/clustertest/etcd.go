package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
)

// removedFile is on a control plane that was taken out of etcd.
const removedFile = "/var/lib/etcd/removed"

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

// quorate reports whether the majority of the members of etcd in the node's cluster is up and reaches the others.
func (w *World) quorate(ctx context.Context, node string) bool {
	members, err := w.etcdMembers(ctx, node)
	if err != nil {
		return false
	}
	up := 0
	for _, m := range members {
		if n, err := w.Engine.Node(ctx, m.Name); err == nil && n.State == engine.StateRunning && !w.held(ctx, m.Name) && !w.CutOff[m.Name] {
			up++
		}
	}
	return len(members) == 0 || up > len(members)/2
}

type member struct {
	ID   uint64 `json:"ID"`
	Name string `json:"name"`
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
			members = append(members, member{ID: uint64(i) + 0xabc, Name: n.Name})
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
		w.log("etcd remove " + m.Name)
		if n, err := w.Engine.Node(ctx, m.Name); err == nil && n.State == engine.StateRunning {
			return w.write(m.Name, removedFile, via)
		}
		return w.Engine.PutFiles(ctx, m.Name, []engine.File{{Path: removedFile, Data: []byte(via)}})
	}
	return &engine.ExitError{Code: 1}
}

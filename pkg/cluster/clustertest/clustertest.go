// Package clustertest has what a cluster consists of beyond the engine, for tests: nodes whose commands do something,
// and a Kubernetes that comes up. It never reaches a real one, and nothing of it is linked into the released program.
package clustertest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/cove-k8s/cove/pkg/addon/addontest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/kube"
)

// Version is the Kubernetes version of the images that AddNodeImage makes.
const Version = "v1.36.3"

// World is a fake engine whose nodes can be clusters.
type World struct {
	Engine *enginetest.Fake
	// Fail lets calls of the API fail, by their name: "WaitAPI", "Apply", "WaitNodesReady", …
	Fail map[string]error
	// OnCall, if set, is called when a call of the API begins.
	OnCall func(name string)
	// OnExec, if set, runs the commands that it wants to: it returns false for the others.
	OnExec func(node string, cmd engine.Command) (bool, error)

	// Late says what objects lack to be ready, as addontest.API.Late; Services are what there is of them.
	Late     map[string]string
	Services []kube.ServiceInfo

	// Now is the clock of what kubeadm makes; nil: the real one.
	Now func() time.Time

	// Cordoned are the nodes that take no new pods: true where cove has seen to it.
	Cordoned map[string]bool

	// Ahead are the shares of the pod subnet that the controller manager gives a node before cove can: the first one, and when the Node is
	// taken away the next.
	Ahead map[string][]string
	// Marked are taints that others have given a node; they go with the Node.
	Marked map[string][]kube.Taint

	// CutOff are the nodes that run and that no other one reaches.
	CutOff map[string]bool

	dead atomic.Bool // what is asked is not done: Kill

	joining sync.Mutex // held by a kubeadm join, and by what ends one

	mu        sync.Mutex
	processes map[string]bool // IDs that processes in etcd's containers had
	applied   []string
	calls     []string
	labels    map[string]map[string]string // by node
	taints    map[string][]kube.Taint      // by node
	objects   map[string]*addontest.API    // by the cluster's CA
}

// New gives the engine nodes that do something.
func New(f *enginetest.Fake) *World {
	w := &World{Engine: f, Fail: map[string]error{}, Cordoned: map[string]bool{}}
	f.OnExec = w.exec
	f.OnDial = w.dial
	return w
}

// AddNodeImage gives the engine a node image: cove's own, or one of kind's layout.
func AddNodeImage(f *enginetest.Fake, name string, own bool) engine.Image {
	return AddNodeImageOf(f, name, Version, own)
}

// AddNodeImageOf gives the engine a node image of that version of Kubernetes.
func AddNodeImageOf(f *enginetest.Fake, name, version string, own bool) engine.Image {
	img := engine.Image{Names: []string{name}, Architecture: "amd64"}
	if own {
		img.Labels = map[string]string{"cove.dev/node-image": fmt.Sprintf(
			`{"contract":1,"kubernetesVersion":%q,"etcdTag":"3.6.10-0","coreDNSTag":"v1.15.0","arch":"amd64"}`, version)}
	}
	return f.AddImage(img, map[string]string{
		"/kind/version":                        version + "\n",
		"/kind/manifests/default-cni.yaml":     daemonSet("kube-flannel", "flannel"),
		"/kind/manifests/default-storage.yaml": deployment("local-path-storage", "local-path-provisioner"),
		"/etc/containerd/config.toml":          "version = 3\n",
	})
}

func daemonSet(namespace, name string) string { return workload("DaemonSet", namespace, name) }

func deployment(namespace, name string) string { return workload("Deployment", namespace, name) }

func workload(kind, namespace, name string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: %s
metadata: {name: %s, namespace: %s}
spec:
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec: {containers: [{name: main, image: "registry.k8s.io/%[2]s:v1"}]}
`, kind, name, namespace)
}

// exec runs a command in a node.
func (w *World) exec(node string, cmd engine.Command) error {
	if w.dead.Load() {
		return errKilled()
	}
	if w.OnExec != nil {
		if did, err := w.OnExec(node, cmd); did {
			return err
		}
	}
	switch path.Base(cmd.Args[0]) {
	case "kubeadm":
		return w.kubeadm(node, cmd)
	case "ctr":
		return w.ctr(node, cmd)
	case "systemctl":
		return w.systemctl(node, cmd)
	case "pkill":
		w.joining.Lock() // one that has begun comes to its end
		defer w.joining.Unlock()
		w.log("pkill " + node)
		return &engine.ExitError{Code: 1} // kubeadm has ended
	case "journalctl":
		fmt.Fprintf(cmd.Stdout, "journal of %s: %s\n", node, strings.Join(cmd.Args[1:], " "))
		return nil
	case "cove-node":
		return w.coveNode(node, cmd)
	case "bash", "sh":
		fmt.Fprintf(cmd.Stdout, "a shell on %s\n", node)
		return nil
	}
	return w.Engine.DefaultExec(node, cmd)
}

// holdFile keeps the kubelet of a node from starting.
const holdFile = "/etc/cove/hold-kubelet"

func (w *World) systemctl(node string, cmd engine.Command) error {
	switch strings.Join(cmd.Args[1:], " ") {
	case "start kubelet":
		w.log("kubelet start " + node)
		return w.Engine.DefaultExec(node, engine.Command{Args: []string{"rm", holdFile}})
	case "restart kubelet":
		w.log("kubelet restart " + node)
	}
	fmt.Fprintln(cmd.Stdout, "active")
	return nil
}

// coveNode is the tool of cove's own node images.
func (w *World) coveNode(node string, cmd engine.Command) error {
	switch args := cmd.Args[1:]; args[0] {
	case "dns":
		w.log("dns " + node)
		fmt.Fprintln(cmd.Stdout, "10.96.0.1")
		return nil
	case "logs":
		fmt.Fprintf(cmd.Stdout, "logs of %s: %s\n", node, strings.Join(args[1:], " "))
		return nil
	}
	return &engine.ExitError{Code: 2}
}

// dial refuses all but the API server of a control plane that kubeadm was run on, and the DNS server, to which every node of its cluster has
// a way. The former closes the connection, the latter knows every name.
func (w *World) dial(ctx context.Context, node, address string) (net.Conn, error) {
	if !w.serves(ctx, node, strings.HasSuffix(address, ":53")) {
		return nil, fmt.Errorf("dial %s on %s: connection refused", address, node)
	}
	here, there := net.Pipe()
	if strings.HasSuffix(address, ":53") {
		go answer(there)
		return here, nil
	}
	return here, there.Close()
}

// serves reports whether the API answers in the container: on a control plane, and on the load balancer of a cluster that has one
// that runs. DNS is there on its other nodes as well.
func (w *World) serves(ctx context.Context, name string, dns bool) bool {
	n, err := w.Engine.Node(ctx, name)
	if err != nil || n.State != engine.StateRunning {
		return false
	}
	nodes := []engine.Node{n}
	if dns || n.Role == engine.RoleLoadBalancer {
		if nodes, err = w.Engine.Nodes(ctx, engine.Selector{Cluster: n.Cluster, Role: engine.RoleControlPlane}); err != nil {
			return false
		}
	}
	return slices.ContainsFunc(nodes, func(n engine.Node) bool {
		_, err := w.Engine.ReadFile(ctx, n.Name, adminConf)
		return err == nil && n.State == engine.StateRunning
	})
}

// answer answers one DNS question over a stream (RFC 1035, 4.2.2).
func answer(conn net.Conn) {
	defer conn.Close()
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	question := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, question); err != nil {
		return
	}
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) == 0 {
		return
	}
	m.Response = true
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
		Body:   &dnsmessage.AResource{A: [4]byte{10, 96, 0, 1}},
	}}
	if packed, err := m.Pack(); err == nil {
		_, _ = conn.Write(binary.BigEndian.AppendUint16(nil, uint16(len(packed)))) //nolint:gosec // a small message
		_, _ = conn.Write(packed)
	}
}

// Applied returns the kinds and names of what was applied, in order: "Deployment kube-system/coredns".
func (w *World) Applied() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.applied)
}

func (w *World) log(call string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, call)
}

// Calls returns the calls of the API that change nodes or wait for them, in order: "Drain dev-worker".
func (w *World) Calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// Left returns what the engine has of clusters, by name: containers, volumes and networks.
func (w *World) Left() []string {
	ctx := context.Background()
	var left []string
	nodes, err1 := w.Engine.Nodes(ctx, engine.Selector{})
	for _, n := range nodes {
		left = append(left, "node "+n.Name)
	}
	volumes, err2 := w.Engine.Volumes(ctx, engine.Selector{})
	for _, v := range volumes {
		left = append(left, "volume "+v.Name)
	}
	networks, err3 := w.Engine.Networks(ctx, engine.Selector{})
	for _, n := range networks {
		left = append(left, "network "+n.Name)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		left = append(left, err.Error())
	}
	return left
}

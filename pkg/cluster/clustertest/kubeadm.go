package clustertest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/pki"
)

// Where kubeadm leaves its kubeconfigs.
const (
	adminConf   = "/etc/kubernetes/admin.conf"
	kubeletConf = "/etc/kubernetes/kubelet.conf"
)

func (w *World) kubeadm(node string, cmd engine.Command) error {
	args := strings.Join(cmd.Args[1:], " ")
	switch {
	case strings.HasPrefix(args, "init phase addon coredns"):
		_, err := io.WriteString(cmd.Stdout, deployment("kube-system", "coredns"))
		return err
	case strings.HasPrefix(args, "init phase addon kube-proxy"):
		_, err := io.WriteString(cmd.Stdout, daemonSet("kube-system", "kube-proxy"))
		return err
	case strings.HasPrefix(args, "init phase etcd local"):
		return w.write(node, etcdManifest, etcdPod(node))
	case strings.HasPrefix(args, "init phase kubelet-start"):
		return w.systemctl(node, engine.Command{Args: []string{"systemctl", "start", "kubelet"}})
	case strings.HasPrefix(args, "upgrade node phase ") && !w.quorate(context.Background(), node): // it asks the API
		return &engine.ExitError{Code: 1, Output: "error execution phase kubelet-config: failed to get config map"}
	case strings.HasPrefix(args, "init phase "), strings.HasPrefix(args, "upgrade node phase "):
		w.log("kubeadm " + strings.Join(cmd.Args[1:min(5, len(cmd.Args))], " ") + " " + node)
		return nil
	case strings.HasPrefix(args, "init "):
		w.log("kubeadm init " + node)
		fmt.Fprintln(cmd.Stdout, "[init] Using Kubernetes version: "+Version)
		return w.writeAdminConf(node)
	case strings.HasPrefix(args, "join "):
		w.joining.Lock()
		defer w.joining.Unlock()
		if w.joinEnded(node) {
			return &engine.ExitError{Code: 137}
		}
		w.log("kubeadm join " + node)
		fmt.Fprintln(cmd.Stdout, "[preflight] Running pre-flight checks")
		return w.joined(node)
	}
	return &engine.ExitError{Code: 1}
}

// joinEnded reports whether the node's kubeadm was ended before it did anything: the engine goes on with a command whose run is gone.
func (w *World) joinEnded(node string) bool {
	operations := slices.Clone(w.Engine.Operations())
	slices.Reverse(operations)
	last := func(command string) int { return slices.Index(operations, "Exec "+node+" "+command) }
	ended := last("pkill -KILL")
	return ended >= 0 && ended < last("kubeadm join")
}

const etcdManifest = "/etc/kubernetes/manifests/etcd.yaml"

// etcdPod is a manifest such as kubeadm init writes: of a cluster of one member.
func etcdPod(node string) string {
	return "    - etcd\n    - --initial-cluster=" + node + "=https://10.0.0.1:2380\n    - --name=" + node + "\n"
}

const pkiDir = "/etc/kubernetes/pki/"

// caFile is where a cluster's CA is on its control plane.
const caFile = "/etc/kubernetes/pki/ca.crt"

func (w *World) writeAdminConf(node string) error {
	ctx := context.Background()
	cert, err := w.Engine.ReadFile(ctx, node, caFile)
	if err != nil {
		return err
	}
	key, err := w.Engine.ReadFile(ctx, node, pkiDir+"ca.key")
	if err != nil {
		return err
	}
	ca, err := pki.LoadCA(w.now(), cert, key)
	if err != nil {
		return err
	}
	conf, err := adminKubeconfig(ca)
	if err != nil {
		return err
	}
	serving, _, err := ca.ServingCert(nil, []string{"kube-apiserver"}, nil, 0)
	if err != nil {
		return err
	}
	if err := w.write(node, pkiDir+"apiserver.crt", string(serving)); err != nil {
		return err
	}
	// What a command in a node writes is no operation of the engine's: DefaultExec has one that writes.
	for _, file := range []string{kubeletConf, adminConf} {
		if err := w.write(node, file, string(conf)); err != nil {
			return err
		}
	}
	return w.writeControlPlane(node)
}

// writeControlPlane writes what else kubeadm leaves on a control plane, where it is not there.
func (w *World) writeControlPlane(node string) error {
	alone, err := w.alone(node)
	if err != nil {
		return err
	}
	files := map[string]string{"/var/lib/etcd/member": node, etcdManifest: etcdPod(node)}
	for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
		files["/etc/kubernetes/manifests/"+name+".yaml"] = "    - --leader-elect=" + strconv.FormatBool(!alone) + "\n"
	}
	for name, cn := range map[string]string{"front-proxy-ca": "front-proxy-ca", "etcd/ca": "etcd-ca"} {
		if _, err := w.Engine.ReadFile(context.Background(), node, pkiDir+name+".crt"); err == nil {
			continue
		}
		ca, err := pki.NewCA(cn, w.now())
		if err != nil {
			return err
		}
		files[pkiDir+name+".crt"], files[pkiDir+name+".key"] = string(ca.CertPEM()), string(ca.KeyPEM())
	}
	if _, err := w.Engine.ReadFile(context.Background(), node, pkiDir+"sa.key"); err != nil {
		files[pkiDir+"sa.key"], files[pkiDir+"sa.pub"] = "private", "public"
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := w.write(node, file, files[file]); err != nil {
			return err
		}
	}
	return nil
}

// alone reports whether the node is the only control plane of its cluster.
func (w *World) alone(node string) (bool, error) {
	ctx := context.Background()
	self, err := w.Engine.Node(ctx, node)
	if err != nil {
		return false, err
	}
	all, err := w.Engine.Nodes(ctx, engine.Selector{Cluster: self.Cluster, Role: engine.RoleControlPlane})
	return len(all) == 1, err
}

func (w *World) now() time.Time {
	if w.Now != nil {
		return w.Now()
	}
	return time.Now()
}

func (w *World) write(node, file, content string) error {
	return w.Engine.DefaultExec(node, engine.Command{Args: []string{"write", file, content}})
}

// joined is a node after kubeadm join: a control plane has what kubeadm writes for one.
func (w *World) joined(node string) error {
	n, err := w.Engine.Node(context.Background(), node)
	if err != nil || n.Role != engine.RoleControlPlane {
		return err
	}
	return w.writeAdminConf(node)
}

package cluster

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/pki"
)

// renewAhead is how long before their end certificates are renewed. kubeadm's are good for a year, and a cluster may be found
// again after longer than that.
const renewAhead = 30 * 24 * time.Hour

// certificatesOf are the certificates that kubeadm issues for a control plane, by the CA that signs them
// (https://kubernetes.io/docs/setup/best-practices/certificates/).
func certificatesOf() map[string][]string {
	return map[string][]string{
		"ca":             {"apiserver", "apiserver-kubelet-client"},
		"front-proxy-ca": {"front-proxy-client"},
		"etcd/ca":        {"apiserver-etcd-client", "etcd/server", "etcd/peer", "etcd/healthcheck-client"},
	}
}

// kubeconfigsOf are the kubeconfigs of a control plane with a certificate in them.
func kubeconfigsOf() []string {
	return []string{"admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf"}
}

// renewCertificates returns the step that renews what ends soon on the nodes named, before they are started: components read
// their certificates when they start, and one that has ended would keep them from it. Keys stay; no API is needed. Of nodes that run it
// only says so.
func renewCertificates(nodes []string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		cas, err := rc.authorities()
		if err != nil {
			return err
		}
		var count atomic.Int64
		due := make([]string, len(nodes)) // those that run
		group, groupCtx := errgroup.WithContext(ctx)
		for i, name := range nodes {
			group.Go(func() error {
				n, err := rc.Engine.Node(groupCtx, name)
				if fault.Is(err, fault.NodeNotFound) { // there is nothing to read them from
					return nil
				}
				if err != nil || n.Role == engine.RoleLoadBalancer {
					return err
				}
				r := renewal{engine: rc.Engine, node: n, cas: cas, now: rc.Now()}
				if n.State == engine.StateRunning {
					soon, err := r.due(groupCtx)
					if soon {
						due[i] = name
					}
					return err
				}
				files, err := r.files(groupCtx)
				if err != nil || len(files) == 0 {
					return err
				}
				count.Add(int64(len(files)))
				return rc.Engine.PutFiles(groupCtx, n.Name, files)
			})
		}
		if err := group.Wait(); err != nil {
			return fault.Wrap(fault.Internal, err, "cannot renew the certificates")
		}
		due = slices.DeleteFunc(due, func(name string) bool { return name == "" })
		if len(due) > 0 {
			reporter(ctx).Warn("`cove restart "+rc.Name()+"` renews them",
				"certificates of nodes that run have ended or end within 30 days: %s", strings.Join(due, ", "))
		}
		if count.Load() > 0 {
			rc.renewed = true
			reporter(ctx).Warn("", "%d certificates have ended or end within 30 days: they are renewed", count.Load())
		}
		if len(due) == 0 && count.Load() == 0 {
			return event.Skip("none does")
		}
		return nil
	}
}

// authorities loads the CAs that control planes share.
func (rc *Context) authorities() (map[string]*pki.CA, error) {
	data := map[string][]byte{}
	for _, f := range rc.sharedKeys {
		data[strings.TrimPrefix(f.Path, pkiDir)] = f.Data
	}
	cas := map[string]*pki.CA{}
	for name := range certificatesOf() {
		ca, err := pki.LoadCA(rc.Now(), data[name+".crt"], data[name+".key"])
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "cannot use the CA %s", name)
		}
		cas[name] = ca
	}
	return cas, nil
}

// renewal finds what is to be renewed on one node.
type renewal struct {
	engine engine.Access
	node   engine.Node
	cas    map[string]*pki.CA
	now    time.Time
}

// files returns the files that must be written.
func (r renewal) files(ctx context.Context) ([]engine.File, error) {
	var files []engine.File
	take := func(f *engine.File, err error) error {
		if f != nil {
			files = append(files, *f)
		}
		return err
	}
	if err := take(r.kubelet(ctx)); err != nil {
		return nil, err
	}
	if r.node.Role != engine.RoleControlPlane {
		return files, nil
	}
	for ca, names := range certificatesOf() {
		for _, name := range names {
			if err := take(r.certificate(ctx, ca, pkiDir+name+".crt")); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range kubeconfigsOf() {
		if err := take(r.kubeconfig(ctx, "/etc/kubernetes/"+name)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// due reports whether certificates of a node that runs end soon. It looks at those that tell: a control plane's are issued together, and an
// engine takes its time for each file.
func (r renewal) due(ctx context.Context) (bool, error) {
	f, err := r.kubelet(ctx)
	if err != nil || f != nil || r.node.Role != engine.RoleControlPlane {
		return f != nil, err
	}
	f, err = r.kubeconfig(ctx, adminConf)
	return f != nil, err
}

// certificate renews a certificate in a file of its own.
func (r renewal) certificate(ctx context.Context, ca, path string) (*engine.File, error) {
	old, err := r.read(ctx, path)
	if err != nil || old == nil {
		return nil, err
	}
	renewed, err := r.cas[ca].Renew(old, renewAhead)
	if err != nil || renewed == nil {
		return nil, err
	}
	return &engine.File{Path: path, Mode: 0o644, Data: renewed}, nil
}

// kubeconfig renews the certificate in a kubeconfig.
func (r renewal) kubeconfig(ctx context.Context, path string) (*engine.File, error) {
	data, err := r.read(ctx, path)
	if err != nil || data == nil {
		return nil, err
	}
	conf, err := clientcmd.Load(data)
	if err != nil {
		return nil, err
	}
	changed := false
	for _, user := range conf.AuthInfos {
		renewed, err := r.cas["ca"].Renew(user.ClientCertificateData, renewAhead)
		if err != nil {
			return nil, err
		}
		if renewed != nil {
			user.ClientCertificateData, changed = renewed, true
		}
	}
	if !changed {
		return nil, nil //nolint:nilnil // nothing to write is no error
	}
	data, err = clientcmd.Write(*conf)
	return &engine.File{Path: path, Mode: 0o600, Data: data}, err
}

// kubelet renews the certificate by which the node's kubelet speaks to the API: one file with the certificate and its key.
func (r renewal) kubelet(ctx context.Context) (*engine.File, error) {
	data, err := r.read(ctx, kubeletCurrent)
	if err != nil || data == nil {
		return nil, err
	}
	renewed, err := r.cas["ca"].Renew(data, renewAhead)
	if err != nil || renewed == nil {
		return nil, err
	}
	key := data[max(0, bytes.Index(data, []byte("-----BEGIN EC PRIVATE KEY"))):]
	return &engine.File{Path: kubeletCurrent, Mode: 0o600, Data: append(renewed, key...)}, nil
}

// read reads a file of the node; nil where there is none.
func (r renewal) read(ctx context.Context, path string) ([]byte, error) {
	data, err := r.engine.ReadFile(ctx, r.node.Name, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/kubeconfig"
)

// Access is the way to the API of a cluster that is there.
type Access struct {
	Context kubeconfig.Context // as it belongs into a kubeconfig
	// Dial reaches the API from this machine, also where the context's server is not to be reached from here.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Inside is the address of a control plane in the cluster's network; zero where none runs.
	Inside netip.Addr
}

// adminConf is kubeadm's own kubeconfig on a control plane.
const adminConf = "/etc/kubernetes/admin.conf"

// AccessTo reads the credentials from the cluster itself, so that it works on every machine that uses the engine.
func AccessTo(ctx context.Context, e engine.Engine, name string) (Access, error) {
	info, err := e.Info(ctx)
	if err != nil {
		return Access{}, err
	}
	f, err := lookup(ctx, e, name)
	if err != nil {
		return Access{}, err
	}
	return access(ctx, e, info, f)
}

func access(ctx context.Context, e engine.Engine, info engine.Info, f found) (Access, error) {
	cp, data, err := readAdminConf(ctx, e, f)
	if err != nil {
		return Access{}, err
	}
	server, door, err := entrance(ctx, e, info, f, cp)
	if err != nil {
		return Access{}, err
	}
	conf, err := clientcmd.Load(data)
	if err != nil {
		return Access{}, fault.Wrap(fault.Internal, err, "cannot read %s of %s", adminConf, cp.Name)
	}
	doc, _ := f.document() // of one that cannot be read, nodes have IPv4 at least
	a := Access{
		Context: kubeconfig.Context{Name: ContextName(f.name), Server: server},
		Dial:    dialer(e, info, door), Inside: mainIP(doc, cp),
	}
	current := conf.Contexts[conf.CurrentContext]
	if current == nil || conf.Clusters[current.Cluster] == nil || conf.AuthInfos[current.AuthInfo] == nil {
		return Access{}, fault.New(fault.Internal, "%s of %s has no complete context", adminConf, cp.Name)
	}
	a.Context.CA = conf.Clusters[current.Cluster].CertificateAuthorityData
	user := conf.AuthInfos[current.AuthInfo]
	a.Context.ClientCert, a.Context.ClientKey = user.ClientCertificateData, user.ClientKeyData
	return a, nil
}

// entrance returns the API's address for users, and the container by which cove itself gets there. Where the load balancer is gone, the
// address is the one that it had and will have again, and cove goes by a control plane.
func entrance(ctx context.Context, e engine.Engine, info engine.Info, f found, cp engine.Node) (string, engine.Node, error) {
	if gateway, ok := f.gateway(); ok {
		return serverURL(info, gateway), gateway, nil
	}
	record, err := readCreated(ctx, e, f)
	if errors.Is(err, fs.ErrNotExist) {
		return "", cp, incomplete(f.name)
	}
	if err == nil && record.APIPort == 0 {
		err = fault.New(fault.ClusterNotRunning, "nothing publishes the API of cluster %q", f.name).WithHint("`cove start %s` brings it back", f.name)
	}
	return record.server(info), cp, err
}

// readAdminConf reads kubeadm's kubeconfig from a control plane that has one, rather from one that runs.
func readAdminConf(ctx context.Context, e engine.Access, f found) (engine.Node, []byte, error) {
	for _, n := range f.controlPlanes() {
		data, err := e.ReadFile(ctx, n.Name, adminConf)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return n, data, fault.Wrap(fault.EngineFailed, err, "cannot read the credentials of cluster %q", f.name)
	}
	return engine.Node{}, nil, f.unreadable()
}

func incomplete(name string) error {
	return fault.New(fault.ClusterIncomplete, "cluster %q was never completed", name).WithHint("remove it with `cove delete %s`", name)
}

// Options returns the access as a client takes it.
func (a Access) Options() kube.Options {
	host := "127.0.0.1" // in every API server's certificate
	return kube.Options{
		Server: fmt.Sprintf("https://%s:%d", host, apiServerPort), ServerName: host,
		CA: a.Context.CA, Cert: a.Context.ClientCert, Key: a.Context.ClientKey, Dial: a.Dial,
	}
}

// Nodes returns the containers of a cluster that is there, ordered by name.
func Nodes(ctx context.Context, e engine.Engine, name string) ([]engine.Node, error) {
	f, err := lookup(ctx, e, name)
	return f.nodes, err
}

// NodeOf returns the container of a node of the cluster. The node may be called by its full name, or by what follows
// the cluster's name in it ("worker2"); empty is a control plane,
// rather one that runs.
func NodeOf(ctx context.Context, e engine.Engine, cluster, node string) (engine.Node, error) {
	f, err := lookup(ctx, e, cluster)
	if err != nil {
		return engine.Node{}, err
	}
	if node == "" { // any that runs will do
		node = engine.RoleControlPlane
		if cp, ok := f.controlPlane(); ok {
			node = cp.Name
		}
	}
	for _, n := range f.containers() {
		if n.Name == node || n.Name == cluster+"-"+node {
			return n, nil
		}
	}
	return engine.Node{}, fault.New(fault.NodeNotFound, "cluster %q has no node %q", cluster, node)
}

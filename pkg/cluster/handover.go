package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeconfig"
)

// Files of a kubelet.
const (
	kubeletConf    = "/etc/kubernetes/kubelet.conf"
	kubeletCurrent = "/var/lib/kubelet/pki/kubelet-client-current.pem" // the certificate that the kubelet renews itself
)

// finalizeKubelet does what kubeadm's phase kubelet-finalize does: it leads the kubelets that did not join to the certificates
// that they renew themselves. kubeadm restarts the kubelet then, while the first pods are about to start, which delays them by
// seconds; the kubelet needs the file only when it starts the next time.
func finalizeKubelet(ctx context.Context, rc *Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range append([]string{rc.first}, rc.founders...) {
		group.Go(func() error { return finalizeKubeletOf(ctx, rc, name) })
	}
	return group.Wait()
}

func finalizeKubeletOf(ctx context.Context, rc *Context, node string) error {
	data, err := rc.Engine.ReadFile(ctx, node, kubeletConf)
	if err != nil {
		return fault.Wrap(fault.KubeadmInit, err, "cannot read %s of %s", kubeletConf, node)
	}
	conf, err := clientcmd.Load(data)
	if err != nil {
		return fault.Wrap(fault.KubeadmInit, err, "cannot read %s of %s", kubeletConf, node)
	}
	for _, user := range conf.AuthInfos {
		user.ClientCertificateData, user.ClientKeyData = nil, nil
		user.ClientCertificate, user.ClientKey = kubeletCurrent, kubeletCurrent
	}
	if data, err = clientcmd.Write(*conf); err != nil {
		return fault.Wrap(fault.Internal, err, "cannot write %s", kubeletConf)
	}
	return rc.Engine.PutFiles(ctx, node, []engine.File{{Path: kubeletConf, Mode: 0o600, Data: data}})
}

// userTTL is how long the certificate in the user's kubeconfig is good: as kubeadm's own, a year.
const userTTL = 365 * 24 * time.Hour

func mergeKubeconfig(ctx context.Context, rc *Context) error {
	gateway, err := rc.Engine.Node(ctx, rc.gateway())
	if err != nil {
		return err
	}
	cert, key, err := rc.ca.ClientCert("kubernetes-admin", []string{"kubeadm:cluster-admins"}, userTTL)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot make a client certificate")
	}
	entry := kubeconfig.Context{
		Name: ContextName(rc.Name()), Server: serverURL(rc.engineInfo(), gateway),
		CA: rc.ca.CertPEM(), ClientCert: cert, ClientKey: key,
	}
	_, err = kubeconfig.Merge(ctx, rc.Kubeconfig, entry, !rc.Options.KeepContext)
	return fault.Wrap(fault.KubeconfigUnusable, err, "cannot write context %s", entry.Name)
}

func removeKubeconfig(ctx context.Context, rc *Context) error {
	_, err := kubeconfig.Remove(ctx, rc.Kubeconfig, ContextName(rc.Name()))
	return err
}

// serverURL is the API server's address for a user. Where a remote engine publishes it on all addresses of its host, it is that host's; the
// default stays that host's loopback, which a tunnel of the user's must lead to. What the container has counts, not what a document asks
// for: the address may have changed since.
func serverURL(info engine.Info, gateway engine.Node) string {
	a := publishedAPI(gateway)
	host := a.Addr().String()
	if info.Host != "" && publishedEverywhere(gateway) {
		host = info.Host
	}
	return "https://" + net.JoinHostPort(host, strconv.Itoa(int(a.Port())))
}

// readFramed reads a message with its length in two bytes before it.
func readFramed(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	data := make([]byte, int(size[0])<<8|int(size[1]))
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("the answer is cut off: %w", err)
	}
	return data, nil
}

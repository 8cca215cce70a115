package cluster

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/kubeadm"
)

// The nodes of a new cluster start together, where nothing speaks against it: their addresses and the cluster's keys are known before they
// run, so that none has to join by way of another one's API, and etcd need not take in its members one by one.

// chooseFounders returns the nodes that start with the cluster, and do not join it: those of cove's own images, and of the first one's
// version, unless the document's patches want something of their join. Control planes do so all or not at all.
func chooseFounders(rc *Context) []string {
	c := kubeadm.Cluster{Patches: rc.Doc.Cluster.KubeadmConfigPatches, JSON6902Patches: rc.Doc.Cluster.KubeadmConfigPatchesJSON6902}
	version := rc.images[rc.first].facts.KubernetesVersion
	can := func(n v1alpha1.Node) bool {
		img := rc.images[n.Name]
		return img.native() && img.facts.KubernetesVersion == version && kubeadm.CanFound(c, kubeadm.Node{
			Name: n.Name, Role: n.Role, Patches: n.KubeadmConfigPatches, JSON6902Patches: n.KubeadmConfigPatchesJSON6902,
		})
	}
	var control, workers []string
	together := true
	for _, n := range nodesOf(rc.Doc) {
		switch {
		case n.Name == rc.first:
			together = together && rc.images[n.Name].native()
		case n.Role == engine.RoleControlPlane:
			control, together = append(control, n.Name), together && can(n)
		case can(n):
			workers = append(workers, n.Name)
		}
	}
	if !together {
		return workers
	}
	return append(control, workers...)
}

// founds reports whether the node is one of those that start with the cluster.
func (rc *Context) founds(node string) bool { return slices.Contains(rc.founders, node) }

// etcdFounders returns the control planes that etcd begins with, by name; nil where it begins with one.
func (rc *Context) etcdFounders() map[string]netip.Addr {
	var names []string
	for _, name := range controlPlanes(rc.Doc.Nodes()) {
		if rc.founds(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return rc.servers(append(names, rc.first))
}

// startFounder brings a node to life that starts with the cluster. A worker waits for its Node object, because its kubelet asks less and
// less often while no API answers.
func startFounder(ctx context.Context, rc *Context, n v1alpha1.Node) error {
	args := []string{"kubeadm", "init", "--config=" + kubeadmConf, "--skip-token-print", "--v=5"}
	if n.Role != engine.RoleControlPlane {
		reporter(ctx).Waiting("the control plane")
		if err := await(ctx, rc.apiUp); err != nil {
			return err
		}
		if err := preregister(ctx, rc, n); err != nil {
			return err
		}
		reporter(ctx).Waiting("kubeadm")
		args = []string{"kubeadm", "init", "phase", "kubelet-start", "--config=" + kubeadmConf, "--v=5"}
	}
	err := runLogged(ctx, rc, n.Name, args...)
	return fault.Wrap(fault.KubeadmJoin, err, "kubeadm could not start %s", n.Name)
}

// founderFiles are what a join would bring a worker: the cluster's CA, and the kubeconfig by which its kubelet speaks to the API.
func founderFiles(rc *Context, n v1alpha1.Node) ([]engine.File, error) {
	if n.Role == engine.RoleControlPlane {
		return nil, nil // kubeadm init makes it, from the CA's key
	}
	user := "system:node:" + n.Name // https://kubernetes.io/docs/reference/access-authn-authz/node/
	cert, key, err := rc.ca.ClientCert(user, []string{"system:nodes"}, userTTL)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot make a certificate for node %s", n.Name)
	}
	conf := api.NewConfig()
	conf.Clusters[rc.Name()] = &api.Cluster{Server: rc.endpointURL(), CertificateAuthorityData: rc.ca.CertPEM()}
	conf.AuthInfos[user] = &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	conf.CurrentContext = user + "@" + rc.Name()
	conf.Contexts[conf.CurrentContext] = &api.Context{Cluster: rc.Name(), AuthInfo: user}
	data, err := clientcmd.Write(*conf)
	return []engine.File{
		{Path: pkiDir + "ca.crt", Mode: 0o644, Data: rc.ca.CertPEM()},
		{Path: kubeletConf, Mode: 0o600, Data: data},
	}, fault.Wrap(fault.Internal, err, "cannot write %s", kubeletConf)
}

// founderTries bounds how often the control planes that start together are registered.
const founderTries = 5

// registerFounders gives the control planes that start together their shares of the pod subnet. Their kubelets may have registered them
// already; the controller manager, which gives shares out in the order in which it sees the nodes, must be elected first, which mostly
// takes longer. Where it was faster, the nodes are made anew, as a share cannot be changed.
func registerFounders(ctx context.Context, rc *Context) error {
	founders := rc.etcdFounders()
	nodes := slices.DeleteFunc(rc.Doc.Nodes(), func(n v1alpha1.Node) bool {
		_, ok := founders[n.Name]
		return !ok || !sharesPods(rc, n)
	})
	taken := map[string]kube.NodeInfo{} // what the nodes were that are made anew
	for try := 1; ; try++ {
		err := registerAll(ctx, rc, nodes, taken)
		if err == nil {
			return wakeFounders(ctx, rc, nodes, taken)
		}
		if try == founderTries || ctx.Err() != nil {
			return err
		}
		more, takeErr := takeMisplaced(ctx, rc, nodes)
		if takeErr != nil {
			return takeErr
		}
		maps.Copy(taken, more)
	}
}

// registerAll registers the nodes, each to its end: one that fails says nothing of the others. Those that were taken away are made as they
// were then, because kubeadm may be through with marking them as control planes.
func registerAll(ctx context.Context, rc *Context, nodes []v1alpha1.Node, taken map[string]kube.NodeInfo) error {
	var group errgroup.Group
	for _, n := range nodes {
		group.Go(func() error {
			o, err := nodeObject(rc, n)
			if err != nil {
				return err
			}
			if was, ok := taken[n.Name]; ok {
				o.Labels, o.Taints = asItWas(o, was)
			}
			err = rc.kube.CreateNodeObject(ctx, o)
			return fault.Wrap(fault.KubernetesRefused, err, "cannot register node %s", n.Name)
		})
	}
	return group.Wait()
}

// asItWas returns the labels and taints of a Node that is made anew. Taints that say how a node is are the controllers' to set.
func asItWas(o kube.NodeObject, was kube.NodeInfo) (map[string]string, []kube.Taint) {
	labels, taints := maps.Clone(was.Labels), slices.Clone(o.Taints)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, o.Labels)
	for _, t := range was.Taints {
		same := func(other kube.Taint) bool { return other.Key == t.Key && other.Effect == t.Effect }
		if !strings.HasPrefix(t.Key, "node.kubernetes.io/") && !slices.ContainsFunc(taints, same) {
			taints = append(taints, t)
		}
	}
	return labels, taints
}

// takeMisplaced removes the nodes that have another's share, and returns what they were. It removes those whose share such a node has, too,
// and all before any is made anew: the controller manager takes the share of a node that goes for free, whoever else may have it.
func takeMisplaced(ctx context.Context, rc *Context, nodes []v1alpha1.Node) (map[string]kube.NodeInfo, error) {
	all, err := rc.kube.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	has, lost := map[string]string{}, map[string]bool{}
	for _, n := range all {
		has[n.Name] = n.PodCIDR
	}
	misplaced := map[string]bool{}
	for _, n := range nodes {
		own, err := podCIDRs(rc.Doc, rc.places[n.Name].share)
		if err != nil {
			return nil, err
		}
		if share := has[n.Name]; share != "" && share != joined(own) {
			misplaced[n.Name], lost[share] = true, true
		}
	}
	taken := map[string]kube.NodeInfo{}
	for _, n := range nodes {
		if !misplaced[n.Name] && !lost[has[n.Name]] {
			continue
		}
		reporter(ctx).Log("the controller manager was faster: " + n.Name + ", which got " + has[n.Name] + " of the pod subnet, is registered anew")
		was, err := rc.kube.TakeNodeObject(ctx, n.Name)
		if err != nil {
			return nil, err
		}
		if was != nil {
			taken[n.Name] = *was
		}
	}
	return taken, nil
}

// wakeFounders restarts the kubelets of nodes that were made anew: a kubelet registers once, and would make some of what went with the old
// Node much later, or never.
func wakeFounders(ctx context.Context, rc *Context, nodes []v1alpha1.Node, taken map[string]kube.NodeInfo) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		if _, ok := taken[n.Name]; ok {
			group.Go(func() error { return wakeKubelet(ctx, rc, n) })
		}
	}
	return group.Wait()
}

// forgetFounders is the step that lets etcd's later members join: what is kept for them must not say how the first ones began.
func forgetFounders(ctx context.Context, rc *Context) error {
	if len(rc.etcdFounders()) == 0 {
		return event.Skip("they joined already")
	}
	return patchKubeadm(ctx, rc, kubeadm.ForgetFounders)
}

package clustertest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/cove-k8s/cove/pkg/addon/addontest"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/pki"
)

// adminKubeconfig is a file such as kubeadm writes.
func adminKubeconfig(ca *pki.CA) ([]byte, error) {
	cert, key, err := ca.ClientCert("kubernetes-admin", []string{"kubeadm:cluster-admins"}, 365*24*time.Hour)
	if err != nil {
		return nil, err
	}
	c := api.NewConfig()
	c.Clusters["kubernetes"] = &api.Cluster{Server: "https://cove-endpoint:6443", CertificateAuthorityData: ca.CertPEM()}
	c.AuthInfos["kubernetes-admin"] = &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	c.Contexts["kubernetes-admin@kubernetes"] = &api.Context{Cluster: "kubernetes", AuthInfo: "kubernetes-admin"}
	c.CurrentContext = "kubernetes-admin@kubernetes"
	return clientcmd.Write(*c)
}

// Connect returns the API of the cluster that has the CA of the options. It is a cluster.Deps.Connect.
func (w *World) Connect(o kube.Options) (cluster.Kube, error) {
	if err := w.call("Connect"); err != nil {
		return nil, err
	}
	return &fakeAPI{world: w, ca: o.CA}, nil
}

func (w *World) call(name string) error {
	if w.OnCall != nil {
		w.OnCall(name)
	}
	if w.dead.Load() {
		return errKilled()
	}
	return w.Fail[name]
}

// ConnectConfig returns the API of a cluster that cove did not make, by the host of its configuration. It is a
// cluster.Deps.ConnectConfig.
func (w *World) ConnectConfig(c *rest.Config) (cluster.Kube, error) {
	if err := w.call("Connect"); err != nil {
		return nil, err
	}
	return &fakeAPI{world: w, ca: []byte(c.Host), foreign: true}, nil
}

// Objects returns what the API has of the cluster of that CA, or of that host.
func (w *World) Objects(ca []byte) *addontest.API {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.objects == nil {
		w.objects = map[string]*addontest.API{}
	}
	if w.objects[string(ca)] == nil {
		w.objects[string(ca)] = &addontest.API{Late: w.Late}
	}
	return w.objects[string(ca)]
}

// fakeAPI is the API of a cluster.
type fakeAPI struct {
	world   *World
	ca      []byte
	foreign bool // cove did not make it, and knows nothing of its nodes
}

func (a *fakeAPI) objects() *addontest.API { return a.world.Objects(a.ca) }

var _ cluster.Kube = (*fakeAPI)(nil)

// wait is a call that takes as long as its context lasts, if it is made to fail with the context's error.
func (a *fakeAPI) wait(ctx context.Context, name string) error {
	err := a.world.call(name)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if hang := (*HangError)(nil); asHang(err, &hang) {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return err
}

// HangError makes a call hang until its context ends, as an entry of World.Fail.
type HangError struct{}

// Error says what it does.
func (*HangError) Error() string { return "it hangs" }

func asHang(err error, target **HangError) bool {
	hang, ok := err.(*HangError) //nolint:errorlint // it is never wrapped
	*target = hang
	return ok
}

func (a *fakeAPI) WaitAPI(ctx context.Context, report func(string)) error {
	report("the API server")
	if err := a.world.servesAPI(ctx); err != nil && !a.foreign {
		return err
	}
	return a.wait(ctx, "WaitAPI")
}

// servesAPI fails where no control plane of any cluster runs, or etcd of those that do has no majority.
func (w *World) servesAPI(ctx context.Context) error {
	nodes, err := w.Engine.Nodes(ctx, engine.Selector{Role: engine.RoleControlPlane})
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.State == engine.StateRunning && !w.held(ctx, n.Name) && w.quorate(ctx, n.Name) {
			return nil
		}
	}
	return fault.New(fault.NotReady, "no control plane serves the API")
}

func (a *fakeAPI) Apply(ctx context.Context, objs []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if err := a.wait(ctx, "Apply"); err != nil {
		return nil, err
	}
	a.world.mu.Lock()
	for _, o := range objs {
		a.world.applied = append(a.world.applied, o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName())
	}
	a.world.mu.Unlock()
	return a.objects().Apply(ctx, objs)
}

func (a *fakeAPI) DryRun(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if err := a.wait(ctx, "DryRun"); err != nil {
		return nil, err
	}
	return a.objects().DryRun(ctx, o)
}

func (a *fakeAPI) Get(ctx context.Context, r kube.Ref) (*unstructured.Unstructured, error) {
	if err := a.wait(ctx, "Get"); err != nil {
		return nil, err
	}
	return a.objects().Get(ctx, r)
}

func (a *fakeAPI) Create(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, bool, error) {
	if err := a.wait(ctx, "Create"); err != nil {
		return nil, false, err
	}
	return a.objects().Create(ctx, o)
}

func (a *fakeAPI) List(ctx context.Context, kinds []schema.GroupKind, selector string) ([]*unstructured.Unstructured, error) {
	if err := a.wait(ctx, "List"); err != nil {
		return nil, err
	}
	return a.objects().List(ctx, kinds, selector)
}

func (a *fakeAPI) Delete(ctx context.Context, objs []*unstructured.Unstructured, report func(string)) error {
	if err := a.wait(ctx, "Delete"); err != nil {
		return err
	}
	return a.objects().Delete(ctx, objs, report)
}

func (a *fakeAPI) WaitReady(ctx context.Context, refs []kube.Ref, report func(string)) error {
	report("the workloads")
	if err := a.wait(ctx, "WaitReady"); err != nil {
		return err
	}
	return a.objects().WaitReady(ctx, refs, report)
}

func (a *fakeAPI) Lacks(ctx context.Context, refs []kube.Ref) (map[kube.Ref]string, error) {
	if err := a.wait(ctx, "Lacks"); err != nil {
		return nil, err
	}
	return a.objects().Lacks(ctx, refs)
}

func (a *fakeAPI) Services(ctx context.Context) ([]kube.ServiceInfo, error) {
	return a.world.Services, a.wait(ctx, "Services")
}

func (a *fakeAPI) Version(ctx context.Context) (string, error) {
	return Version, a.wait(ctx, "Version")
}

func (a *fakeAPI) CreateNodeObject(ctx context.Context, n kube.NodeObject) error {
	what := n.Name
	for _, p := range n.PodCIDRs {
		what += " " + p.String()
	}
	for _, t := range n.Taints {
		what += " " + t.Key + "=" + t.Value + ":" + t.Effect
	}
	if ahead := a.ahead(n.Name); ahead != "" && ahead != shares(n) {
		err := a.wait(ctx, "CreateNodeObject")
		return cmp.Or[error](err, fault.New(fault.KubernetesRefused, "its share of the pod subnet is %s, not %s", ahead, shares(n)))
	}
	if err := a.did(ctx, "CreateNodeObject", what); err != nil {
		return err
	}
	labels := map[string]*string{}
	for key, value := range n.Labels {
		labels[key] = &value
	}
	a.label(n.Name, labels)
	a.taint(n.Name, n.Taints, nil)
	return nil
}

func shares(n kube.NodeObject) string {
	texts := make([]string, len(n.PodCIDRs))
	for i, p := range n.PodCIDRs {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}

// ahead returns the share that the controller manager has given the node.
func (a *fakeAPI) ahead(node string) string {
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	if list := a.world.Ahead[node]; len(list) > 0 {
		return list[0]
	}
	return ""
}

func (a *fakeAPI) TakeNodeObject(ctx context.Context, name string) (*kube.NodeInfo, error) {
	if err := a.did(ctx, "TakeNodeObject", name); err != nil {
		return nil, err
	}
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	was := &kube.NodeInfo{Name: name, Taints: a.world.Marked[name]}
	delete(a.world.Marked, name)
	if list := a.world.Ahead[name]; len(list) > 0 {
		a.world.Ahead[name] = list[1:]
	}
	return was, nil
}

func (a *fakeAPI) WaitNodesReady(ctx context.Context, _ []string, report func(string)) error {
	report("the kubelets")
	return a.wait(ctx, "WaitNodesReady")
}

func (a *fakeAPI) DeleteNodeObject(ctx context.Context, name string) error {
	if err := a.did(ctx, "DeleteNodeObject", name); err != nil {
		return err
	}
	a.cordon(name, false) // it goes with the object
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	delete(a.world.labels, name)
	delete(a.world.taints, name)
	return nil
}

func (a *fakeAPI) SetNode(ctx context.Context, name string, labels map[string]*string, add, remove []kube.Taint) error {
	if err := a.did(ctx, "SetNode", name); err != nil {
		return err
	}
	a.label(name, labels)
	a.taint(name, add, remove)
	return nil
}

func (a *fakeAPI) Cordon(ctx context.Context, node string, on bool) error {
	if err := a.did(ctx, "Cordon", fmt.Sprintf("%s %v", node, on)); err != nil {
		return err
	}
	a.cordon(node, on)
	return nil
}

func (a *fakeAPI) Drain(ctx context.Context, node string, _ kube.DrainOptions, report func(string)) error {
	report("a pod")
	if !a.world.dead.Load() {
		a.cordon(node, true) // first of all: it is so when the pods do not go
	}
	return a.did(ctx, "Drain", node)
}

// cordon is cove's: it is no news to a node that somebody else has cordoned.
func (a *fakeAPI) cordon(node string, on bool) {
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	if _, is := a.world.Cordoned[node]; on && !is {
		a.world.Cordoned[node] = true
	}
	if !on {
		delete(a.world.Cordoned, node)
	}
}

func (a *fakeAPI) WaitNodesFresh(ctx context.Context, names []string, _ map[string]time.Time, report func(string)) error {
	report("the kubelets")
	return a.did(ctx, "WaitNodesFresh", strings.Join(names, " "))
}

func (a *fakeAPI) WaitPodsBack(ctx context.Context, _ map[string]time.Time, _ func(string) bool, report func(string)) error {
	report("the pods")
	return a.did(ctx, "WaitPodsBack", "")
}

func (a *fakeAPI) CreateBootstrapToken(ctx context.Context, _ string, _ time.Duration) error {
	return a.did(ctx, "CreateBootstrapToken", "")
}

func (a *fakeAPI) DeleteBootstrapToken(ctx context.Context, _ string) error {
	return a.did(ctx, "DeleteBootstrapToken", "")
}

func (a *fakeAPI) PatchConfigMap(ctx context.Context, namespace, name string, change func(data map[string]string) error) error {
	if err := a.did(ctx, "PatchConfigMap", namespace+"/"+name); err != nil {
		return err
	}
	return change(map[string]string{"ClusterConfiguration": "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"})
}

// did is a call whose order with others matters: Calls lists it.
func (a *fakeAPI) did(ctx context.Context, name, what string) error {
	if err := a.wait(ctx, name); err != nil {
		return err
	}
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	a.world.calls = append(a.world.calls, strings.TrimSpace(name+" "+what))
	return nil
}

func (a *fakeAPI) Pods(ctx context.Context) ([]kube.PodInfo, error) {
	if err := a.wait(ctx, "Pods"); err != nil {
		return nil, err
	}
	return []kube.PodInfo{{Namespace: "kube-system", Name: "coredns-x", Healthy: true}}, nil
}

func (a *fakeAPI) Evidence(ctx context.Context, dir string) error {
	if err := a.wait(ctx, "Evidence"); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "pods.txt"), []byte("kube-system/coredns-x\n"), 0o600)
}

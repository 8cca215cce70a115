package cluster

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/pki"
	"github.com/cove-k8s/cove/pkg/profile"
)

// Kube is what the steps need of a cluster's API. *kube.Client is it.
type Kube interface {
	addon.API
	KubeChanger
	WaitAPI(ctx context.Context, report func(string)) error
	CreateNodeObject(ctx context.Context, n kube.NodeObject) error
	WaitNodesReady(ctx context.Context, names []string, report func(string)) error
	Nodes(ctx context.Context) ([]kube.NodeInfo, error)
	Pods(ctx context.Context) ([]kube.PodInfo, error)
	Services(ctx context.Context) ([]kube.ServiceInfo, error)
	Version(ctx context.Context) (string, error)
	Evidence(ctx context.Context, dir string) error
}

// KubeChanger is what the steps that change a living cluster need of its API.
type KubeChanger interface {
	DeleteNodeObject(ctx context.Context, name string) error
	TakeNodeObject(ctx context.Context, name string) (*kube.NodeInfo, error)
	SetNode(ctx context.Context, name string, labels map[string]*string, add, remove []kube.Taint) error
	Cordon(ctx context.Context, node string, on bool) error
	Drain(ctx context.Context, node string, o kube.DrainOptions, report func(string)) error
	WaitNodesFresh(ctx context.Context, names []string, since map[string]time.Time, report func(string)) error
	WaitPodsBack(ctx context.Context, since map[string]time.Time, namespaces func(string) bool, report func(string)) error
	CreateBootstrapToken(ctx context.Context, token string, ttl time.Duration) error
	DeleteBootstrapToken(ctx context.Context, token string) error
	PatchConfigMap(ctx context.Context, namespace, name string, change func(data map[string]string) error) error
}

// Deps is what every operation on clusters needs.
type Deps struct {
	Engine  engine.Engine
	Emitter *event.Emitter
	Now     func() time.Time
	// Connect makes a client of a cluster's API, without I/O.
	Connect func(kube.Options) (Kube, error)
	// ConnectConfig makes a client of the API that a kubeconfig leads to, without I/O.
	ConnectConfig func(*rest.Config) (Kube, error)
	// EnsureImage gets the image of that name onto the engine, or chooses one for the Kubernetes version where the name is
	// empty, and says which and why.
	EnsureImage func(ctx context.Context, e engine.Engine, rep *event.Reporter, name, version string) (engine.Image, error)
	// EnsureAddonImage finds a way for an addon's image to get into nodes: from is the engine's name of it, which LoadImages
	// loads, or empty where the nodes pull it.
	EnsureAddonImage func(ctx context.Context, e engine.Engine, rep *event.Reporter, img profile.Image) (from string, err error)
	// LoadImages loads images of the engine into nodes: from the engine's names, to the names by which pods know them.
	LoadImages func(ctx context.Context, e engine.Engine, nodes []engine.Node, images map[string]string, rep *event.Reporter) error
	// Preflight checks the host before anything is made; nil checks nothing.
	Preflight Preflight
	// Kubeconfig is the file that was asked for; empty: as kubectl finds it.
	Kubeconfig string
	// StateDir is where locks, run logs and evidence are kept on this machine.
	StateDir string
	// Quiet is how long the engine has to make nothing new until what a killed run asked for counts as made; 0: DefaultQuiet.
	Quiet time.Duration
}

// Context is what the steps of a run share. What a step sets is read by later stages only, or guarded.
type Context struct {
	Deps
	Doc     v1alpha1.Cluster
	Addons  []addon.Instance // in the order in which they are applied
	Options CreateOptions

	mu   sync.Mutex // guards info and kept
	info engine.Info
	kept map[string]bool // nodes that a failed run could not take out of the cluster

	images        map[string]nodeImage     // by node name
	first         string                   // the control plane that the cluster is bootstrapped on
	founders      []string                 // the nodes that a new cluster starts with, and that do not join it; the first is not named
	places        map[string]place         // of all nodes, by name
	ports         map[string][]engine.Port // what the nodes' containers published when the run began
	publisher     string                   // the node that publishes the API where there is no load balancer
	balanced      bool                     // a load balancer stands before the API
	balancerImage string
	network       engine.Network
	ca            *pki.CA
	sharedKeys    []engine.File // what all control planes have in common
	token         string
	renewed       bool    // certificates were
	record        created // as it was last written; zero before a new cluster has one

	initConfig    []byte        // kubeadm's, of the first control plane
	kubeadmAddons []string      // those of kubeadm's that the document wants
	kube          Kube          // set before apiUp is closed
	apiUp         chan struct{} // closed when the API answers
	initOK        chan struct{} // closed when kubeadm init is through
	core          []kube.Ref    // what kubeadm's addons consist of
	progress      map[string]*addonProgress
	manager       func() *addon.Manager // of the cluster's addons; without an API until apiUp is closed
}

// Name returns the cluster's name.
func (rc *Context) Name() string { return rc.Doc.Name }

// refreshInfo asks the engine again what it is, where the start of a node may have taught it something.
func (rc *Context) refreshInfo(ctx context.Context) error {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if rc.info.Restricted {
		return nil
	}
	info, err := rc.Engine.Info(ctx)
	if err == nil {
		rc.info = info
	}
	return err
}

// engineInfo returns what the engine said of itself.
func (rc *Context) engineInfo() engine.Info {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return rc.info
}

// keep has the containers and the volumes of a node stay, whatever else is undone.
func (rc *Context) keep(node string) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if rc.kept == nil {
		rc.kept = map[string]bool{}
	}
	rc.kept[node] = true
}

func (rc *Context) keeps(node string) bool {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return rc.kept[node]
}

type reporterKey struct{}

// withReporter puts the step's reporter where helpers deep in the step find it.
func withReporter(ctx context.Context, rep *event.Reporter) context.Context {
	return context.WithValue(ctx, reporterKey{}, rep)
}

// reporter returns the step's reporter; nil, which says nothing, where there is none.
func reporter(ctx context.Context) *event.Reporter {
	rep, _ := ctx.Value(reporterKey{}).(*event.Reporter)
	return rep
}

// Package addon puts addons onto a cluster and takes them off again: it renders what the catalogue or the user gives
// (manifests, kustomizations, Helm charts), applies it on the server's side as an ApplySet (KEP-3659), waits until it is
// ready (kstatus), says how it is and what was changed since, and removes exactly what it put there. It never reads a
// catalogue and never chooses addons: pkg/profile does.
package addon

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/profile"
)

// API is what the engine needs of a cluster's API. *kube.Client is it.
type API interface {
	Apply(ctx context.Context, objs []*unstructured.Unstructured) ([]*unstructured.Unstructured, error)
	DryRun(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error)
	Get(ctx context.Context, r kube.Ref) (*unstructured.Unstructured, error)
	Create(ctx context.Context, o *unstructured.Unstructured) (made *unstructured.Unstructured, created bool, err error)
	List(ctx context.Context, kinds []schema.GroupKind, selector string) ([]*unstructured.Unstructured, error)
	Delete(ctx context.Context, objs []*unstructured.Unstructured, report func(string)) error
	WaitReady(ctx context.Context, refs []kube.Ref, report func(string)) error
	Lacks(ctx context.Context, refs []kube.Ref) (map[kube.Ref]string, error)
}

// Facts are what addons may know of the cluster that they are for; templates find them as .Cluster.
type Facts struct {
	Name              string
	Foreign           bool   // cove did not make the cluster
	Subnet            string // the nodes' network: "172.20.0.0/24", of both families "172.20.0.0/24,fd12::/64"; empty where it is not known
	Pool              string // addresses of it that are free for services: "172.20.0.200-172.20.0.250"
	PodSubnet         string
	ServiceSubnet     string
	KubernetesVersion string // "v1.36.3"
	Nodes             int
	ControlPlane      string // the first one's name; empty where it is not known
}

// Instance is an addon as it is asked for.
type Instance struct {
	Addon      *profile.Addon
	Parameters map[string]any // complete, as profile.Addon.Values returns them
}

// Name returns the addon's name.
func (i Instance) Name() string { return i.Addon.Name }

// Manager works on the addons of one cluster.
type Manager struct {
	API   API
	Facts Facts
	Now   func() time.Time
	// NodeFile reads a file of the node image, rendered for the cluster; nil where the nodes are not cove's.
	NodeFile func(ctx context.Context, path string) ([]byte, error)
	// Adapt changes an object of the catalogue's own manifests before it is applied; nil changes nothing.
	Adapt func(o *unstructured.Unstructured)
}

// systemNamespace is where cove keeps what it must know of a cluster.
const systemNamespace = "kube-system"

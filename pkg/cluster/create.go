package cluster

import (
	"time"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// WaitLevel says what create waits for before it returns.
type WaitLevel string

// The levels; each includes those before it.
const (
	WaitNone   WaitLevel = "none"   // kubeadm is through on every node
	WaitAPI    WaitLevel = "api"    // the API server answers from where cove runs
	WaitNodes  WaitLevel = "nodes"  // every node is Ready
	WaitUsable WaitLevel = "usable" // and DNS answers on every node, and every addon is Available
)

// ParseWaitLevel reads a level; Usage where there is no such level.
func ParseWaitLevel(s string) (WaitLevel, error) {
	switch l := WaitLevel(s); l {
	case WaitNone, WaitAPI, WaitNodes, WaitUsable:
		return l, nil
	}
	return "", fault.New(fault.Usage, "--wait=%s is not a level: choose none, api, nodes or usable", s)
}

// DefaultTimeout bounds create from the first container on. An image that must be built or pulled first does not count.
const DefaultTimeout = 5 * time.Minute

// CreateOptions is how to create, as opposed to what.
type CreateOptions struct {
	Wait    WaitLevel     // "" is WaitUsable
	Timeout time.Duration // 0 is DefaultTimeout
	Retain  bool          // keep what a failed run made
	// LockTimeout is how long Create waits for another run that works on the cluster; 0 does not wait.
	LockTimeout time.Duration
	// SkipKubeconfig leaves the kubeconfig alone; KeepContext merges, and leaves the current context as it is.
	SkipKubeconfig, KeepContext bool
}

// PlanCreate returns the plan that makes the cluster of a complete, valid document, with its addons in the order in which
// they are applied. It does no I/O.
func PlanCreate(doc v1alpha1.Cluster, addons []addon.Instance, o CreateOptions) Plan {
	nodes := nodesOf(doc)
	prepare := Stage{Name: "prepare", Steps: []Step{
		step{"host", "Check the engine and its host", checkHost},
		step{"image", "Get the node image" + imageTitle(doc), ensureImages},
	}}
	for _, a := range withImages(addons) {
		prepare.Steps = append(prepare.Steps, step{"images/" + a.Name(), "Get the images of " + a.Name(), ensureAddonImages(a)})
	}
	network := Stage{Name: "network", Timed: true, Steps: []Step{
		undoableStep{step{"network", "Create network " + networkName(doc.Name), createNetwork}, removeNetwork},
	}}
	containers := Stage{Name: "nodes", Timed: true, Steps: []Step{startBalancer{doc.Name}}}
	bootstrap := Stage{Name: "bootstrap", Timed: true}
	for i, n := range nodes {
		containers.Steps = append(containers.Steps, startNode{node: n})
		if i == 0 {
			bootstrap.Steps = append(bootstrap.Steps,
				step{"kubeadm/" + n.Name, "Bootstrap the control plane on " + n.Name, initControlPlane(n)},
				step{"api", "Reach the API server", waitAPI},
				step{"core", "Apply " + coreTitle(doc), applyCore})
		} else {
			bootstrap.Steps = append(bootstrap.Steps,
				step{"kubeadm/" + n.Name, "Join " + n.Name, joinNode(n)})
		}
	}
	for _, a := range withImages(addons) {
		bootstrap.Steps = append(bootstrap.Steps, step{"load/" + a.Name(), "Load the images of " + a.Name() + " into the nodes", loadAddonImages(a)})
	}
	for _, a := range addons {
		bootstrap.Steps = append(bootstrap.Steps, step{"addon/" + a.Name(), "Apply " + addonTitle(a), applyAddon(a)})
	}
	plan := Plan{Cluster: doc.Name, Stages: []Stage{prepare, network, containers, bootstrap}}
	if ready := readyStage(doc, nodes, addons, o.Wait); len(ready.Steps) > 0 {
		plan.Stages = append(plan.Stages, ready)
	}
	handover := Stage{Name: "handover", Timed: true, Steps: []Step{
		step{"kubelet", "Let the kubelet renew its certificate", finalizeKubelet},
		step{"token", "Remove the token to join by", dropToken},
	}}
	if len(controlPlanes(nodes)) > 1 {
		handover.Steps = append(handover.Steps, step{"etcd", "Let later control planes join etcd", forgetFounders})
	}
	if !o.SkipKubeconfig {
		handover.Steps = append(handover.Steps, undoableStep{
			step{"kubeconfig", "Write context " + ContextName(doc.Name) + " to the kubeconfig", mergeKubeconfig}, removeKubeconfig,
		})
	}
	// The record says that the cluster is complete: it comes when everything else is done.
	record := Stage{Name: "record", Timed: true, Steps: []Step{step{"record", "Record the cluster", recordCreated}}}
	plan.Stages = append(plan.Stages, handover, record)
	return plan
}

// readyStage returns the steps that wait for what the level asks.
func readyStage(doc v1alpha1.Cluster, nodes []v1alpha1.Node, addons []addon.Instance, level WaitLevel) Stage {
	stage := Stage{Name: "ready", Timed: true}
	// Without a CNI no node gets Ready, until the user applies one.
	if level == WaitNone || level == WaitAPI || noCNI(doc) {
		return stage
	}
	stage.Steps = append(stage.Steps, step{"ready/nodes", "Every node is Ready", waitNodes(nodes)})
	if level == WaitNodes {
		return stage
	}
	stage.Steps = append(stage.Steps, step{"ready/core", "kube-proxy and DNS are Available", waitCore})
	for _, a := range addons {
		stage.Steps = append(stage.Steps, step{"ready/addon/" + a.Name(), title(a.Name()) + " is Available", waitAddon(a)})
	}
	if kubeProxyMode(doc) != "none" {
		for _, n := range nodes {
			stage.Steps = append(stage.Steps, step{"ready/dns/" + n.Name, "DNS answers on " + n.Name, waitDNS(n)})
		}
	}
	return stage
}

func imageTitle(doc v1alpha1.Cluster) string {
	if doc.Image != "" {
		return " " + doc.Image
	}
	return " for Kubernetes " + doc.KubernetesVersion
}

func coreTitle(doc v1alpha1.Cluster) string {
	if kubeProxyMode(doc) == "none" {
		return "DNS"
	}
	return "kube-proxy and DNS"
}

// noCNI reports whether the pod network is left to the user.
func noCNI(doc v1alpha1.Cluster) bool {
	return doc.CNI == profile.NoCNI || doc.CNI == "" && doc.Cluster.Networking.DisableDefaultCNI
}

func kubeProxyMode(doc v1alpha1.Cluster) string { return string(doc.Cluster.Networking.KubeProxyMode) }

// ContextName is the name of the cluster's kubeconfig context.
func ContextName(cluster string) string { return "cove-" + cluster }

func networkName(cluster string) string { return "cove-" + cluster }

// endpointName is the name under which the nodes of a cluster know its API, whatever answers there: a control plane
// or a load balancer. It is in their /etc/hosts and in the API server's certificate.
func endpointName(cluster string) string { return cluster + "-endpoint" }

// volumes are the named volumes of a node: what must outlive its container.
func volumes(node string) []engine.VolumeMount {
	return []engine.VolumeMount{
		{Name: node + "-var", Target: "/var"},
		{Name: node + "-kubernetes", Target: "/etc/kubernetes"},
	}
}

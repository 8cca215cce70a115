package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
)

// Status is a cluster as it is now.
type Status struct {
	Summary `yaml:",inline"`
	APIUp   bool         `json:"apiUp" yaml:"apiUp"`
	Usable  bool         `json:"usable" yaml:"usable"` // every node Ready, every pod of kube-system's running
	Nodes   []NodeStatus `json:"nodes" yaml:"nodes"`
	// Balancer is the load balancer before the API.
	Balancer *NodeStatus  `json:"balancer,omitempty" yaml:"balancer,omitempty"`
	Addons   []AddonState `json:"addons,omitempty" yaml:"addons,omitempty"`
	// LoadBalancers are the Services that a load balancer serves, or is to.
	LoadBalancers []ServiceAddress `json:"loadBalancers,omitempty" yaml:"loadBalancers,omitempty"`
	Problems      []string         `json:"problems,omitempty" yaml:"problems,omitempty"` // what keeps it from being usable
}

// AddonState is an addon in brief.
type AddonState struct {
	Name    string       `json:"name" yaml:"name"`
	Version string       `json:"version,omitempty" yaml:"version,omitempty"`
	Health  addon.Health `json:"health" yaml:"health"`
}

// NodeStatus is a node as engine and Kubernetes see it.
type NodeStatus struct {
	Name           string       `json:"name" yaml:"name"`
	Role           string       `json:"role" yaml:"role"`
	Container      engine.State `json:"container" yaml:"container"`
	Ready          bool         `json:"ready" yaml:"ready"`
	Reason         string       `json:"reason,omitempty" yaml:"reason,omitempty"`
	IP             string       `json:"ip,omitempty" yaml:"ip,omitempty"`
	PodCIDR        string       `json:"podCIDR,omitempty" yaml:"podCIDR,omitempty"`
	KubeletVersion string       `json:"kubeletVersion,omitempty" yaml:"kubeletVersion,omitempty"`
	CPUs           string       `json:"cpus,omitempty" yaml:"cpus,omitempty"`     // "1.5", as a document may have it; empty: no limit
	Memory         string       `json:"memory,omitempty" yaml:"memory,omitempty"` // "2Gi"
	Image          string       `json:"image" yaml:"image"`
	Ports          []string     `json:"ports,omitempty" yaml:"ports,omitempty"`
}

// statusTimeout bounds how long status waits for an API server that does not answer.
const statusTimeout = 3 * time.Second

// GetStatus returns what there is to know of the cluster. An API that does not answer is a problem it lists, no error.
func GetStatus(ctx context.Context, d Deps, name string) (Status, error) {
	info, err := d.Engine.Info(ctx)
	if err != nil {
		return Status{}, err
	}
	f, err := lookup(ctx, d.Engine, name)
	if err != nil {
		return Status{}, err
	}
	var s Status
	var record created
	if s.Summary, record, err = summarize(ctx, d.Engine, info, f); err != nil {
		return s, err
	}
	addContainers(f, record, &s)
	if addLoss(ctx, d.Engine, f, &s); s.State == Missing || s.State == Incomplete {
		return s, nil
	}
	if s.Upgrading != "" {
		s.Problems = append(s.Problems, fmt.Sprintf("an upgrade to Kubernetes %s has not ended; unless it is under way, `%s` goes on with it", s.Upgrading, upgradeCommand(name, s.Upgrading)))
	}
	if s.State == Stopped || s.State == Paused {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if err := addKubernetes(ctx, d, info, f, &s); err != nil {
		s.Problems = append(s.Problems, apiProblem(name, err))
	}
	s.Usable = s.APIUp && len(s.Problems) == 0
	return s, nil
}

// addLoss adds what the cluster has lost, or never had, and the cure.
func addLoss(ctx context.Context, e engine.Engine, f found, s *Status) {
	switch s.State {
	case Missing:
		s.Problems = append(s.Problems, fmt.Sprintf("%v: %s", f.unreadable(), fault.ReportOf(f.unreadable()).Hint))
		return
	case Incomplete:
		s.Problems = append(s.Problems, "the run that made it did not end; `cove delete "+f.name+"` removes it")
		return
	case Running, Stopped, Paused, Degraded:
	}
	if len(f.networks) == 0 {
		s.Problems = slices.Insert(s.Problems, 0, "its network is gone: `cove apply "+f.name+"` brings it back")
	}
	if _, err := readCreated(ctx, e, f); fault.Is(err, fault.RecordUnreadable) {
		s.Problems = append(s.Problems, err.Error()+": "+fault.ReportOf(err).Hint)
	}
}

// addContainers adds what the engine knows of nodes and load balancer.
func addContainers(f found, record created, s *Status) {
	doc, _ := f.document() // of one that cannot be read, nodes have IPv4 at least
	s.Problems = append(s.Problems, f.losses(record)...)
	for _, n := range f.nodes {
		s.Nodes = append(s.Nodes, containerStatus(doc, n))
		why := f.broken(record, n)
		switch {
		case why != "" && record.has(n.Name):
			s.Problems = append(s.Problems, fmt.Sprintf("node %s: %s: %s", n.Name, why, madeAgain(f.name)))
		case n.State == engine.StatePaused:
			s.Problems = append(s.Problems, fmt.Sprintf("the container of node %s is paused: `cove resume %s` lets it go on", n.Name, f.name))
		case n.State != engine.StateRunning:
			s.Problems = append(s.Problems, strings.TrimSpace(fmt.Sprintf("the container of node %s is %s (status %d) %s", n.Name, n.State, n.ExitCode, n.Error)))
		}
	}
	for _, n := range f.gone(record) { // losses has said so
		s.Nodes = append(s.Nodes, containerStatus(doc, engine.Node{Name: n.Name, Role: n.Role, State: stateGone, NanoCPUs: n.NanoCPUs, Memory: n.Memory, Image: n.Image}))
	}
	if b := f.balancer; b != nil {
		state := containerStatus(doc, *b)
		s.Balancer = &state
		switch why := f.broken(record, *b); {
		case why != "" && s.State != Incomplete:
			s.Problems = append(s.Problems, fmt.Sprintf("the load balancer: %s: %s", why, madeAgain(f.name)))
		case b.State != engine.StateRunning && s.State != Stopped && s.State != Paused:
			s.Problems = append(s.Problems, fmt.Sprintf("the load balancer is %s: `cove start %s` starts it", b.State, f.name))
		}
	}
}

// apiProblem says why the API of the cluster named cannot be asked, err, and the cure where that is known. Certificates end on a
// cluster that the engine brought back by itself: only a start by cove renews them, and only on nodes that do not run.
func apiProblem(name string, err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Sprintf("its certificates have ended: `cove restart %s` renews them", name)
	}
	return "the API server does not answer: " + err.Error()
}

func containerStatus(doc v1alpha1.Cluster, n engine.Node) NodeStatus {
	s := NodeStatus{Name: n.Name, Role: n.Role, Container: n.State, Image: n.Image}
	if ip := mainIP(doc, n); ip.IsValid() {
		s.IP = ip.String()
	}
	if n.NanoCPUs > 0 {
		s.CPUs = cores(n.NanoCPUs)
	}
	if n.Memory > 0 {
		s.Memory = size(n.Memory)
	}
	for _, p := range n.Ports {
		s.Ports = append(s.Ports, fmt.Sprintf("%s:%d->%d/%s", p.HostIP, p.HostPort, p.ContainerPort, p.Protocol))
	}
	return s
}

// addKubernetes adds what the API knows of nodes and system pods.
func addKubernetes(ctx context.Context, d Deps, info engine.Info, f found, s *Status) error {
	a, err := access(ctx, d.Engine, info, f)
	if err != nil {
		return err
	}
	client, err := d.Connect(a.Options())
	if err != nil {
		return err
	}
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return err
	}
	s.APIUp = true
	byName := map[string]kube.NodeInfo{}
	for _, n := range nodes {
		byName[n.Name] = n
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		k, known := byName[n.Name]
		n.Ready, n.Reason, n.PodCIDR, n.KubeletVersion = k.Ready, k.Reason, k.PodCIDR, k.KubeletVersion
		switch {
		case n.Container == stateGone:
		case !known:
			s.Problems = append(s.Problems, fmt.Sprintf("node %s is not known to Kubernetes", n.Name))
		case !k.Ready:
			s.Problems = append(s.Problems, fmt.Sprintf("node %s is not Ready: %s", n.Name, k.Reason))
		}
	}
	pods, err := client.Pods(ctx)
	if err != nil {
		return err
	}
	for _, p := range pods {
		if !p.Healthy && systemNamespace(p.Namespace) {
			s.Problems = append(s.Problems, fmt.Sprintf("pod %s/%s: %s", p.Namespace, p.Name, p.Reason))
		}
	}
	if s.LoadBalancers, err = loadBalancers(ctx, client, info); err != nil {
		return err
	}
	return addAddons(ctx, d, client, s)
}

// addAddons adds how the addons are.
func addAddons(ctx context.Context, d Deps, client Kube, s *Status) error {
	m := addon.Manager{API: client, Now: d.Now}
	all, err := m.Health(ctx)
	for _, a := range all {
		s.Addons = append(s.Addons, AddonState{Name: a.Name, Version: a.Version, Health: a.Health})
		if a.Health != addon.Healthy {
			s.Problems = append(s.Problems, fmt.Sprintf("addon %s is %s: %s", a.Name, a.Health, strings.Join(a.Problems, "; ")))
		}
	}
	return err
}

// systemNamespace reports whether cove or kubeadm put the namespace's pods there; a user's own are the user's affair.
func systemNamespace(ns string) bool {
	return ns == "kube-system" || ns == "kube-flannel" || ns == "local-path-storage"
}

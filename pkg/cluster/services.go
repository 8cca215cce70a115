package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/kube"
)

// ServiceAddress is a Service that a load balancer serves.
type ServiceAddress struct {
	Service   string   `json:"service" yaml:"service"` // NAMESPACE/NAME
	Addresses []string `json:"addresses" yaml:"addresses"`
	Ports     []string `json:"ports" yaml:"ports"` // "80/TCP"
	// Reachable says how this machine reaches it, where it cannot do so directly; empty: it can.
	Reachable string `json:"reachable,omitempty" yaml:"reachable,omitempty"`
}

// loadBalancers lists the Services of type LoadBalancer.
func loadBalancers(ctx context.Context, client Kube, info engine.Info) ([]ServiceAddress, error) {
	services, err := client.Services(ctx)
	if err != nil {
		return nil, err
	}
	var out []ServiceAddress
	for _, s := range services {
		if s.Type == "LoadBalancer" {
			out = append(out, ServiceAddress{Service: s.Namespace + "/" + s.Name, Addresses: s.Addresses, Ports: s.Ports, Reachable: howToReach(info, s)})
		}
	}
	return out, nil
}

// howToReach says what to do where the nodes' network cannot be reached from this machine: the engine runs in a virtual
// machine, or elsewhere.
func howToReach(info engine.Info, s kube.ServiceInfo) string {
	switch {
	case len(s.Addresses) == 0:
		return "it has no address yet: `cove addon enable metallb` gives it one"
	case info.Host == "" && !strings.Contains(info.HostName, "docker-desktop") && !info.Rootless:
		return ""
	}
	port := "PORT"
	if len(s.Ports) > 0 {
		port, _, _ = strings.Cut(s.Ports[0], "/")
	}
	return fmt.Sprintf("the address is one of the engine's host: `kubectl -n %s port-forward svc/%s %s` leads there", s.Namespace, s.Name, port)
}

package kube

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cove-k8s/cove/pkg/fault"
)

// ServiceInfo is a Service in brief.
type ServiceInfo struct {
	Namespace, Name, Type string
	Addresses             []string // that a load balancer gave it
	Ports                 []string // "80/TCP"
}

// Services returns the Services of all namespaces. The error is APITimeout or KubernetesRefused.
func (c *Client) Services(ctx context.Context) ([]ServiceInfo, error) {
	list, err := c.set.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fault.Wrap(applyCode(err), err, "cannot list the services")
	}
	infos := make([]ServiceInfo, 0, len(list.Items))
	for i := range list.Items {
		s := &list.Items[i]
		info := ServiceInfo{Namespace: s.Namespace, Name: s.Name, Type: string(s.Spec.Type)}
		for _, in := range s.Status.LoadBalancer.Ingress {
			info.Addresses = append(info.Addresses, in.IP+in.Hostname)
		}
		for _, p := range s.Spec.Ports {
			info.Ports = append(info.Ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
		infos = append(infos, info)
	}
	return infos, nil
}

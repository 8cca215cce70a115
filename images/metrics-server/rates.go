package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/metrics-server/pkg/scraper/client"
	"sigs.k8s.io/metrics-server/pkg/storage"
	"sigs.k8s.io/metrics-server/pkg/utils"
)

const (
	rateWindow = 2 * time.Second // how far back the sample lies that is computed from a rate
	maxSummary = 64 << 20        // bytes that are read of a kubelet's answer
)

// cpuRates are rates of CPU use, in nanocores, of nodes and of the containers of pods.
type cpuRates struct {
	nodes map[string]uint64
	pods  map[types.NamespacedName]map[string]uint64
}

// rater asks kubelets for the rates that they have measured themselves.
type rater struct {
	nodes    listers.NodeLister
	selector labels.Selector
	config   *client.KubeletClientConfig
	http     *http.Client
	address  utils.NodeAddressResolver
}

func newRater(nodes listers.NodeLister, selector []labels.Requirement, config *client.KubeletClientConfig) (*rater, error) {
	transport, err := rest.TransportFor(&config.Client)
	if err != nil {
		return nil, fmt.Errorf("cannot make a transport to the kubelets: %w", err)
	}
	return &rater{
		nodes: nodes, selector: labels.Everything().Add(selector...), config: config,
		http:    &http.Client{Transport: transport, Timeout: config.Client.Timeout},
		address: utils.NewPriorityNodeAddressResolver(config.AddressTypePriority),
	}, nil
}

// rates returns what the kubelets have measured; those that do not answer are left out.
func (r *rater) rates(ctx context.Context) cpuRates {
	all := cpuRates{nodes: map[string]uint64{}, pods: map[types.NamespacedName]map[string]uint64{}}
	nodes, err := r.nodes.List(r.selector)
	if err != nil {
		klog.ErrorS(err, "Failed to list nodes")
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, n := range nodes {
		group.Go(func() {
			s, err := r.summary(ctx, n)
			if err != nil {
				klog.V(1).InfoS("Failed to get the rates of a node, which will be known later", "node", klog.KObj(n), "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			s.addTo(&all, n.Name)
		})
	}
	group.Wait()
	return all
}

// summary is the part of a kubelet's statsapi.Summary that counts here
// (https://kubernetes.io/docs/reference/instrumentation/node-metrics/#summary-api-source).
type summary struct {
	Node struct {
		CPU cpuStats `json:"cpu"`
	} `json:"node"`
	Pods []struct {
		PodRef struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"podRef"`
		Containers []struct {
			Name string   `json:"name"`
			CPU  cpuStats `json:"cpu"`
		} `json:"containers"`
	} `json:"pods"`
}

type cpuStats struct {
	UsageNanoCores *uint64 `json:"usageNanoCores"` // nil: it was not measured twice
}

func (s *summary) addTo(all *cpuRates, node string) {
	if rate := s.Node.CPU.UsageNanoCores; rate != nil {
		all.nodes[node] = *rate
	}
	for _, p := range s.Pods {
		containers := map[string]uint64{}
		for _, c := range p.Containers {
			if c.CPU.UsageNanoCores != nil {
				containers[c.Name] = *c.CPU.UsageNanoCores
			}
		}
		all.pods[types.NamespacedName{Namespace: p.PodRef.Namespace, Name: p.PodRef.Name}] = containers
	}
}

func (r *rater) summary(ctx context.Context, node *corev1.Node) (*summary, error) {
	host, err := r.address.NodeAddress(node)
	if err != nil {
		return nil, fmt.Errorf("no address: %w", err)
	}
	port := r.config.DefaultPort
	if own := int(node.Status.DaemonEndpoints.KubeletEndpoint.Port); r.config.UseNodeStatusPort && own != 0 {
		port = own
	}
	u := url.URL{Scheme: r.config.Scheme, Host: net.JoinHostPort(host, strconv.Itoa(port)), Path: "/stats/summary", RawQuery: "only_cpu_and_memory=true"}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("cannot ask: %w", err)
	}
	answer, err := r.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot ask: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the kubelet answers %s", answer.Status)
	}
	var s summary
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxSummary)).Decode(&s); err != nil {
		return nil, fmt.Errorf("cannot read the answer: %w", err)
	}
	return &s, nil
}

// before returns the samples that lie a little before those of batch, by the rates: what has none is not in it.
func (r cpuRates) before(batch *storage.MetricsBatch) *storage.MetricsBatch {
	out := &storage.MetricsBatch{Nodes: map[string]storage.MetricsPoint{}, Pods: map[types.NamespacedName]storage.PodMetricsPoint{}}
	for name, point := range batch.Nodes {
		if rate, ok := r.nodes[name]; ok {
			out.Nodes[name] = earlier(point, rate)
		}
	}
	for name, pod := range batch.Pods {
		containers := map[string]storage.MetricsPoint{}
		for c, point := range pod.Containers {
			if rate, ok := r.pods[name][c]; ok && point.StartTime.Before(point.Timestamp) {
				containers[c] = earlier(point, rate)
			}
		}
		if len(containers) > 0 {
			out.Pods[name] = storage.PodMetricsPoint{Containers: containers}
		}
	}
	return out
}

// earlier returns the sample before p of what has used CPU at this rate since: of rateWindow before, or half of its age.
func earlier(p storage.MetricsPoint, rate uint64) storage.MetricsPoint {
	window := rateWindow
	if age := p.Timestamp.Sub(p.StartTime); !p.StartTime.IsZero() && age < 2*window {
		window = age / 2
	}
	used := min(uint64(window.Seconds()*float64(rate)), p.CumulativeCPUUsed)
	p.Timestamp, p.CumulativeCPUUsed = p.Timestamp.Add(-window), p.CumulativeCPUUsed-used
	return p
}

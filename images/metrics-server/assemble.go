package main

import (
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	apimetrics "k8s.io/apiserver/pkg/endpoints/metrics"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"sigs.k8s.io/metrics-server/pkg/api"
	"sigs.k8s.io/metrics-server/pkg/scraper"
	"sigs.k8s.io/metrics-server/pkg/scraper/client/resource"
	"sigs.k8s.io/metrics-server/pkg/server"
	"sigs.k8s.io/metrics-server/pkg/storage"
)

// runner is the upstream's server, whose type has no exported name.
type runner interface {
	// RunUntil fills the caches, then scrapes and serves until stop is closed.
	RunUntil(stop <-chan struct{}) error
}

// assemble does what the upstream's Config.Complete does, with a warmUp around the scraper.
func assemble(c *server.Config) (runner, error) {
	var selector []labels.Requirement
	if s := strings.TrimSpace(c.NodeSelector); s != "" {
		var err error
		if selector, err = labels.ParseToRequirements(s); err != nil {
			return nil, fmt.Errorf("cannot read --node-selector: %w", err)
		}
	}
	client, err := kubernetes.NewForConfig(c.Rest)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client of the API server: %w", err)
	}
	nodes := informers.NewSharedInformerFactory(client, 0).Core().V1().Nodes()
	podFactory, err := runningPods(c)
	if err != nil {
		return nil, err
	}
	pods := podFactory.ForResource(corev1.SchemeGroupVersion.WithResource("pods"))
	kubelets, err := resource.NewForConfig(c.Kubelet)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client of the kubelets: %w", err)
	}
	generic, err := apiServer(c)
	if err != nil {
		return nil, err
	}
	store := storage.NewStorage(c.MetricResolution)
	if err := api.Install(store, pods.Lister(), nodes.Lister(), generic, selector); err != nil {
		return nil, fmt.Errorf("cannot install the API: %w", err)
	}
	rater, err := newRater(nodes.Lister(), selector, c.Kubelet)
	if err != nil {
		return nil, err
	}
	warm := newWarmUp(scraper.NewScraper(nodes.Lister(), kubelets, c.ScrapeTimeout, selector), store, rater.rates)
	s := server.NewServer(nodes.Informer(), pods.Informer(), generic, store, warm, c.MetricResolution)
	if err := s.RegisterProbes(podFactory); err != nil {
		return nil, fmt.Errorf("cannot register the probes: %w", err)
	}
	return s, nil
}

// runningPods watches the metadata of the pods that run: others use nothing.
func runningPods(c *server.Config) (metadatainformer.SharedInformerFactory, error) {
	client, err := metadata.NewForConfig(c.Rest)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client of the API server's metadata: %w", err)
	}
	running := fields.OneTermEqualSelector("status.phase", string(corev1.PodRunning)).String()
	return metadatainformer.NewFilteredSharedInformerFactory(client, 0, metav1.NamespaceAll, func(o *metav1.ListOptions) {
		o.FieldSelector = running
	}), nil
}

// apiServer returns the server with a /metrics that has the upstream's own metrics beside those of every API server.
func apiServer(c *server.Config) (*genericapiserver.GenericAPIServer, error) {
	registry := metrics.NewKubeRegistry()
	if err := server.RegisterMetrics(registry, c.MetricResolution); err != nil {
		return nil, fmt.Errorf("cannot register the metrics: %w", err)
	}
	apimetrics.Register()
	c.Apiserver.EnableMetrics = false // the default handler, whose place this one takes
	generic, err := c.Apiserver.Complete(nil).New("metrics-server", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("cannot make the API server: %w", err)
	}
	common, own := legacyregistry.Handler(), metrics.HandlerFor(registry, metrics.HandlerOpts{})
	generic.Handler.NonGoRestfulMux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		common.ServeHTTP(w, r)
		own.ServeHTTP(w, r)
	})
	return generic, nil
}

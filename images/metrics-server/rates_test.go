package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/metrics-server/pkg/scraper/client"
)

// The rates are those of the kubelets that answer; what a kubelet did not measure twice is left out.
func TestRates(t *testing.T) {
	kubelet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/stats/summary?only_cpu_and_memory=true" {
			http.Error(w, r.URL.String(), http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(`{"node":{"nodeName":"n","cpu":{"time":"2026-01-01T00:00:00Z","usageNanoCores":300}},"pods":[
			{"podRef":{"name":"p","namespace":"a"},"containers":[{"name":"c","cpu":{"usageNanoCores":20}},{"name":"new","cpu":{"usageCoreNanoSeconds":5}}]}]}`))
	}))
	defer kubelet.Close()
	at, err := url.Parse(kubelet.URL)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(at.Host)
	nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for name, port := range map[string]int32{"n": int32(addr.Port()), "silent": 1} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: addr.Addr().String()}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
		}}
		if err := nodes.Add(n); err != nil {
			t.Fatal(err)
		}
	}
	r, err := newRater(listers.NewNodeLister(nodes), nil, &client.KubeletClientConfig{
		Client: rest.Config{Timeout: 5 * time.Second}, AddressTypePriority: []corev1.NodeAddressType{corev1.NodeInternalIP},
		Scheme: "http", DefaultPort: 10250, UseNodeStatusPort: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := r.rates(t.Context())
	pod := got.pods[types.NamespacedName{Namespace: "a", Name: "p"}]
	if len(got.nodes) != 1 || got.nodes["n"] != 300 || len(got.pods) != 1 || len(pod) != 1 || pod["c"] != 20 {
		t.Errorf("got %+v", got)
	}
}

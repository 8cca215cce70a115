//go:build e2e

package e2e

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// clientFor returns a client for the current context of a kubeconfig, in the place's network.
func clientFor(t *testing.T, kubeconfig string, p place) *kubernetes.Clientset {
	t.Helper()
	client, err := newClient(kubeconfig, p)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func newClient(kubeconfig string, p place) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.Dial = p.DialContext
	return kubernetes.NewForConfig(config)
}

// nodeNames lists the nodes of the cluster that is the current context of a kubeconfig.
func nodeNames(t *testing.T, kubeconfig string, p place) []string {
	t.Helper()
	nodes, err := clientFor(t, kubeconfig, p).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range nodes.Items {
		names = append(names, n.Name)
	}
	return names
}

package cluster_test

import (
	"fmt"
	"testing"

	"github.com/cove-k8s/cove/pkg/cluster"
)

// Where a remote engine publishes the API is what its container says: the document that the cluster was made by may be out of date.
func TestAccessToMovedAPI(t *testing.T) {
	s := newSetup(t)
	ctx := t.Context()
	info, err := s.Engine.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	info.Host = "192.0.2.7"
	s.Engine.SetInfo(info)
	doc := document(t, "dev", 0)
	if err := s.create(ctx, doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ address, host string }{
		{"127.0.0.1", "127.0.0.1"},
		{"0.0.0.0", "192.0.2.7"},
		{"::", "192.0.2.7"},
		{"192.0.2.8", "192.0.2.8"},
		{"127.0.0.1", "127.0.0.1"},
	} {
		if doc.Cluster.Networking.APIServerAddress != tt.address {
			doc.Cluster.Networking.APIServerAddress = tt.address
			if _, err := s.apply(ctx, doc); err != nil {
				t.Fatal(err)
			}
		}
		balancer, err := s.Engine.Node(ctx, "dev-external-load-balancer")
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("https://%s:%d", tt.host, balancer.Ports[0].HostPort)
		a, err := cluster.AccessTo(ctx, s.Engine, "dev")
		if err != nil || a.Context.Server != want {
			t.Errorf("published on %s: the way there is %s, %v; want %s", tt.address, a.Context.Server, err, want)
		}
		list, err := cluster.List(ctx, s.Engine)
		if err != nil || len(list) != 1 || list[0].API != want {
			t.Errorf("published on %s: the list has %+v, %v; want %s", tt.address, list, err, want)
		}
	}
}

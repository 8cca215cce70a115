package cluster

import (
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
)

// While there are control planes that are to go, those that stay elect leaders among them: an upgrade writes their manifests before.
func TestStandsAlone(t *testing.T) {
	of := func(count int) v1alpha1.Cluster {
		doc := v1alpha1.Cluster{Name: "dev"}
		var nodes []v1alpha1.Node
		for i := range count {
			nodes = append(nodes, v1alpha1.Node{Name: v1alpha1.NodeName("dev", engine.RoleControlPlane, i+1), Role: engine.RoleControlPlane})
		}
		doc.SetNodes(append(nodes, v1alpha1.Node{Name: "dev-worker", Role: engine.RoleWorker}))
		return doc
	}
	for _, tt := range []struct {
		was, will int
		want      bool
	}{{0, 1, true}, {1, 1, true}, {1, 3, false}, {3, 1, false}, {3, 3, false}} {
		rc := &Context{Doc: of(tt.will)}
		if was := of(tt.was); tt.was > 0 {
			rc.record.Document = &was
		}
		if got := standsAlone(rc); got != tt.want {
			t.Errorf("%d, then %d control planes: %v", tt.was, tt.will, got)
		}
	}
}

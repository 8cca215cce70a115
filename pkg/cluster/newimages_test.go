package cluster_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
)

// A new node has the images of DaemonSets before its kubelet is there, and is not held up by the others.
func TestNewNodesHaveTheImagesOfDaemonSets(t *testing.T) {
	without := func(c *v1alpha1.Cluster) {
		c.Addons = slices.DeleteFunc(c.Addons, func(a v1alpha1.Addon) bool { return a.Name == "metallb" })
	}
	as := func(*v1alpha1.Cluster) {}
	tests := map[string]struct {
		profile string
		change  func(*v1alpha1.Cluster)
		want    string
	}{
		"of one":    {"dev", as, "load speaker, join dev-worker, load controller metrics-server"},
		"of none":   {"dev", without, "join dev-worker, load metrics-server"},
		"no images": {"ci", as, "join dev-worker"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetup(t)
				doc := ofProfile(t, tt.profile, "dev", 0, tt.change)
				if _, err := s.apply(t.Context(), doc); err != nil {
					t.Fatal(err)
				}
				var mu sync.Mutex
				var got []string
				did := func(what string) {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, what)
				}
				s.deps.LoadImages = func(_ context.Context, _ engine.Engine, nodes []engine.Node, images map[string]string, _ *event.Reporter) error {
					synctest.Wait() // until all else that can be done is done
					var short []string
					for _, ref := range slices.Sorted(maps.Keys(images)) {
						ref, _, _ = strings.Cut(ref[strings.LastIndex(ref, "/")+1:], ":")
						short = append(short, ref)
					}
					if len(nodes) != 1 || nodes[0].Name != "dev-worker" {
						t.Errorf("%s are loaded into %v", short, nodes)
					}
					did("load " + strings.Join(short, " "))
					return nil
				}
				s.OnExec = func(node string, cmd engine.Command) (bool, error) {
					if strings.HasPrefix(strings.Join(cmd.Args, " "), "kubeadm join") {
						did("join " + node)
					}
					return false, nil
				}
				if _, err := s.apply(t.Context(), resized(t, doc, 1, 1)); err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(got, ", "); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			})
		})
	}
}

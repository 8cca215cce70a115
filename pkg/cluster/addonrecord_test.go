package cluster_test

import (
	"context"
	"slices"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/fault"
)

// entry returns what the cluster's document says of the addon: "on", "off", or nothing.
func (s *setup) entry(t *testing.T, name string) string {
	t.Helper()
	doc, err := cluster.Document(t.Context(), s.Engine, "dev")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(doc.Addons, func(a v1alpha1.Addon) bool { return a.Name == name })
	switch {
	case i < 0:
		return ""
	case doc.Addons[i].Disabled:
		return "off"
	}
	return "on"
}

// What a run on addons that fails has not begun with is in the document as before; what it has begun with is there as it was to be, and the
// next apply of the document finishes it.
func TestAddonsThatFail(t *testing.T) {
	full := ofProfile(t, "dev", "dev", 0)
	bare := *full.DeepCopy()
	bare.Addons = slices.DeleteFunc(bare.Addons, func(a v1alpha1.Addon) bool { return a.Name == "metallb" })
	enable := onAddons(func(ctx context.Context, s *setup, at *cluster.AddonTarget) error {
		return cluster.EnableAddons(ctx, s.run(), at, catalogue(), pick(instances(t, full), "metallb"), cluster.AddonOptions{})
	})
	disable := onAddons(func(ctx context.Context, s *setup, at *cluster.AddonTarget) error {
		return cluster.DisableAddons(ctx, s.run(), at, catalogue(), []string{"metallb"}, true, cluster.AddonOptions{})
	})
	for name, tt := range map[string]struct {
		from v1alpha1.Cluster
		do   func(context.Context, *setup) error
		call string // that fails
		want string
	}{
		"no image":   {bare, enable, "EnsureAddonImage", ""},
		"not ready":  {bare, enable, "WaitReady", "on"},
		"it stays":   {full, disable, "Delete", "off"},
		"untouched":  {full, disable, "Get", "on"},
		"not a word": {full, disable, "List", "off"},
	} {
		s := living(t, tt.from)
		s.Fail[tt.call] = fault.New(fault.AddonFailed, "injected")
		if err := tt.do(t.Context(), s); err == nil {
			t.Errorf("%s: it went well", name)
		}
		delete(s.Fail, tt.call)
		if got := s.entry(t, "metallb"); got != tt.want {
			t.Errorf("%s: the document has it %q, want %q", name, got, tt.want)
		}
		doc, err := cluster.Document(t.Context(), s.Engine, "dev")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.apply(t.Context(), doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.follows(t, doc)
		s.furnished(t, doc)
	}
}

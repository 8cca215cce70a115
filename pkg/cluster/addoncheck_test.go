package cluster

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/cove-k8s/cove/pkg/profile"
)

// TestRemovalOrder: what requires an addon goes before it.
func TestRemovalOrder(t *testing.T) {
	files := fstest.MapFS{}
	for name, requires := range map[string]string{"a": "", "b": "a", "c": "b", "d": ""} {
		files["addons/"+name+"/addon.yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil,
			"apiVersion: cove.dev/v1alpha1\nkind: Addon\nname: %s\ndescription: x\nrequires: {addons: [%s]}\ncontent: {nodeImage: /x}\n", name, requires)}
	}
	cat := profile.Open(files)
	if _, err := cat.Addons(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ names, want []string }{
		{[]string{"a", "b", "c"}, []string{"c", "b", "a"}},
		{[]string{"d", "a", "b"}, []string{"d", "b", "a"}},
		{[]string{"b", "unknown"}, []string{"b", "unknown"}},
	} {
		if got := removalOrder(cat, tt.names); !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v, want %v", tt.names, got, tt.want)
		}
	}
}

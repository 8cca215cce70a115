package v1alpha1_test

import (
	"encoding/json"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

func TestDeepCopyOfAddons(t *testing.T) {
	anything := func() map[string]any {
		return map[string]any{"m": map[string]any{"x": 1}, "l": []any{map[string]any{"y": 1}}}
	}
	doc := &v1alpha1.Cluster{Addons: []v1alpha1.Addon{{Name: "a", Parameters: anything(), Helm: &v1alpha1.HelmChart{Chart: "c", Values: anything()}}, {Name: "b"}}}
	text := func(c *v1alpha1.Cluster) string {
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	before, made := text(doc), doc.DeepCopy()
	if text(made) != before || made.Addons[1].Parameters != nil {
		t.Errorf("got %s, want %s", text(made), before)
	}
	a := made.Addons[0]
	for _, values := range []map[string]any{a.Parameters, a.Helm.Values} {
		values["m"].(map[string]any)["x"], values["l"].([]any)[0].(map[string]any)["y"], values["new"] = 2, 2, 2
	}
	a.Helm.Chart, made.Addons[0].Name = "changed", "changed"
	if text(doc) != before {
		t.Errorf("a change of the copy shows in the original:\n%s\n%s", text(doc), before)
	}
}

package strict_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/config/strict"
)

// What YAML and JSON make of the same text is the same afterwards.
func TestPlain(t *testing.T) {
	for text, want := range map[string]any{
		`1`: 1, `1.0`: 1, `1e3`: 1000, `1.5`: 1.5, `-2.0`: -2, `true`: true, `null`: nil, `"a"`: "a", `9007199254740993.5`: float64(9007199254740994), `1e30`: 1e30,
		`[1.0, "a"]`: []any{1, "a"}, `{"a": {"b": 2.0}}`: map[string]any{"a": map[string]any{"b": 2}},
	} {
		var fromYAML, fromJSON any
		if err := yaml.Unmarshal([]byte(text), &fromYAML); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(text), &fromJSON); err != nil {
			t.Fatal(err)
		}
		for _, got := range []any{strict.Plain(fromYAML), strict.Plain(fromJSON)} {
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %#v, want %#v", text, got, want)
			}
		}
	}
	for _, tt := range []struct{ given, want any }{
		{int64(5), 5}, {uint64(5), 5}, {uint64(math.MaxUint64), uint64(math.MaxUint64)}, {[]string{"a"}, []any{"a"}},
	} {
		if got := strict.Plain(tt.given); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%#v: got %#v", tt.given, got)
		}
	}
}

func TestPlainMapIsACopy(t *testing.T) {
	below := map[string]any{"b": 1}
	list := []any{below}
	got := strict.PlainMap(map[string]any{"a": below, "l": list})
	below["b"], list[0] = 2, 3
	if want := map[string]any{"a": map[string]any{"b": 1}, "l": []any{map[string]any{"b": 1}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := strict.PlainMap(map[string]any{}); got != nil {
		t.Errorf("an empty one: %#v", got)
	}
}

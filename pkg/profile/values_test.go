package profile_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

type values = map[string]any

// defaults are traefik's of the usual catalogue, with changes put over them.
func defaults(changes values) values {
	return profile.Merge(values{
		"dashboard": false, "hostPorts": values{"http": 0, "https": 0}, "logLevel": "INFO", "resolution": "", "names": []any{"a"}, "values": values{},
	}, changes)
}

func TestValues(t *testing.T) {
	tests := []struct {
		name        string
		given, want values
	}{
		{"nothing", nil, defaults(nil)},
		{"null is nothing", values{"dashboard": nil, "hostPorts": nil, "values": nil}, defaults(nil)},
		{"nested", values{"hostPorts": values{"http": 80}}, defaults(values{"hostPorts": values{"http": 80}})},
		{"with dots", values{"hostPorts.http": 80, "hostPorts": values{"https": 443}}, defaults(values{"hostPorts": values{"http": 80, "https": 443}})},
		{"numbers as JSON has them", values{"hostPorts": values{"http": float64(80), "https": int64(443)}}, defaults(values{"hostPorts": values{"http": 80, "https": 443}})},
		{"texts", values{"logLevel": "DEBUG", "resolution": "15s", "names": []string{"x", "y"}}, defaults(values{"logLevel": "DEBUG", "resolution": "15s", "names": []any{"x", "y"}})},
		{"an empty list", values{"names": []any{}}, defaults(values{"names": []any{}})},
		{"the default, though the pattern refuses it", values{"resolution": ""}, defaults(nil)},
		{"inside an object", values{"values.a.b": 1, "values": values{"a": values{"c": float64(2)}, "d": 1.5}},
			defaults(values{"values": values{"a": values{"b": 1, "c": 2}, "d": 1.5}})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := profile.Merge(nil, tt.given)
			got, err := addon(t, "traefik").Values(tt.given)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %v, %v\nwant %v", got, err, tt.want)
			}
			if !reflect.DeepEqual(before, profile.Merge(nil, tt.given)) {
				t.Error("it changed what was given")
			}
			if again, err := addon(t, "traefik").Values(got); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("its own result becomes %v, %v", again, err)
			}
		})
	}
}

func TestValuesThatDoNotFit(t *testing.T) {
	const known = "It has dashboard (boolean), hostPorts.http (integer), hostPorts.https (integer), logLevel (string), names (list), resolution (string), values (object)"
	tests := []struct {
		given values
		want  string
	}{
		{values{"dashbord": true}, "dashbord: addon traefik has no such parameter; did you mean dashboard? " + known},
		{values{"zzz": nil}, "zzz: addon traefik has no such parameter. " + known},
		{values{"hostPorts": values{"ftp": 21}}, "hostPorts.ftp: addon traefik has no such parameter; did you mean hostPorts.http? " + known},
		{values{"hostPorts": 80}, "hostPorts: want a mapping, not 80"},
		{values{"hostPorts": values{"http": 80}, "hostPorts.http": 81}, "hostPorts.http: it is given twice, nested and with dots"},
		{values{"hostPorts": values{"http": "80"}}, `hostPorts.http: want a whole number, not "80"`},
		{values{"hostPorts": values{"http": 80.5}}, "hostPorts.http: want a whole number, not 80.5"},
		{values{"hostPorts": values{"http": -1}}, "hostPorts.http: -1 is too small; the smallest is 0"},
		{values{"dashboard": "true"}, `dashboard: want true or false, not "true"`},
		{values{"logLevel": "debug"}, `logLevel: "debug" is not one of DEBUG, INFO`},
		{values{"logLevel": ""}, `logLevel: "" is not one of DEBUG, INFO`},
		{values{"resolution": "x15s"}, `resolution: "x15s" does not match [0-9]+s`},
		{values{"resolution": 15}, "resolution: want text, not 15"},
		{values{"names": "a"}, `names: want a list of texts, not "a"`},
		{values{"names": []any{"a", 1}}, "names: want a list of texts, not one with 1 in it"},
		{values{"values": []any{}}, "values: want a mapping, not a list"},
		{values{"values": strings.Repeat("x", 50)}, `values: want a mapping, not "` + strings.Repeat("x", 40) + `…"`},
	}
	for _, tt := range tests {
		_, err := addon(t, "traefik").Values(tt.given)
		if want := "cannot use the parameters of addon traefik: " + tt.want; !fault.Is(err, fault.AddonParameter) || err.Error() != want {
			t.Errorf("%v\ngot  %v\nwant %s", tt.given, err, want)
		}
	}
	_, err := addon(t, "traefik").Values(values{"a": 1, "names": 1, "dashboard": 1})
	wantFault(t, err, fault.AddonParameter, "3 problems", "\n  a: ", "\n  names: ", "\n  dashboard: ")
	_, err = addon(t, "flannel").Values(values{"a": 1})
	wantFault(t, err, fault.AddonParameter, "a: addon flannel has no parameters")
}

func TestSet(t *testing.T) {
	tests := []struct {
		name        string
		given       values
		assignments string
		want        values
	}{
		{"all types", nil, "dashboard=true|hostPorts.http=8080|logLevel=DEBUG|names=x,y|values={a: {b: 1}}",
			values{"dashboard": true, "hostPorts": values{"http": 8080}, "logLevel": "DEBUG", "names": []any{"x", "y"}, "values": values{"a": values{"b": 1}}}},
		{"over what was given", values{"hostPorts.http": 1, "dashboard": true}, "hostPorts.http=2", values{"hostPorts": values{"http": 2}, "dashboard": true}},
		{"inside an object", values{"values": values{"a": values{"b": 1, "c": 2}}}, "values.a.b=x|values.d=[1,2]",
			values{"values": values{"a": values{"b": "x", "c": 2}, "d": []any{1, 2}}}},
		{"the last one wins", nil, "logLevel=DEBUG|logLevel=INFO", values{"logLevel": "INFO"}},
		{"a value with an equals sign", nil, "resolution=a=b", values{"resolution": "a=b"}},
		{"empty", nil, "names=|resolution=", values{"names": []any{}, "resolution": ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := addon(t, "traefik").Set(tt.given, strings.Split(tt.assignments, "|"))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %v, %v\nwant %v", got, err, tt.want)
			}
		})
	}
	_, err := addon(t, "traefik").Set(values{"old": 1}, []string{"dashboard", "hostPorts.http=many", "dashboard=1x", "values=a", "values=[", "nope=1", "values.t=2001-01-01"})
	wantFault(t, err, fault.AddonParameter, "8 problems", "dashboard: it has no value; write it as dashboard=VALUE", `hostPorts.http: want a whole number, not "many"`,
		`dashboard: want true or false, not "1x"`, `values: want a mapping in YAML, not "a"`, "values: it is no YAML", "nope: addon traefik has no such parameter",
		"old: addon traefik has no such", "values.t: want text, a number")
}

// Parameters of a chart of the user's own are the chart's values, whatever they are.
func TestValuesOfOwnCharts(t *testing.T) {
	a, err := profile.OpenOwn(v1alpha1.Addon{Name: "redis", Helm: &v1alpha1.HelmChart{Chart: "redis", Repository: "https://example.com"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Values(values{"a.b": 1, "c": values{"d": float64(2)}})
	if want := (values{"a.b": 1, "c": values{"d": 2}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	got, err = a.Set(got, []string{"c.e=true,f={x,y}", "g=1"})
	if want := (values{"a.b": 1, "c": values{"d": 2, "e": true}, "f": []any{"x", "y"}, "g": 1}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	_, err = a.Set(nil, []string{"c"})
	wantFault(t, err, fault.AddonParameter, "c: ")
}

func TestMerge(t *testing.T) {
	a := values{"m": values{"x": 1, "y": values{"z": 1}}, "l": []any{1}, "k": 1}
	b := values{"m": values{"y": values{"w": 2}}, "l": []any{2}, "n": values{"o": 1}, "k": values{"p": 1}}
	want := values{"m": values{"x": 1, "y": values{"z": 1, "w": 2}}, "l": []any{2}, "n": values{"o": 1}, "k": values{"p": 1}}
	got := profile.Merge(a, b)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got["m"].(values)["y"].(values)["z"] = 9
	got["n"].(values)["o"] = 9
	if a["m"].(values)["y"].(values)["z"] != 1 || b["n"].(values)["o"] != 1 {
		t.Error("the result shares something with what was merged")
	}
	if got := profile.Merge(nil, nil); got == nil || len(got) > 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestLookup(t *testing.T) {
	v := values{"a": values{"b": 1}, "c": 2}
	for name, want := range map[string]any{"a.b": 1, "c": 2, "c.d": nil, "x": nil, "a.x": nil} {
		if got := profile.Lookup(v, name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

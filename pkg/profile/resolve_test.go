package profile_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// outline is a list of addons on one line: "flannel traefik{hostPorts:{http:80}}".
func outline(cni string, addons []v1alpha1.Addon) string {
	out := []string{cni + ":"}
	for _, a := range addons {
		s := a.Name
		if len(a.Parameters) > 0 {
			s += fmt.Sprint(a.Parameters)
		}
		if profile.IsOwn(a) {
			s += "=own"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestResolveAddons(t *testing.T) {
	dir := write(t, map[string]string{"mine.yaml": "kind: List"})
	tests := []struct{ name, profile, want string }{
		{"nothing to extend", "addons: [{name: storage}]", "none: storage"},
		{"of the parents", "extends: ingress", "flannel: flannel gateway metallb storage traefik" + "map[hostPorts:map[http:80] values:map[a:map[b:1 c:2]]]"},
		{"parameters are merged", "extends: ingress\naddons: [{name: traefik, parameters: {hostPorts: {https: 443}, values: {a: {b: 9}}, dashboard: true}}]",
			"flannel: flannel gateway metallb storage traefik" + "map[dashboard:true hostPorts:map[http:80 https:443] values:map[a:map[b:9 c:2]]]"},
		{"one is left out", "extends: dev\naddons: [{name: metallb, disabled: true}]", "flannel: flannel storage"},
		{"what is not there can be left out", "extends: dev\naddons: [{name: traefik, disabled: true}]", "flannel: flannel metallb storage"},
		{"another pod network", "extends: dev\ncni: calico", "calico: calico metallb storage"},
		{"another pod network with parameters", "extends: dev\ncni: calico\naddons: [{name: calico, parameters: {mtu: 9000}}]", "calico: calicomap[mtu:9000] metallb storage"},
		{"no pod network", "extends: dev\ncni: none", "none: metallb storage"},
		{"no pod network as kind has it", "extends: dev\ncluster: {networking: {disableDefaultCNI: true}}", "none: metallb storage"},
		{"no default network but another", "extends: dev\ncluster: {networking: {disableDefaultCNI: true}}\naddons: [{name: calico}]", "calico: calico metallb storage"},
		{"the pod network is left out", "extends: dev\naddons: [{name: flannel, disabled: true}]", "none: metallb storage"},
		{"the network comes from cni alone", "cni: flannel", "flannel: flannel"},
		{"one of their own in place of the catalogue's", "extends: ingress\naddons: [{name: traefik, path: " + filepath.Join(dir, "mine.yaml") + "}]",
			"flannel: flannel gateway metallb storage traefik=own"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := profile.Open(catalogue(nil, map[string]string{"own": tt.profile}), usual())
			p, err := c.Resolve("own")
			if err != nil {
				t.Fatal(err)
			}
			if got := outline(p.CNI, p.Addons); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if p.Extends != "" || p.Name != "own" || p.Cluster.Networking.DisableDefaultCNI {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	tests := []struct {
		name, profile string
		code          fault.Code
		want          []string
	}{
		{"itself", "extends: own", fault.ConfigInvalid, []string{"profiles extend each other: own → own"}},
		{"a circle", "extends: a", fault.ConfigInvalid, []string{"cannot use profile own: profiles extend each other: own → a → b → a"}},
		{"a parent that is not there", "extends: devv", fault.ProfileUnknown, []string{"(own → devv)", "did you mean dev?"}},
		{"a relative parent", "extends: ./x.yaml", fault.ConfigInvalid, []string{`own.yaml: extends: "./x.yaml" is relative to nothing`}},
		{"an unknown addon", "addons: [{name: metalb}]", fault.AddonUnknown, []string{"own.yaml: addons[0]: ", "did you mean metallb?"}},
		{"an unknown addon that is left out", "addons: [{name: metalb, disabled: true}]", fault.AddonUnknown, []string{"own.yaml: addons[0]: "}},
		{"a parameter", "extends: dev\naddons: [{name: storage}, {name: metallb, parameters: {pool: 1}}]", fault.AddonParameter,
			[]string{"own.yaml: addons[1].parameters.pool: want text, not 1"}},
		{"two pod networks", "extends: dev\naddons: [{name: calico}]", fault.AddonConflict, []string{"own.yaml: addons[0]: flannel and calico provide cni, which a cluster has one of; choose one with cni: calico"}},
		{"no pod network but one", "cni: none\naddons: [{name: calico}]", fault.AddonConflict, []string{"own.yaml: addons[0]: addon calico provides the pod network, but own.yaml: cni is none"}},
		{"no pod network of the name", "cni: cilium", fault.AddonUnknown, []string{"own.yaml: cni: "}},
		{"no pod network at all", "cni: storage", fault.ConfigInvalid, []string{"own.yaml: cni: addon storage provides no pod network"}},
		{"both", "cni: flannel\ncluster: {networking: {disableDefaultCNI: true}}", fault.ConfigInvalid, []string{"own.yaml: cni: it is flannel, but cluster.networking.disableDefaultCNI"}},
		{"one that is required", "addons: [{name: traefik}]", fault.AddonRequires, []string{"own.yaml: addons[0]: traefik requires addon gateway"}},
		{"a relative path", "addons: [{name: x, path: ./x}]", fault.ConfigInvalid, []string{`own.yaml: addons[0]: "./x" is relative to nothing`, "addons/x"}},
		{"a relative chart", "addons: [{name: x, helm: {chart: ./x}}]", fault.ConfigInvalid, []string{`own.yaml: addons[0]: "./x" is relative to nothing`}},
		{"a path to nothing", "addons: [{name: x, path: /none/x}]", fault.ConfigInvalid, []string{"own.yaml: addons[0]: cannot open addon x: there is no /none/x"}},
		{"all at once", "addons: [{name: a}, {name: metallb, parameters: {x: 1}}, {name: flannel}, {name: calico}]", fault.ConfigInvalid,
			[]string{"3 problems", "addons[0]: ", "addons[1].parameters.x: ", "addons[2]: calico and flannel"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := profile.Open(catalogue(nil, map[string]string{"own": tt.profile, "a": "extends: b", "b": "extends: a"}), usual())
			_, err := c.Resolve("own")
			wantFault(t, err, tt.code, tt.want...)
		})
	}
}

// A profile by path finds what it extends, and its addons, beside itself.
func TestResolveByPath(t *testing.T) {
	const head = "apiVersion: cove.dev/v1alpha1\nkind: Profile\n"
	dir := write(t, map[string]string{
		"team/mine.yaml":     head + "name: mine\nextends: ../base.yaml\naddons: [{name: app, path: deploy}]\n",
		"base.yaml":          head + "name: base\nextends: dev\naddons: [{name: shared, helm: {chart: ./chart}}]\n",
		"team/deploy/a.yaml": "kind: List", "chart/Chart.yaml": "version: 1.0.0",
	})
	t.Chdir(dir)
	for _, path := range []string{"team/mine.yaml", "./team/mine.yaml", filepath.Join(dir, "team/mine.yaml")} {
		p, err := profile.Open(usual()).Resolve(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := outline(p.CNI, p.Addons); got != "flannel: flannel app=own metallb shared=own storage" {
			t.Errorf("got %s", got)
		}
		if got, want := p.Addons[1].Path, filepath.Join(dir, "team/deploy"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := p.Addons[3].Helm.Chart, filepath.Join(dir, "chart"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestResolveShape(t *testing.T) {
	base := "description: d\noutput: plain\nimage: base:1\nkubernetesVersion: v1.35.4\ncluster:\n  nodes: [{role: control-plane}, {role: worker}]\n" +
		"  networking: {podSubnet: 10.1.0.0/16, kubeProxyMode: ipvs}\n  featureGates: {A: true, B: true}\n  kubeadmConfigPatches: [one]\n"
	over := "extends: base\nimage: over:2\ncluster:\n  networking: {podSubnet: 10.2.0.0/16}\n  featureGates: {B: false}\n  kubeadmConfigPatches: [two]\n"
	c := profile.Open(catalogue(nil, map[string]string{"base": base, "over": over}))
	got, err := c.Resolve("over")
	if err != nil {
		t.Fatal(err)
	}
	want := profile.Profile{
		APIVersion: v1alpha1.APIVersion, Kind: profile.KindProfile, Name: "over", Description: "d", Output: "plain", Image: "over:2", CNI: "none",
		Cluster: kind.Cluster{
			Nodes:      []kind.Node{{Role: kind.ControlPlaneRole}, {Role: kind.WorkerRole}},
			Networking: kind.Networking{PodSubnet: "10.2.0.0/16", KubeProxyMode: "ipvs"}, FeatureGates: map[string]bool{"A": true, "B": false},
			KubeadmConfigPatches: []string{"one", "two"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Every field of kind's document comes through, from below and from above; what is repeated is there once.
func TestMergeClusterKnowsAllFields(t *testing.T) {
	full := kind.Cluster{}
	set(reflect.ValueOf(&full).Elem())
	for name, got := range map[string]kind.Cluster{
		"from below":  profile.MergeCluster(full, kind.Cluster{TypeMeta: full.TypeMeta, Name: full.Name}),
		"from above":  profile.MergeCluster(kind.Cluster{}, full),
		"over itself": profile.MergeCluster(full, full),
	} {
		if !reflect.DeepEqual(got, full) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, full)
		}
	}
}

// set gives every field of a value something.
func set(v reflect.Value) {
	switch v.Kind() { //nolint:exhaustive // the kinds that documents are made of
	case reflect.Struct:
		for i := range v.NumField() {
			set(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		set(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		set(key)
		set(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		set(v.Elem())
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(7)
	}
}

package addon_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/profile"
	"github.com/cove-k8s/cove/profiles"
)

// update writes the goldens anew.
var update = flag.Bool("update", false, "write the goldens anew")

func facts() addon.Facts {
	return addon.Facts{
		Name: "dev", Subnet: "172.18.0.0/24", Pool: "172.18.0.200-172.18.0.250", PodSubnet: "10.244.0.0/16", ServiceSubnet: "10.96.0.0/16",
		KubernetesVersion: "v1.36.3", Nodes: 2, ControlPlane: "dev-control-plane",
	}
}

// Everything of the catalogue that needs neither a node image nor a chart's repository, as it is applied.
func TestCatalogueGoldens(t *testing.T) {
	cat := profile.Open(profiles.FS())
	all, err := cat.Addons()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]map[string]any{
		"kwok":    {"nodes": 2},
		"traefik": {"hostPorts": map[string]any{"http": 8080, "https": 8443}, "dashboard": true},
	}
	rendered := 0
	for _, a := range all {
		if a.Content.Manifests == "" {
			continue
		}
		rendered++
		variants := map[string]map[string]any{a.Name: nil}
		if given[a.Name] != nil {
			variants[a.Name+"-set"] = given[a.Name]
		}
		for name, params := range variants {
			t.Run(name, func(t *testing.T) {
				values, err := a.Values(params)
				if err != nil {
					t.Fatal(err)
				}
				m := addon.Manager{Facts: facts()}
				objs, err := m.Render(t.Context(), addon.Instance{Addon: a, Parameters: values}, []byte("CERTIFICATE\n"))
				if err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				for _, o := range objs {
					data, err := yaml.Marshal(o.Object)
					if err != nil {
						t.Fatal(err)
					}
					if o.GetKind() == "CustomResourceDefinition" { // large, and upstream's own
						data = []byte("kind: CustomResourceDefinition # " + o.GetName() + "\n")
					}
					out.WriteString("---\n")
					out.Write(data)
				}
				golden(t, filepath.Join("testdata", "catalogue", name+".yaml"), out.Bytes())
				again, err := m.Render(t.Context(), addon.Instance{Addon: a, Parameters: values}, []byte("CERTIFICATE\n"))
				if err != nil || len(again) != len(objs) {
					t.Errorf("it renders otherwise each time: %v", err)
				}
			})
		}
	}
	if rendered < 4 {
		t.Errorf("only %d addons of manifests", rendered)
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

// names returns what an addon renders to.
func names(t *testing.T, m *addon.Manager, i addon.Instance) []string {
	t.Helper()
	objs, err := m.Render(t.Context(), i, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, o := range objs {
		list = append(list, kube.RefOf(o).String())
	}
	slices.Sort(list)
	return list
}

const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"

func TestRenderKustomization(t *testing.T) {
	files := fstest.MapFS{
		"overlay/kustomization.yaml": {Data: []byte("resources: [../base]\nnamePrefix: my-\nnamespace: shop\n")},
		"base/kustomization.yaml":    {Data: []byte("resources: [cm.yaml]\n")},
		"base/cm.yaml":               {Data: []byte(settings)},
	}
	want := []string{"configmap shop/my-settings"}
	packed := &profile.Addon{Name: "k", FS: files, Content: profile.Content{Kustomization: "overlay"}}
	if got := names(t, &addon.Manager{}, addon.Instance{Addon: packed}); !slices.Equal(got, want) {
		t.Errorf("built in: %v", got)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	own := &profile.Addon{Name: "k", Own: true, Dir: filepath.Join(dir, "overlay"), Content: profile.Content{Kustomization: "."}}
	if got := names(t, &addon.Manager{}, addon.Instance{Addon: own}); !slices.Equal(got, want) {
		t.Errorf("the user's own: %v", got)
	}
}

func chartFiles() fstest.MapFS {
	return fstest.MapFS{
		"chart/Chart.yaml":          {Data: []byte("apiVersion: v2\nname: shop\nversion: 1.2.3\n")},
		"chart/values.yaml":         {Data: []byte("color: red\nsize: 1\n")},
		"chart/crds/thing.yaml":     {Data: []byte("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\nspec: {group: example.com, names: {kind: Thing}}\n")},
		"chart/templates/cm.yaml":   {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {color: {{ .Values.color }}, size: {{ .Values.size | quote }}, kube: {{ .Capabilities.KubeVersion.Version }}}\n")},
		"chart/templates/test.yaml": {Data: []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: check, annotations: {helm.sh/hook: test}}\n")},
		"chart/templates/hook.yaml": {Data: []byte("apiVersion: batch/v1\nkind: Job\nmetadata: {name: setup, annotations: {helm.sh/hook: post-install}}\n")},
		"chart/templates/bye.yaml":  {Data: []byte("apiVersion: batch/v1\nkind: Job\nmetadata: {name: bye, annotations: {helm.sh/hook: pre-delete}}\n")},
		"values.yaml.tmpl":          {Data: []byte("color: {{ .Params.color }}\nsize: 2\n")},
	}
}

func TestRenderChart(t *testing.T) {
	want := []string{"configmap shop/web", "customresourcedefinition things.example.com", "job shop/setup", "namespace shop"}
	m := &addon.Manager{Facts: facts()}
	packed := &profile.Addon{Name: "web", FS: chartFiles(), Content: profile.Content{Helm: &profile.Helm{Chart: "./chart", Namespace: "shop", ValuesFile: "values.yaml.tmpl"}}}
	i := addon.Instance{Addon: packed, Parameters: map[string]any{"color": "blue", "values": map[string]any{"size": 3}}}
	if got := names(t, m, i); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	objs, err := m.Render(t.Context(), i, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objs {
		if o.GetKind() != "ConfigMap" {
			continue
		}
		data, _ := o.Object["data"].(map[string]any)
		if data["color"] != "blue" || data["size"] != "3" || data["kube"] != "v1.36.3" {
			t.Errorf("data: %v", data)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, chartFiles()); err != nil {
		t.Fatal(err)
	}
	own := &profile.Addon{Name: "web", Own: true, Dir: dir, Content: profile.Content{Helm: &profile.Helm{Chart: "chart", Namespace: "shop"}}}
	if got := names(t, m, addon.Instance{Addon: own, Parameters: map[string]any{"color": "green"}}); !slices.Equal(got, want) {
		t.Errorf("the user's own: %v", got)
	}
}

// A chart whose repository does not answer is an error that says so.
func TestChartThatCannotBeHad(t *testing.T) {
	a := &profile.Addon{Name: "x", Content: profile.Content{Helm: &profile.Helm{Chart: "x", Repository: "http://127.0.0.1:1/charts"}}}
	_, err := (&addon.Manager{Facts: facts()}).Render(t.Context(), addon.Instance{Addon: a}, nil)
	if r := fault.ReportOf(err); r.Code != fault.ImageUnavailable || !strings.Contains(r.Hint, "repository") {
		t.Errorf("%+v", r)
	}
}

func TestRenderNodeImage(t *testing.T) {
	a := &profile.Addon{Name: "cni", Content: profile.Content{NodeImage: "/x.yaml"}}
	m := &addon.Manager{NodeFile: func(context.Context, string) ([]byte, error) { return []byte(settings), nil }}
	if got := names(t, m, addon.Instance{Addon: a}); !slices.Equal(got, []string{"configmap default/settings"}) {
		t.Errorf("got %v", got)
	}
	if _, err := (&addon.Manager{}).Render(t.Context(), addon.Instance{Addon: a}, nil); !fault.Is(err, fault.AddonUnfit) {
		t.Errorf("on nodes that are not cove's: %v", err)
	}
}

func TestRenderErrors(t *testing.T) {
	for text, want := range map[string]string{
		"{{ .Params.none }}":          "web.yaml.tmpl",
		"{{ .Nope }}":                 "Nope",
		"a: [":                        "web.yaml.tmpl: document 1",
		settings + "---\n" + settings: "configmap shop/settings twice",
		"kind: ConfigMap":             "apiVersion",
	} {
		a := webAddon(text)
		_, err := (&addon.Manager{}).Render(t.Context(), addon.Instance{Addon: a, Parameters: map[string]any{}}, nil)
		if !fault.Is(err, fault.AddonFailed) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "web") {
			t.Errorf("%q: %v", text, err)
		}
	}
	a := webAddon("")
	a.Content.Manifests = "none"
	if _, err := (&addon.Manager{}).Render(t.Context(), addon.Instance{Addon: a}, nil); err == nil {
		t.Error("no files, and no error")
	}
}

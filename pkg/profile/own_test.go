package profile_test

import (
	"io/fs"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

func TestOpenOwn(t *testing.T) {
	dir := write(t, map[string]string{
		"one.yaml": "kind: List", "two/a.yml": "", "two/b.txt": "", "kust/kustomization.yaml": "", "kust/a.yaml": "", "chart/Chart.yaml": "version: 1.2.3",
		"full/addon.yaml": addonYAML("full", "version: v7"), "full/all.yaml": "", "chart-1.tgz": "x", "tmpl/a.yaml.tmpl": "",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	tests := []struct {
		name    string
		given   v1alpha1.Addon
		content profile.Content
		dir     string
		version string
	}{
		{"a file", v1alpha1.Addon{Path: "one.yaml"}, profile.Content{Manifests: "one.yaml"}, dir, ""},
		{"an absolute path", v1alpha1.Addon{Path: at("one.yaml")}, profile.Content{Manifests: "one.yaml"}, dir, ""},
		{"a folder of manifests", v1alpha1.Addon{Path: "./two/"}, profile.Content{Manifests: "."}, at("two"), ""},
		{"a folder of templates", v1alpha1.Addon{Path: "tmpl"}, profile.Content{Manifests: "."}, at("tmpl"), ""},
		{"a kustomization", v1alpha1.Addon{Path: "kust"}, profile.Content{Kustomization: "."}, at("kust"), ""},
		{"a folder with a chart", v1alpha1.Addon{Path: "chart"}, profile.Content{Helm: &profile.Helm{Chart: "."}}, at("chart"), "1.2.3"},
		{"an archive of a chart", v1alpha1.Addon{Path: "chart-1.tgz"}, profile.Content{Helm: &profile.Helm{Chart: "chart-1.tgz"}}, dir, ""},
		{"a whole addon", v1alpha1.Addon{Name: "full", Path: "full"}, profile.Content{Manifests: "all.yaml"}, at("full"), "v7"},
		{"a chart", v1alpha1.Addon{Helm: &v1alpha1.HelmChart{Chart: "./chart", Namespace: "n", Values: map[string]any{"a": 1}}},
			profile.Content{Helm: &profile.Helm{Chart: ".", Namespace: "n", Values: map[string]any{"a": 1}}}, at("chart"), "1.2.3"},
		{"a chart's archive", v1alpha1.Addon{Helm: &v1alpha1.HelmChart{Chart: "chart-1.tgz"}}, profile.Content{Helm: &profile.Helm{Chart: "chart-1.tgz"}}, dir, ""},
		{"a chart of a repository", v1alpha1.Addon{Helm: &v1alpha1.HelmChart{Chart: "redis", Repository: "https://r", Version: "9"}},
			profile.Content{Helm: &profile.Helm{Chart: "redis", Repository: "https://r", Version: "9"}}, "", "9"},
		{"a chart of a registry", v1alpha1.Addon{Helm: &v1alpha1.HelmChart{Chart: "oci://r/redis"}}, profile.Content{Helm: &profile.Helm{Chart: "oci://r/redis"}}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.given.Name == "" {
				tt.given.Name = "mine"
			}
			got, err := profile.OpenOwn(tt.given, dir)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != tt.given.Name || !got.Own || got.Dir != tt.dir || got.Version != tt.version || !reflect.DeepEqual(got.Content, tt.content) || got.Description == "" {
				t.Errorf("got %+v, helm %+v", got, got.Content.Helm)
			}
			for _, name := range []string{got.Content.Manifests, got.Content.Kustomization} {
				if name != "" {
					if _, err := fs.Stat(got.FS, name); err != nil {
						t.Error(err)
					}
				}
			}
			if _, err := fs.ReadDir(got.FS, "."); err != nil && tt.dir != "" {
				t.Error(err)
			}
		})
	}
}

func TestOpenOwnRefuses(t *testing.T) {
	dir := write(t, map[string]string{"empty/readme.md": "", "full/addon.yaml": addonYAML("full", ""), "full/all.yaml": "", "nochart/a.yaml": ""})
	tests := []struct {
		name  string
		given v1alpha1.Addon
		dir   string
		want  string
	}{
		{"what is not there", v1alpha1.Addon{Path: "none"}, dir, "cannot open addon mine: there is no " + filepath.Join(dir, "none")},
		{"a folder of nothing", v1alpha1.Addon{Path: "empty"}, dir, "empty has no manifests, kustomization.yaml, Chart.yaml or addon.yaml"},
		{"another name", v1alpha1.Addon{Path: "full"}, dir, `name: it is "full"; write mine`},
		{"relative to nothing", v1alpha1.Addon{Path: "full"}, "", `"full" is relative to nothing; give an absolute path`},
		{"a chart that is relative to nothing", v1alpha1.Addon{Helm: &v1alpha1.HelmChart{Chart: "c"}}, "", `"c" is relative to nothing; give an absolute path`},
		{"no chart", v1alpha1.Addon{Helm: &v1alpha1.HelmChart{Chart: "none"}}, dir, "there is no " + filepath.Join(dir, "none")},
		{"a folder without a chart", v1alpha1.Addon{Helm: &v1alpha1.HelmChart{Chart: "nochart"}}, dir, "there is no " + filepath.Join(dir, "nochart", "Chart.yaml")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.given.Name = "mine"
			_, err := profile.OpenOwn(tt.given, tt.dir)
			wantFault(t, err, fault.ConfigInvalid, tt.want)
		})
	}
}

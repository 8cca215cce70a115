package profiles_test

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/profile"
	"github.com/cove-k8s/cove/profiles"
)

// Everything that is built in can be read, and its names are those of its files.
func TestCatalogueIsWhole(t *testing.T) {
	c := profile.Open(profiles.FS())
	addons, err := c.Addons()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := fs.ReadDir(profiles.FS(), "addons")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(addons) || len(addons) == 0 {
		t.Errorf("%d folders, but %d addons", len(entries), len(addons))
	}
	for _, a := range addons {
		if values, err := a.Values(nil); err != nil || len(a.Parameters) > 0 && len(values) == 0 {
			t.Errorf("%s: its defaults: %v, %v", a.Name, values, err)
		}
	}
	all, err := c.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Description == "" {
			t.Errorf("profile %s has no description", p.Name)
		}
	}
}

// What each profile comes to.
func TestProfiles(t *testing.T) {
	want := map[string]string{
		"minimal":  "flannel",
		"dev":      "flannel local-path metallb metrics-server",
		"ingress":  "flannel local-path metallb metrics-server traefik",
		"ci":       "flannel local-path; plain",
		"workshop": "flannel local-path metallb metrics-server traefik; 3 nodes",
		"scale":    "flannel kwok",
	}
	c := profile.Open(profiles.FS())
	if got := c.ProfileNames(); len(got) != len(want) {
		t.Errorf("profiles: %v", got)
	}
	if !slices.Contains(c.ProfileNames(), profile.DefaultProfile) {
		t.Errorf("no profile %s", profile.DefaultProfile)
	}
	for name, want := range want {
		p, err := c.Resolve(name)
		if err != nil {
			t.Error(err)
			continue
		}
		names := []string{}
		for _, a := range p.Addons {
			names = append(names, a.Name)
		}
		got := strings.Join(names, " ")
		if p.Output != "" {
			got += "; " + p.Output
		}
		if len(p.Cluster.Nodes) == 3 {
			got += "; 3 nodes"
		}
		if got != want || p.CNI != profile.DefaultCNI {
			t.Errorf("%s: got %q with cni %q, want %q", name, got, p.CNI, want)
		}
	}
}

// What the node image brings is of the version that it is built from.
func TestVersionsOfTheNodeImage(t *testing.T) {
	for name, module := range map[string]string{"flannel": "github.com/flannel-io/flannel", "local-path": "github.com/rancher/local-path-provisioner"} {
		a, err := profile.Open(profiles.FS()).Addon(name)
		if err != nil {
			t.Fatal(err)
		}
		mod, err := os.ReadFile("../images/" + name + "/go.mod")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(strings.FieldsFunc(string(mod), func(r rune) bool { return r == '\n' || r == '\t' }), module+" "+a.Version) &&
			!strings.Contains(string(mod), module+" "+a.Version+" // indirect\n") {
			t.Errorf("%s %s is not what images/%s builds", name, a.Version, name)
		}
		for _, img := range a.Images {
			if !img.InNodeImage || !strings.HasSuffix(img.Ref, ":"+a.Version) {
				t.Errorf("image %s: %+v", img.Name, img)
			}
		}
	}
}

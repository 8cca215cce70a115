package profile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

func TestLayers(t *testing.T) {
	upper := files(map[string]string{"a.yaml": "mine", "addons/x/one.yaml": "mine", "addons/y/addon.yaml": "mine"})
	lower := files(map[string]string{"a.yaml": "theirs", "b.yaml": "theirs", "addons/x/one.yaml": "theirs", "addons/x/two.yaml": "theirs"})
	c := profile.Open(os.DirFS(filepath.Join(t.TempDir(), "none")), upper, lower)
	if err := fstest.TestFS(c.FS(), "a.yaml", "b.yaml", "addons/x/one.yaml", "addons/x/two.yaml", "addons/y/addon.yaml"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"a.yaml": "mine", "b.yaml": "theirs", "addons/x/one.yaml": "mine", "addons/x/two.yaml": "theirs"} {
		if got, err := fs.ReadFile(c.FS(), name); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
	sub, err := fs.Sub(c.FS(), "addons/x")
	if err != nil {
		t.Fatal(err)
	}
	if found, err := fs.Glob(sub, "*.yaml"); err != nil || strings.Join(found, " ") != "one.yaml two.yaml" {
		t.Errorf("below a folder: %v, %v", found, err)
	}
	if _, err := c.FS().Open("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
}

// A layer that cannot be read is an error, not an empty one.
func TestLayerThatCannotBeRead(t *testing.T) {
	c := profile.Open(failing{}, usual())
	if _, err := c.Addon("flannel"); !fault.Is(err, fault.FileUnwritable) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Profile("dev"); !fault.Is(err, fault.FileUnwritable) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestUsersFilesWin(t *testing.T) {
	mine := files(map[string]string{"addons/metallb/addon.yaml": addonYAML("metallb", "version: v9"), "minimal.yaml": "apiVersion: cove.dev/v1alpha1\nkind: Profile\nname: minimal\ncni: none\n"})
	c := profile.Open(mine, usual())
	a, err := c.Addon("metallb")
	if err != nil || a.Version != "v9" {
		t.Fatalf("got %+v, %v", a, err)
	}
	if _, err := fs.Stat(a.FS, "all.yaml"); err != nil {
		t.Errorf("what is not overridden stays: %v", err)
	}
	if p, err := c.Resolve("dev"); err != nil || p.CNI != profile.NoCNI {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestNamesAndLists(t *testing.T) {
	c := profile.Open(usual())
	if got := strings.Join(c.AddonNames(), " "); got != "calico flannel gateway metallb storage traefik" {
		t.Errorf("addons: %s", got)
	}
	if got := strings.Join(c.ProfileNames(), " "); got != "dev ingress minimal" {
		t.Errorf("profiles: %s", got)
	}
	all, err := c.Addons()
	if err != nil || names(all) != "calico flannel gateway metallb storage traefik" {
		t.Errorf("addons: %s, %v", names(all), err)
	}
	ps, err := c.Profiles()
	if err != nil || len(ps) != 3 || ps[1].Name != "ingress" || ps[1].Extends != "dev" {
		t.Errorf("profiles: %+v, %v", ps, err)
	}
	none := profile.Catalogue{}
	if !none.IsZero() || c.IsZero() || len(none.AddonNames())+len(none.ProfileNames()) > 0 {
		t.Error("the zero catalogue has something")
	}
}

func TestListsNameAllThatIsBroken(t *testing.T) {
	broken := files(map[string]string{"addons/a/addon.yaml": "x: 1", "addons/b/addon.yaml": "", "c.yaml": "y: 1", "d.yaml": "- z"})
	c := profile.Open(broken, usual())
	_, err := c.Addons()
	wantFault(t, err, fault.ConfigInvalid, "2 problems", "addons/a: ", "x: unknown field", "addons/b: ", "it is empty")
	_, err = c.Profiles()
	wantFault(t, err, fault.ConfigInvalid, "2 problems", "c.yaml: ", "y: unknown field", "d.yaml: ", "a profile is a mapping")
}

func TestUnknown(t *testing.T) {
	c := profile.Open(usual())
	for _, tt := range []struct {
		get  func() error
		code fault.Code
		want string
	}{
		{func() error { _, err := c.Addon("metalb"); return err }, fault.AddonUnknown, `the catalogue has no addon "metalb"; did you mean metallb?`},
		{func() error { _, err := c.Addon("../traefik"); return err }, fault.AddonUnknown, `the catalogue has no addon "../traefik"`},
		{func() error { _, err := c.Addon(""); return err }, fault.AddonUnknown, `the catalogue has no addon ""`},
		{func() error { _, err := c.Profile("ingres"); return err }, fault.ProfileUnknown, `there is no profile "ingres"; did you mean ingress?`},
		{func() error { _, err := c.Profile("addons"); return err }, fault.ProfileUnknown, `there is no profile "addons"`},
		{func() error { _, err := c.Profile("./none.yaml"); return err }, fault.ProfileUnknown, `there is no profile ./none.yaml`},
	} {
		if err := tt.get(); !fault.Is(err, tt.code) || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got %v, want %s [%s]", err, tt.want, tt.code)
		}
	}
}

// Everything that can be wrong with an addon, each with its path.
func TestBrokenAddon(t *testing.T) {
	text := `
apiVersion: v1
kind: Cluster
name: y
requires: {kubernetes: new, nodeImage: kind, addons: [y]}
images: [{ref: pause}, {name: a, ref: r/a:1}, {name: a, ref: r/a}]
foreignNeeds: [none]
hostPorts: [{parameter: s, containerPort: 0}]
parameters:
  - {name: Big, type: text}
  - {name: s, type: string, description: d, enum: [a], pattern: '(', minimum: 1}
  - {name: s.t, type: integer, description: d, minimum: 1}
  - {name: u, type: integer, description: d, minimum: 3, maximum: 2, default: 2}
  - {name: v, type: boolean, description: d, default: "yes"}
  - {name: w, type: string, description: d, enum: [a]}
  - {name: x, type: object, description: d, enum: [a]}
  - {name: z, type: list, description: d, pattern: a+, default: [aa, b]}
content: {manifests: ../all.yaml, kustomization: all.yaml, nodeImage: kind, helm: {chart: none, valuesFile: none}}
generate: [{type: random}, {type: certificate, secret: s, namespace: n}, {type: x, secret: s, namespace: n}]
ready: [{kind: Pod}]
`
	c := profile.Open(files(map[string]string{"addons/x/addon.yaml": text, "addons/x/all.yaml": ""}))
	_, err := c.Addon("x")
	got := []string{}
	if problems := (strict.Problems)(nil); errors.As(err, &problems) {
		for _, p := range problems {
			got = append(got, p.Path)
		}
	}
	want := "apiVersion kind name description requires.kubernetes requires.nodeImage requires.addons images[0].name images[0].ref images[2].name images[2].ref " +
		"parameters[0].name parameters[0].description parameters[0].type parameters[1] parameters[1].pattern parameters[2].name " +
		"parameters[2].default parameters[3].minimum parameters[3].default parameters[4].default parameters[5].default parameters[6].enum parameters[7].default " +
		"foreignNeeds[0] hostPorts[0].parameter hostPorts[0].containerPort content.manifests content.kustomization content.nodeImage " +
		"content.helm.chart content.helm.valuesFile content generate[0] generate[0] generate[1].dnsNames generate[2].type ready[0]"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s\nfrom %v", strings.Join(got, " "), want, err)
	}
	if hint := fault.ReportOf(err).Hint; strings.Contains(hint, "cove config") {
		t.Errorf("the hint is for cluster documents: %s", hint)
	}
}

func TestBrokenProfile(t *testing.T) {
	c := profile.Open(usual(), catalogue(nil, map[string]string{
		"bad": "output: loud\ncni: Not_It\ncluster: {name: x}\naddons:\n- {name: a}\n- {name: a}\n- {name: ''}\n- {name: none}\n- {name: Up}\n" +
			"- {name: b, path: x, helm: {chart: y}}\n- {name: c, helm: {}}\n- {name: d, disabled: true, parameters: {x: 1}}",
		"typed": "addons: [{name: a, parameters: {x: {1: 2}, y: .nan, z: 2001-01-01, z: 1}, what: 1}]",
	}))
	_, err := c.Profile("bad")
	wantFault(t, err, fault.ConfigInvalid, "cannot read profile bad.yaml: 10 problems", "output: ", "cni: ", "cluster.name: ", "addons[1].name: a is addons[0] already",
		"addons[2].name: it is missing", "addons[3].name: none is no addon", `addons[4].name: "Up"`, "addons[5]: it has path and helm", "addons[6].helm.chart: ",
		"addons[7].disabled: ")
	_, err = c.Profile("typed")
	wantFault(t, err, fault.ConfigInvalid, "5 problems", `addons[0].parameters.x.1: want text as key`, "addons[0].parameters.y: .nan",
		"addons[0].parameters.z: want text, a number", "addons[0].parameters.z: it is given twice", "addons[0].what: unknown field")
}

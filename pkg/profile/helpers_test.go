package profile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// files makes a file system of names and texts.
func files(texts map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range texts {
		out[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return out
}

// addonYAML is an addon.yaml that is complete but for what is given.
func addonYAML(name, more string) string {
	text := "apiVersion: cove.dev/v1alpha1\nkind: Addon\nname: " + name + "\ndescription: for tests\n" + more
	if !strings.Contains(more, "content:") {
		text += "\ncontent: {manifests: all.yaml}\n"
	}
	return text
}

// catalogue makes one of addons, name to what its addon.yaml has beside the usual, and profiles.
func catalogue(addons, profiles map[string]string) fstest.MapFS {
	all := map[string]string{}
	for name, more := range addons {
		all["addons/"+name+"/addon.yaml"], all["addons/"+name+"/all.yaml"] = addonYAML(name, more), "kind: List"
	}
	for name, more := range profiles {
		all[name+".yaml"] = "apiVersion: cove.dev/v1alpha1\nkind: Profile\nname: " + name + "\n" + more
	}
	return files(all)
}

// usual has what most tests need.
func usual() fstest.MapFS {
	return catalogue(map[string]string{
		"flannel": "provides: [cni]",
		"calico":  "provides: [cni]\nparameters: [{name: mtu, type: integer, description: d, default: 1450, minimum: 576}]",
		"storage": "",
		"metallb": "parameters: [{name: pool, type: string, description: d}]",
		"traefik": "requires: {addons: [gateway]}\nparameters:\n" +
			"  - {name: dashboard, type: boolean, description: d}\n" +
			"  - {name: hostPorts.http, type: integer, description: d, minimum: 0}\n" +
			"  - {name: hostPorts.https, type: integer, description: d}\n" +
			"  - {name: logLevel, type: string, description: d, default: INFO, enum: [DEBUG, INFO]}\n" +
			"  - {name: resolution, type: string, description: d, pattern: '[0-9]+s'}\n" +
			"  - {name: names, type: list, description: d, default: [a]}\n" +
			"  - {name: values, type: object, description: d}",
		"gateway": "",
	}, map[string]string{
		"minimal": "addons: [{name: flannel}]",
		"dev":     "extends: minimal\naddons: [{name: storage}, {name: metallb}]",
		"ingress": "extends: dev\naddons: [{name: gateway}, {name: traefik, parameters: {hostPorts: {http: 80}, values: {a: {b: 1, c: 2}}}}]",
	})
}

func addon(t *testing.T, name string) *profile.Addon {
	t.Helper()
	a, err := profile.Open(usual()).Addon(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantFault checks an error's code, and that its text has all of want.
func wantFault(t *testing.T, err error, code fault.Code, want ...string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v [%s], want code %s", err, fault.CodeOf(err), code)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got  %s\nwant in it: %s", err, w)
		}
	}
}

// write puts files into a folder of the disk and returns it.
func write(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(addons []*profile.Addon) string {
	out := []string{}
	for _, a := range addons {
		out = append(out, a.Name)
	}
	return strings.Join(out, " ")
}

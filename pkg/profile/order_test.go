package profile_test

import (
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/profile"
)

// graph makes addons: "b<a,c" requires a and c, "d!cni" provides cni.
func graph(text string) []*profile.Addon {
	out := []*profile.Addon{}
	for _, word := range strings.Fields(text) {
		word, provides, _ := strings.Cut(word, "!")
		name, requires, _ := strings.Cut(word, "<")
		a := &profile.Addon{Name: name}
		if requires != "" {
			a.Requires.Addons = strings.Split(requires, ",")
		}
		if provides != "" {
			a.Provides = []string{provides}
		}
		out = append(out, a)
	}
	return out
}

func TestOrder(t *testing.T) {
	for given, want := range map[string]string{
		"":                     "",
		"c b a":                "a b c",
		"a<c b c":              "b c a",
		"a<b b<c c<d d":        "d c b a",
		"a z!cni b":            "z a b",
		"a z<a!cni b":          "a z b",
		"a<z b!metrics z":      "b z a",
		"d<b,c b<a c<a a x!y":  "a b c d x",
		"traefik<crds crds!gw": "crds traefik",
	} {
		got, err := profile.Order(graph(given))
		if err != nil || names(got) != want {
			t.Errorf("%s: got %s, %v; want %s", given, names(got), err, want)
		}
	}
}

func TestOrderRefuses(t *testing.T) {
	for given, want := range map[string]struct {
		code fault.Code
		text string
	}{
		"a<b":                 {fault.AddonRequires, "cannot put the addons together: addon a: a requires addon b, which is not there; enable b too"},
		"x a<b b<c c<a":       {fault.ConfigInvalid, "cannot put the addons together: they require each other: a → b → c → a"},
		"w<a a<b b<a":         {fault.ConfigInvalid, "cannot put the addons together: they require each other: a → b → a"},
		"a!metrics b!metrics": {fault.AddonConflict, "cannot put the addons together: addon b: a and b provide metrics, which a cluster has one of; leave one of them out"},
		"a!cni b!cni":         {fault.AddonConflict, "cannot put the addons together: addon b: a and b provide cni, which a cluster has one of; choose one with cni: b"},
		"a!x b!x c!x":         {fault.AddonConflict, "cannot put the addons together: addon c: a, b and c provide x, which a cluster has one of; leave one of them out"},
	} {
		_, err := profile.Order(graph(given))
		if !fault.Is(err, want.code) || err.Error() != want.text {
			t.Errorf("%s\ngot  %v [%s]\nwant %s [%s]", given, err, fault.CodeOf(err), want.text, want.code)
		}
	}
}

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		allowed, version string
		code             fault.Code
	}{
		{"", "whatever", ""},
		{">= 1.30", "v1.36.3", ""},
		{">= 1.30", "v1.30.0", ""},
		{">= 1.30", "v1.29.9", fault.AddonUnfit},
		{">= 1.30 < 1.36", "v1.36.0", fault.AddonUnfit},
		{">= 1.36", "v1.37.0-alpha.1", ""},
		{">= 1.36", "v1.36.0-rc.1", ""},
		{">= 1.30", "latest", fault.ConfigInvalid},
		{"new", "v1.36.3", fault.ConfigInvalid},
	} {
		a := &profile.Addon{Name: "x", Requires: profile.Requires{Kubernetes: tt.allowed}}
		if err := a.Fits(tt.version); fault.CodeOf(err) != tt.code || (err == nil) != (tt.code == "") {
			t.Errorf("%q for %s: got %v", tt.allowed, tt.version, err)
		}
	}
}

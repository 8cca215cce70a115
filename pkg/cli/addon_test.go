package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/addon"
	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/kube"
	"github.com/cove-k8s/cove/pkg/profile"
)

func TestAddonEnableOptions(t *testing.T) {
	plain := func(change func(*addonEnableOptions)) addonEnableOptions {
		o := addonEnableOptions{enabling: enabling{enable: cluster.AddonOptions{Timeout: cluster.DefaultTimeout}, output: formatText}}
		o.addons = []v1alpha1.Addon{{Name: "traefik"}}
		change(&o)
		return o
	}
	check(t, newAddonEnableCmd, []row[addonEnableOptions]{
		{args: "enable traefik", want: plain(func(*addonEnableOptions) {})},
		{args: "enable traefik --name dev --no-wait --dry-run -o yaml --reset-values", want: plain(func(o *addonEnableOptions) {
			o.target = addonTarget{name: "dev", named: true}
			o.enable.NoWait, o.dryRun, o.output, o.values.reset = true, true, formatYAML, true
		})},
		{args: "enable traefik --context c", want: plain(func(o *addonEnableOptions) {
			o.target = addonTarget{context: "c", named: true, foreign: true}
		})},
		{args: "enable ./deploy/web.yaml", want: plain(func(o *addonEnableOptions) {
			o.addons = []v1alpha1.Addon{{Name: "web", Path: "./deploy/web.yaml"}}
		})},
		{args: "enable testdata --as mine", want: plain(func(o *addonEnableOptions) {
			o.addons = []v1alpha1.Addon{{Name: "mine", Path: "testdata"}}
		})},
		{args: "enable shop --chart c --repo r --version 1 --namespace n", want: plain(func(o *addonEnableOptions) {
			o.addons = []v1alpha1.Addon{{Name: "shop", Helm: &v1alpha1.HelmChart{Chart: "c", Repository: "r", Version: "1", Namespace: "n"}}}
		})},
		{args: "enable traefik --set a=1 --set b.c=2 --values f", want: plain(func(o *addonEnableOptions) {
			o.values = addonValues{sets: map[string][]string{"traefik": {"a=1", "b.c=2"}}, files: []string{"f"}, setFlags: []string{"a=1", "b.c=2"}}
		})},
		{args: "enable traefik kwok --set kwok.nodes=5", want: plain(func(o *addonEnableOptions) {
			o.addons = append(o.addons, v1alpha1.Addon{Name: "kwok"})
			o.values = addonValues{sets: map[string][]string{"kwok": {"nodes=5"}}, setFlags: []string{"kwok.nodes=5"}}
		})},
		{args: "enable", err: "no addon is named"},
		{args: "enable traefik traefik", err: "named twice"},
		{args: "enable traefik --as x", err: "--as names one addon"},
		{args: "enable traefik --version 1", err: "go with --chart"},
		{args: "enable a b --chart c", err: "give one name"},
		{args: "enable traefik --set a", err: "write it as PARAMETER=VALUE"},
		{args: "enable traefik kwok --set nodes=5", err: "write it as ADDON.PARAMETER=VALUE"},
		{args: "enable traefik kwok --values f", err: "--values is for one addon"},
		{args: "enable traefik --values - --values -", err: "standard input can be read once"},
		{args: "enable traefik --timeout 0s", err: "no time to wait"},
		{args: "enable traefik -o yaml", err: "-o yaml is for --dry-run"},
		{args: "enable traefik --name dev --context c", err: "none of the others can be"},
	})
}

func TestAddonOptions(t *testing.T) {
	check(t, newAddonDisableCmd, []row[addonDisableOptions]{
		{args: "disable traefik --force", want: addonDisableOptions{
			names: []string{"traefik"}, force: true, disable: cluster.AddonOptions{Timeout: cluster.DefaultTimeout}, output: formatText,
		}},
		{args: "disable", err: "no addon is named"},
		{args: "disable a a", err: "named twice"},
	})
	check(t, newAddonUpgradeCmd, []row[addonUpgradeOptions]{
		{args: "upgrade a b -o json", want: addonUpgradeOptions{
			names: []string{"a", "b"}, enable: cluster.AddonOptions{Timeout: cluster.DefaultTimeout}, output: formatJSON,
		}},
		{args: "upgrade --timeout -1s", err: "no time to wait"},
	})
	check(t, newAddonStatusCmd, []row[addonStatusOptions]{
		{args: "status a --kubeconfig k", want: addonStatusOptions{
			target: addonTarget{kubeconfig: "k", foreign: true, named: true}, names: []string{"a"}, output: formatText,
		}},
	})
	check(t, newAddonListCmd, []row[addonListOptions]{
		{args: "list -o wide", want: addonListOptions{output: formatWide}},
		{args: "list x", err: "takes no argument"},
	})
	images := func(f *Factory, run func(context.Context, *addonImagesOptions) error) *cobra.Command {
		cmd := newAddonImagesCmd(f, run)
		cmd.Use = "pictures" // images is what `cove image` is also called
		return cmd
	}
	check(t, images, []row[addonImagesOptions]{
		{args: "pictures", want: addonImagesOptions{profile: "dev", output: formatText}},
		{args: "pictures traefik", want: addonImagesOptions{addons: []v1alpha1.Addon{{Name: "traefik"}}, profile: "dev", output: formatText}},
		{args: "pictures traefik --profile ci", err: "give addons, or --profile"},
	})
	check(t, newAddonShowCmd, []row[addonShowOptions]{
		{args: "show ./x", want: addonShowOptions{addon: v1alpha1.Addon{Name: "x", Path: "./x"}, output: formatText}},
		{args: "show a b", err: "takes one addon"},
	})
	check(t, newAddonRenderCmd, []row[addonRenderOptions]{
		{args: "render traefik --set a=1", want: addonRenderOptions{
			addon: v1alpha1.Addon{Name: "traefik"}, values: addonValues{sets: map[string][]string{"traefik": {"a=1"}}, setFlags: []string{"a=1"}},
		}},
	})
}

func TestProfileOptions(t *testing.T) {
	check(t, newProfileListCmd, []row[profileListOptions]{{args: "list -o name", want: profileListOptions{output: formatName}}})
	check(t, newProfileShowCmd, []row[profileShowOptions]{
		{args: "show dev --resolved", want: profileShowOptions{profile: "dev", resolved: true, output: formatYAML}},
		{args: "show", err: "takes one profile"},
	})
	check(t, newProfileValidateCmd, []row[profileValidateOptions]{{args: "validate a b", want: profileValidateOptions{profiles: []string{"a", "b"}}}})
	check(t, newProfileInitCmd, []row[profileInitOptions]{
		{args: "init team --from ci --dir d --force", want: profileInitOptions{name: "team", from: "ci", dir: "d", force: true}},
		{args: "init Team", err: "is no name of a profile"},
		{args: "init dev", err: "cannot extend itself"},
	})
	check(t, newProfileApplyCmd, []row[profileApplyOptions]{
		{args: "apply dev --name x --no-wait", want: profileApplyOptions{profile: "dev", enabling: enabling{
			target: addonTarget{name: "x", named: true},
			enable: cluster.AddonOptions{Timeout: cluster.DefaultTimeout, NoWait: true}, output: formatText,
		}}},
		{args: "apply dev -o yaml", err: "-o yaml is for --dry-run"},
	})
	check(t, newExportCACmd, []row[exportCAOptions]{
		{args: "ca -o f", want: exportCAOptions{file: "f"}},
		{args: "ca x", err: "takes no argument"},
	})
}

// TestSettingsChooseNoForeignCluster: the kubeconfig of the settings is where contexts go, and output is a form there.
func TestSettingsChooseNoForeignCluster(t *testing.T) {
	t.Setenv("COVE_KUBECONFIG", "k")
	t.Setenv("COVE_CLUSTER", "dev")
	t.Setenv("COVE_OUTPUT", "json")
	got, message := parse(t, newAddonListCmd, "list")
	if want := (addonListOptions{target: addonTarget{name: "dev", kubeconfig: "k"}, output: formatJSON}); got == nil || *got != want {
		t.Errorf("%+v, %s", got, message)
	}
	ca, message := parse(t, newExportCACmd, "ca")
	if want := (exportCAOptions{target: addonTarget{name: "dev", kubeconfig: "k"}}); ca == nil || *ca != want {
		t.Errorf("%+v, %s", ca, message)
	}
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, "y": true, "\n": false, "": false, "n\n": false, "yeah\n": false} {
		var out bytes.Buffer
		got, err := confirm(strings.NewReader(answer), &out, "Sure? ")
		if err != nil || got != want || out.String() != "Sure? " {
			t.Errorf("%q: %v, %v, asked %q", answer, got, err, out.String())
		}
	}
	if _, err := confirm(failingReader{}, &bytes.Buffer{}, ""); err == nil {
		t.Error("an answer that cannot be read is one")
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestLosesNamesSome(t *testing.T) {
	used := make([]kube.Ref, 25)
	for i := range used {
		used[i] = kube.Ref{Kind: "Pod", Namespace: "x", Name: "p"}
	}
	got := loses([]string{"a", "b"}, used)
	if !strings.HasPrefix(got, "25 objects would go with a, b:\n  pod x/p\n") || !strings.Contains(got, "  and 5 more\n") || !strings.HasSuffix(got, "[y/N] ") {
		t.Error(got)
	}
}

// TestInstance: what counts is the defaults, then what is recorded, given, in files and set.
func TestInstance(t *testing.T) {
	b := newBench(t)
	a := &profile.Addon{Name: "x", Parameters: []profile.Parameter{
		{Name: "size", Type: profile.TypeInteger, Default: 1}, {Name: "ports.http", Type: profile.TypeInteger}, {Name: "level", Type: profile.TypeString, Default: "info"},
	}}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte("ports.http: 80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	records := []addon.Record{{Name: "x", Parameters: map[string]any{"size": float64(5), "ports": map[string]any{"http": float64(8080)}, "level": "debug"}}}
	values := func(size, http int, level string) map[string]any {
		return map[string]any{"size": size, "ports": map[string]any{"http": http}, "level": level}
	}
	for _, tt := range []struct {
		name    string
		v       addonValues
		records []addon.Record
		given   map[string]any
		want    map[string]any
	}{
		{"nothing", addonValues{}, nil, nil, values(1, 0, "info")},
		{"recorded", addonValues{}, records, nil, values(5, 8080, "debug")},
		{"reset", addonValues{reset: true}, records, nil, values(1, 0, "info")},
		{"given over recorded", addonValues{}, records, map[string]any{"level": "warn"}, values(5, 8080, "warn")},
		{"a file over recorded, with dots", addonValues{files: []string{file}}, records, nil, values(5, 80, "debug")},
		{"set over all", addonValues{files: []string{file}, sets: map[string][]string{"x": {"ports.http=81"}}}, records, nil, values(5, 81, "debug")},
		{"set as create has it", addonValues{sets: map[string][]string{"x": {"x.size=7"}}}, nil, nil, values(7, 0, "info")},
		{"one's own of the same name", addonValues{}, []addon.Record{{Name: "x", Own: true, Parameters: map[string]any{"other": 1}}}, nil, values(1, 0, "info")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.v.instance(b.Factory, a, tt.records, tt.given)
			if err != nil || !reflect.DeepEqual(got.Parameters, tt.want) {
				t.Errorf("%v, %v; want %v", got.Parameters, err, tt.want)
			}
		})
	}
	_, err := addonValues{}.instance(b.Factory, a, []addon.Record{{Name: "x", Parameters: map[string]any{"gone": 1}}}, nil)
	if err == nil || !strings.Contains(err.Error(), "that the cluster has recorded do not fit") {
		t.Error(err)
	}
}

// TestNewProfileIsValid: all that is commented out in a new profile can be used as it stands there.
func TestNewProfileIsValid(t *testing.T) {
	b := newBench(t)
	b.Settings = filepath.Join(t.TempDir(), "config.yaml")
	base, err := b.catalogue().Resolve("ingress")
	if err != nil {
		t.Fatal(err)
	}
	text := newProfile(b.catalogue(), &profileInitOptions{name: "team", from: "ingress"}, base)
	used := regexp.MustCompile(`(?m)^#([a-z]|  )`).ReplaceAllString(text, "$1")
	if strings.Count(used, "\n#") == strings.Count(text, "\n#") {
		t.Fatal("nothing is commented out")
	}
	if err := os.MkdirAll(b.profilesDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.profilesDir(), "team.yaml"), []byte(used), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := b.catalogue().Resolve("team")
	if err != nil || len(p.Cluster.Nodes) != 2 || p.Output != profile.OutputPlain {
		t.Errorf("%v, %+v\n%s", err, p, used)
	}
}

package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

// bare takes every variable that settings can come from out of the way.
func bare(t *testing.T) {
	t.Helper()
	for _, k := range config.Keys() {
		t.Setenv(k.Env, "")
	}
}

func settings(t *testing.T, text string) (*config.Settings, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := config.LoadSettings(path)
	return s, path, err
}

func flagSet() *pflag.FlagSet {
	f := pflag.NewFlagSet("create", pflag.ContinueOnError)
	f.String("name", "", "")
	f.Int("workers", 0, "")
	f.Int("control-planes", 1, "")
	f.String("image", "", "")
	f.String("kubernetes-version", "", "")
	f.String("cpus", "", "")
	f.String("memory", "", "")
	f.String("wait", "usable", "")
	f.Duration("timeout", time.Minute, "")
	f.Bool("retain", false, "")
	f.CountP("verbosity", "v", "")
	f.String("file", "", "")
	return f
}

func values(f *pflag.FlagSet) string {
	out := []string{}
	f.VisitAll(func(f *pflag.Flag) {
		if f.Value.String() != f.DefValue {
			out = append(out, f.Name+"="+f.Value.String())
		}
	})
	return strings.Join(out, " ")
}

func TestSettingsPrecedence(t *testing.T) {
	const file = "wait: api\ntimeout: 5m\nretain: true\nkubernetes-version: 1.40\nverbosity: 2\n"
	tests := []struct {
		name, file string
		env        map[string]string
		args       []string
		want       string
	}{
		{"defaults", "", nil, nil, ""},
		{"only comments", "# wait: api\n", nil, nil, ""},
		{"file", file, nil, nil, "kubernetes-version=1.40 retain=true timeout=5m0s verbosity=2 wait=api"},
		{"env over file", file, map[string]string{"COVE_WAIT": "none", "COVE_CLUSTER": "dev"}, nil,
			"kubernetes-version=1.40 name=dev retain=true timeout=5m0s verbosity=2 wait=none"},
		{"env alone", "", map[string]string{"COVE_KUBERNETES_VERSION": "1.35", "COVE_WORKERS": "2", "COVE_FILE": "x"}, nil, "kubernetes-version=1.35 workers=2"},
		{"flags over both", file, map[string]string{"COVE_WAIT": "none"}, []string{"--wait=nodes", "--timeout=1m", "--retain=false"},
			"kubernetes-version=1.40 verbosity=2 wait=nodes"},
		{"nothing after the colon", "wait:\nworkers: ~\n", nil, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bare(t)
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			s, _, err := settings(t, tt.file)
			if err != nil {
				t.Fatal(err)
			}
			flags := flagSet()
			if err := flags.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(flags); err != nil {
				t.Fatal(err)
			}
			if got := values(flags); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if changed := flags.NFlag(); changed != len(tt.args) {
				t.Errorf("%d flags count as set on the command line, want %d", changed, len(tt.args))
			}
		})
	}
}

// What can stand in a cluster document is kept apart by where it came from.
func TestOverridesBySource(t *testing.T) {
	bare(t)
	t.Setenv("COVE_IMAGE", "env:image")
	s, _, err := settings(t, "cluster: filed\nworkers: 3\nkubernetes-version: 1.30\nimage: lost\ncontrol-planes: 1\ncpus: 2\n")
	if err != nil {
		t.Fatal(err)
	}
	flags := flagSet()
	if err := flags.Parse([]string{"--workers=1", "--name=flagged", "--memory=2Gi"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(flags); err != nil {
		t.Fatal(err)
	}
	got, err := s.Overrides()
	want := config.Overrides{Name: "filed", Workers: new(3), ControlPlanes: new(1), Image: "env:image", KubernetesVersion: "1.30", CPUs: "2"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("settings: got %+v, %v; want %+v", got, err, want)
	}
	got, err = config.FlagOverrides(flags)
	want = config.Overrides{Name: "flagged", Workers: new(1), Memory: "2Gi"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("flags: got %+v, %v; want %+v", got, err, want)
	}
	if got, err := config.FlagOverrides(pflag.NewFlagSet("delete", pflag.ContinueOnError)); err != nil || !reflect.DeepEqual(got, config.Overrides{}) {
		t.Errorf("a command without these flags: got %+v, %v", got, err)
	}
}

func TestSettingsFileErrors(t *testing.T) {
	bare(t)
	known := "(there are cluster, cni, control-planes, cpus, image, kubeconfig, kubernetes-version, memory, no-color, output, profile, quiet, retain, timeout, verbosity, wait, workers)"
	for text, want := range map[string]string{
		"worker: 1\nfile: x\n":         "2 problems\n  line 1: worker: unknown setting; did you mean workers? " + known + "\n  line 2: file: unknown setting " + known,
		"workers: [1]\n":               "line 1: workers: want one value, not a list",
		"workers: 1\nworkers: 2\n":     "line 2: workers: it is given twice; first on line 1",
		"Workers: 1\n":                 "line 1: Workers: unknown setting; did you mean workers? " + known,
		"- a\n":                        "line 1: want a mapping of settings, not a list",
		"a: b: c\n":                    "mapping values are not allowed in this context",
		"image: {name: a, image: b}\n": "line 1: image: want one value, not a mapping",
	} {
		_, path, err := settings(t, text)
		if want = "cannot read the settings in " + path + ": " + want; !fault.Is(err, fault.ConfigInvalid) || err.Error() != want {
			t.Errorf("%q\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestSettingsValuesThatDoNotFit(t *testing.T) {
	bare(t)
	t.Setenv("COVE_WORKERS", "many")
	s, path, err := settings(t, "timeout: soon\n")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Apply(flagSet())
	want := "cannot use the settings: 2 problems\n  COVE_WORKERS: \"many\" does not fit --workers: "
	if !fault.Is(err, fault.ConfigInvalid) || !strings.HasPrefix(err.Error(), want) ||
		!strings.Contains(err.Error(), "\n  timeout in "+path+": \"soon\" does not fit --timeout: ") {
		t.Errorf("got %v", err)
	}
	_, err = s.Overrides()
	if want := `cannot use the settings: COVE_WORKERS: "many" is no whole number`; !fault.Is(err, fault.ConfigInvalid) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestSettingsFileThatIsNotThere(t *testing.T) {
	bare(t)
	for _, path := range []string{"", filepath.Join(t.TempDir(), "none", "config.yaml")} {
		s, err := config.LoadSettings(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Overrides(); err != nil || !reflect.DeepEqual(got, config.Overrides{}) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if _, err := config.LoadSettings(t.TempDir()); !fault.Is(err, fault.FileUnwritable) {
		t.Errorf("a folder in its place: %v", err)
	}
}

func TestSettingsPath(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "xdg"))
	if got, want := config.SettingsPath(), filepath.Join(dir, "xdg", "cove", "config.yaml"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	t.Setenv("XDG_CONFIG_HOME", "")
	base, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := config.SettingsPath(), filepath.Join(base, "cove", "config.yaml"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestKeysAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range config.Keys() {
		if seen[k.Name] || seen[k.Env] || seen["--"+k.Flag] || k.Meaning == "" {
			t.Errorf("%+v", k)
		}
		seen[k.Name], seen[k.Env], seen["--"+k.Flag] = true, true, true
	}
}

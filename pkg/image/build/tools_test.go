package build

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cove-k8s/cove/pkg/fault"
)

// fakeLookup has what is in the set.
type fakeLookup map[string]bool

func (f fakeLookup) command(name string) bool { return f[name] }
func (f fakeLookup) library(name string) bool { return f[name] }

func TestCheckTools(t *testing.T) {
	all := fakeLookup{"go": true, "cc": true, "pkgconf": true, "libseccomp.a": true, "mmdebstrap": true}
	if err := checkTools(all); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
	for missing, want := range map[string]string{
		"go": "golang-go", "cc": "gcc libc6-dev", "pkgconf": "pkg-config", "libseccomp.a": "libseccomp-dev", "mmdebstrap": "mmdebstrap",
	} {
		some := fakeLookup{}
		for name := range all {
			some[name] = name != missing
		}
		err := checkTools(some)
		if !fault.Is(err, fault.ImageBuildTools) || !strings.Contains(fault.ReportOf(err).Hint, "apt-get install "+want+"`") {
			t.Errorf("without %s: %v (%s)", missing, err, fault.ReportOf(err).Hint)
		}
	}
	report := fault.ReportOf(checkTools(fakeLookup{}))
	for _, want := range []string{"go", "a C compiler", "pkg-config", "libseccomp's static library", "mmdebstrap"} {
		if !strings.Contains(report.Message, want) {
			t.Errorf("%q does not name %s", report.Message, want)
		}
	}
	if !strings.Contains(report.Hint, "golang-go gcc libc6-dev pkg-config libseccomp-dev mmdebstrap") || report.Exit != fault.ExitHost {
		t.Errorf("hint %q, exit %d", report.Hint, report.Exit)
	}
}

func TestCheckPlatform(t *testing.T) {
	if err := checkPlatform("linux", "arm64", "arm64"); err != nil {
		t.Errorf("linux: %v", err)
	}
	for want, err := range map[string]error{
		"on darwin: it takes Linux": checkPlatform("darwin", "arm64", "arm64"),
		"for amd64 on arm64":        checkPlatform("linux", "arm64", "amd64"),
	} {
		if !fault.Is(err, fault.ImageBuildTools) || !strings.Contains(err.Error(), want) || !strings.Contains(fault.ReportOf(err).Hint, "--image") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestGoVersion(t *testing.T) {
	tree := sourceTree{fstest.MapFS{
		"a/go.mod": {Data: []byte("module a\n\ngo 1.9.1\n")}, "b/go.mod": {Data: []byte("module b\n\ngo 1.26.6\n")}, "c/go.mod": {Data: []byte("module c\n\ngo 1.26.0\n")},
	}}
	if got, err := tree.goVersion(); err != nil || got != "go1.26.6" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFileFillsIn(t *testing.T) {
	tree := sourceTree{fstest.MapFS{"files/x": {Data: []byte("image: @A@\nother: @B@\nmail: me@example.org\n")}}}
	got, err := tree.file("x", map[string]string{"A": "a:1", "B": "b:2"})
	if err != nil || string(got) != "image: a:1\nother: b:2\nmail: me@example.org\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := tree.file("x", map[string]string{"A": "a:1"}); !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "@B@") {
		t.Errorf("err = %v", err)
	}
	if _, err := tree.file("y", nil); !fault.Is(err, fault.Internal) {
		t.Errorf("err = %v", err)
	}
}

// The files of the node have no placeholder but those that the build fills in.
func TestFilesOfTheNode(t *testing.T) {
	b := testBuilder(t)
	v := versions()[0]
	files, err := b.nodeFiles(v)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"etc/containerd/config.toml":          {"sandbox = '" + v.pauseImage() + "'", "config_path = '/etc/containerd/certs.d'", "restrict_oom_score_adj = true", "SystemdCgroup = false"},
		"kind/manifests/default-cni.yaml":     {"would you kindly template this file", "{{ .PodSubnet }}", "image: " + flannelImage(), "imagePullPolicy: IfNotPresent"},
		"kind/manifests/default-storage.yaml": {"name: standard", "WaitForFirstConsumer", "/var/local-path-provisioner", "image: " + localPathImage(), "--helper-image=" + helperImage()},
		"kind/version":                        {v.Kubernetes + "\n"},
		"kind/cove-image.json":                {`"contract":1`, `"etcdTag":"` + etcdVersion + `-0"`},
	} {
		for _, w := range want {
			if !strings.Contains(string(files[name]), w) {
				t.Errorf("%s lacks %q:\n%s", name, w, files[name])
			}
		}
	}
}

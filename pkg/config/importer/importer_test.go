package importer_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/config/importer"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kubeadm"
	"github.com/cove-k8s/cove/pkg/profile"
	"github.com/cove-k8s/cove/profiles"
)

var update = flag.Bool("update", false, "write the goldens instead of comparing with them")

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// show writes what came of an import.
func show(t *testing.T, doc v1alpha1.Cluster, notes []string) string {
	t.Helper()
	out, err := config.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range notes {
		out = append(out, "# note: "+n+"\n"...)
	}
	return string(out)
}

// What comes of real configurations; the document is one that cove takes, with the addons that there are.
func TestImport(t *testing.T) {
	for _, name := range []string{
		"k3d-minimal.yaml", "k3d-one-node.yaml", "k3d-v1alpha4.yaml", "k3d-full.yaml", "minikube-default.json", "minikube-list.json", "minikube-full.json",
	} {
		t.Run(name, func(t *testing.T) {
			doc, notes, err := importer.Import(read(t, name), name, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := show(t, doc, notes)
			path := filepath.Join("testdata", strings.TrimSuffix(name, filepath.Ext(name))+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(path); err != nil || got != string(want) {
				t.Errorf("%v\ngot:\n%s\nwant:\n%s", err, got, want)
			}
			back, err := config.Parse(strings.NewReader(got), name)
			if err != nil || !reflect.DeepEqual(back, doc) {
				t.Errorf("read back: %+v, %v\nwant %+v", back, err, doc)
			}
			resolved, err := config.Resolve(config.Input{Document: &doc, Dir: "/home/me", Catalogue: profile.Open(profiles.FS())})
			if err != nil {
				t.Fatal(err)
			}
			if warnings := config.Warnings(resolved); len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
			again, more, err := importer.Import(read(t, name), name, nil)
			if err != nil || show(t, again, more) != got {
				t.Error("the same configuration came out differently")
			}
		})
	}
}

// The patches are such as kubeadm's configuration takes.
func TestPatchesOfImportApply(t *testing.T) {
	for name, want := range map[string][]string{
		"k3d-full.yaml":      {"- my.host.domain\n", "name: feature-gates\n    value: A=true,B=false", "name: node-monitor-period", "name: max-pods\n    value: \"200\""},
		"minikube-full.json": {"- api.example\n", "- 10.1.2.3\n", "name: quota-backend-bytes", "metricsBindAddress: 0.0.0.0:10249", "name: max-pods"},
	} {
		doc, _, err := importer.Import(read(t, name), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := kubeadm.Cluster{
			Name: "dev", KubernetesVersion: "v1.36.3", Endpoint: "dev", PodSubnet: "10.244.0.0/16", ServiceSubnet: "10.96.0.0/16",
			Patches: doc.Cluster.KubeadmConfigPatches, Token: "abcdef.0123456789abcdef", CgroupVersion: 2, CgroupDriver: kubeadm.DriverSystemd,
		}
		n := kubeadm.Node{Name: "dev-control-plane", Role: "control-plane", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}
		got, err := kubeadm.InitConfig(c, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(string(got), line) {
				t.Errorf("%s: no %q in\n%s", name, line, got)
			}
		}
		for _, one := range doc.Nodes() {
			n.Role, n.Patches = "worker", one.KubeadmConfigPatches
			if _, err := kubeadm.JoinConfig(c, n, "/discovery"); err != nil {
				t.Errorf("%s: %v", one.Name, err)
			}
		}
	}
}

// Nothing that is set is lost without a word: without any one of the fields something else comes out.
func TestEveryFieldCounts(t *testing.T) {
	// What cove has no use for and nobody misses; what is a part of something that is noted as a whole; what is for servers
	// alone whatever its filter says; and what minikube writes by itself, of its machine, or of what it found out.
	passedOver := regexp.MustCompile(`^(apiVersion|kind|.*\.nodeFilters\[\d\]|options\.k3d\.(disableImageVolume|nodeHookActions.*|loadbalancer.*)` +
		`|options\.k3s\.extraArgs\[15\].*|options\.runtime\.(labels|ulimits).*|registries\.create\..*|(files|hostAliases)\[0\].*|manifests\[0\]\.manifest` +
		`|Nodes\[\d\]\.(IP|Port|ContainerRuntime|Worker)|Nodes\[[0-3]\]\.KubernetesVersion|KicBaseImage|HostOnly.*|HostDNSResolver|NatNicType|KVM.*|NFSSharesRoot` +
		`|SSH(User|Port)|Mount(|UID|GID|MSize|Type|9PVersion)|VerifyComponents\..*|MultiNodeRequested|KubernetesConfig\.(NetworkPlugin|ShouldLoadCachedImages)` +
		`|KubernetesConfig\.ExtraOptions\[[09]\].*|(DockerOpt|NFSShare)\[0\]|Addons\.(storage-provisioner|default-storageclass))$`)
	for _, name := range []string{"k3d-full.yaml", "minikube-full.json"} {
		full := show2(t, read(t, name))
		count := 0
		for _, path := range leaves(t, read(t, name)) {
			if passedOver.MatchString(path) {
				continue
			}
			count++
			if show2(t, without(t, read(t, name), path)) == full {
				t.Errorf("%s: nothing comes of %s", name, path)
			}
		}
		if count < 50 {
			t.Errorf("%s: only %d fields were tried", name, count)
		}
	}
}

// show2 is what comes of a configuration, or its error.
func show2(t *testing.T, data []byte) string {
	t.Helper()
	doc, notes, err := importer.Import(data, "f", nil)
	if err != nil {
		return err.Error()
	}
	return show(t, doc, notes)
}

// leaves returns the paths of all values that are set.
func leaves(t *testing.T, data []byte) []string {
	t.Helper()
	var root any
	if err := yaml.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	var out []string
	walk(root, "", func(path string, value any) bool {
		if set := value != nil && !reflect.ValueOf(value).IsZero(); set {
			out = append(out, path)
		}
		return true
	})
	return out
}

// without returns the configuration without the value at a path.
func without(t *testing.T, data []byte, path string) []byte {
	t.Helper()
	var root any
	if err := yaml.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	walk(root, "", func(at string, _ any) bool { return at != path })
	out, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// walk calls keep for each value that is neither a mapping nor a list, and empties those that it says no to.
func walk(value any, path string, keep func(path string, value any) bool) {
	visit := func(at string, below any, drop func()) {
		switch below.(type) {
		case map[string]any, []any:
			walk(below, at, keep)
		default:
			if !keep(at, below) {
				drop()
			}
		}
	}
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			visit(strings.TrimPrefix(path+"."+key, "."), below, func() { delete(v, key) })
		}
	case []any:
		for i, below := range v {
			visit(fmt.Sprintf("%s[%d]", path, i), below, func() { v[i] = "" })
		}
	}
}

func TestImportRefuses(t *testing.T) {
	const (
		understood = "cove reads k3d's config (apiVersion: k3d.io/v1alpha5 or v1alpha4, kind: Simple) and minikube's config.json of a profile " +
			"(~/.minikube/profiles/NAME/config.json)"
		k3d = "apiVersion: k3d.io/v1alpha5\nkind: Simple\n"
	)
	for text, want := range map[string]string{
		"":             "it is empty",
		"- a":          "line 1: a configuration is a mapping of fields, not a list",
		"a: b: c":      "mapping values are not allowed in this context",
		"{a: 1, a: 2}": `line 1: mapping key "a" already defined at line 1`,
		"apiVersion: kind.x-k8s.io/v1alpha4\nkind: Cluster":        "it needs no import: `cove create -f f.yaml` takes it as it is",
		"apiVersion: cove.dev/v1alpha1\nkind: Cluster":             "it needs no import: `cove create -f f.yaml` takes it as it is",
		"apiVersion: v1\nkind: Config":                             "its format is unknown; " + understood,
		"version: 3":                                               "its format is unknown; " + understood,
		"apiVersion: k3d.io/v1alpha3\nkind: Simple":                "it is k3d.io/v1alpha3, kind Simple, of k3d; `k3d config migrate` makes one of k3d.io/v1alpha5, kind Simple, which cove reads",
		"apiVersion: k3d.io/v1alpha5\nkind: Cluster":               "it is k3d.io/v1alpha5, kind Cluster, of k3d; `k3d config migrate` makes one of k3d.io/v1alpha5, kind Simple, which cove reads",
		`{"MachineConfig": {"Memory": 1}, "KubernetesConfig": {}}`: "it is of a minikube before v1.7; " + understood,
		`{"DriverName": "docker", "HostOptions": {}}`:              "it is minikube's configuration of a machine; that of its profile is needed: ~/.minikube/profiles/NAME/config.json",
		`{"invalid": [], "valid": [{}, {}]}`:                       "it has 2 profiles of minikube, and one makes a cluster; give the config.json of the one that is meant",
		`{"invalid": [], "valid": []}`:                             "it has 0 profiles of minikube, and one makes a cluster; give the config.json of the one that is meant",
		k3d + "servers: many":                                      `servers: want a whole number, not "many"`,
		k3d + "ports: {port: 80}":                                  "ports: want a list, not a mapping",
		k3d + "ports: [80]":                                        `ports[0]: want a mapping, not "80"`,
		k3d + "ports: [{port: http}]":                              `ports[0].port: want a port as 8080:80, not "http"`,
		k3d + "ports: [{port: '99999:80'}]":                        `ports[0].port: want a port as 8080:80, not "99999:80"`,
		k3d + "ports: [{port: 80, nodeFilters: ['server[0]']}]":    `ports[0].nodeFilters: want filters as server:0, agent:*, loadbalancer or all, not "server[0]"`,
		k3d + "kubeAPI: {hostPort: x}\nimage: [a]":                 "2 problems\n  image: want text, not a list\n  kubeAPI.hostPort: want a port, not \"x\"",
		k3d + "options: {k3d: {wait: 'no!'}}":                      `options.k3d.wait: want true or false, not "no!"`,
		k3d + "metadata: []\nkubeAPI: a":                           `kubeAPI: want a mapping, not "a"`,
		k3d + "registries: {config: \"a: b: c\\n\"}":               "registries.config: it is no YAML: mapping values are not allowed in this context",
	} {
		_, _, err := importer.Import([]byte(text), "f.yaml", nil)
		if want = "cannot import f.yaml: " + want; !fault.Is(err, fault.ConfigInvalid) || err.Error() != want {
			t.Errorf("%q\ngot  %v\nwant %s", text, err, want)
		}
	}
	if _, _, err := importer.Import(bytes.Repeat([]byte("#"), 1<<20+1), "f.yaml", nil); !fault.Is(err, fault.ConfigInvalid) {
		t.Errorf("a large one: %v", err)
	}
}

func TestNumbersThatAreTooLarge(t *testing.T) {
	text := "apiVersion: k3d.io/v1alpha5\nkind: Simple\nservers: 9223372036854775807\nagents: 9223372036854775807"
	doc, notes, err := importer.Import([]byte(text), "f", nil)
	if err != nil || len(notes) != 3 {
		t.Fatalf("%q, %v", notes, err)
	}
	if _, err := config.Resolve(config.Input{Document: &doc}); err != nil {
		t.Error(err)
	}
}

func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, _, err := importer.Import(data, "fuzz", nil)
		if err != nil {
			if !fault.Is(err, fault.ConfigInvalid) {
				t.Errorf("an error without the code: %v", err)
			}
			return
		}
		if _, err := config.Marshal(doc); err != nil {
			t.Errorf("the document cannot be written: %v", err)
		}
	})
}

// Filters are k3d's: which nodes a mount comes to.
func TestNodeFilters(t *testing.T) {
	for filters, want := range map[string]string{
		"[]": "control-plane control-plane2 control-plane3 worker worker2", "[all]": "control-plane control-plane2 control-plane3 worker worker2",
		"['server:*']": "control-plane control-plane2 control-plane3", "[servers]": "control-plane control-plane2 control-plane3",
		"['server:0']": "control-plane", "['servers:0,2']": "control-plane control-plane3", "['server:1-']": "control-plane2 control-plane3",
		"['server:-1']": "control-plane control-plane2", "['agent:0-0']": "worker", "['agent:1', 'server:0', 'agent:1']": "control-plane worker2",
		"['agent:5']": "", "[loadbalancer]": "",
	} {
		text := "apiVersion: k3d.io/v1alpha5\nkind: Simple\nservers: 3\nagents: 2\nvolumes: [{volume: '/a:/b', nodeFilters: " + filters + "}]"
		doc, _, err := importer.Import([]byte(text), "f", nil)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, n := range doc.Nodes() {
			if len(n.ExtraMounts) > 0 {
				got = append(got, doc.ShortName(n.Name))
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: got %s, want %s", filters, s, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for image, want := range map[string]string{
		"rancher/k3s:v1.36.3-k3s1": "v1.36.3", "rancher/k3s:v1.35.1-rc1-k3s1": "v1.35.4 | image: the release of Kubernetes 1.35 that cove knows is v1.35.4, not v1.35.1",
		"docker.io/rancher/k3s:v1.31.2-k3s2": " | image: cove knows no node image of Kubernetes 1.31 and takes v1.36.3; to stay with it, set image to one that you have, as kindest/node:v1.31.2",
		"k3s:v1.30.9-k3s1":                   " | image: Kubernetes 1.30 is too old for cove, which takes v1.36.3",
		"+v1.35":                             "v1.35.4", "stable": " | image: stable is a channel of k3s'; cove takes its newest version, v1.36.3",
		"rancher/k3s:latest":    " | image: latest names no version of Kubernetes; cove takes its newest, v1.36.3",
		"registry:5000/own/x:1": " | image: registry:5000/own/x:1 is an image of k3s', which cove's nodes do not run; set kubernetesVersion, or image to a node image",
	} {
		doc, notes, err := importer.Import([]byte("apiVersion: k3d.io/v1alpha5\nkind: Simple\nimage: "+image), "f", nil)
		got := strings.Join(append([]string{doc.KubernetesVersion}, notes...), " | ")
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", image, got, err, want)
		}
	}
}

// A proxy on the host is none to a node.
func TestProxyOnTheHost(t *testing.T) {
	for name, text := range map[string]string{
		"env[0].envVar":  "apiVersion: k3d.io/v1alpha5\nkind: Simple\nenv: [{envVar: 'HTTP_PROXY=http://127.0.0.1:3128'}, {envVar: 'https_proxy=proxy.example:3128'}]",
		"DockerEnv: [0]": `{"Name": "a", "KubernetesConfig": {}, "Nodes": [{"ControlPlane": true}], "DockerEnv": ["HTTP_PROXY=localhost:3128", "HTTPS_PROXY=proxy.example:3128"]}`,
	} {
		doc, notes, err := importer.Import([]byte(text), "f", nil)
		if err != nil || len(notes) != 1 || !strings.HasPrefix(notes[0], name) || !strings.HasSuffix(notes[0], "that is the node itself; name an address that nodes reach") {
			t.Errorf("got %q, %v", notes, err)
		}
		if want := (&v1alpha1.Proxy{HTTPS: "http://proxy.example:3128"}); !reflect.DeepEqual(doc.Proxy, want) {
			t.Errorf("got %+v", doc.Proxy)
		}
	}
}

func TestSizes(t *testing.T) {
	for size, want := range map[string]string{
		"1g": "1Gi", "1.5GiB": "1536Mi", "512m": "512Mi", "512M": "512Mi", "2gb": "2Gi", "1073741824": "1Gi", "1048576k": "1Gi",
		"100m": "512Mi | options.runtime.serversMemory: it is less than a node needs here; it is 512Mi now",
		"much": ` | options.runtime.serversMemory: "much" is no amount of memory`,
	} {
		doc, notes, err := importer.Import([]byte("apiVersion: k3d.io/v1alpha5\nkind: Simple\noptions: {runtime: {serversMemory: "+size+"}}"), "f", nil)
		memory := ""
		if len(doc.NodeSpecs) > 0 {
			memory = doc.NodeSpecs[0].Memory
		}
		got := strings.Join(append([]string{memory}, notes...), " | ")
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", size, got, err, want)
		}
	}
}

// Variables are put in wherever they are in a file of k3d's, and nowhere else.
func TestVariables(t *testing.T) {
	getenv := func(name string) string { return map[string]string{"PORT": "8080", "HOME": "/home/me"}[name] }
	text := "apiVersion: k3d.io/v1alpha5\nkind: Simple\nservers: ${MANY}\nports: [{port: \"${PORT}:80\"}]\nvolumes: [{volume: '~/src:/src'}, {volume: '$HOME/a:/a'}]"
	doc, notes, err := importer.Import([]byte(text), "f", getenv)
	if err != nil || len(notes) != 1 || notes[0] != "$MANY: it is not set, and nothing is in its place, as k3d has it" {
		t.Fatalf("got %q, %v", notes, err)
	}
	n := doc.Nodes()[0]
	if n.ExtraPortMappings[0].HostPort != 8080 || n.ExtraMounts[0].HostPath != "/home/me/src" || n.ExtraMounts[1].HostPath != "/home/me/a" {
		t.Errorf("got %+v", n)
	}
	_, notes, err = importer.Import([]byte("apiVersion: k3d.io/v1alpha5\nkind: Simple\nvolumes: [{volume: '~/src:/src'}]"), "f", nil)
	if err != nil || len(notes) != 1 || !strings.HasSuffix(notes[0], "nothing tells what ~ is; write the path in full") {
		t.Errorf("got %q, %v", notes, err)
	}
	minikube := `{"Name": "a$PORT", "KubernetesConfig": {}, "Nodes": [{"ControlPlane": true}]}`
	if doc, _, err := importer.Import([]byte(minikube), "f", getenv); err != nil || doc.Name != "a-port" {
		t.Errorf("got %s, %v", doc.Name, err)
	}
}

// What is another thing here is said, and what comes of it can be created.
func TestImportNotes(t *testing.T) {
	const head = "apiVersion: k3d.io/v1alpha5\nkind: Simple\n"
	for text, want := range map[string]string{
		head + "registries: {config: \"configs:\\n  k3d-registry.localhost:5000: {tls: {insecure_skip_verify: true}}\\n\"}": "k3d-registry.localhost:5000: to a node",
		`{"KubernetesConfig": {}, "Nodes": [{"ControlPlane": true}], "InsecureRegistry": ["localhost:5000"]}`:               "InsecureRegistry: [0] localhost:5000: to a node",
		head + "agents: 1": "agents: control planes take no pods",
		head + "ports: [{port: '5432:5432', nodeFilters: [loadbalancer]}]":                "ports[0].port: 5432:5432: nothing listens on port 5432",
		head + "kubeAPI: {hostPort: '6445'}":                                              "kubeAPI.hostIP: without one",
		head + "ports: [{port: '8080:80'}, {port: '9090:80'}, {port: 30000:30000}]":       "",
		head + "kubeAPI: {hostPort: '6445', hostIP: 0.0.0.0}":                             "",
		head + "options: {k3s: {extraArgs: [{arg: '--etcd-arg=quota-backend-bytes=1'}]}}": "",
	} {
		doc, notes, err := importer.Import([]byte(text), "f", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(notes, "\n"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		if _, err := config.Resolve(config.Input{Document: &doc, Catalogue: profile.Open(profiles.FS())}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	doc, _, err := importer.Import([]byte(head+"ports: [{port: '8080:80'}, {port: '9090:80'}]"), "f", nil)
	if err != nil || profile.Lookup(doc.Addons[0].Parameters, "hostPorts.http") != 8080 {
		t.Errorf("got %+v, %v", doc.Addons, err)
	}
	doc, _, err = importer.Import([]byte(head+"options: {k3s: {extraArgs: [{arg: '--etcd-arg=quota-backend-bytes=1'}]}}"), "f", nil)
	if err != nil || len(doc.Cluster.KubeadmConfigPatches) != 1 || !strings.Contains(doc.Cluster.KubeadmConfigPatches[0], "quota-backend-bytes") {
		t.Errorf("got %+v, %v", doc.Cluster.KubeadmConfigPatches, err)
	}
}

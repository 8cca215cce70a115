package cluster

import (
	"os"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// What kind's users write in their files is for containerd's configuration of version 2; cove's own is of version 3.
func TestPatchesOfVersion2(t *testing.T) {
	own, err := os.ReadFile("../../images/files/containerd.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name               string
		base               string
		merges, operations []string
		has, hasNot        []string // lines of the configuration
		files              string
	}{
		{
			name: "kind's registry, as its guide has it",
			merges: []string{"[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n",
				"[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"localhost:5001\"]\n  endpoint = [\"http://kind-registry:5000\"]\n"},
			has:    []string{"config_path = '/etc/containerd/certs.d'"},
			hasNot: []string{"grpc.v1.cri", "mirrors"},
			files: "/etc/containerd/certs.d/localhost:5001/hosts.toml\nserver = \"http://localhost:5001\"\n[host.'http://kind-registry:5000']\n" +
				"capabilities = ['pull', 'resolve']\n",
		},
		{
			name: "another path, several endpoints, no certificate",
			merges: []string{"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/a:/b\"\n" +
				"[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"*\"]\nendpoint = [\"https://m:1/v2/x\", \"n\"]\n" +
				"[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"n\".tls]\ninsecure_skip_verify = true\nca_file = \"/ca\"\n" +
				"[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"n\".auth]\nusername = \"u\"\n"},
			has:    []string{"version = 3", "config_path = '/a:/b'", "[plugins.'io.containerd.cri.v1.images'.registry.configs.n.auth]"},
			hasNot: []string{"tls", "mirrors"},
			files: "/a/_default/hosts.toml\n[host.'https://m:1/v2/x']\ncapabilities = ['pull', 'resolve']\noverride_path = true\n" +
				"[host.'https://n']\ncapabilities = ['pull', 'resolve']\nskip_verify = true\nca = '/ca'\n" +
				"/a/n/hosts.toml\nserver = \"https://n\"\nskip_verify = true\nca = '/ca'\n",
		},
		{
			name:   "who wants no path has mirrors",
			merges: []string{"[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.a]\nendpoint = [\"http://b\"]\n"},
			has:    []string{"[plugins.'io.containerd.cri.v1.images'.registry.mirrors.a]", "endpoint = ['http://b']"},
		},
		{
			name: "the CRI plugin's tables",
			merges: []string{`[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "pause:1"
max_concurrent_downloads = 9
stream_server_port = "1"
enable_cdi = true
device_ownership_from_security_context = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
discard_unpacked_layers = true
default_runtime_name = "gvisor"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.gvisor]
runtime_type = "io.containerd.runsc.v1"
sandbox_mode = "podsandbox"
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.empty]
`},
			has: []string{
				"[plugins.'io.containerd.cri.v1.images']\ndiscard_unpacked_layers = true\nmax_concurrent_downloads = 9\nsnapshotter = 'native'\n",
				"sandbox = 'pause:1'", "[plugins.'io.containerd.cri.v1.images'.runtime_platforms.gvisor]\nsnapshotter = 'overlayfs'",
				"[plugins.'io.containerd.cri.v1.runtime']\ndevice_ownership_from_security_context = true\nrestrict_oom_score_adj = true\n",
				"[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['/cni']",
				"[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'gvisor'",
				"[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.empty]",
				"runtimes.gvisor]\nruntime_type = 'io.containerd.runsc.v1'\nsandboxer = 'podsandbox'\nsnapshotter = 'overlayfs'",
				"[plugins.'io.containerd.grpc.v1.cri']\nstream_server_port = '1'",
			},
			hasNot: []string{"enable_cdi", "sandbox_image"},
		},
		{
			name: "operations",
			operations: []string{"- {op: replace, path: /plugins/io.containerd.grpc.v1.cri/containerd/snapshotter, value: native}\n" +
				"- {op: add, path: /plugins/io.containerd.grpc.v1.cri/registry/mirrors, value: {a~b/c: {endpoint: [\"http://d\"]}}}\n" +
				"- {op: add, path: /plugins/io.containerd.grpc.v1.cri/containerd/runtimes/x~1y, value: {runtime_type: z}}\n"},
			has:   []string{"snapshotter = 'native'", "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.'x/y']"},
			files: "/etc/containerd/certs.d/a~b/c/hosts.toml\nserver = \"https://a~b/c\"\n[host.'http://d']\ncapabilities = ['pull', 'resolve']\n",
		},
		{
			name:   "one for each version",
			merges: []string{"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nenable_selinux = true\n", "version = 3\n[a]\nx = 1\n"},
			has:    []string{"[a]\nx = 1"},
			hasNot: []string{"enable_selinux"},
		},
		{
			name:   "an image of kind's layout",
			base:   "version = 2\n",
			merges: []string{"[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.a]\nendpoint = [\"http://b\"]\n"},
			has:    []string{"[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.a]\nendpoint = ['http://b']"},
			hasNot: []string{"cri.v1.images"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := own
			if tt.base != "" {
				base = []byte(tt.base)
			}
			merged, err := patchTOML(base, tt.merges, tt.operations)
			if err != nil {
				t.Fatal(err)
			}
			merged, files, err := splitRegistries(merged, v1alpha1.Registries{})
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(merged), "\n\n", "\n")
			for _, line := range tt.has {
				if !strings.Contains(text, line) {
					t.Errorf("%q is not in:\n%s", line, text)
				}
			}
			for _, line := range tt.hasNot {
				if strings.Contains(text, line) {
					t.Errorf("%q is in:\n%s", line, text)
				}
			}
			var got strings.Builder
			for _, f := range files {
				got.WriteString(f.Path + "\n" + string(f.Data))
			}
			if got.String() != tt.files {
				t.Errorf("files: got:\n%s\nwant:\n%s", got.String(), tt.files)
			}
		})
	}
}

// The document's own mirrors are files, which an image of kind's layout is told to read.
func TestMirrorsNeedAPath(t *testing.T) {
	own := v1alpha1.Registries{Mirrors: map[string]v1alpha1.Mirror{"docker.io": {}}}
	config := []byte("version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.a]\nendpoint = ['http://b']\n")
	merged, files, err := splitRegistries(config, own)
	if err != nil || len(files) != 1 || files[0].Path != "/etc/containerd/certs.d/a/hosts.toml" ||
		!strings.Contains(string(merged), "config_path = '/etc/containerd/certs.d'") || strings.Contains(string(merged), "mirrors") {
		t.Errorf("got %s, %v, %v", merged, files, err)
	}
	config = []byte("version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'docker.io']\nendpoint = ['http://b']\n")
	if _, _, err := splitRegistries(config, own); err == nil || !strings.Contains(err.Error(), "docker.io") {
		t.Errorf("the same registry twice: %v", err)
	}
}

// What no place can be found for is refused, by its name.
func TestPatchesOfVersion2Refused(t *testing.T) {
	for patch, want := range map[string]string{
		"[plugins.'io.containerd.grpc.v1.cri']\nsystemd_cgroup = true\n":                    `containerdConfigPatches[0]: plugins."io.containerd.grpc.v1.cri".systemd_cgroup: `,
		"[plugins.'io.containerd.grpc.v1.cri'.containerd.default_runtime]\nx = 1\n":         ".containerd.default_runtime: ",
		"[plugins.'io.containerd.grpc.v1.cri']\nenable_cdi = false\n":                       ".enable_cdi: ",
		"[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.a]\nrewrite = {}\n":          `.registry.mirrors.a.rewrite: `,
		"[plugins.'io.containerd.grpc.v1.cri'.registry.configs.a.tls]\ncert_file = '/c'\n":  `.registry.configs.a.tls.cert_file: `,
		"- {op: add, path: /plugins/io.containerd.grpc.v1.cri, value: {}}":                  "/plugins/io.containerd.grpc.v1.cri: ",
		"- {op: add, path: /plugins/io.containerd.grpc.v1.cri/containerd, value: {}}":       "/plugins/io.containerd.grpc.v1.cri/containerd: ",
		"- {op: add, path: /plugins/io.containerd.grpc.v1.cri/systemd_cgroup, value: true}": "systemd_cgroup: ",
	} {
		merges, operations := []string{patch}, []string(nil)
		if strings.HasPrefix(patch, "-") {
			merges, operations = nil, merges
		}
		merged, err := patchTOML([]byte("version = 3\n[plugins]\n"), merges, operations)
		if err == nil {
			_, _, err = splitRegistries(merged, v1alpha1.Registries{Mirrors: map[string]v1alpha1.Mirror{"x": {}}})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", patch, err, want)
		}
	}
}

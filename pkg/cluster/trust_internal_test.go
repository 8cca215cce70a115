package cluster

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
)

func TestMirrorFiles(t *testing.T) {
	files, err := mirrorFiles(v1alpha1.Registries{Mirrors: map[string]v1alpha1.Mirror{
		"docker.io": {Endpoints: []string{"http://10.0.0.1:5000", "https://mirror.example/v2/hub"}, CertificateAuthority: "PEM"},
		"*":         {Endpoints: []string{"https://all.example"}, SkipVerify: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range files {
		got.WriteString("# " + f.Path + "\n" + string(f.Data) + "\n")
	}
	const want = `# /etc/containerd/certs.d/_default/hosts.toml
[host.'https://all.example']
capabilities = ['pull', 'resolve']
skip_verify = true

# /etc/containerd/certs.d/docker.io/hosts.toml
server = "https://registry-1.docker.io"
[host.'http://10.0.0.1:5000']
capabilities = ['pull', 'resolve']
ca = '/etc/containerd/certs.d/docker.io/ca.crt'
[host.'https://mirror.example/v2/hub']
capabilities = ['pull', 'resolve']
ca = '/etc/containerd/certs.d/docker.io/ca.crt'
override_path = true

# /etc/containerd/certs.d/docker.io/ca.crt
PEM
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// TestTrustFiles wants an authority in a file of its own, and each on lines of its own after those of the image.
func TestTrustFiles(t *testing.T) {
	for _, end := range []string{"\n", ""} {
		fake := enginetest.NewFake()
		fake.AddImage(engine.Image{Names: []string{"i"}}, map[string]string{caBundle: "IMAGE" + end})
		if _, err := fake.CreateNode(t.Context(), engine.NodeSpec{Name: "cp", Cluster: "dev", Image: "i"}); err != nil {
			t.Fatal(err)
		}
		rc := &Context{Deps: Deps{Engine: fake}, Doc: v1alpha1.Cluster{CertificateAuthorities: []v1alpha1.CertificateAuthority{
			{Name: "corp", PEM: "CORP"}, {Name: "lab", PEM: "LAB\n\n"},
		}}}
		files, err := trustFiles(t.Context(), rc, v1alpha1.Node{Name: "cp"})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, f := range files {
			got[f.Path] = string(f.Data)
		}
		want := map[string]string{caDir + "cove-corp.crt": "CORP\n", caDir + "cove-lab.crt": "LAB\n", caBundle: "IMAGE\nCORP\nLAB\n"}
		if !maps.Equal(got, want) {
			t.Errorf("an image's bundle that ends with %q: got %q, want %q", end, got, want)
		}
	}
}

func TestProxyEnv(t *testing.T) {
	doc := v1alpha1.Cluster{Name: "dev", Proxy: &v1alpha1.Proxy{HTTPS: "http://proxy.example:3128", NoProxy: []string{"corp.example"}}}
	doc.Cluster.Networking.PodSubnet, doc.Cluster.Networking.ServiceSubnet = "10.244.0.0/16", "10.96.0.0/16"
	env := proxyEnv(doc, []netip.Prefix{netip.MustParsePrefix("172.18.0.0/24"), netip.MustParsePrefix("fd12::/64")})
	if env["HTTPS_PROXY"] != doc.Proxy.HTTPS || env["https_proxy"] != doc.Proxy.HTTPS || env["HTTP_PROXY"] != "" {
		t.Errorf("got %v", env)
	}
	for _, want := range []string{"corp.example", "127.0.0.1", "172.18.0.0/24", "fd12::/64", "10.244.0.0/16", "10.96.0.0/16", "dev-endpoint", ".svc", "dev-control-plane"} {
		if !strings.Contains(","+env["NO_PROXY"]+",", ","+want+",") {
			t.Errorf("NO_PROXY lacks %s: %s", want, env["NO_PROXY"])
		}
	}
	for _, p := range []*v1alpha1.Proxy{nil, {}} {
		doc.Proxy = p
		if env := proxyEnv(doc, []netip.Prefix{netip.MustParsePrefix("172.18.0.0/24"), netip.MustParsePrefix("fd12::/64")}); len(env) > 0 {
			t.Errorf("%v: got %v", p, env)
		}
	}
}

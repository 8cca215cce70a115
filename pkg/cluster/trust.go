package cluster

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Where a node has what it trusts, and where images come from.
const (
	caBundle = "/etc/ssl/certs/ca-certificates.crt" // Debian's, in cove's images and in kind's
	caDir    = "/usr/local/share/ca-certificates/"  // what update-ca-certificates would take up
	hostsDir = "/etc/containerd/certs.d/"           // https://github.com/containerd/containerd/blob/main/docs/hosts.md
)

// proxyEnv are the variables by which containerd and the kubelet of a node reach the network. What is the cluster's own is reached
// without a proxy, always.
func proxyEnv(doc v1alpha1.Cluster, subnets []netip.Prefix) map[string]string {
	env := map[string]string{}
	p := doc.Proxy
	if p == nil || p.HTTP == "" && p.HTTPS == "" {
		return env
	}
	none := slices.Clone(p.NoProxy)
	none = append(none, "localhost", "127.0.0.1", "::1", endpointName(doc.Name), ".svc", ".svc.cluster", ".svc.cluster.local")
	for _, s := range slices.Concat(subnets, clusterSubnets(doc)) {
		none = append(none, s.String())
	}
	for _, n := range doc.Nodes() {
		none = append(none, n.Name)
	}
	for name, value := range map[string]string{"HTTP_PROXY": p.HTTP, "HTTPS_PROXY": p.HTTPS, "NO_PROXY": strings.Join(none, ",")} {
		if value != "" { // programs differ in which of them they read
			env[name], env[strings.ToLower(name)] = value, value
		}
	}
	return env
}

// trustFiles are the certificate authorities that a node trusts, and the mirrors that its containerd asks.
func trustFiles(ctx context.Context, rc *Context, n v1alpha1.Node) ([]engine.File, error) {
	files, err := mirrorFiles(rc.Doc.Registries)
	if err != nil || len(rc.Doc.CertificateAuthorities) == 0 {
		return files, err
	}
	bundle, err := rc.Engine.ReadFile(ctx, n.Name, caBundle)
	if err != nil {
		return nil, fault.Wrap(fault.ImageBroken, err, "cannot read %s of image %s", caBundle, rc.images[n.Name].ref)
	}
	all := bytes.NewBuffer(append(bytes.TrimSpace(bundle), '\n')) // the last line of an image's own may have no end
	for _, ca := range rc.Doc.CertificateAuthorities {
		data := []byte(strings.TrimSpace(ca.PEM) + "\n")
		files = append(files, engine.File{Path: caDir + "cove-" + ca.Name + ".crt", Data: data})
		all.Write(data)
	}
	return append(files, engine.File{Path: caBundle, Data: all.Bytes()}), nil
}

// mirrorFiles are containerd's hosts.toml of every registry that has a mirror.
func mirrorFiles(r v1alpha1.Registries) ([]engine.File, error) {
	var files []engine.File
	for _, registry := range slices.Sorted(maps.Keys(r.Mirrors)) {
		m := r.Mirrors[registry]
		dir := hostsDir + mirrorDir(registry)
		var hosts []registryHost
		for _, endpoint := range m.Endpoints {
			h := registryHost{url: endpoint, SkipVerify: m.SkipVerify}
			if m.CertificateAuthority != "" {
				h.CA = path.Join(dir, "ca.crt")
			}
			hosts = append(hosts, h)
		}
		data, err := hostsFile(registry, registryHost{}, hosts)
		if err != nil {
			return nil, err
		}
		files = append(files, engine.File{Path: dir + "/hosts.toml", Data: data})
		if m.CertificateAuthority != "" {
			files = append(files, engine.File{Path: dir + "/ca.crt", Data: []byte(m.CertificateAuthority)})
		}
	}
	return files, nil
}

// registryHost is one that containerd asks for the images of a registry.
type registryHost struct {
	url          string
	Capabilities []string `toml:"capabilities,omitempty"`
	SkipVerify   bool     `toml:"skip_verify,omitempty"`
	CA           string   `toml:"ca,omitempty"`
	OverridePath bool     `toml:"override_path,omitempty"`
}

// hostsFile is containerd's hosts.toml of a registry: how it is asked itself, and who is asked before it.
func hostsFile(registry string, itself registryHost, hosts []registryHost) ([]byte, error) {
	var out bytes.Buffer
	if registry != "*" {
		fmt.Fprintf(&out, "server = %q\n", registryServer(registry))
		part, err := toml.Marshal(itself)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "cannot write how registry %s is asked", registry)
		}
		out.Write(part)
	}
	for _, h := range hosts {
		u, err := url.Parse(h.url)
		if err != nil {
			return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot use the mirror of %s", registry)
		}
		h.Capabilities, h.OverridePath = []string{"pull", "resolve"}, strings.Trim(u.Path, "/") != ""
		// One table at a time: containerd asks them in the order of the file, and a map has none.
		part, err := toml.Marshal(map[string]any{"host": map[string]registryHost{h.url: h}})
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "cannot write the mirror of %s", registry)
		}
		out.Write(bytes.TrimPrefix(part, []byte("[host]\n")))
	}
	return out.Bytes(), nil
}

// mirrorDir is containerd's name of a registry's folder.
func mirrorDir(registry string) string {
	if registry == "*" {
		return "_default"
	}
	return registry
}

// registryServer is where a registry itself is.
func registryServer(registry string) string {
	if registry == "docker.io" {
		return "https://registry-1.docker.io"
	}
	return scheme(registry) + "://" + registry
}

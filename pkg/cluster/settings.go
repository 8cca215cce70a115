package cluster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// labelSettings tells what a container was made with of that which the document says of all nodes: as a sum, because there are passwords
// in it.
const labelSettings = "cove.dev/settings"

// settingsOf is the sum of what the document says of all nodes, and what counts when a container is made. NO_PROXY has more in the nodes,
// which does not count: their own names.
func settingsOf(doc v1alpha1.Cluster) (string, error) {
	data, err := json.Marshal(struct {
		Proxy                 v1alpha1.Proxy                  `json:"proxy,omitzero"`
		Authorities           []v1alpha1.CertificateAuthority `json:"authorities,omitempty"`
		Mirrors               map[string]v1alpha1.Mirror      `json:"mirrors,omitempty"`
		DNSSearch             *[]string                       `json:"dnsSearch,omitempty"`
		Containerd, Operation []string                        `json:",omitempty"`
	}{
		proxyOf(doc), doc.CertificateAuthorities, doc.Registries.Mirrors, doc.Cluster.Networking.DNSSearch,
		doc.Cluster.ContainerdConfigPatches, doc.Cluster.ContainerdConfigPatchesJSON6902,
	})
	if err != nil {
		return "", fault.Wrap(fault.Internal, err, "cannot describe the settings of the nodes")
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), nil
}

// proxyOf returns the document's proxy; the zero value where there is none.
func proxyOf(doc v1alpha1.Cluster) v1alpha1.Proxy {
	if p := doc.Proxy; p != nil && (p.HTTP != "" || p.HTTPS != "") {
		out := *p.DeepCopy()
		if len(out.NoProxy) == 0 {
			out.NoProxy = nil
		}
		return out
	}
	return v1alpha1.Proxy{}
}

// settings compares what the document says of all nodes. Which of them have it already, their containers tell.
func (d *delta) settings() error {
	if details := settingChanges(*d.was.record.Document, d.doc); len(details) > 0 {
		d.note(Modify, "all nodes", details...)
	}
	var err error
	if d.recorded, err = settingsOf(*d.was.record.Document); err != nil {
		return err
	}
	d.wanted, err = settingsOf(d.doc)
	return err
}

// outdated reports whether a node's container was made with other settings. Those of an older cove do not tell; they have what is on
// record.
func (d *delta) outdated(node string) bool {
	return cmp.Or(d.was.settings[node], d.recorded) != d.wanted
}

// settingChanges says how the documents differ in what they say of all nodes.
func settingChanges(was, want v1alpha1.Cluster) []string {
	var out []string
	note := func(what, a, b string) {
		if a != b {
			out = append(out, what+" "+orNothing(a)+" → "+orNothing(b))
		}
	}
	a, b := proxyOf(was), proxyOf(want)
	note("http proxy", withoutPassword(a.HTTP), withoutPassword(b.HTTP))
	note("https proxy", withoutPassword(a.HTTPS), withoutPassword(b.HTTPS))
	note("no proxy for", strings.Join(a.NoProxy, " "), strings.Join(b.NoProxy, " "))
	if len(out) == 0 && !sameJSON(a, b) {
		out = append(out, "the proxy's password")
	}
	out = append(out, namedChanges("certificate authority", authorities(was), authorities(want))...)
	out = append(out, namedChanges("mirror of", mirrors(was), mirrors(want))...)
	note("DNS search", searchText(was), searchText(want))
	if !sameJSON(was.Cluster.ContainerdConfigPatches, want.Cluster.ContainerdConfigPatches) ||
		!sameJSON(was.Cluster.ContainerdConfigPatchesJSON6902, want.Cluster.ContainerdConfigPatchesJSON6902) {
		out = append(out, "patches of containerd")
	}
	return out
}

func orNothing(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// withoutPassword returns the URL as it may be shown.
func withoutPassword(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Redacted()
	}
	return text
}

func authorities(doc v1alpha1.Cluster) map[string]any {
	out := map[string]any{}
	for _, ca := range doc.CertificateAuthorities {
		out[ca.Name] = ca
	}
	return out
}

func mirrors(doc v1alpha1.Cluster) map[string]any {
	out := map[string]any{}
	for registry, m := range doc.Registries.Mirrors {
		out[registry] = m
	}
	return out
}

// namedChanges says what came, what went, and what is another one of the same name.
func namedChanges(what string, was, want map[string]any) []string {
	var out []string
	names := maps.Clone(was)
	maps.Copy(names, want)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, had := was[name]
		b, has := want[name]
		switch {
		case !had:
			out = append(out, "+ "+what+" "+name)
		case !has:
			out = append(out, "- "+what+" "+name)
		case !sameJSON(a, b):
			out = append(out, "another "+what+" "+name)
		}
	}
	return out
}

func searchText(doc v1alpha1.Cluster) string {
	switch list := doc.Cluster.Networking.DNSSearch; {
	case list == nil:
		return "as the engine's host"
	case len(*list) == 0:
		return ""
	default:
		return strings.Join(*list, " ")
	}
}

// proxiedManifests returns the manifests of a control plane's static pods that must have another proxy than they have, which kubeadm gave
// them: that of its own environment. The container need not run.
func proxiedManifests(ctx context.Context, rc *Context, n v1alpha1.Node) ([]engine.File, error) {
	if n.Role != engine.RoleControlPlane {
		return nil, nil
	}
	env := proxyEnv(rc.Doc, nodeSubnets(rc.Doc, rc.network))
	var files []engine.File
	for _, pod := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		path := "/etc/kubernetes/manifests/" + pod + ".yaml"
		data, err := rc.Engine.ReadFile(ctx, n.Name, path)
		if errors.Is(err, fs.ErrNotExist) { // kubeadm was told to leave it out
			continue
		}
		if err != nil {
			return nil, fault.Wrap(fault.EngineFailed, err, "cannot read %s of %s", path, n.Name)
		}
		if len(env) == 0 && !bytes.Contains(data, []byte(endpointName(rc.Name()))) {
			continue
		}
		changed, err := proxied(data, env, endpointName(rc.Name()))
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "cannot change %s of %s", path, n.Name)
		}
		if changed != nil {
			files = append(files, engine.File{Path: path, Mode: 0o600, Data: changed})
		}
	}
	return files, nil
}

// proxied returns the manifest with this proxy for its containers; nil where they have it. Where there is none, variables stay that are the
// user's own: those of cove's proxies know the cluster's endpoint.
func proxied(manifest []byte, env map[string]string, endpoint string) ([]byte, error) {
	var pod map[string]any
	if err := yaml.Unmarshal(manifest, &pod); err != nil {
		return nil, err
	}
	spec, _ := pod["spec"].(map[string]any)
	containers, _ := spec["containers"].([]any)
	changed := false
	for _, item := range containers {
		c, ok := item.(map[string]any)
		if !ok {
			continue
		}
		was, _ := c["env"].([]any)
		ours := len(env) > 0 || slices.ContainsFunc(was, func(v any) bool {
			name, value := variable(v)
			return name == "no_proxy" && slices.Contains(strings.Split(value, ","), endpoint)
		})
		now := slices.DeleteFunc(slices.Clone(was), func(v any) bool {
			name, _ := variable(v)
			return ours && slices.Contains([]string{"http_proxy", "https_proxy", "no_proxy"}, name)
		})
		for _, name := range slices.Sorted(maps.Keys(env)) {
			now = append(now, map[string]any{"name": name, "value": env[name]})
		}
		if sameJSON(was, now) {
			continue
		}
		changed = true
		if c["env"] = now; len(now) == 0 {
			delete(c, "env")
		}
	}
	if !changed {
		return nil, nil
	}
	return yaml.Marshal(pod)
}

// variable returns the name, in lower case, and the value of a variable of a container's environment.
func variable(v any) (name, value string) {
	e, _ := v.(map[string]any)
	name, _ = e["name"].(string)
	value, _ = e["value"].(string)
	return strings.ToLower(name), value
}

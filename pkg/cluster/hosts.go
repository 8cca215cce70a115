package cluster

import (
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
)

// splitRegistries takes out of a configuration of containerd what patches say of single registries, and returns it as the files that
// containerd reads instead where config_path is set: it refuses a configuration with both. Where there is no config_path, the table stays,
// unless the document has mirrors of its own, which are such files.
func splitRegistries(config []byte, own v1alpha1.Registries) ([]byte, []engine.File, error) {
	doc := map[string]any{}
	if err := toml.Unmarshal(config, &doc); err != nil {
		return nil, nil, err
	}
	table := criTable
	if isVersion3(doc) {
		table = imagesTable
	}
	at := fmt.Sprintf("plugins.%q.registry", table)
	registry := tableAt(doc, "plugins", table, "registry")
	r := registries{mirrors: tableAt(registry, "mirrors"), tls: takeTLS(registry)}
	dir, _ := registry["config_path"].(string)
	if dir == "" && (len(own.Mirrors) > 0 || len(r.tls) > 0 && isVersion3(doc)) {
		dir = path.Clean(hostsDir)
		if err := setPath(doc, []string{"plugins", table, "registry", "config_path"}, dir); err != nil {
			return nil, nil, err
		}
		registry = tableAt(doc, "plugins", table, "registry")
	}
	if dir == "" {
		return config, nil, nil
	}
	dir, _, _ = strings.Cut(dir, ":")
	delete(registry, "mirrors")
	files, err := r.files(dir, at)
	if err != nil {
		return nil, nil, err
	}
	for name := range own.Mirrors {
		if r.mirrors[name] != nil || r.tls[name] != nil {
			return nil, nil, fmt.Errorf("%s is about %s, of which registries.mirrors says what to do: keep one of them", at, name)
		}
	}
	out, err := toml.Marshal(doc)
	return out, files, err
}

// tableAt returns the table at a path; nil where there is none.
func tableAt(doc map[string]any, path ...string) map[string]any {
	for _, key := range path {
		doc, _ = doc[key].(map[string]any)
	}
	return doc
}

// takeTLS takes out how registries are verified, which containerd 2 has in their files alone.
func takeTLS(registry map[string]any) map[string]map[string]any {
	out := map[string]map[string]any{}
	configs := tableAt(registry, "configs")
	for _, host := range slices.Sorted(maps.Keys(configs)) {
		c, _ := configs[host].(map[string]any)
		if tls, is := c["tls"].(map[string]any); is {
			out[host] = tls
			delete(c, "tls")
		}
		if len(c) == 0 {
			delete(configs, host)
		}
	}
	if configs != nil && len(configs) == 0 {
		delete(registry, "configs")
	}
	return out
}

// registries is what a configuration of containerd says of single registries.
type registries struct {
	mirrors map[string]any
	tls     map[string]map[string]any // by the host that is asked
}

func (r registries) files(dir, at string) ([]engine.File, error) {
	names := slices.AppendSeq(slices.Collect(maps.Keys(r.mirrors)), maps.Keys(r.tls))
	slices.Sort(names)
	var files []engine.File
	for _, name := range slices.Compact(names) {
		itself, err := r.host("", name, at)
		if err != nil {
			return nil, err
		}
		endpoints, err := endpointsOf(r.mirrors[name], at+".mirrors."+name)
		if err != nil {
			return nil, err
		}
		var hosts []registryHost
		for _, e := range endpoints {
			u, err := url.Parse(e)
			if err != nil {
				return nil, fmt.Errorf("%s.mirrors.%s: %w", at, name, err)
			}
			h, err := r.host(e, u.Host, at)
			if err != nil {
				return nil, err
			}
			hosts = append(hosts, h)
		}
		data, err := hostsFile(name, itself, hosts)
		if err != nil {
			return nil, err
		}
		files = append(files, engine.File{Path: path.Join(dir, mirrorDir(name), "hosts.toml"), Data: data})
	}
	return files, nil
}

// host is how a host is asked.
func (r registries) host(url, name, at string) (registryHost, error) {
	h := registryHost{url: url}
	for _, key := range slices.Sorted(maps.Keys(r.tls[name])) {
		value := r.tls[name][key]
		skip, isBool := value.(bool)
		ca, isString := value.(string)
		switch {
		case key == "insecure_skip_verify" && isBool:
			h.SkipVerify = skip
		case key == "ca_file" && isString:
			h.CA = ca
		default:
			return h, fmt.Errorf("%s.configs.%s.tls.%s: cannot be written to hosts.toml; mount a folder of such files as %s instead", at, name, key, path.Clean(hostsDir))
		}
	}
	return h, nil
}

// endpointsOf reads the endpoints of a mirror, in the order in which they are asked.
func endpointsOf(mirror any, at string) ([]string, error) {
	m, _ := mirror.(map[string]any)
	var out []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list, is := m[key].([]any)
		if key != "endpoint" || !is {
			return nil, fmt.Errorf("%s.%s: containerd has no such setting; it has endpoint, a list", at, key)
		}
		for _, item := range list {
			e, is := item.(string)
			if !is {
				return nil, fmt.Errorf("%s.endpoint: %v is no URL", at, item)
			}
			if !strings.Contains(e, "://") {
				e = scheme(e) + "://" + e
			}
			out = append(out, e)
		}
	}
	return out, nil
}

// scheme is how containerd asks a host of which nothing is said: those of its own machine without TLS.
func scheme(host string) string {
	name := (&url.URL{Host: host}).Hostname()
	if a, err := netip.ParseAddr(name); name == "localhost" || err == nil && a.IsLoopback() {
		return "http"
	}
	return "https"
}

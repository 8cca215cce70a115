package importer

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/config/strict"
)

// registries reads where images come from.
func (k *k3d) registries(s section) {
	if create := s.section("create"); isSet(create.values) {
		create.skip(slices.Collect(maps.Keys(create.values))...)
		s.note("create", "cove makes no registry; load images with `cove image load`, or name a registry that runs under registries.mirrors")
	}
	for i, use := range s.texts("use") {
		s.note("use", "[%d] %s: name the registry under registries.mirrors, by an address that nodes reach", i, use)
	}
	text := s.text("config")
	s.rest()
	if text == "" {
		return
	}
	if !strings.Contains(text, "\n") { // as k3d tells them apart
		s.note("config", "it is the file %s; put what is in it here, and import again", text)
		return
	}
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		s.r.problems.Invalid(s.at("config"), "it is no YAML: %s", strict.Cause(err))
		return
	}
	k.registriesFile(section{s.r, s.at("config"), values})
}

// registriesFile reads k3s' registries.yaml (https://docs.k3s.io/installation/private-registry).
func (k *k3d) registriesFile(s section) {
	mirrors, configs := s.section("mirrors"), s.section("configs")
	s.rest()
	insecure := map[string]bool{}
	for _, host := range slices.Sorted(maps.Keys(configs.values)) {
		c := configs.section(host)
		tls := c.section("tls")
		insecure[host] = tls.yes("insecure_skip_verify", false)
		tls.drop("it is a file of the node's; set certificateAuthority of the mirror to the file here, or name it under certificateAuthorities", "ca_file")
		tls.drop("nodes have no certificates of their own for registries", "cert_file", "key_file")
		tls.rest()
		c.drop("nodes have no credentials for registries; use imagePullSecrets", "auth")
		c.rest()
	}
	for _, name := range slices.Sorted(maps.Keys(mirrors.values)) {
		m := mirrors.section(name)
		for i, endpoint := range m.texts("endpoint") {
			k.endpoint(m, i, name, endpoint, insecure)
		}
		m.drop("cove rewrites no names of images; give the endpoint a path", "rewrite")
		m.rest()
	}
	for _, host := range slices.Sorted(maps.Keys(insecure)) {
		if _, has := k.doc.Registries.Mirrors[host]; insecure[host] && !has {
			if problem := k.addInsecure(host, "https://"+host); problem != "" {
				configs.note(host, "%s", problem)
			}
		}
	}
}

// endpoint adds one of a mirror's.
func (k *k3d) endpoint(m section, i int, registry, endpoint string, insecure map[string]bool) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint // as k3s reads it
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		m.note("endpoint", "[%d] it is no URL", i)
		return
	}
	if host := u.Hostname(); isLoopback(host) {
		m.note("endpoint", "[%d] %s: %s", i, endpoint, onNode)
		return
	} else if !strings.ContainsAny(host, ".:") {
		m.note("endpoint", "[%d] %s: the name is known in k3d's network only; nodes must reach it by that name, or name an address", i, endpoint)
	}
	k.addMirror(registry, insecure[u.Host] || insecure[u.Hostname()] || insecure[registry], endpoint)
}

package v1alpha1

import (
	"maps"
	"slices"
)

// Proxy is what the nodes of a cluster reach the network through.
type Proxy struct {
	// HTTP is the proxy for http, as http://proxy.example:3128. It must be reachable from the nodes: localhost is not, and is
	// refused; in the environment it is left out, with a warning.
	HTTP string `yaml:"http,omitempty" json:"http,omitempty"`
	// HTTPS is the proxy for https.
	HTTPS string `yaml:"https,omitempty" json:"https,omitempty"`
	// NoProxy lists what is reached without a proxy: names, which stand for what is below them too, addresses and subnets.
	// The cluster's own names, nodes and subnets are added.
	NoProxy []string `yaml:"noProxy,omitempty" json:"noProxy,omitempty"`
}

// CertificateAuthority is one that nodes trust beside those of the node image.
type CertificateAuthority struct {
	// Name tells it from the others: a DNS label.
	Name string `yaml:"name" json:"name"`
	// Path is a file with certificates, in PEM. A relative one starts where the document is. It is read once: the cluster
	// keeps its content.
	Path string `yaml:"path,omitempty" json:"path,omitempty"`
	// PEM has the certificates themselves.
	PEM string `yaml:"pem,omitempty" json:"pem,omitempty"`
}

// Registries says how nodes pull images.
type Registries struct {
	// Mirrors are asked before the registry that they are for, which the key names as images do: docker.io, ghcr.io or
	// registry.example:5000. The key * is for all registries that have no mirror of their own.
	Mirrors map[string]Mirror `yaml:"mirrors,omitempty" json:"mirrors,omitempty"`
}

// Mirror is where the images of a registry are pulled from.
type Mirror struct {
	// Endpoints are asked one after the other, the registry itself last: http://10.0.0.1:5000, or with the whole path where
	// the mirror has one, as https://mirror.example/v2/hub. They must be reachable from the nodes, as localhost is not.
	Endpoints []string `yaml:"endpoints" json:"endpoints"`
	// SkipVerify takes any certificate of the endpoints.
	SkipVerify bool `yaml:"skipVerify,omitempty" json:"skipVerify,omitempty"`
	// CertificateAuthority is the one that the endpoints' certificates are of: in PEM, or the path of such a file. A relative
	// path starts where the document is.
	CertificateAuthority string `yaml:"certificateAuthority,omitempty" json:"certificateAuthority,omitempty"`
}

// DeepCopy returns a copy that shares nothing with p.
func (p *Proxy) DeepCopy() *Proxy {
	if p == nil {
		return nil
	}
	out := *p
	out.NoProxy = slices.Clone(p.NoProxy)
	return &out
}

// DeepCopy returns a copy that shares nothing with r.
func (r Registries) DeepCopy() Registries {
	out := Registries{Mirrors: maps.Clone(r.Mirrors)}
	for name, m := range out.Mirrors {
		m.Endpoints = slices.Clone(m.Endpoints)
		out.Mirrors[name] = m
	}
	return out
}

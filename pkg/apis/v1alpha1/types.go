// Package v1alpha1 holds the cluster document of `apiVersion: cove.dev/v1alpha1`: its types, its JSON schema, and the
// versions of Kubernetes that it knows. It never reads a file, fills in a default or judges a value: pkg/config does.
package v1alpha1

import (
	"slices"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// What a cluster document says of itself.
const (
	APIVersion  = "cove.dev/v1alpha1"
	KindCluster = "Cluster"
	// KindAPIVersion is the apiVersion of kind's documents, which are accepted as they are.
	KindAPIVersion = "kind.x-k8s.io/v1alpha4"
)

// DefaultName is the name of a cluster that is given none.
const DefaultName = "cove"

// MaxNameLength is how long a cluster's name may be, in bytes, so that the names of its nodes stay within the 63 that a
// host name may have.
const MaxNameLength = 40

// Cluster is a cluster document: kind's document, nested as it is, and what kind's lacks beside it.
type Cluster struct {
	// APIVersion is cove.dev/v1alpha1.
	APIVersion string `yaml:"apiVersion" json:"apiVersion"`
	// Kind is Cluster.
	Kind string `yaml:"kind" json:"kind"`
	// Name is the cluster's name: a DNS label of up to 40 characters. Defaults to cove.
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	// KubernetesVersion is the version that the nodes run: v1.36.3, 1.36.3, or 1.36 for the newest known patch release of
	// it. Defaults to the version that the image's tag names, else to the newest one known.
	KubernetesVersion string `yaml:"kubernetesVersion,omitempty" json:"kubernetesVersion,omitempty"`
	// Image is the node image of all nodes that name none of their own. Without one it is chosen by the version.
	Image string `yaml:"image,omitempty" json:"image,omitempty"`
	// Profile is the profile that the cluster is made from: its name, or the path of a file. Defaults to dev.
	Profile string `yaml:"profile,omitempty" json:"profile,omitempty"`
	// CNI is the addon that provides the pod network; none leaves it to you. Defaults to the profile's.
	CNI string `yaml:"cni,omitempty" json:"cni,omitempty"`
	// Addons are added to those of the profile, and refine them.
	Addons []Addon `yaml:"addons,omitempty" json:"addons,omitempty"`
	// NodeSpecs are the nodes, with what kind's list lacks: names, numbers, sizes and taints. Either this list or cluster.nodes
	// is given. A list without a control plane gets one plain control plane.
	NodeSpecs []NodeSpec `yaml:"nodes,omitempty" json:"nodes,omitempty"`
	// Proxy is what the nodes reach the network through. Defaults to what the environment of the command says in HTTP_PROXY,
	// HTTPS_PROXY and NO_PROXY, or the same in lower case; {} is none.
	Proxy *Proxy `yaml:"proxy,omitempty" json:"proxy,omitempty"`
	// CertificateAuthorities are trusted by the nodes, and so for pulling images, beside those of the node image.
	CertificateAuthorities []CertificateAuthority `yaml:"certificateAuthorities,omitempty" json:"certificateAuthorities,omitempty"`
	// Registries says how nodes pull images.
	Registries Registries `yaml:"registries,omitempty" json:"registries,omitzero"`
	// Cluster is kind's cluster document of apiVersion kind.x-k8s.io/v1alpha4. Its own apiVersion, kind and name may be
	// left out.
	Cluster kind.Cluster `yaml:"cluster,omitempty" json:"cluster,omitzero"`

	// FromKind says that the document was read from one of kind's, so that errors name the fields as the file has them.
	// It is not written.
	FromKind bool `yaml:"-" json:"-"`
}

// DeepCopy returns a copy that shares nothing with c.
func (c *Cluster) DeepCopy() *Cluster {
	out := *c
	c.Cluster.DeepCopyInto(&out.Cluster)
	if c.Addons != nil {
		out.Addons = make([]Addon, len(c.Addons))
		for i, a := range c.Addons {
			out.Addons[i] = a.DeepCopy()
		}
	}
	out.Proxy = c.Proxy.DeepCopy()
	out.CertificateAuthorities = slices.Clone(c.CertificateAuthorities)
	out.Registries = c.Registries.DeepCopy()
	if c.NodeSpecs != nil {
		out.NodeSpecs = make([]NodeSpec, len(c.NodeSpecs))
		for i, n := range c.NodeSpecs {
			out.NodeSpecs[i] = n.DeepCopy()
		}
	}
	return &out
}

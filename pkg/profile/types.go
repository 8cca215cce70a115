// Package profile holds profiles and the addon catalogue as data: it loads them from what is built in and from the user's
// own folder, checks them, joins a profile with what it extends, checks parameters, and puts addons in order. It never
// speaks to a cluster and never renders an addon: pkg/addon does.
package profile

import (
	"io/fs"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// What the files of a catalogue say of themselves, beside their apiVersion (v1alpha1.APIVersion).
const (
	KindAddon   = "Addon"
	KindProfile = "Profile"
)

// DefaultProfile is the profile of a cluster that names none.
const DefaultProfile = "dev"

// NoCNI is the name that leaves the pod network to the user.
const NoCNI = "none"

// DefaultCNI is the addon that kind's disableDefaultCNI leaves out: the one whose manifest the node image brings.
const DefaultCNI = "flannel"

// OutputPlain is the Output of a profile that wants lines instead of a live screen.
const OutputPlain = "plain"

// ProvidesCNI is the capability of a pod network. Other capabilities are words of the catalogue's own.
const ProvidesCNI = "cni"

// Addon is an entry of the catalogue, addons/NAME/addon.yaml.
type Addon struct {
	APIVersion    string `yaml:"apiVersion" json:"apiVersion"`
	Kind          string `yaml:"kind" json:"kind"`
	Name          string `yaml:"name" json:"name"`
	Version       string `yaml:"version,omitempty" json:"version,omitempty"`
	Description   string `yaml:"description" json:"description"`                         // one line: what it is for
	Documentation string `yaml:"documentation,omitempty" json:"documentation,omitempty"` // a URL
	Notes         string `yaml:"notes,omitempty" json:"notes,omitempty"`                 // what a user must know, in Markdown
	// Provides names what a cluster has one of at most, such as "cni": two addons that provide the same conflict.
	Provides []string `yaml:"provides,omitempty" json:"provides,omitempty"`
	Requires Requires `yaml:"requires,omitempty" json:"requires,omitzero"`
	// Foreign says why the addon does not fit clusters that cove did not make; empty: it fits.
	Foreign string `yaml:"foreign,omitempty" json:"foreign,omitempty"`
	// ForeignNeeds names the parameters that have no default on a cluster that cove did not make.
	ForeignNeeds []string    `yaml:"foreignNeeds,omitempty" json:"foreignNeeds,omitempty"`
	Images       []Image     `yaml:"images,omitempty" json:"images,omitempty"`
	Parameters   []Parameter `yaml:"parameters,omitempty" json:"parameters,omitempty"`
	// Namespace is where objects go that name none; it is not made unless the content has it.
	Namespace string     `yaml:"namespace,omitempty" json:"namespace,omitempty"`
	Content   Content    `yaml:"content" json:"content"`
	Generate  []Generate `yaml:"generate,omitempty" json:"generate,omitempty"`
	// Ready lists conditions beyond the status of the objects themselves (kstatus).
	Ready []Condition `yaml:"ready,omitempty" json:"ready,omitempty"`
	// HostPorts are ports of the engine's host that a node publishes where parameters ask for it.
	HostPorts []HostPort `yaml:"hostPorts,omitempty" json:"hostPorts,omitempty"`

	// FS is the folder that Content's paths are in.
	FS fs.FS `yaml:"-" json:"-"`
	// Dir is that folder on the disk, for addons of the user's own.
	Dir string `yaml:"-" json:"-"`
	// Own says that the addon is the user's own, given by path or as a chart.
	Own bool `yaml:"-" json:"own,omitempty"`
	// Entry is how a document names one of the user's own, without parameters.
	Entry v1alpha1.Addon `yaml:"-" json:"-"`
}

// Requires is what an addon cannot do without.
type Requires struct {
	Addons     []string `yaml:"addons,omitempty" json:"addons,omitempty"`         // applied before it
	Kubernetes string   `yaml:"kubernetes,omitempty" json:"kubernetes,omitempty"` // a range: ">= 1.30"
	// NodeImage "cove" wants cove's own node image.
	NodeImage string `yaml:"nodeImage,omitempty" json:"nodeImage,omitempty"`
}

// Image is an image that an addon's pods run.
type Image struct {
	Name string `yaml:"name" json:"name"` // by which templates find it: {{.Images.NAME}}
	Ref  string `yaml:"ref" json:"ref"`   // "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
	// Build is the recipe of pkg/image/build that makes it where no registry answers; empty: there is none.
	Build string `yaml:"build,omitempty" json:"build,omitempty"`
	// InNodeImage says that cove's node image has it.
	InNodeImage bool `yaml:"inNodeImage,omitempty" json:"inNodeImage,omitempty"`
}

// Types of parameters.
const (
	TypeString  = "string"
	TypeInteger = "integer"
	TypeBoolean = "boolean"
	TypeList    = "list"   // of strings
	TypeObject  = "object" // anything below it, as a chart's values
)

// Parameter is what can be set of an addon.
type Parameter struct {
	Name        string   `yaml:"name" json:"name"` // dots nest: "hostPorts.http"
	Type        string   `yaml:"type" json:"type"`
	Description string   `yaml:"description" json:"description"`
	Default     any      `yaml:"default,omitempty" json:"default,omitempty"` // none: the zero value of the type
	Enum        []string `yaml:"enum,omitempty" json:"enum,omitempty"`
	Pattern     string   `yaml:"pattern,omitempty" json:"pattern,omitempty"` // a regular expression (RE2) that the whole value must match
	Minimum     *int64   `yaml:"minimum,omitempty" json:"minimum,omitempty"`
	Maximum     *int64   `yaml:"maximum,omitempty" json:"maximum,omitempty"`
}

// Content says what an addon consists of: one of its fields is set. Paths are of the addon's own folder. Files that end in
// .tmpl are templates.
type Content struct {
	// Manifests is a file, or a folder of *.yaml, *.yml, *.json and *.yaml.tmpl, in the order of their names.
	Manifests string `yaml:"manifests,omitempty" json:"manifests,omitempty"`
	// Kustomization is a folder with a kustomization.yaml.
	Kustomization string `yaml:"kustomization,omitempty" json:"kustomization,omitempty"`
	Helm          *Helm  `yaml:"helm,omitempty" json:"helm,omitempty"`
	// NodeImage is a manifest that the node image brings, by its path there.
	NodeImage string `yaml:"nodeImage,omitempty" json:"nodeImage,omitempty"`
}

// Helm is a chart.
type Helm struct {
	// Chart is a folder or an archive of the addon's folder, the name of a chart in Repository, or oci://REGISTRY/PATH.
	Chart      string `yaml:"chart" json:"chart"`
	Repository string `yaml:"repository,omitempty" json:"repository,omitempty"`
	Version    string `yaml:"version,omitempty" json:"version,omitempty"`
	Namespace  string `yaml:"namespace,omitempty" json:"namespace,omitempty"` // made where there is none
	// ValuesFile is a template of values, in the addon's folder.
	ValuesFile string         `yaml:"valuesFile,omitempty" json:"valuesFile,omitempty"`
	Values     map[string]any `yaml:"values,omitempty" json:"values,omitempty"`
}

// Generate is a Secret that cove makes once, and never again while it is there.
type Generate struct {
	Secret    string `yaml:"secret" json:"secret"`
	Namespace string `yaml:"namespace" json:"namespace"`
	Type      string `yaml:"type" json:"type"` // GenerateRandom or GenerateCertificate
	// Key and Bytes are for random: the key of the Secret, and how many bytes (written as base64).
	Key   string `yaml:"key,omitempty" json:"key,omitempty"`
	Bytes int    `yaml:"bytes,omitempty" json:"bytes,omitempty"`
	// DNSNames are for a certificate of the cluster-local CA (keys tls.crt, tls.key, ca.crt). They are templates.
	DNSNames []string `yaml:"dnsNames,omitempty" json:"dnsNames,omitempty"`
}

// Ways to generate a Secret.
const (
	GenerateRandom      = "random"
	GenerateCertificate = "certificate"
)

// Condition is a condition of an object's status that must be True.
type Condition struct {
	APIVersion string `yaml:"apiVersion" json:"apiVersion"`
	Kind       string `yaml:"kind" json:"kind"`
	Namespace  string `yaml:"namespace,omitempty" json:"namespace,omitempty"`
	Name       string `yaml:"name" json:"name"`
	Condition  string `yaml:"condition" json:"condition"`
}

// HostPort publishes a port of the first control plane on the engine's host when the parameter (an integer) is not 0.
type HostPort struct {
	Parameter     string `yaml:"parameter" json:"parameter"`
	ContainerPort int32  `yaml:"containerPort" json:"containerPort"`
}

// Profile is a named shape of a cluster with addons, NAME.yaml.
type Profile struct {
	APIVersion  string `yaml:"apiVersion" json:"apiVersion"`
	Kind        string `yaml:"kind" json:"kind"`
	Name        string `yaml:"name" json:"name"`
	Description string `yaml:"description,omitempty" json:"description,omitempty"`
	// Extends names the profile that this one refines.
	Extends string `yaml:"extends,omitempty" json:"extends,omitempty"`
	// Output "plain" has `cove create` write lines instead of a live screen.
	Output            string           `yaml:"output,omitempty" json:"output,omitempty"`
	KubernetesVersion string           `yaml:"kubernetesVersion,omitempty" json:"kubernetesVersion,omitempty"`
	Image             string           `yaml:"image,omitempty" json:"image,omitempty"`
	CNI               string           `yaml:"cni,omitempty" json:"cni,omitempty"`
	Addons            []v1alpha1.Addon `yaml:"addons,omitempty" json:"addons,omitempty"`
	Cluster           kind.Cluster     `yaml:"cluster,omitempty" json:"cluster,omitzero"`
}

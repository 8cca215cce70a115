package config

import (
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// Default fills in what a document leaves open: kind's defaults, but for the node image, which stays open (it is chosen
// by the version), and for kube-proxy, which uses nftables from Kubernetes 1.33 on, where that is stable. A version is
// completed. Values that are there stay as they are, right or wrong; to fill in twice changes nothing.
func Default(doc *v1alpha1.Cluster) {
	store(doc, defaults(doc, itemsOf(doc)))
}

// defaults is Default for a document with these nodes. It returns them complete; the document has the same.
func defaults(doc *v1alpha1.Cluster, items []item) []item {
	doc.APIVersion, doc.Kind = v1alpha1.APIVersion, v1alpha1.KindCluster
	if doc.Name == "" {
		doc.Name = doc.Cluster.Name
	}
	if doc.Name == "" {
		doc.Name = v1alpha1.DefaultName
	}
	doc.Cluster.TypeMeta, doc.Cluster.Name = kind.TypeMeta{}, ""
	items = defaultItems(items, nodesPath(doc))
	store(doc, items)
	defaultVersion(doc)
	defaultNetworking(doc)
	return items
}

// defaultVersion takes the version from the image that the control plane runs, if its tag names one: a document of
// kind's says it nowhere else.
func defaultVersion(doc *v1alpha1.Cluster) {
	inImage := ""
	for _, n := range doc.Nodes() {
		if n.Role == string(kind.ControlPlaneRole) {
			inImage = ImageVersion(n.Image)
			break
		}
	}
	switch {
	case doc.KubernetesVersion != "":
		doc.KubernetesVersion = completeVersion(doc.KubernetesVersion, inImage)
	case inImage != "":
		doc.KubernetesVersion = inImage
	default:
		doc.KubernetesVersion = v1alpha1.DefaultKubernetesVersion()
	}
}

func defaultNetworking(doc *v1alpha1.Cluster) {
	scratch := kind.Cluster{Networking: doc.Cluster.Networking}
	if scratch.Networking.KubeProxyMode == "" && atLeast(doc.KubernetesVersion, "v1.33.0") {
		scratch.Networking.KubeProxyMode = kind.NFTablesProxyMode
	}
	kind.SetDefaultsCluster(&scratch)
	doc.Cluster.Networking = scratch.Networking
}

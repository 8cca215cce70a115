package kubeadm

import (
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/fault"
)

// AddCertSANs returns a ClusterConfiguration, as kubeadm keeps it in its ConfigMap, whose API servers' certificates are good for these names
// and addresses, too: those of control planes that join later, and of later versions.
func AddCertSANs(clusterConfiguration []byte, sans []string) ([]byte, error) {
	doc := object{}
	if err := yaml.Unmarshal(clusterConfiguration, &doc); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot read kubeadm's configuration")
	}
	api := below(doc, "apiServer")
	list, _ := api["certSANs"].([]any)
	for _, s := range sans {
		if !slices.Contains(list, any(s)) {
			list = append(list, s)
		}
	}
	api["certSANs"] = list
	return yaml.Marshal(doc)
}

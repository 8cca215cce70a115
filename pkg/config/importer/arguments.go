package importer

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// argument is a command-line argument of a Kubernetes component, as kubeadm's v1beta4 has it.
type argument struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// component is what kubeadm's ClusterConfiguration has of one.
type component struct {
	CertSANs  []string   `yaml:"certSANs,omitempty"`
	ExtraArgs []argument `yaml:"extraArgs,omitempty"`
}

// arguments collects what becomes patches of kubeadm's configuration.
type arguments struct {
	apiServer, controllerManager, scheduler, etcd component
	kubeProxy                                     map[string]any // fields of the KubeProxyConfiguration
	kubelet                                       []argument     // of all nodes
}

// add adds KEY=VALUE to the arguments of a component.
func (c *component) add(assigned string) {
	name, value := assignment(strings.TrimLeft(assigned, "-"))
	c.ExtraArgs = setArgument(c.ExtraArgs, name, value)
}

func setArgument(list []argument, name, value string) []argument {
	if i := slices.IndexFunc(list, func(a argument) bool { return a.Name == name }); i >= 0 {
		list[i].Value = value
		return list
	}
	return append(list, argument{name, value})
}

// write puts the patches into the document. They name no apiVersion, so that they fit the one that cove writes.
func (a arguments) write(doc *v1alpha1.Cluster) {
	out := &doc.Cluster.KubeadmConfigPatches
	type local struct {
		Local component `yaml:"local,omitempty"`
	}
	cluster := struct {
		Kind              string    `yaml:"kind"`
		APIServer         component `yaml:"apiServer,omitempty"`
		ControllerManager component `yaml:"controllerManager,omitempty"`
		Scheduler         component `yaml:"scheduler,omitempty"`
		Etcd              local     `yaml:"etcd,omitempty"`
	}{"ClusterConfiguration", a.apiServer, a.controllerManager, a.scheduler, local{a.etcd}}
	empty := func(c component) bool { return len(c.CertSANs)+len(c.ExtraArgs) == 0 }
	if !empty(a.apiServer) || !empty(a.controllerManager) || !empty(a.scheduler) || !empty(a.etcd) {
		*out = append(*out, patch(cluster))
	}
	if len(a.kubelet) > 0 {
		*out = append(*out, kubeletPatch(a.kubelet))
	}
	if len(a.kubeProxy) > 0 {
		a.kubeProxy["kind"] = "KubeProxyConfiguration"
		*out = append(*out, patch(a.kubeProxy))
	}
}

// kubeletPatch is a patch for both ways in which a node comes to its cluster.
func kubeletPatch(args []argument) string {
	type registration struct {
		KubeletExtraArgs []argument `yaml:"kubeletExtraArgs"`
	}
	type configuration struct {
		Kind             string       `yaml:"kind"`
		NodeRegistration registration `yaml:"nodeRegistration"`
	}
	return patch(configuration{"InitConfiguration", registration{args}}) + "---\n" + patch(configuration{"JoinConfiguration", registration{args}})
}

// patch writes a value as YAML. What is written consists of text, lists and mappings, which never fail.
func patch(value any) string {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	_ = enc.Encode(value)
	_ = enc.Close()
	return b.String()
}

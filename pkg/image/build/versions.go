package build

import (
	"strings"

	"github.com/cove-k8s/cove/pkg/fault"
)

// version is the set of versions that one node image is made of.
type version struct {
	Kubernetes string // "v1.36.3"
	Module     string // the folder of its sources
	Pause      string // the tag that kubeadm of this version expects
}

// Versions of what is the same in every node image. They are those in the modules' go.mod; a test compares them.
const (
	etcdVersion       = "3.6.10"
	coreDNSVersion    = "v1.15.0"
	containerdVersion = "v2.4.2"
	runcVersion       = "1.5.2"
	cniVersion        = "v1.9.1"
	flannelVersion    = "v0.28.10"
	localPathVersion  = "v0.0.30"
)

// versions lists what can be built, the newest first.
func versions() []version {
	return []version{
		{Kubernetes: "v1.36.3", Module: "kubernetes-1.36", Pause: "3.10.2"},
		{Kubernetes: "v1.35.4", Module: "kubernetes-1.35", Pause: "3.10.1"},
	}
}

// Versions lists the Kubernetes versions that NodeImage builds, the newest first.
func Versions() []string {
	var names []string
	for _, v := range versions() {
		names = append(names, v.Kubernetes)
	}
	return names
}

// versionOf finds the version by name: with or without "v", whole ("1.36.3") or as a minor version ("1.36").
func versionOf(name string) (version, error) {
	all := versions()
	if name == "" {
		return all[0], nil
	}
	for _, v := range all {
		if want := bare(name); bare(v.Kubernetes) == want || strings.HasPrefix(bare(v.Kubernetes), want+".") {
			return v, nil
		}
	}
	return version{}, fault.New(fault.VersionUnknown, "cannot build Kubernetes %s: there is a recipe for %s", name, strings.Join(Versions(), ", "))
}

// Facts are what a node image says of itself, in engine.LabelNodeImage and in the file /kind/cove-image.json.
type Facts struct {
	Contract          int    `json:"contract"` // the version of what node and cove expect of each other; 1
	KubernetesVersion string `json:"kubernetesVersion"`
	EtcdTag           string `json:"etcdTag"`    // for kubeadm's etcd.local.imageTag
	CoreDNSTag        string `json:"coreDNSTag"` // for kubeadm's dns.imageTag
	PauseImage        string `json:"pauseImage"`
	Arch              string `json:"arch"`
}

// facts of the node image of v.
func (v version) facts(arch string) Facts {
	return Facts{
		Contract: 1, KubernetesVersion: v.Kubernetes, EtcdTag: etcdVersion + "-0", CoreDNSTag: coreDNSVersion,
		PauseImage: v.pauseImage(), Arch: arch,
	}
}

func (v version) pauseImage() string { return "registry.k8s.io/pause:" + v.Pause }

// minor splits "v1.36.3" into "1" and "36".
func (v version) minor() (major, minor string) {
	fields := strings.Split(bare(v.Kubernetes), ".")
	return fields[0], fields[1]
}

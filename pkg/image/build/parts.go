package build

import (
	"fmt"
	"strings"
)

// partVersion is part of every part's key. It changes when the code below puts something else into a part's folder.
const partVersion = "1"

// part is something that is built by itself and kept in the cache.
type part struct {
	Name     string // of its folder in the cache
	Title    string // "kubernetes v1.36.3"
	Module   string // the folder of its sources
	Binaries []binary
}

// binary is a program of a part.
type binary struct {
	Name    string // of the file
	Package string // what go build is given
	Set     []string
	Tags    []string
	Static  bool   // C is linked in, statically
	Prints  string // not "": it is run on this machine when it is built, and what it prints becomes this file of the part
}

// Names of the parts.
const (
	partKubernetes = "kubernetes"
	partEtcd       = "etcd"
	partContainerd = "containerd"
	partRunc       = "runc"
	partCoreDNS    = "coredns"
	partCNI        = "cni"
	partFlannel    = "flannel"
	partLocalPath  = "local-path"
	partPause      = "pause"
	partNode       = "node"
	partRootfs     = "rootfs"
)

// nodeParts lists the parts of a node image that are compiled. The first one takes the longest, and its last step, the
// link, runs on one core: the others fill the second.
func nodeParts(v version) []part {
	containerd := []string{
		"github.com/containerd/containerd/v2/version.Version=" + containerdVersion,
	}
	without := []string{"no_btrfs", "no_devmapper", "no_zfs"}
	cni := func(kind, name string) binary {
		return binary{
			Name: name, Package: "github.com/containernetworking/plugins/plugins/" + kind + "/" + name,
			Set: []string{"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=" + cniVersion},
		}
	}
	return []part{
		kubernetesPart(v),
		{Name: partContainerd, Title: "containerd " + containerdVersion, Module: "containerd", Binaries: []binary{
			{Name: "containerd", Package: ".", Set: containerd, Tags: without},
			{Name: "containerd-shim-runc-v2", Package: "./shim", Set: containerd, Tags: without},
			{Name: "seed", Package: "./seed", Tags: without},
		}},
		{Name: partCoreDNS, Title: "coredns " + coreDNSVersion, Module: "coredns", Binaries: []binary{{Name: "coredns", Package: ".", Set: []string{
			"github.com/coredns/coredns/coremain.GitCommit=" + coreDNSVersion,
		}}}},
		{Name: partLocalPath, Title: "local-path-provisioner " + localPathVersion, Module: "local-path", Binaries: []binary{
			{Name: "local-path-provisioner", Package: "github.com/rancher/local-path-provisioner", Set: []string{"main.VERSION=" + localPathVersion}},
		}},
		{Name: partFlannel, Title: "flannel " + flannelVersion, Module: "flannel", Binaries: []binary{{Name: "flannel", Package: "."}}},
		{Name: partEtcd, Title: "etcd " + etcdVersion, Module: "etcd", Binaries: []binary{{Name: "etcd", Package: ".", Set: []string{
			"go.etcd.io/etcd/api/v3/version.GitSHA=v" + etcdVersion,
		}}}},
		{Name: partRunc, Title: "runc " + runcVersion, Module: "runc", Binaries: []binary{{
			Name: "runc", Package: "github.com/opencontainers/runc", Static: true,
			Tags: []string{"seccomp", "netgo", "osusergo", "urfave_cli_no_docs"},
		}}},
		{Name: partCNI, Title: "CNI plugins " + cniVersion, Module: "cni", Binaries: []binary{
			cni("main", "ptp"), cni("main", "loopback"), cni("ipam", "host-local"), cni("meta", "portmap"),
		}},
		{Name: partPause, Title: "pause", Module: "pause", Binaries: []binary{{Name: "pause", Package: "."}}},
		{Name: partNode, Title: "the node's init", Module: "node", Binaries: []binary{{Name: "cove-node", Package: "./cmd/cove-node"}}},
	}
}

// kubernetesPart sets the version that kubeadm and the others compare.
func kubernetesPart(v version) part {
	var set []string
	major, minor := v.minor()
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		set = append(set, pkg+".gitVersion="+v.Kubernetes, pkg+".gitMajor="+major, pkg+".gitMinor="+minor, pkg+".gitTreeState=clean")
	}
	return part{Name: partKubernetes, Title: "kubernetes " + v.Kubernetes, Module: v.Module, Binaries: []binary{{Name: "kube", Package: ".", Set: set}}}
}

// args of go build, apart from where the binary goes.
func (b binary) args() []string {
	ld := []string{"-s", "-w"}
	for _, s := range b.Set {
		ld = append(ld, "-X", s)
	}
	if b.Static {
		ld = append(ld, "-linkmode", "external", "-extldflags", "-static")
	}
	args := []string{"build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", strings.Join(ld, " ")}
	if len(b.Tags) > 0 {
		args = append(args, "-tags", strings.Join(b.Tags, ","))
	}
	return append(args, b.Package)
}

// key is the hash of all that decides what a part is.
func (b *builder) key(p part) string { return p.key(b.tree, b.arch, b.golang.version) }

// key is the hash of all that decides what the part is, made by that version of Go. An empty version leaves Go out.
func (p part) key(sources sourceTree, arch, golang string) string {
	h := newHasher()
	h.add("part", partVersion, p.Name, arch, golang, sources.hash(p.Module))
	for _, bin := range p.Binaries {
		h.add(bin.Name, fmt.Sprint(bin.Static))
		h.add(bin.args()...)
		if bin.Prints != "" {
			h.add("prints", bin.Prints)
		}
	}
	return h.sum()
}

// content is the hash of all that decides what the node image is.
func (b *builder) content(v version) string {
	h := newHasher()
	h.add("node-image", layoutVersion, fmt.Sprint(v.facts(b.arch)), b.tree.hash("files"), rootfsKey(b.arch))
	for _, p := range nodeParts(v) {
		h.add(b.key(p))
	}
	return h.sum()
}

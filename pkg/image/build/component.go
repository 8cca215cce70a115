package build

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// component is an image that a node brings along, unpacked.
type component struct {
	names  []string
	layers []string // names of the trees, the lowest first
	entry  []string
	user   string
	pinned bool
}

// Names of the layers that components are made of.
const (
	layerTools   = "tools" // nft and iptables
	layerBusybox = "busybox"
)

// defaultPath is where programs are looked for.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Registries of the components: those of Kubernetes where kubeadm looks for them, cove's own name for its own. Nothing is
// ever pulled from the latter.
const (
	kubeRegistry = "registry.k8s.io/"
	coveRegistry = "cove.dev/"
)

func flannelImage() string   { return coveRegistry + "flannel:" + flannelVersion }
func localPathImage() string { return coveRegistry + "local-path-provisioner:" + localPathVersion }
func helperImage() string    { return coveRegistry + "local-path-helper:" + localPathVersion }

// components lists the images of a node, in the order that decides the numbers of their snapshots.
func components(v version) []component {
	kube := func(name string, layers ...string) component {
		return component{names: []string{kubeRegistry + name + ":" + v.Kubernetes}, layers: append(layers, partKubernetes), entry: []string{"/usr/local/bin/" + name}}
	}
	return []component{
		{names: []string{v.pauseImage()}, layers: []string{partPause}, entry: []string{"/pause"}, user: "65535:65535", pinned: true},
		kube("kube-apiserver"),
		kube("kube-controller-manager"),
		kube("kube-scheduler"),
		kube("kube-proxy", layerTools),
		{names: []string{kubeRegistry + "etcd:" + etcdVersion + "-0"}, layers: []string{partEtcd}},
		{names: []string{kubeRegistry + "coredns/coredns:" + coreDNSVersion}, layers: []string{partCoreDNS}, entry: []string{"/coredns"}},
		{names: []string{flannelImage()}, layers: []string{layerTools, partFlannel}, entry: []string{"/usr/local/bin/flannel"}},
		{names: []string{localPathImage()}, layers: []string{partLocalPath}, entry: []string{"/usr/bin/local-path-provisioner"}},
		{names: []string{helperImage()}, layers: []string{layerBusybox}, entry: []string{"/bin/sh"}},
	}
}

// kubePrograms are the names that the one Kubernetes binary answers to.
func kubePrograms() []string {
	return []string{"kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubeadm", "kubectl", "kubelet"}
}

// layerTrees returns the trees that components are made of. Files that are also the node's own come from the same source,
// so that the node image stores them once.
func layerTrees(parts map[string]string, rootfs tree) (map[string]tree, error) {
	trees := map[string]tree{}
	add := func(layer, name, binary string, links ...string) error {
		t := skeleton()
		for _, l := range links {
			t.symlink(filepath.Join(filepath.Dir(name), l), filepath.Base(name))
		}
		trees[layer] = t
		return t.file(name, filepath.Join(parts[layer], binary))
	}
	for _, err := range []error{
		add(partKubernetes, "usr/local/bin/kube", "kube", kubePrograms()...),
		add(partEtcd, "usr/local/bin/etcd", "etcd", "etcdctl"),
		add(partCoreDNS, "coredns", "coredns"),
		add(partPause, "pause", "pause"),
		add(partFlannel, "usr/local/bin/flannel", "flannel"),
		add(partLocalPath, "usr/bin/local-path-provisioner", "local-path-provisioner"),
	} {
		if err != nil {
			return nil, fmt.Errorf("cannot lay out the component images: %w", err)
		}
	}
	tools, err := rootfs.closure("usr/sbin/nft", "usr/sbin/iptables", "usr/sbin/ip6tables", "usr/sbin/iptables-save", "usr/sbin/ip6tables-save",
		"usr/sbin/iptables-restore", "usr/sbin/ip6tables-restore", "usr/sbin/conntrack", "usr/bin/kmod", "usr/sbin/modprobe", xtables(rootfs))
	if err != nil {
		return nil, fmt.Errorf("cannot lay out the network tools: %w", err)
	}
	trees[layerTools] = tools
	shell := skeleton()
	busybox(shell, rootfs)
	trees[layerBusybox] = shell
	return trees, nil
}

// busybox adds Debian's static busybox, under the names that are asked for in a shell.
func busybox(t, rootfs tree) {
	t.copy(rootfs, "usr/bin/busybox")
	t.symlink("bin", "usr/bin")
	for _, name := range []string{
		"cat", "chmod", "chown", "cp", "date", "df", "dd", "du", "echo", "env", "false", "grep", "head", "hostname", "id", "ip", "kill",
		"ln", "ls", "mkdir", "mount", "mv", "nc", "netstat", "nslookup", "ping", "printf", "ps", "pwd", "rm", "rmdir", "route", "sed", "sh",
		"sleep", "sort", "stat", "sync", "tail", "tar", "tee", "test", "timeout", "touch", "tr", "true", "umount", "vi", "wc", "wget", "xargs",
	} {
		t.symlink("usr/bin/"+name, "busybox")
	}
}

// xtables is the folder of iptables' extensions, which it opens at run time.
func xtables(rootfs tree) string {
	for name, n := range rootfs {
		if n.dir && filepath.Base(name) == "xtables" {
			return name + "/"
		}
	}
	return "usr/lib/xtables/"
}

// skeleton is what programs look for in any image.
func skeleton() tree {
	t := tree{}
	t.dir("tmp", 0o1777)
	t.bytes("etc/passwd", []byte("root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"))
	t.bytes("etc/group", []byte("root:x:0:\nnogroup:x:65534:\n"))
	t.bytes("etc/nsswitch.conf", []byte("hosts: files dns\n"))
	return t
}

// seedImage is an image as the program seed wants it.
type seedImage struct {
	Names    []string
	Manifest []byte
	Config   []byte
	Pinned   bool
}

// image makes the image of a component.
func (c component) image(layers map[string]*layer, arch string) (seedImage, error) {
	list := make([]mutate.Addendum, 0, len(c.layers))
	for _, name := range c.layers {
		list = append(list, addendum(layers[name], name))
	}
	config := v1.Config{Env: []string{defaultPath}, Entrypoint: c.entry, User: c.user}
	img, err := newImage(config, arch, types.OCIManifestSchema1, types.OCIConfigJSON, list)
	if err != nil {
		return seedImage{}, err
	}
	s := seedImage{Names: c.names, Pinned: c.pinned}
	if s.Manifest, err = img.RawManifest(); err != nil {
		return s, err
	}
	s.Config, err = img.RawConfigFile()
	return s, err
}

// newImage makes an image of layers.
func newImage(config v1.Config, arch string, manifest, configType types.MediaType, layers []mutate.Addendum) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, manifest), configType)
	img, err := mutate.ConfigFile(base, &v1.ConfigFile{
		Architecture: arch, OS: "linux", Created: v1.Time{Time: epoch()}, Config: config,
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot write an image's configuration: %w", err)
	}
	img, err = mutate.Append(img, layers...)
	if err != nil {
		return nil, fmt.Errorf("cannot stack an image's layers: %w", err)
	}
	return img, nil
}

// addendum is a layer with a line of the image's history.
func addendum(l v1.Layer, what string) mutate.Addendum {
	return mutate.Addendum{Layer: l, History: v1.History{Created: v1.Time{Time: epoch()}, CreatedBy: "cove: " + what}}
}

// factsJSON is the text of engine.LabelNodeImage and of /kind/cove-image.json.
func factsJSON(f Facts) ([]byte, error) { return json.Marshal(f) }

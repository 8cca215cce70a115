package build

import (
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/cove-k8s/cove/pkg/fault"
)

func TestVersionOf(t *testing.T) {
	for name, want := range map[string]string{
		"": "v1.36.3", "v1.36.3": "v1.36.3", "1.36.3": "v1.36.3", "1.36": "v1.36.3", "v1.35": "v1.35.4", "1.35.4": "v1.35.4",
		"1.3": "", "1.36.4": "", "latest": "", "1.36.": "",
	} {
		v, err := versionOf(name)
		if v.Kubernetes != want {
			t.Errorf("versionOf(%q) = %q, want %q", name, v.Kubernetes, want)
		}
		if want == "" && !fault.Is(err, fault.VersionUnknown) {
			t.Errorf("versionOf(%q): %v, want %s", name, err, fault.VersionUnknown)
		}
	}
}

// Every version that the code names is the one that the modules are pinned to, and each module is there.
func TestVersionsAreThePinnedOnes(t *testing.T) {
	tree := testBuilder(t).tree
	pinned := func(folder, module string) string {
		t.Helper()
		name := folder + "/go.mod"
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := modfile.Parse(name, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range f.Require {
			if r.Mod.Path == module {
				return bare(r.Mod.Version)
			}
		}
		t.Errorf("%s does not require %s", name, module)
		return ""
	}
	check := func(folder, module, want string) {
		t.Helper()
		if got := pinned(folder, module); got != bare(want) {
			t.Errorf("%s pins %s %s, the code says %s", folder, module, got, want)
		}
	}
	for _, v := range versions() {
		check(v.Module, "k8s.io/kubernetes", v.Kubernetes)
		for _, p := range nodeParts(v) {
			if _, err := fs.Stat(tree, p.Module+"/go.mod"); err != nil {
				t.Errorf("part %s: %v", p.Name, err)
			}
		}
	}
	check("agnhost", "k8s.io/kubernetes", versions()[0].Kubernetes)
	check("etcd", "go.etcd.io/etcd/server/v3", etcdVersion)
	check("etcd", "go.etcd.io/etcd/etcdctl/v3", etcdVersion)
	check("coredns", "github.com/coredns/coredns", coreDNSVersion)
	check("containerd", "github.com/containerd/containerd/v2", containerdVersion)
	check("runc", "github.com/opencontainers/runc", runcVersion)
	check("cni", "github.com/containernetworking/plugins", cniVersion)
	check("flannel", "github.com/flannel-io/flannel", flannelVersion)
	check("local-path", "github.com/rancher/local-path-provisioner", localPathVersion)
}

// kubeadm is told these tags: the images of the node must have them.
func TestFactsNameTheComponents(t *testing.T) {
	for _, v := range versions() {
		names := map[string]bool{}
		for _, c := range components(v) {
			for _, n := range c.names {
				names[n] = true
			}
		}
		f := v.facts("amd64")
		if f.Contract != 1 || f.KubernetesVersion != v.Kubernetes || f.Arch != "amd64" {
			t.Errorf("facts of %s: %+v", v.Kubernetes, f)
		}
		want := []string{"registry.k8s.io/etcd:" + f.EtcdTag, "registry.k8s.io/coredns/coredns:" + f.CoreDNSTag, f.PauseImage}
		for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
			want = append(want, "registry.k8s.io/"+name+":"+f.KubernetesVersion)
		}
		for _, w := range want {
			if !names[w] {
				t.Errorf("%s has no image %s", v.Kubernetes, w)
			}
		}
	}
}

func TestKubernetesPartSetsTheVersion(t *testing.T) {
	v := versions()[0]
	args := strings.Join(kubernetesPart(v).Binaries[0].args(), " ")
	for _, want := range []string{
		"-X k8s.io/component-base/version.gitVersion=v1.36.3", "-X k8s.io/component-base/version.gitMajor=1",
		"-X k8s.io/component-base/version.gitMinor=36", "-X k8s.io/client-go/pkg/version.gitVersion=v1.36.3", "-trimpath", "-s -w",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("go %s\nlacks %s", args, want)
		}
	}
}

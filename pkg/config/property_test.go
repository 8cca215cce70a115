package config_test

import (
	"math/rand/v2"
	"testing"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
)

// What is written is read back the same, whatever is in it.
func TestMarshalIsReadBack(t *testing.T) {
	for seed := range uint64(300) {
		g := generator{rand.New(rand.NewPCG(seed, 0))}
		roundTrip(t, g.document())
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// generator makes documents with any of their fields set, to values that are hard on YAML.
type generator struct{ *rand.Rand }

func (g generator) text() string {
	words := []string{
		"", "a", "null", "~", "true", "1.36", "0x10", "1e3", "- a", "a: b", "#", " x", "x ", "\t", "a\nb", "a\n\n", "\n", "'", `"`, "*a",
		"&a", "<<", "=", "kind: X\n", "é", "\u2028", "\x00", "\r\n", "|", "? a", "{", "[", "%", "@", "2001-01-01", "yes", "\\", "\ufeff",
	}
	return words[g.IntN(len(words))] + words[g.IntN(len(words))]
}

func (g generator) maybe() bool { return g.IntN(2) == 0 }

func list[T any](g generator, item func() T) []T {
	n := g.IntN(4)
	if n == 0 {
		return nil
	}
	out := make([]T, 0, n)
	for range n {
		out = append(out, item())
	}
	return out
}

func dict[T any](g generator, value func() T) map[string]T {
	n := g.IntN(3)
	if n == 0 {
		return nil
	}
	out := map[string]T{}
	for range n {
		out[g.text()] = value()
	}
	return out
}

func (g generator) port() int32 { return int32(g.IntN(65537)) - 1 }

func (g generator) document() v1alpha1.Cluster {
	doc := v1alpha1.Cluster{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindCluster}
	doc.Name, doc.KubernetesVersion, doc.Image = g.text(), g.text(), g.text()
	doc.Profile, doc.CNI, doc.Addons = g.text(), g.text(), list(g, g.addon)
	doc.NodeSpecs = list(g, g.nodeSpec)
	doc.CertificateAuthorities = list(g, func() v1alpha1.CertificateAuthority {
		return v1alpha1.CertificateAuthority{Name: g.text(), Path: g.text(), PEM: g.text()}
	})
	doc.Registries.Mirrors = dict(g, func() v1alpha1.Mirror {
		return v1alpha1.Mirror{Endpoints: append([]string{}, list(g, g.text)...), SkipVerify: g.maybe(), CertificateAuthority: g.text()}
	})
	if g.maybe() {
		doc.Proxy = &v1alpha1.Proxy{HTTP: g.text(), HTTPS: g.text(), NoProxy: list(g, g.text)}
	}
	doc.Cluster = kind.Cluster{
		Nodes: list(g, g.node), FeatureGates: dict(g, g.maybe), RuntimeConfig: dict(g, g.text), KubeadmConfigPatches: list(g, g.text),
		KubeadmConfigPatchesJSON6902: list(g, g.patch), ContainerdConfigPatches: list(g, g.text),
		ContainerdConfigPatchesJSON6902: list(g, g.text),
		Networking: kind.Networking{
			IPFamily: kind.ClusterIPFamily(g.text()), APIServerPort: g.port(), APIServerAddress: g.text(), PodSubnet: g.text(),
			ServiceSubnet: g.text(), DisableDefaultCNI: g.maybe(), KubeProxyMode: kind.ProxyMode(g.text()),
		},
	}
	if g.maybe() {
		search := append([]string{}, list(g, g.text)...) // a list that is empty is not the same as none
		doc.Cluster.Networking.DNSSearch = &search
	}
	return doc
}

func (g generator) node() kind.Node {
	n := kind.Node{
		Role: kind.NodeRole(g.text()), Image: g.text(), Labels: dict(g, g.text), KubeadmConfigPatches: list(g, g.text),
		KubeadmConfigPatchesJSON6902: list(g, g.patch),
	}
	n.ExtraMounts = list(g, func() kind.Mount {
		return kind.Mount{ContainerPath: g.text(), HostPath: g.text(), Readonly: g.maybe(), SelinuxRelabel: g.maybe(), Propagation: "Bidirectional"}
	})
	n.ExtraPortMappings = list(g, func() kind.PortMapping {
		return kind.PortMapping{ContainerPort: g.port(), HostPort: g.port(), ListenAddress: g.text(), Protocol: "SCTP"}
	})
	return n
}

func (g generator) nodeSpec() v1alpha1.NodeSpec {
	n := v1alpha1.NodeSpecOf(g.node())
	n.Name, n.Role, n.Count, n.CPUs, n.Memory = g.text(), kind.NodeRole(g.text()), g.IntN(5)-1, g.text(), g.text()
	n.Taints = list(g, func() v1alpha1.Taint { return v1alpha1.Taint{Key: g.text(), Value: g.text(), Effect: g.text()} })
	return n
}

func (g generator) patch() kind.PatchJSON6902 {
	return kind.PatchJSON6902{Group: g.text(), Version: g.text(), Kind: g.text(), Patch: g.text()}
}

func (g generator) addon() v1alpha1.Addon {
	a := v1alpha1.Addon{Name: g.text(), Disabled: g.maybe(), Path: g.text(), Parameters: dict(g, g.value)}
	if g.maybe() {
		a.Helm = &v1alpha1.HelmChart{Chart: g.text(), Repository: g.text(), Version: g.text(), Namespace: g.text(), Values: dict(g, g.value)}
	}
	return a
}

// value makes anything that a parameter can be.
func (g generator) value() any {
	switch g.IntN(9) {
	case 0:
		return g.text()
	case 1:
		return g.maybe()
	case 2:
		return nil
	case 3:
		return g.IntN(1 << 40)
	case 4:
		return -0.5
	case 5:
		return 1e30
	case 6:
		return append([]any{}, list(g, g.value)...)
	case 7:
		below := dict(g, g.value)
		if below == nil {
			below = map[string]any{}
		}
		return below
	default:
		return uint64(1<<63 + 5)
	}
}

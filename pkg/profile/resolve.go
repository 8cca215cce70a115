package profile

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/config/strict"
	"github.com/cove-k8s/cove/pkg/fault"
)

// source is a profile and where it is from.
type source struct {
	Profile
	name string // as problems name it: "dev.yaml", or the path
	dir  string // where its relative paths start; empty in a catalogue
}

// Resolve returns a profile joined with all that it extends: its own fields win, patches come after those it extends,
// addons are merged by name, and are in the order in which they are applied. CNI names the pod network, or is NoCNI, and
// Extends is empty. ProfileUnknown where one of them is not there; all that is wrong with them is in one error, with paths.
func (c Catalogue) Resolve(nameOrPath string) (Profile, error) {
	chain, err := c.chain(nameOrPath)
	if err != nil {
		return Profile{}, err
	}
	out, list, problems := Profile{}, []Layer{}, strict.Problems{}
	for i, s := range slices.Backward(chain) {
		if i == len(chain)-1 {
			out = s.Profile
		} else {
			out = extend(out, s.Profile)
		}
		problems = append(problems, s.relative()...)
		if s.Cluster.Networking.DisableDefaultCNI && s.CNI == DefaultCNI {
			problems.Invalid(s.name+": cni", "it is %s, but cluster.networking.disableDefaultCNI is true; leave one of them out", DefaultCNI)
		}
		list = append(list, Layer{
			Addons: s.Addons, Path: itemPath(s.name), Dir: s.dir,
			CNI: s.CNI, DropCNI: s.Cluster.Networking.DisableDefaultCNI, CNIPath: s.name + ": cni",
		})
	}
	if len(problems) == 0 {
		var set Set
		set, problems = c.Join(list...)
		out.CNI, out.Addons = set.CNI, set.Addons
	}
	if len(problems) > 0 {
		return Profile{}, mend(problems.Fault("cannot use profile %s", nameOrPath))
	}
	out.Extends, out.Cluster.Networking.DisableDefaultCNI = "", false
	return out, nil
}

// relative finds paths that start nowhere: a catalogue's files are in several places at once.
func (s source) relative() strict.Problems {
	problems := strict.Problems{}
	if s.dir != "" {
		return problems
	}
	for i, a := range s.Addons {
		local := a.Path
		if a.Helm != nil && !isRemote(a.Helm.Chart, a.Helm.Repository) {
			local = a.Helm.Chart
		}
		if local != "" && !filepath.IsAbs(local) {
			problems.Invalid(itemPath(s.name)(i), "%q is relative to nothing in a catalogue; give an absolute path, or put the addon into %s/%s there",
				local, addonFolder, a.Name)
		}
	}
	return problems
}

// chain reads a profile and those it extends, the nearest first.
func (c Catalogue) chain(nameOrPath string) ([]source, error) {
	chain, way, next := []source{}, []string{}, nameOrPath
	for {
		if way = append(way, next); slices.Index(way, next) < len(way)-1 {
			return nil, fault.New(fault.ConfigInvalid, "cannot use profile %s: profiles extend each other: %s", nameOrPath, strings.Join(way, " → ")).
				WithHint("remove extends from one of them")
		}
		p, err := c.Profile(next)
		if err != nil && len(way) > 1 {
			return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot use profile %s (%s)", nameOrPath, strings.Join(way, " → "))
		}
		if err != nil {
			return nil, err
		}
		s := source{Profile: p, name: next + profileExt}
		if IsPath(next) {
			s.name = next
			if s.dir, err = filepath.Abs(filepath.Dir(next)); err != nil {
				return nil, fault.Wrap(fault.FileUnwritable, err, "cannot tell where profile %s is", next)
			}
		}
		chain = append(chain, s)
		switch {
		case p.Extends == "":
			return chain, nil
		case !IsPath(p.Extends) || filepath.IsAbs(p.Extends):
			next = p.Extends
		case s.dir == "":
			return nil, fault.New(fault.ConfigInvalid, "cannot use profile %s: %s: extends: %q is relative to nothing in a catalogue; name a profile",
				nameOrPath, s.name, p.Extends).WithHint("name a profile, or give an absolute path")
		default:
			next = filepath.Join(filepath.Dir(next), p.Extends)
		}
	}
}

// extend puts a profile over the one that it extends; addons are Join's affair.
func extend(base, over Profile) Profile {
	out := over
	if over.Description == "" {
		out.Description = base.Description
	}
	if over.Output == "" {
		out.Output = base.Output
	}
	// They belong together: who names one of them has made the choice.
	if over.Image == "" && over.KubernetesVersion == "" {
		out.Image, out.KubernetesVersion = base.Image, base.KubernetesVersion
	}
	out.Cluster = MergeCluster(base.Cluster, over.Cluster)
	return out
}

// MergeCluster returns kind's document base with over put over it: nodes as a whole, networking, feature gates and the
// runtime configuration one by one, and patches behind base's, which are not repeated where over has them already.
func MergeCluster(base, over kind.Cluster) kind.Cluster {
	base, out := *base.DeepCopy(), *over.DeepCopy()
	if len(out.Nodes) == 0 {
		out.Nodes = base.Nodes
	}
	out.Networking = mergeNetworking(base.Networking, out.Networking)
	out.FeatureGates = mergeKeys(base.FeatureGates, out.FeatureGates)
	out.RuntimeConfig = mergeKeys(base.RuntimeConfig, out.RuntimeConfig)
	out.KubeadmConfigPatches = behind(base.KubeadmConfigPatches, out.KubeadmConfigPatches)
	out.KubeadmConfigPatchesJSON6902 = behind(base.KubeadmConfigPatchesJSON6902, out.KubeadmConfigPatchesJSON6902)
	out.ContainerdConfigPatches = behind(base.ContainerdConfigPatches, out.ContainerdConfigPatches)
	out.ContainerdConfigPatchesJSON6902 = behind(base.ContainerdConfigPatchesJSON6902, out.ContainerdConfigPatchesJSON6902)
	return out
}

func mergeNetworking(base, over kind.Networking) kind.Networking {
	either := func(over, base string) string {
		if over != "" {
			return over
		}
		return base
	}
	out := over
	out.IPFamily = kind.ClusterIPFamily(either(string(over.IPFamily), string(base.IPFamily)))
	out.APIServerAddress = either(over.APIServerAddress, base.APIServerAddress)
	out.PodSubnet = either(over.PodSubnet, base.PodSubnet)
	out.ServiceSubnet = either(over.ServiceSubnet, base.ServiceSubnet)
	out.KubeProxyMode = kind.ProxyMode(either(string(over.KubeProxyMode), string(base.KubeProxyMode)))
	out.DisableDefaultCNI = over.DisableDefaultCNI || base.DisableDefaultCNI
	if out.APIServerPort == 0 {
		out.APIServerPort = base.APIServerPort
	}
	if out.DNSSearch == nil {
		out.DNSSearch = base.DNSSearch
	}
	return out
}

// mergeKeys puts a mapping over another one; nil where both are empty.
func mergeKeys[V any](base, over map[string]V) map[string]V {
	if len(base) == 0 {
		return over
	}
	out := maps.Clone(base)
	maps.Copy(out, over)
	return out
}

// behind appends over to those of base that it does not repeat, so that a cluster's document can be resolved again.
func behind[T comparable](base, over []T) []T {
	if len(base) == 0 {
		return over
	}
	out := []T{}
	for _, one := range base {
		if !slices.Contains(over, one) {
			out = append(out, one)
		}
	}
	return append(out, over...)
}

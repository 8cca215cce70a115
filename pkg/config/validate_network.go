package config

import (
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

func (v *validator) networking() {
	n := v.doc.Cluster.Networking
	switch n.KubeProxyMode {
	case kind.IPTablesProxyMode, kind.IPVSProxyMode, kind.NFTablesProxyMode, "none":
	default:
		v.problems.Invalid(v.in("networking.kubeProxyMode"), "%q is not one of iptables, ipvs, nftables, none", n.KubeProxyMode)
	}
	if n.DNSSearch != nil {
		for i, domain := range *n.DNSSearch {
			if len(content.IsDNS1123Subdomain(strings.TrimSuffix(domain, "."))) > 0 && domain != "." {
				v.problems.Invalid(v.in("networking.dnsSearch[%d]", i), "%q is no domain", domain)
			}
		}
	}
	switch n.IPFamily {
	case kind.IPv4Family, kind.IPv6Family, kind.DualStackFamily:
		v.subnets(n)
	default:
		v.problems.Invalid(v.in("networking.ipFamily"), "%q is not one of ipv4, ipv6, dual", n.IPFamily)
	}
}

// family is what kubeadm and the controller manager want of the subnets of an IP family.
type family struct {
	name    string
	example string
	// nodeMask is the size of a node's share of the pod subnet: the controller manager's default, --node-cidr-mask-size-ipv4
	// and -ipv6.
	nodeMask int
	// largestService and smallestService bound the service subnet: kubeadm's ValidateIPNetFromString and
	// ValidateServiceSubnetSize want 10 addresses at least, and 20 bits at most.
	largestService, smallestService int
	// unfit are not for hosts.
	unfit []string
}

func familyOf(is4 bool) family {
	if is4 {
		return family{"ipv4", "10.0.0.0/16", 24, 12, 28, []string{"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4"}}
	}
	return family{"ipv6", "fd00:10::/56", 64, 108, 124, []string{"::1/128", "fe80::/10", "ff00::/8"}}
}

// subnets checks the two subnets, or with two families the two pairs of them.
func (v *validator) subnets(n kind.Networking) {
	podPath, servicePath := v.in("networking.podSubnet"), v.in("networking.serviceSubnet")
	allPods, allServices := v.split(podPath, n.IPFamily, n.PodSubnet), v.split(servicePath, n.IPFamily, n.ServiceSubnet)
	for _, pods := range allPods {
		if pods.IsValid() {
			v.podSubnet(podPath, pods)
		}
	}
	for i, services := range allServices {
		if !services.IsValid() {
			continue
		}
		if f := familyOf(services.Addr().Is4()); services.Bits() < f.largestService || services.Bits() > f.smallestService {
			v.problems.Invalid(servicePath, "%s is of the wrong size; use one from /%d to /%d", services, f.largestService, f.smallestService)
		}
		if i < len(allPods) && allPods[i].IsValid() && allPods[i].Overlaps(services) {
			v.problems.Invalid(servicePath, "%s overlaps with podSubnet %s; choose another one", services, allPods[i])
		}
	}
}

// podSubnet checks that every node gets its share out of the subnet. Where a patch sets the size of the nodes' subnets, that
// patch is trusted.
func (v *validator) podSubnet(path string, pods netip.Prefix) {
	const maxDiff = 16 // kubeadm, validation.validatePodSubnetNodeMask
	for _, patch := range v.doc.Cluster.KubeadmConfigPatches {
		if strings.Contains(patch, "node-cidr-mask-size") {
			return
		}
	}
	nodes, mask := v.number(""), familyOf(pods.Addr().Is4()).nodeMask
	switch {
	case pods.Bits() < mask-maxDiff:
		v.problems.Invalid(path, "%s is too large; use /%d or smaller", pods, mask-maxDiff)
	case pods.Bits() > mask || 1<<(mask-pods.Bits()) < nodes:
		v.problems.Invalid(path, "%s is too small: it takes a /%d per node, %d in all", pods, mask, nodes)
	}
}

// split reads the subnet of each family, IPv4 first; the zero value stands for one that is wrong.
func (v *validator) split(path string, ipFamily kind.ClusterIPFamily, value string) []netip.Prefix {
	parts, dual := strings.Split(value, ","), ipFamily == kind.DualStackFamily
	switch {
	case !dual && len(parts) > 1:
		v.problems.Invalid(path, "%q is more than one subnet; %s has one", value, ipFamily)
		return nil
	case dual && len(parts) != 2:
		v.problems.Invalid(path, "%q is not two subnets; dual has one of each family, as %s,%s", value, familyOf(true).example, familyOf(false).example)
		return nil
	case dual:
		return []netip.Prefix{v.subnet(path, parts[0], true), v.subnet(path, parts[1], false)}
	}
	return []netip.Prefix{v.subnet(path, value, ipFamily == kind.IPv4Family)}
}

func (v *validator) subnet(path, value string, is4 bool) netip.Prefix {
	p, err := netip.ParsePrefix(value)
	f := familyOf(is4)
	unfit := func(s string) bool { return p.Overlaps(netip.MustParsePrefix(s)) }
	switch {
	case err != nil:
		v.problems.Invalid(path, "%q is no subnet; write it as %s", value, f.example)
	case p.Addr().Is4() != is4 && v.doc.Cluster.Networking.IPFamily == kind.DualStackFamily:
		v.problems.Invalid(path, "%s is not of %s; write one subnet of each family, IPv4 first", value, f.name)
	case p.Addr().Is4() != is4 || p.Addr().Is4In6():
		v.problems.Invalid(path, "%s is not of ipFamily %s", value, f.name)
	case slices.ContainsFunc(f.unfit, unfit):
		v.problems.Invalid(path, "%s reaches into addresses that are not for hosts (loop-back, link-local or multicast)", value)
	default:
		return p.Masked()
	}
	return netip.Prefix{}
}

package config

import (
	"net/netip"
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
	case kind.IPv4Family:
		v.subnets(n)
	case kind.IPv6Family, kind.DualStackFamily:
		v.unsupported(v.in("networking.ipFamily"), "%s is not supported yet; leave it out for ipv4", n.IPFamily)
	default:
		v.problems.Invalid(v.in("networking.ipFamily"), "%q is not one of ipv4, ipv6, dual", n.IPFamily)
	}
}

// subnets checks the two subnets by what kubeadm and the controller manager want of them.
func (v *validator) subnets(n kind.Networking) {
	podPath, servicePath := v.in("networking.podSubnet"), v.in("networking.serviceSubnet")
	pods, podsOK := v.subnet(podPath, n.PodSubnet)
	services, servicesOK := v.subnet(servicePath, n.ServiceSubnet)
	if podsOK {
		v.podSubnet(podPath, pods)
	}
	// kubeadm, validation.ValidateIPNetFromString and ValidateServiceSubnetSize: 10 addresses at least, 20 bits at most.
	if servicesOK && (services.Bits() < 12 || services.Bits() > 28) {
		v.problems.Invalid(servicePath, "%s is of the wrong size; use one from /12 to /28", services)
	}
	if podsOK && servicesOK && pods.Overlaps(services) {
		v.problems.Invalid(servicePath, "%s overlaps with podSubnet %s; choose another one", services, pods)
	}
}

// podSubnet checks that every node gets its /24, the controller manager's default, out of the subnet. Where a patch sets
// the size of the nodes' subnets, that patch is trusted.
func (v *validator) podSubnet(path string, pods netip.Prefix) {
	const nodeMask, maxDiff = 24, 16 // kubeadm, validation.validatePodSubnetNodeMask
	for _, patch := range v.doc.Cluster.KubeadmConfigPatches {
		if strings.Contains(patch, "node-cidr-mask-size") {
			return
		}
	}
	nodes := len(v.doc.Cluster.Nodes)
	switch {
	case pods.Bits() < nodeMask-maxDiff:
		v.problems.Invalid(path, "%s is too large; use /%d or smaller", pods, nodeMask-maxDiff)
	case pods.Bits() > nodeMask || 1<<(nodeMask-pods.Bits()) < nodes:
		v.problems.Invalid(path, "%s is too small: it takes a /%d per node, %d in all", pods, nodeMask, nodes)
	}
}

func (v *validator) subnet(path, value string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(value)
	switch {
	case err != nil && strings.Contains(value, ","):
		v.problems.Invalid(path, "%q is more than one subnet; ipv4 has one", value)
	case err != nil:
		v.problems.Invalid(path, "%q is no subnet; write it as 10.0.0.0/16", value)
	case !p.Addr().Is4():
		v.problems.Invalid(path, "%s is not of ipFamily ipv4", value)
	case p.Overlaps(netip.MustParsePrefix("127.0.0.0/8")) || p.Overlaps(netip.MustParsePrefix("169.254.0.0/16")) ||
		p.Overlaps(netip.MustParsePrefix("224.0.0.0/4")):
		v.problems.Invalid(path, "%s reaches into addresses that are not for hosts (loop-back, link-local or multicast)", value)
	default:
		return p.Masked(), true
	}
	return netip.Prefix{}, false
}

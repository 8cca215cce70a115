package kubeadm

import (
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Control planes that start together need not join one another: with the same CAs, and addresses that are known before any of them
// runs, each of them can do what kubeadm init does, and etcd can begin with all of its members
// (https://etcd.io/docs/latest/op-guide/clustering/#static). A join is one after the other: etcd takes in one learner at a time.

// etcdPeerPort is where etcd's members speak to each other.
const etcdPeerPort = "2380"

// Arguments of etcd that hold for its first start only.
const (
	argInitialCluster      = "initial-cluster"
	argInitialClusterState = "initial-cluster-state"
)

// FounderConfig returns the configuration for `kubeadm init` on a founder that is not the first: what is done once for a cluster is left
// to that one. Errors are those of InitConfig.
func FounderConfig(c Cluster, n Node) ([]byte, error) {
	return initConfig(c, n, append(SkipPhases(), "bootstrap-token", "upload-certs", "upload-config"))
}

// CanFound reports whether control planes may start together: not where patches tell apart how a node begins and how it joins.
func CanFound(c Cluster, nodes []Node) bool {
	for _, n := range nodes {
		docs := []object{{"kind": kindInit}, {"kind": kindJoin}}
		if patchAll(docs, c, n) != nil || !reflect.DeepEqual(docs, []object{{"kind": kindInit}, {"kind": kindJoin}}) {
			return false
		}
	}
	return true
}

// foundEtcd tells etcd who its members are from the start. An etcd that is not kubeadm's is left alone.
func foundEtcd(doc object, founders map[string]netip.Addr) error {
	if len(founders) < 2 {
		return nil
	}
	asked, _ := doc["etcd"].(object)
	etcd, err := plain(asked)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "cannot read kubeadm's configuration")
	}
	local, ok := etcd["local"].(object)
	if !ok {
		return nil
	}
	have, err := argList(local["extraArgs"])
	if err != nil {
		return fault.Wrap(fault.ConfigInvalid, err, "kubeadmConfigPatches: etcd.local.extraArgs")
	}
	var members []string
	for _, name := range sortedKeys(founders) {
		peer := url.URL{Scheme: "https", Host: net.JoinHostPort(founders[name].String(), etcdPeerPort)}
		members = append(members, name+"="+peer.String())
	}
	local["extraArgs"] = mergeArgs(have, []object{arg(argInitialCluster, strings.Join(members, ",")), arg(argInitialClusterState, "new")})
	doc["etcd"] = etcd
	return nil
}

// ForgetFounders returns a ClusterConfiguration, as kubeadm keeps it in its ConfigMap, without what holds for etcd's first start only: what
// joins later is told by kubeadm who the members are.
func ForgetFounders(clusterConfiguration []byte) ([]byte, error) {
	doc := object{}
	if err := yaml.Unmarshal(clusterConfiguration, &doc); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot read kubeadm's configuration")
	}
	etcd, _ := doc["etcd"].(object)
	local, _ := etcd["local"].(object)
	list, _ := local["extraArgs"].([]any)
	if len(list) == 0 {
		return clusterConfiguration, nil
	}
	local["extraArgs"] = slices.DeleteFunc(slices.Clone(list), func(a any) bool {
		m, ok := a.(object)
		return ok && (m["name"] == argInitialCluster || m["name"] == argInitialClusterState)
	})
	return yaml.Marshal(doc)
}

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// apiServerPort is where the API server listens in its node.
const apiServerPort = 6443

// portTries bounds the search for a free port for the API server.
const portTries = 5

// startNode makes and starts a node's container, and waits until pods could run in it.
type startNode struct {
	node v1alpha1.Node
}

func (s startNode) ID() string    { return "node/" + s.node.Name }
func (s startNode) Title() string { return "Start node " + s.node.Name }

func (s startNode) Do(ctx context.Context, rc *Context) error {
	files := func(ctx context.Context) ([]engine.File, error) { return earlyFiles(ctx, rc, s.node) }
	if err := s.createAndStart(ctx, rc, files); err != nil {
		return fault.Wrap(fault.NodeStart, err, "cannot start node %s", s.node.Name)
	}
	if err := s.putKubeadmFile(ctx, rc); err != nil {
		return fault.Wrap(fault.NodeStart, err, "cannot configure node %s", s.node.Name)
	}
	return waitRuntime(ctx, rc, s.node)
}

// putKubeadmFile writes the node's kubeadm configuration. That waits for the start, because only then is it certain
// whether the engine can give all capabilities, which decides on the kubelet's settings.
func (s startNode) putKubeadmFile(ctx context.Context, rc *Context) error {
	if err := rc.refreshInfo(ctx); err != nil {
		return err
	}
	files, err := kubeadmFiles(ctx, rc, s.node)
	if err != nil {
		return err
	}
	return rc.Engine.PutFiles(ctx, s.node.Name, files)
}

// createAndStart makes the container with the files that it boots with.
func (s startNode) createAndStart(ctx context.Context, rc *Context, files func(context.Context) ([]engine.File, error)) error {
	spec, err := nodeSpec(rc, s.node)
	if err != nil {
		return err
	}
	if err := choosePorts(ctx, rc, s.node, spec.Ports[len(spec.Ports)-len(s.node.ExtraPortMappings):]); err != nil {
		return err
	}
	auto := rc.publishes(s.node.Name) && spec.Ports[0].HostPort == 0 && rc.Doc.Cluster.Networking.APIServerPort == 0
	return startPublished(ctx, rc, spec, auto, files)
}

// startPublished makes a container, puts files into it and starts it. Where the API's port, its first one, is cove's to choose
// (auto), it tries other ones while the one that it chose has been taken in the meantime. A port that the user chose is taken or not.
func startPublished(ctx context.Context, rc *Context, spec engine.NodeSpec, auto bool, files func(context.Context) ([]engine.File, error)) error {
	for try := 1; ; try++ {
		if auto {
			port, err := freePort(ctx, rc.engineInfo(), rc.Doc.Cluster.Networking.APIServerAddress)
			if err != nil {
				return err
			}
			spec.Ports[0].HostPort = port
		}
		if _, err := rc.Engine.CreateNode(ctx, spec); err != nil {
			return err
		}
		list, err := files(ctx)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			if err := rc.Engine.PutFiles(ctx, spec.Name, list); err != nil {
				return err
			}
		}
		err = rc.Engine.StartNode(ctx, spec.Name)
		if err == nil {
			return nil
		}
		if !auto || try == portTries || !fault.Is(err, fault.PortTaken) {
			return err
		}
		if err := rc.Engine.RemoveNode(ctx, spec.Name); err != nil {
			return err
		}
	}
}

// Undo removes the run's container of that name and its volumes.
func (s startNode) Undo(ctx context.Context, rc *Context) error {
	// The run may have gone on, and what failed later is no fault of this node; or it may still be wanted where it joined.
	if rc.record.has(s.node.Name) || rc.keeps(s.node.Name) {
		return nil
	}
	sel := engine.Selector{Cluster: rc.Name(), Run: rc.Emitter.Run()}
	nodes, err := rc.Engine.Nodes(ctx, sel)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Name == s.node.Name {
			if err := rc.Engine.RemoveNode(ctx, n.Name); err != nil {
				return err
			}
		}
	}
	vols, err := rc.Engine.Volumes(ctx, sel)
	if err != nil {
		return err
	}
	for _, v := range vols {
		if v.Node == s.node.Name {
			if err := rc.Engine.RemoveVolume(ctx, v.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// labelSpec holds, as JSON, what a node's container was made from: the difference to what is wanted decides whether it must be
// replaced.
const labelSpec = "cove.dev/spec"

// nodeSpec turns a node of the document into a container.
func nodeSpec(rc *Context, n v1alpha1.Node) (engine.NodeSpec, error) {
	net := rc.Doc.Cluster.Networking
	asked, err := json.Marshal(n)
	if err != nil {
		return engine.NodeSpec{}, fault.Wrap(fault.Internal, err, "cannot describe node %s", n.Name)
	}
	settings, err := settingsOf(rc.Doc)
	if err != nil {
		return engine.NodeSpec{}, err
	}
	place := rc.places[n.Name].String()
	spec := engine.NodeSpec{
		Name: n.Name, Cluster: rc.Name(), Role: n.Role, Run: rc.Emitter.Run(), Image: rc.images[n.Name].ref,
		Hosts:        map[string]netip.Addr{endpointName(rc.Name()): rc.endpoint()},
		Volumes:      volumes(n.Name),
		VolumeLabels: map[string]string{labelPlace: place, engine.LabelRole: n.Role},
		Labels:       map[string]string{labelPlace: place, labelSpec: string(asked), labelSettings: settings},
		Env:          rc.nodeEnv(n),
		NanoCPUs:     n.NanoCPUs, Memory: n.Memory,
	}
	if img := rc.images[n.Name]; !img.native() {
		spec.Entrypoint = kindEntrypoint(img.Entrypoint)
	}
	if net.DNSSearch != nil {
		spec.DNSSearch = *net.DNSSearch
		if len(spec.DNSSearch) == 0 { // an empty list would leave it to the engine, which takes the host's
			spec.DNSSearch = []string{"."}
		}
	}
	if rc.publishes(n.Name) {
		port := apiPort(net)
		if port.HostPort == 0 {
			port.HostPort = rc.record.APIPort // what kubeconfigs have stays, where there was one
		}
		spec.Ports = append(spec.Ports, port)
	}
	for _, m := range n.ExtraMounts {
		spec.Mounts = append(spec.Mounts, engine.Mount{
			Source: m.HostPath, Target: m.ContainerPath, ReadOnly: m.Readonly, SELinuxRelabel: m.SelinuxRelabel,
			Propagation: propagation(string(m.Propagation)),
		})
	}
	for _, p := range n.ExtraPortMappings {
		spec.Ports = append(spec.Ports, engine.Port{
			HostIP: p.ListenAddress, HostPort: hostPort(p.HostPort), ContainerPort: uint16(p.ContainerPort), //nolint:gosec // config checked the range
			Protocol: strings.ToLower(string(p.Protocol)),
		})
	}
	return placed(spec, rc.network, rc.places[n.Name].host), nil
}

// publishes reports whether the API is published by this node's container: where there is no load balancer.
func (rc *Context) publishes(node string) bool { return !rc.balanced && node == rc.publisher }

// apiPort is the port by which the API is published.
func apiPort(net kind.Networking) engine.Port {
	return engine.Port{HostIP: net.APIServerAddress, HostPort: hostPort(net.APIServerPort), ContainerPort: apiServerPort, Protocol: "tcp"}
}

// Variables by which a node of cove's own images learns its size, which its kubelet could not see otherwise.
const (
	envCPUs   = "COVE_NODE_CPUS"   // in cores: "1.5"
	envMemory = "COVE_NODE_MEMORY" // in bytes
	// envFamily names the only family that Kubernetes uses, where that is not the one that the container has anyway: "ipv6".
	envFamily = "COVE_NODE_FAMILY"
)

func (rc *Context) nodeEnv(n v1alpha1.Node) map[string]string {
	env := proxyEnv(rc.Doc, nodeSubnets(rc.Doc, rc.network))
	if onlyIPv6(rc.Doc) {
		env[envFamily] = "ipv6"
	}
	if n.NanoCPUs > 0 {
		env[envCPUs] = strconv.FormatFloat(float64(n.NanoCPUs)/1e9, 'f', -1, 64)
	}
	if n.Memory > 0 {
		env[envMemory] = strconv.FormatInt(n.Memory, 10)
	}
	return env
}

// choosePorts chooses the host's ports of those mappings that leave it to cove, by kind's convention 0: one that is free when the node is
// first made, and that it keeps. With -1 the engine chooses one at every start.
func choosePorts(ctx context.Context, rc *Context, n v1alpha1.Node, ports []engine.Port) error {
	for i, p := range n.ExtraPortMappings {
		if p.HostPort != 0 {
			continue
		}
		ports[i].HostPort = keptPort(rc.ports[n.Name], ports[i])
		if ports[i].HostPort != 0 {
			continue
		}
		var err error
		if ports[i].HostPort, err = freePort(ctx, rc.engineInfo(), p.ListenAddress); err != nil {
			return err
		}
	}
	return nil
}

// keptPort returns the port of the host by which the node's old container published the same port; 0 where it did not.
func keptPort(old []engine.Port, p engine.Port) uint16 {
	for _, o := range old {
		if o.ContainerPort == p.ContainerPort && o.Protocol == p.Protocol && (o.HostIP == p.HostIP || p.HostIP == "") {
			return o.HostPort
		}
	}
	return 0
}

// hostPort returns the port that is asked for; 0 where another one chooses.
func hostPort(p int32) uint16 {
	if p <= 0 {
		return 0
	}
	return uint16(p) //nolint:gosec // config checked the range
}

// propagation translates kind's names of mount propagation to the engine's.
func propagation(kind string) string {
	switch kind {
	case "HostToContainer":
		return "rslave"
	case "Bidirectional":
		return "rshared"
	}
	return ""
}

// freePort returns a port that is free on the engine's host, as far as can be told: a fixed one, because the engine
// would publish another one at every start of the container if it chose itself.
func freePort(ctx context.Context, info engine.Info, address string) (uint16, error) {
	if info.Host != "" { // nothing here can tell what is free there
		return randomPort(), nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, "0"))
	if err != nil { // the address may be one of the engine's own host, as with Docker Desktop
		return randomPort(), nil
	}
	defer l.Close()
	a, err := netip.ParseAddrPort(l.Addr().String())
	return a.Port(), err
}

// nodeImage is the image of a node, with what is known of its layout.
type nodeImage struct {
	engine.Image
	ref   string
	facts imageFacts
}

// imageFacts is what cove's own node images say of themselves in a label. Images of kind's layout have none.
type imageFacts struct {
	Contract          int    `json:"contract"`
	KubernetesVersion string `json:"kubernetesVersion"`
	EtcdTag           string `json:"etcdTag"`
	CoreDNSTag        string `json:"coreDNSTag"`
}

// native reports whether the image is cove's own: its PID 1 starts what a node needs, and its images are unpacked.
func (i nodeImage) native() bool { return i.facts.Contract > 0 }

// newNodeImage reads what the image says of itself.
func newNodeImage(ref string, img engine.Image) (nodeImage, error) {
	n := nodeImage{Image: img, ref: ref}
	if label := img.Labels[engine.LabelNodeImage]; label != "" {
		if err := json.Unmarshal([]byte(label), &n.facts); err != nil {
			return n, fault.Wrap(fault.ImageBroken, err, "image %s has a label %s that cannot be read", ref, engine.LabelNodeImage)
		}
		if n.facts.Contract > 1 {
			return n, fault.New(fault.ImageBroken, "image %s wants a newer cove: its node contract is version %d, this cove knows 1", ref, n.facts.Contract)
		}
	}
	return n, nil
}

// ImageKubernetesVersion returns the version of Kubernetes that one of cove's own node images says it has; "" for others.
func ImageKubernetesVersion(img engine.Image) string {
	n, err := newNodeImage("", img)
	if err != nil {
		return ""
	}
	return n.facts.KubernetesVersion
}

// kubernetesVersion returns the version that the node's image holds. Images of kind's layout have it in a file.
func kubernetesVersion(ctx context.Context, rc *Context, node string) (string, error) {
	img := rc.images[node]
	if img.native() {
		return img.facts.KubernetesVersion, nil
	}
	data, err := rc.Engine.ReadFile(ctx, node, "/kind/version")
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.New(fault.ImageBroken, "image %s is no node image: it has no /kind/version", img.ref)
	}
	return strings.TrimSpace(string(data)), err
}

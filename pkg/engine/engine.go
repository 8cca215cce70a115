// Package engine says what cove needs of a container engine, and what a node container is. It knows no engine itself:
// engine/docker is the adapter, engine/enginetest has a fake that behaves and the suite that both pass.
package engine

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"
)

// Labels on everything that cove makes. They are cove's own, so that kind does not take cove's nodes for its own.
const (
	LabelCluster = "cove.dev/cluster" // the cluster's name
	LabelRole    = "cove.dev/role"    // a node's role, one of the Role constants
	LabelRun     = "cove.dev/run"     // the run that made it; roll-back selects by it
	LabelNode    = "cove.dev/node"    // the node that a volume belongs to
)

// LabelNodeImage is on cove's own node images, and so on containers of them: what the image says of itself, as JSON.
const LabelNodeImage = "cove.dev/node-image"

// Roles of nodes.
const (
	RoleControlPlane = "control-plane"
	RoleWorker       = "worker"
	RoleLoadBalancer = "external-load-balancer" // as kind calls it: it is before the API, and no node of Kubernetes'
)

// Engine is where nodes run. Every method may be called from many goroutines, and ends soon after its context.
// Errors carry a code of pkg/fault.
type Engine interface {
	// Info asks the engine what it is. It is the first call of a run: it fails with EngineUnreachable or EnginePermission.
	Info(ctx context.Context) (Info, error)
	Nodes
	Access
	Networks
	Volumes
	Images
}

// Nodes makes and ends node containers.
type Nodes interface {
	// CreateNode makes the node's container (and volumes that do not exist), puts spec.Files into it, and does not
	// start it. A taken name is NameTaken, a missing image ImageNotFound. What it made before it failed, it removes.
	CreateNode(ctx context.Context, spec NodeSpec) (Node, error)
	// Nodes lists the nodes that match, in any state, ordered by name.
	Nodes(ctx context.Context, sel Selector) ([]Node, error)
	// Node returns the node of that name; NodeNotFound where there is none.
	Node(ctx context.Context, name string) (Node, error)
	StartNode(ctx context.Context, name string) error // a taken port is PortTaken, an address that the host has not is AddressMissing
	// StopNode asks PID 1 to end, and kills it after grace. A paused node is resumed for it.
	StopNode(ctx context.Context, name string, grace time.Duration) error
	// PauseNode freezes the node's processes, ResumeNode lets them go on. What is so already stays so. A node that does not run
	// cannot be paused: ClusterNotRunning; resuming it does nothing. A paused node cannot be started: NodeStart.
	PauseNode(ctx context.Context, name string) error
	ResumeNode(ctx context.Context, name string) error
	// KeepDown says whether the node, when it is stopped, stays so when the engine is started anew. A new node does not.
	KeepDown(ctx context.Context, name string, down bool) error
	// RemoveNode kills and removes the container, not its named volumes. No such container is no error.
	RemoveNode(ctx context.Context, name string) error
}

// Access reaches into node containers.
type Access interface {
	// Exec runs a command and waits for it. A status other than 0 is an *ExitError. When ctx ends, so does Exec.
	Exec(ctx context.Context, node string, cmd Command) error
	// PutFiles writes files, and the directories they need, in one transfer. The node need not run. Paths on a node's
	// tmpfs (/run, /tmp) cannot be reached from outside and are refused.
	PutFiles(ctx context.Context, node string, files []File) error
	// ReadFile returns the content of a regular file of up to 64 MiB; fs.ErrNotExist where there is none. The node need
	// not run; what is on a tmpfs is not seen.
	ReadFile(ctx context.Context, node, path string) ([]byte, error)
	// CopyOut writes the file or directory at path to w as a tar stream.
	CopyOut(ctx context.Context, node, path string, w io.Writer) error
	// Logs writes what PID 1 printed, both streams, the last tail lines (0: all); with follow until ctx ends or the node stops.
	Logs(ctx context.Context, node string, follow bool, tail int, w io.Writer) error
	// Dial opens a connection from inside the node, through the engine's own API, so that it also works where the engine
	// is on another host. network is "tcp"; the node must run.
	Dial(ctx context.Context, node, network, address string) (net.Conn, error)
}

// Networks makes and removes networks.
type Networks interface {
	// CreateNetwork makes a bridge network. With a zero spec.Subnet it picks a free one: one that overlaps no network of the
	// engine. One that is asked for and overlaps another network's is NetworkTaken, and the error names that network. With spec.IPv6 the network has both families, and an engine or a host that cannot give IPv6 is EngineUnsupported.
	// NameTaken, NetworkTaken, NetworkExhausted.
	CreateNetwork(ctx context.Context, spec NetworkSpec) (Network, error)
	Networks(ctx context.Context, sel Selector) ([]Network, error)
	RemoveNetwork(ctx context.Context, name string) error // no such network is no error
}

// Volumes lists and removes named volumes.
type Volumes interface {
	Volumes(ctx context.Context, sel Selector) ([]Volume, error)
	RemoveVolume(ctx context.Context, name string) error // no such volume is no error
}

// Images handles the engine's own images.
type Images interface {
	// Image returns the image that ref (a name or an ID) stands for; ImageNotFound where there is none.
	Image(ctx context.Context, ref string) (Image, error)
	// ImageList lists the images, without what only Image tells: Entrypoint and Architecture.
	ImageList(ctx context.Context) ([]Image, error)
	// PullImage pulls ref for the engine's platform; report (may be nil) is told the bytes done and known so far. ImagePull.
	PullImage(ctx context.Context, ref string, report func(done, total int64)) error
	// LoadImage loads an archive as `docker save` and go-containerregistry's tarball make, and returns the names loaded.
	LoadImage(ctx context.Context, archive io.Reader) ([]string, error)
	// SaveImages returns an archive of the images, as `docker save` makes it.
	SaveImages(ctx context.Context, refs ...string) (io.ReadCloser, error)
	RemoveImage(ctx context.Context, ref string) error // no such image is no error
}

// Selector chooses by label; empty fields choose all. Only what carries LabelCluster is ever chosen.
type Selector struct {
	Cluster string
	Run     string
	Role    string // nodes only
}

// Info is what an engine says of itself and its host.
type Info struct {
	Name            string // "docker"
	Version         string // "20.10.24"
	APIVersion      string
	Endpoint        string // "unix:///var/run/docker.sock"
	Host            string // name or address of the engine's host where it is remote; "" when it is reached by a local socket
	OS              string // "linux"
	Architecture    string // Go's name: "amd64"
	Kernel          string
	HostName        string
	StorageDriver   string
	CgroupVersion   int    // 1 or 2
	CgroupDriver    string // "cgroupfs" or "systemd"
	SecurityOptions []string
	CPUs            int
	MemoryBytes     int64
	RootDir         string
	Rootless        bool
	// Restricted: the engine cannot give --privileged (it lacks capabilities itself), as far as is known; a node is then
	// started with the capabilities that the engine has. CreateNode finds out and falls back by itself.
	Restricted bool
	Warnings   []string
}

// NodeSpec is all that is needed to make a node's container.
type NodeSpec struct {
	Name    string // of the container, its host name, and the Kubernetes node
	Cluster string
	Role    string
	Run     string
	Image   string
	// Entrypoint replaces the image's own command; nil: as the image has it.
	Entrypoint []string
	Labels     map[string]string // more labels
	Network    string
	IP         netip.Addr            // fixed, of IPv4
	IP6        netip.Addr            // fixed, of IPv6; zero: the container has no IPv6. Of a Network that has it.
	Hosts      map[string]netip.Addr // more lines of its /etc/hosts
	DNSSearch  []string              // search domains of its resolver; nil: as the engine has it
	Volumes    []VolumeMount
	// VolumeLabels are more labels of the volumes that are made.
	VolumeLabels map[string]string
	Mounts       []Mount
	Ports        []Port
	Env          map[string]string
	Files        []File
	NanoCPUs     int64 // billionths of a CPU, 0: no limit; more than the host has is ConfigInvalid
	Memory       int64 // bytes, 0: no limit; swap does not extend it, where the host accounts swap
	// Unprivileged leaves the container with the engine's usual privileges: it runs a program, and is no host of pods.
	Unprivileged bool
}

// VolumeMount is a named volume of the node. It is made when it is not there, with the node's labels.
type VolumeMount struct{ Name, Target string }

// Mount is a path of the engine's host in the node.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	Propagation    string // "", "rprivate", "rslave", "rshared"
	SELinuxRelabel bool
}

// Port is a published port. HostPort 0 lets the engine choose, anew at every start.
type Port struct {
	HostIP        string
	HostPort      uint16
	ContainerPort uint16
	Protocol      string // "tcp", "udp" or "sctp"
}

// File is a file to put into a node.
type File struct {
	Path string // absolute
	Mode int64  // permission bits; 0 is 0644
	Data []byte
}

// State is the state of a node's container.
type State string

// The states.
const (
	StateCreated    State = "created"
	StateRunning    State = "running"
	StatePaused     State = "paused"
	StateRestarting State = "restarting"
	StateExited     State = "exited"
	StateDead       State = "dead"
)

// Node is a node's container as it is now.
type Node struct {
	ID       string
	Name     string
	Cluster  string
	Role     string
	Run      string
	Labels   map[string]string
	State    State
	ExitCode int
	Error    string // why it did not start or stopped, if the engine says
	Restarts int    // how often the engine restarted it by itself since it was last started
	Image    string
	IP       netip.Addr // of IPv4; zero where it has none now
	IP6      netip.Addr // of IPv6; zero where it has none now, or never has
	Ports    []Port     // as published; before the start as asked
	Volumes  []VolumeMount
	Created  time.Time
	// StartedAt and FinishedAt are when PID 1 last began and ended, by the clock of the engine's host; zero if it never did.
	StartedAt, FinishedAt time.Time
	Mounts                []Mount // of the engine's host
	NanoCPUs, Memory      int64   // limits, 0: none, also where the engine cannot set one
	// Networks are those that it is attached to, also while it does not run: somebody may have cut it off from its own.
	Networks []Attachment
	KeptDown bool // as KeepDown has it: stopped, it stays so when the engine is started anew
}

// Attachment is a node's place on a network: its addresses there, zero where it has none now.
type Attachment struct {
	Network string
	IP, IP6 netip.Addr
}

// NetworkSpec is a network to make.
type NetworkSpec struct {
	Name, Cluster, Run string
	Subnet             netip.Prefix   // zero: pick a free one
	IPv6               bool           // besides IPv4
	Subnet6            netip.Prefix   // with IPv6; zero: a /64 of unique local addresses, picked at random
	Avoid              []netip.Prefix // what a picked subnet must not overlap: the cluster's pods and services
	Labels             map[string]string
}

// Network is a network as it is.
type Network struct {
	ID, Name, Cluster, Run string
	Subnet                 netip.Prefix
	Gateway                netip.Addr
	Subnet6                netip.Prefix // zero where the network has no IPv6
	Gateway6               netip.Addr
	Labels                 map[string]string
	Created                time.Time // by the engine's clock
}

// Volume is a named volume as it is.
type Volume struct {
	Name, Cluster, Run, Node string
	Labels                   map[string]string
}

// Image is an image of the engine.
type Image struct {
	ID           string
	Names        []string
	Labels       map[string]string
	Entrypoint   []string
	Architecture string
	Size         int64 // bytes, unpacked
	Created      time.Time
}

// Command is a command to run in a node.
type Command struct {
	Args   []string
	Env    map[string]string
	Dir    string
	Stdin  io.Reader // nil: none
	Stdout io.Writer // nil: thrown away; with TTY both streams come here
	Stderr io.Writer
	TTY    bool
	Resize <-chan Size // the terminal's sizes, the first at once
}

// Size is a terminal's, in characters.
type Size struct{ Width, Height uint }

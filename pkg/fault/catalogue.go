package fault

// Exit statuses of the command line.
const (
	ExitOK          = 0
	ExitBug         = 1
	ExitUsage       = 2   // command line or config
	ExitExists      = 3   // exists, or not found
	ExitHost        = 4   // engine, cgroup, pull, disk, limits
	ExitKubernetes  = 5   // Kubernetes did not come up, or refused
	ExitDifference  = 10  // what was compared differs
	ExitInterrupted = 130 // SIGINT, as shells have it
)

// The codes. A new one needs a row in Catalogue and a script test that shows it.
const (
	Internal           Code = "INTERNAL"
	Interrupted        Code = "INTERRUPTED"
	Usage              Code = "USAGE"
	ConfigInvalid      Code = "CONFIG_INVALID"
	ConfigUnsupported  Code = "CONFIG_UNSUPPORTED"
	VersionUnknown     Code = "VERSION_UNKNOWN"
	ClusterExists      Code = "CLUSTER_EXISTS"
	ClusterNotFound    Code = "CLUSTER_NOT_FOUND"
	NodeNotFound       Code = "NODE_NOT_FOUND"
	ImageNotFound      Code = "IMAGE_NOT_FOUND"
	ContextNotFound    Code = "CONTEXT_NOT_FOUND"
	NameTaken          Code = "NAME_TAKEN"
	EngineUnreachable  Code = "ENGINE_UNREACHABLE"
	EnginePermission   Code = "ENGINE_PERMISSION"
	EngineUnsupported  Code = "ENGINE_UNSUPPORTED"
	EngineFailed       Code = "ENGINE_FAILED"
	PortTaken          Code = "PORT_TAKEN"
	AddressMissing     Code = "ADDRESS_MISSING"
	NetworkTaken       Code = "NETWORK_TAKEN"
	NetworkExhausted   Code = "NETWORK_EXHAUSTED"
	DiskFull           Code = "DISK_FULL"
	HostLimit          Code = "HOST_LIMIT"
	CgroupUnsupported  Code = "CGROUP_UNSUPPORTED"
	ImagePull          Code = "IMAGE_PULL"
	ImageBroken        Code = "IMAGE_BROKEN"
	ImageBuild         Code = "IMAGE_BUILD"
	ImageBuildTools    Code = "IMAGE_BUILD_TOOLS"
	ImageLoad          Code = "IMAGE_LOAD"
	NodeStart          Code = "NODE_START"
	NodeExited         Code = "NODE_EXITED"
	KubeadmInit        Code = "KUBEADM_INIT"
	KubeadmJoin        Code = "KUBEADM_JOIN"
	KubeadmUpgrade     Code = "KUBEADM_UPGRADE"
	APITimeout         Code = "API_TIMEOUT"
	NotReady           Code = "NOT_READY"
	DrainFailed        Code = "DRAIN_FAILED"
	DifferenceFound    Code = "DIFFERENCE_FOUND"
	AddonFailed        Code = "ADDON_FAILED"
	KubernetesRefused  Code = "KUBERNETES_REFUSED"
	KubeconfigUnusable Code = "KUBECONFIG_UNUSABLE"
	FileUnwritable     Code = "FILE_UNWRITABLE"
	CommandFailed      Code = "COMMAND_FAILED"
	DoctorFailed       Code = "DOCTOR_FAILED"
	ClusterBusy        Code = "CLUSTER_BUSY"
	ClusterIncomplete  Code = "CLUSTER_INCOMPLETE"
	RecordUnreadable   Code = "RECORD_UNREADABLE"
	ClusterNotRunning  Code = "CLUSTER_NOT_RUNNING"
	AddonUnknown       Code = "ADDON_UNKNOWN"
	AddonParameter     Code = "ADDON_PARAMETER"
	AddonRequires      Code = "ADDON_REQUIRES"
	AddonConflict      Code = "ADDON_CONFLICT"
	AddonUnfit         Code = "ADDON_UNFIT"
	AddonInUse         Code = "ADDON_IN_USE"
	AddonNotInstalled  Code = "ADDON_NOT_INSTALLED"
	ProfileUnknown     Code = "PROFILE_UNKNOWN"
	ImageUnavailable   Code = "IMAGE_UNAVAILABLE"
)

// Kind is what is known of a code beforehand: its exit status, what it means, and one thing to do about it.
type Kind struct {
	Code    Code
	Exit    int
	Meaning string
	Hint    string
}

// KindOf returns the catalogue's row for code; a code that is not in it counts as a bug.
func KindOf(code Code) Kind {
	for _, k := range Catalogue() {
		if k.Code == code {
			return k
		}
	}
	return Kind{Code: code, Exit: ExitBug, Meaning: "a code that the catalogue lacks"}
}

// Catalogue lists every code, in the order of the exit statuses. The reference page of errors is printed from it.
func Catalogue() []Kind {
	return []Kind{
		{Internal, ExitBug, "a bug in cove", "report it with the output of the same command and -v"},
		{Usage, ExitUsage, "the command line is wrong", "see the command's --help"},
		{ConfigInvalid, ExitUsage, "the cluster document or the settings have errors", "mend the fields that are named; `cove config schema` shows what is allowed"},
		{ConfigUnsupported, ExitUsage, "a field that this version does not honour", "leave the field out"},
		{VersionUnknown, ExitUsage, "no node image of that Kubernetes version is known", "choose one of the versions listed, or give --image"},
		{AddonParameter, ExitUsage, "a parameter that the addon lacks, or a value that does not fit it", "`cove addon show NAME` lists the addon's parameters"},
		{AddonRequires, ExitUsage, "an addon needs another one that is not there", "enable the one that is named too"},
		{AddonConflict, ExitUsage, "two addons provide what a cluster has one of", "leave one of them out; `disabled: true` takes out one of the profile's"},
		{AddonUnfit, ExitUsage, "an addon does not fit the cluster", "the message says what it needs; leave the addon out, or change the cluster"},
		{ClusterExists, ExitExists, "a cluster of that name exists", "delete it first with `cove delete NAME`, or choose another name"},
		{ClusterNotFound, ExitExists, "no cluster has that name", "`cove list` shows the clusters there are"},
		{NodeNotFound, ExitExists, "the cluster has no node of that name", "`cove status` shows the nodes there are"},
		{ImageNotFound, ExitExists, "the engine has no such image", "build or pull it first; `docker images` shows those there are"},
		{ContextNotFound, ExitExists, "the kubeconfig has no context of the cluster", "`cove kubeconfig merge` adds it"},
		{AddonUnknown, ExitExists, "the catalogue has no addon of that name", "`cove addon list` shows those there are"},
		{AddonNotInstalled, ExitExists, "the cluster does not have the addon", "`cove addon status` shows those it has"},
		{AddonInUse, ExitExists, "others use what the addon brought", "remove what is named first, or give --force to remove it along with the addon"},
		{ProfileUnknown, ExitExists, "no profile has that name", "`cove profile list` shows those there are"},
		{NameTaken, ExitExists, "a container, volume or network that is not cove's has the name", "remove it, or choose another cluster name"},
		{EngineUnreachable, ExitHost, "no container engine answers", "start Docker, or set DOCKER_HOST or a Docker context to one that runs; `cove doctor` says more"},
		{EnginePermission, ExitHost, "the engine's socket may not be opened", "add yourself to the group that owns the socket, or use a rootless engine"},
		{EngineUnsupported, ExitHost, "the engine is too old, or of a kind that cannot run nodes", "use a Docker Engine of version 20.10 or later that runs Linux containers"},
		{EngineFailed, ExitHost, "the engine refused or failed an operation", "`cove doctor` checks the engine; its own log says why"},
		{PortTaken, ExitHost, "a port that is to be published is in use", "free the port, or choose another one"},
		{AddressMissing, ExitHost, "a port is to be published on an address that the engine's host has not", "choose one of the host's addresses, or 127.0.0.1"},
		{NetworkTaken, ExitHost, "the subnet overlaps with another network", "choose another subnet, or leave it to cove"},
		{NetworkExhausted, ExitHost, "no free subnet is left on the engine", "remove unused networks with `docker network prune`"},
		{DiskFull, ExitHost, "the engine's disk is full", "free space, for example with `docker system prune`"},
		{HostLimit, ExitHost, "a limit of the host is too low", "raise the limit that is named; `cove doctor` gives the command"},
		{CgroupUnsupported, ExitHost, "the host's cgroups cannot hold a node", "`cove doctor` names what is missing"},
		{ImagePull, ExitHost, "the node image could not be pulled", "check the network or the name; `cove build node-image` builds one without a registry"},
		{ImageBroken, ExitHost, "the image cannot run as a node", "use an image that `cove build node-image` made, or a kindest/node image"},
		{ImageBuild, ExitHost, "the node image could not be built", "the log that is named says which part failed"},
		{ImageBuildTools, ExitHost, "the image build lacks a tool", "install what is named, or give --image"},
		{ImageLoad, ExitHost, "an image could not be loaded into a node", "check that the archive is whole and of the node's platform"},
		{ImageUnavailable, ExitHost, "no registry answers for an addon's image, and it cannot be built here", "check the network, or load the image with `cove image load`"},
		{NodeStart, ExitHost, "a node's container could not be started", "`cove doctor` checks what nodes need"},
		{NodeExited, ExitHost, "a node's container stopped by itself", "the evidence that is named has its log; `cove doctor` checks what nodes need"},
		{KubeconfigUnusable, ExitHost, "the kubeconfig cannot be read or written", "mend or move the file, or give --kubeconfig"},
		{FileUnwritable, ExitHost, "a file cannot be read or written", "check its path, its mode and the free space"},
		{DoctorFailed, ExitHost, "the host lacks something that a cluster needs", "each failed check names its cure"},
		{ClusterBusy, ExitHost, "another run works on the cluster", "wait for it to end, or end it"},
		{ClusterIncomplete, ExitHost, "the cluster is left over from a run that was cut off", "remove it with `cove delete NAME`"},
		{RecordUnreadable, ExitHost, "no control plane has a whole record of the cluster", "its volumes are left alone; `cove delete NAME` removes the cluster with all its data"},
		{ClusterNotRunning, ExitHost, "a node of the cluster does not run", "start its container, or delete the cluster"},
		{KubeadmInit, ExitKubernetes, "kubeadm could not start the control plane", "the evidence that is named has the logs; run again with --retain to look around"},
		{KubeadmJoin, ExitKubernetes, "kubeadm could not join a node", "the evidence that is named has the logs"},
		{KubeadmUpgrade, ExitKubernetes, "kubeadm could not bring a node to another version", "run the same command again: it goes on where it stopped"},
		{APITimeout, ExitKubernetes, "the API server did not answer in time", "give it more time with --timeout, or look at `cove logs`"},
		{NotReady, ExitKubernetes, "the cluster was not usable in time", "give it more time with --timeout, or look at `cove status` and `cove logs`"},
		{DrainFailed, ExitKubernetes, "pods did not leave a node", "give them more time with --drain-timeout, or end them with --force"},
		{DifferenceFound, ExitDifference, "`cove apply --diff` has found something to do", "`cove apply` without --diff does it"},
		{AddonFailed, ExitKubernetes, "an addon did not become available", "`cove logs` and `cove kubectl get pods -A` say why"},
		{KubernetesRefused, ExitKubernetes, "the API server refused a request", "the message says what it refused"},
		{CommandFailed, ExitBug, "a command in a node failed", "its output says why"},
		{Interrupted, ExitInterrupted, "the run was interrupted", "run the same command again when you like"},
	}
}

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
)

// share is what the nodes of a cluster take of a limit: the control plane, and each worker. Measured on idle clusters of
// one and three nodes, with room to spare for pods.
type share struct{ controlPlane, worker int64 }

// What others on the host take of a limit, roughly: a desktop's session is the greatest of them.
const (
	instancesElsewhere = 48
	watchesElsewhere   = 4096
	pidsElsewhere      = 2048
	filesElsewhere     = 4096
)

// What the cures set, as kind's page of known issues has it: more than enough costs nothing.
const (
	cureInstances = 512
	cureWatches   = 524288
	curePids      = 4194304
)

func checkInotifyInstances(ctx context.Context, h *host) finding {
	return h.sysctl(ctx, "fs.inotify.max_user_instances", share{23, 10}, instancesElsewhere, cureInstances)
}

func checkInotifyWatches(ctx context.Context, h *host) finding {
	return h.sysctl(ctx, "fs.inotify.max_user_watches", share{400, 200}, watchesElsewhere, cureWatches)
}

func checkPids(ctx context.Context, h *host) finding {
	return h.sysctl(ctx, "kernel.pid_max", share{400, 200}, pidsElsewhere, curePids)
}

// sysctl judges a limit: it fails where the planned nodes and those that run alone take more, and warns where that and
// what others take does not fit.
func (h *host) sysctl(ctx context.Context, name string, each share, elsewhere, cure int64) finding {
	least, err := h.taken(ctx, each)
	if err != nil {
		return skip("%v", err)
	}
	good := least + elsewhere
	f := finding{need: strconv.FormatInt(good, 10), cure: fmt.Sprintf("sudo sysctl %s=%d", name, max(cure, good))}
	value, err := h.number("proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return skip("%v", err)
	}
	f.status, f.value = OK, strconv.FormatInt(value, 10)
	switch {
	case value < least:
		f.status = Fail
	case value < good:
		f.status = Warn
	}
	return f
}

// taken returns what the planned nodes will take, and cove's nodes that run do.
func (h *host) taken(ctx context.Context, each share) (int64, error) {
	running, err := h.running(ctx)
	if err != nil {
		return 0, err
	}
	sum := each.controlPlane + int64(h.Nodes-1)*each.worker
	for _, n := range running {
		switch {
		case n.State != engine.StateRunning:
		case n.Role == engine.RoleControlPlane:
			sum += each.controlPlane
		default:
			sum += each.worker
		}
	}
	return sum, nil
}

// number reads the first number of a file.
func (h *host) number(path string) (int64, error) {
	data, err := fs.ReadFile(h.FS, path)
	if err != nil {
		return 0, cause(err)
	}
	fields := strings.Fields(string(data))
	if len(fields) == 0 {
		return 0, fmt.Errorf("/%s is empty", path)
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return n, nil // fs.file-max can be beyond: ParseInt returns the greatest number then
	}
	return n, err
}

// cause says what is wrong with a file without the words of the operation.
func cause(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return fmt.Errorf("/%s cannot be read: %w", e.Path, e.Err)
	}
	return err
}

func checkFileHandles(ctx context.Context, h *host) finding {
	limit, err := h.number("proc/sys/fs/file-max")
	if err != nil {
		return skip("%v", err)
	}
	used, err := h.number("proc/sys/fs/file-nr")
	if err != nil {
		return skip("%v", err)
	}
	need, err := h.taken(ctx, share{1500, 600})
	if err != nil {
		return skip("%v", err)
	}
	f := finding{
		status: OK, value: fmt.Sprintf("%d free of %d", limit-used, limit), need: fmt.Sprintf("%d free", need+filesElsewhere),
		cure: fmt.Sprintf("sudo sysctl fs.file-max=%d", used+2*(need+filesElsewhere)),
	}
	switch free := limit - used; {
	case free < need:
		f.status = Fail
	case free < need+filesElsewhere:
		f.status = Warn
	}
	return f
}

// openFiles is what containerd and etcd need for each process; the lower number is where they stop working.
const (
	openFilesGood  = 8192
	openFilesLeast = 1024
)

// checkOpenFiles looks at the limit of the engine's own process, which containers inherit.
func checkOpenFiles(_ context.Context, h *host) finding {
	f := finding{
		need: strconv.Itoa(openFilesGood),
		cure: "raise the engine's own limit: LimitNOFILE=1048576 in a drop-in for docker.service and containerd.service, then restart both",
	}
	limit, err := engineOpenFiles(h.FS)
	if err != nil {
		return skip("%v", err)
	}
	f.status, f.value = OK, strconv.FormatInt(limit, 10)
	switch {
	case limit < openFilesLeast:
		f.status = Fail
	case limit < openFilesGood:
		f.status = Warn
	}
	return f
}

// engineOpenFiles returns the hard limit of open files that a container inherits: that of containerd, which starts the
// shims, else that of dockerd.
func engineOpenFiles(root fs.FS) (int64, error) {
	entries, err := fs.ReadDir(root, "proc")
	if err != nil {
		return 0, cause(err)
	}
	pids := map[string]string{}
	for _, e := range entries {
		if name := e.Name(); name[0] >= '0' && name[0] <= '9' {
			comm, err := fs.ReadFile(root, "proc/"+name+"/comm")
			if err == nil {
				pids[strings.TrimSpace(string(comm))] = name
			}
		}
	}
	for _, process := range []string{"containerd", "dockerd"} {
		pid, ok := pids[process]
		if !ok {
			continue
		}
		data, err := fs.ReadFile(root, "proc/"+pid+"/limits")
		if err != nil {
			return 0, cause(err)
		}
		for line := range strings.Lines(string(data)) {
			rest, ok := strings.CutPrefix(line, "Max open files")
			fields := strings.Fields(rest)
			if !ok || len(fields) < 2 {
				continue
			}
			if fields[1] == "unlimited" {
				return 1 << 62, nil
			}
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, errors.New("the engine's process is not to be seen from here")
}

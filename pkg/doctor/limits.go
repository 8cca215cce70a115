package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// What one node takes, measured on idle clusters of one and three nodes with room to spare.
const (
	instancesPerNode = 12
	watchesPerNode   = 400
	filesPerNode     = 3000
	pidsPerNode      = 400
)

// What the host's own programs take of each limit, roughly: a desktop's session is the greatest of them.
const (
	instancesElsewhere = 64
	watchesElsewhere   = 4096
)

// What the cures set, as kind's page of known issues has it: more than enough costs nothing.
const (
	cureInstances = 512
	cureWatches   = 524288
	curePids      = 4194304
)

func checkInotifyInstances(_ context.Context, h *host) finding {
	return h.sysctl("fs.inotify.max_user_instances", instancesPerNode, instancesElsewhere, cureInstances)
}

func checkInotifyWatches(_ context.Context, h *host) finding {
	return h.sysctl("fs.inotify.max_user_watches", watchesPerNode, watchesElsewhere, cureWatches)
}

func checkPids(_ context.Context, h *host) finding {
	return h.sysctl("kernel.pid_max", pidsPerNode, 2048, curePids)
}

// sysctl judges a limit: it fails where the planned nodes alone take more, and warns where twice of that and what others
// take do not fit.
func (h *host) sysctl(name string, perNode, elsewhere, cure int64) finding {
	least := int64(h.Nodes) * perNode
	good := 2*least + elsewhere
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

func checkFileHandles(_ context.Context, h *host) finding {
	limit, err := h.number("proc/sys/fs/file-max")
	if err != nil {
		return skip("%v", err)
	}
	used, err := h.number("proc/sys/fs/file-nr")
	if err != nil {
		return skip("%v", err)
	}
	need := int64(h.Nodes) * filesPerNode
	f := finding{
		status: OK, value: fmt.Sprintf("%d free of %d", limit-used, limit), need: fmt.Sprintf("%d free", 2*need),
		cure: fmt.Sprintf("sudo sysctl fs.file-max=%d", used+4*need),
	}
	switch free := limit - used; {
	case free < need:
		f.status = Fail
	case free < 2*need:
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

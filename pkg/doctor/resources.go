package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// Disk: what etcd's logs, containerd's state and logs take at once, and what leaves room for images and volumes.
const (
	diskLeast   = 256 * mib
	diskPerNode = 128 * mib
	diskGood    = 4 * gib
	memoryFirst = 640 * mib // an idle control plane: 410 – 480 MiB, and room for one pod
	memoryMore  = 192 * mib // an idle worker
	memoryPods  = 512 * mib // what leaves room to work
)

func checkDisk(_ context.Context, h *host) finding {
	least := uint64(diskLeast + diskPerNode*h.Nodes) //nolint:gosec // a small number of nodes
	good := max(uint64(diskGood), 2*least)
	f := finding{need: size(good) + " free in " + h.Info.RootDir, cure: "free space, for example with `docker system prune`"}
	free, total, err := h.DiskFree(h.Info.RootDir)
	if err != nil {
		// The engine may see another file system than this process, as where its socket was mounted into a container.
		return skip("%s is not to be seen from here", h.Info.RootDir)
	}
	f.status, f.value = OK, fmt.Sprintf("%s of %s in %s", size(free), size(total), h.Info.RootDir)
	switch {
	case free < least:
		f.status = Fail
	case free < good:
		f.status = Warn
	}
	return f
}

// checkMemory fails by what the machine has, for what others use of it may be given back, and warns by what is free.
func checkMemory(_ context.Context, h *host) finding {
	least := int64(memoryFirst + memoryMore*(h.Nodes-1))
	good := least + memoryPods
	f := finding{
		status: OK, value: size(uint64(h.Info.MemoryBytes)), need: size(uint64(good)) + " free", //nolint:gosec // sizes
		cure: "give the engine's host more memory, or plan fewer nodes",
	}
	free := h.Info.MemoryBytes
	if available, ok := availableMemory(h); ok {
		free = available
		f.value = size(uint64(available)) + " free of " + f.value //nolint:gosec // sizes
	}
	switch {
	case h.Info.MemoryBytes < least:
		f.status = Fail
	case free < good:
		f.status = Warn
		f.cure = "end what uses much memory, or plan fewer nodes"
	}
	return f
}

// availableMemory returns MemAvailable of /proc/meminfo in bytes.
func availableMemory(h *host) (int64, bool) {
	if !h.local {
		return 0, false
	}
	data, err := fs.ReadFile(h.FS, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemAvailable:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

func checkCPUs(_ context.Context, h *host) finding {
	f := finding{status: OK, value: strconv.Itoa(h.Info.CPUs), need: "2", cure: "give the engine's host a second processor: one works, but slowly"}
	if h.Info.CPUs < 2 {
		f.status = Warn
	}
	return f
}

// checkSwap only tells: the kubelets of cove's nodes run with swap.
func checkSwap(_ context.Context, h *host) finding {
	data, err := fs.ReadFile(h.FS, "proc/swaps")
	if err != nil {
		return skip("%v", cause(err))
	}
	total := uint64(0)
	for line := range strings.Lines(string(data)) {
		// name, type, size in KiB, used, priority
		if fields := strings.Fields(line); len(fields) == 5 {
			if kib, err := strconv.ParseUint(fields[2], 10, 64); err == nil {
				total += kib << 10
			}
		}
	}
	f := finding{status: OK, value: "none", need: "none; the kubelet runs with it, too"}
	if total > 0 {
		f.value = size(total)
	}
	return f
}

// size writes bytes for people.
func size(n uint64) string {
	switch {
	case n >= gib:
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	default:
		return fmt.Sprintf("%d MiB", n/mib)
	}
}

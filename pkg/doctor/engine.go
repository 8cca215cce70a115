package doctor

import (
	"context"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// oldestEngine is the first version whose API has what nodes need: private cgroup namespaces and cgroup v2.
const oldestEngine = "20.10"

func checkVersion(_ context.Context, h *host) finding {
	f := finding{status: OK, value: h.Info.Version, need: oldestEngine + " or later", cure: "update the engine"}
	major, rest, _ := strings.Cut(h.Info.Version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	if err != nil {
		f.status, f.value = Warn, h.Info.Version+", a version that cannot be read"
		return f
	}
	b, err := strconv.Atoi(minor)
	if err != nil {
		b = 0 // "28-rc.1"
	}
	if a < 20 || a == 20 && b < 10 {
		f.status = Fail
	}
	return f
}

func checkPlatform(_ context.Context, h *host) finding {
	f := finding{
		status: OK, value: h.Info.OS + "/" + h.Info.Architecture + ", kernel " + h.Info.Kernel,
		need: "linux/amd64 or linux/arm64", cure: "use an engine that runs Linux containers on one of these",
	}
	switch {
	case h.Info.OS != "linux":
		f.status = Fail
	case h.Info.Architecture != "amd64" && h.Info.Architecture != "arm64":
		f.status = Warn
	}
	return f
}

func checkCapabilities(_ context.Context, h *host) finding {
	f := finding{status: OK, value: "the engine can give all", need: "all, or all but a few"}
	switch {
	case h.Info.Rootless:
		f.value = "rootless: those of the engine's own user namespace"
	case !h.local && !h.Info.Restricted:
		f.value = "all, as far as is known from here; the first node finds out"
	case h.Info.Restricted:
		f.value = "the engine cannot give --privileged; nodes run with those that it has"
	}
	return f
}

func checkCgroupVersion(_ context.Context, h *host) finding {
	f := finding{
		status: OK, value: strconv.Itoa(h.Info.CgroupVersion), need: "2; 1 works too, though not with a rootless engine",
		cure: "boot the host with systemd.unified_cgroup_hierarchy=1",
	}
	if h.Info.CgroupVersion == 1 && h.Info.Rootless {
		f.status, f.value = Fail, "1 with a rootless engine"
	}
	return f
}

func checkCgroupDriver(_ context.Context, h *host) finding {
	f := finding{
		status: OK, value: h.Info.CgroupDriver, need: "cgroupfs or systemd",
		cure: "let systemd delegate the cgroup controllers to the engine's user (Delegate=yes for user@.service), then restart the engine",
	}
	if h.Info.CgroupDriver == "none" {
		f.status = Fail
	}
	return f
}

// wantedControllers are what the kubelet cannot do without.
func wantedControllers() []string { return []string{"cpu", "cpuset", "memory", "pids"} }

// checkControllers reads the kernel's list where the engine runs on it. Elsewhere the engine's own warnings must do.
func checkControllers(_ context.Context, h *host) finding {
	f := finding{
		status: OK, need: strings.Join(wantedControllers(), ", "),
		cure: "enable the missing controllers: boot the host with cgroup_enable=memory (or what is missing) on the kernel's command line",
	}
	var missing []string
	have, known := controllers(h)
	if known {
		f.value = strings.Join(have, ", ")
		for _, c := range wantedControllers() {
			if !slices.Contains(have, c) {
				missing = append(missing, c)
			}
		}
	} else {
		f.value = "the engine misses none"
		missing = warnedControllers(h.Info.Warnings)
	}
	if len(missing) > 0 {
		f.status, f.value = Fail, "without "+strings.Join(missing, ", ")
	}
	return f
}

// warnedControllers reads which controllers the engine says it has not.
func warnedControllers(warnings []string) []string {
	var missing []string
	for _, w := range warnings {
		for _, c := range []struct{ controller, text string }{
			{"cpu", "No cpu cfs quota support"}, {"cpuset", "No cpuset support"},
			{"memory", "No memory limit support"}, {"pids", "No pids limit support"},
		} {
			if strings.Contains(w, c.text) {
				missing = append(missing, c.controller)
			}
		}
	}
	return missing
}

// controllers returns the controllers that the kernel has switched on; false where that is not to be known.
func controllers(h *host) ([]string, bool) {
	if !h.local {
		return nil, false
	}
	if h.Info.CgroupVersion == 2 {
		data, err := fs.ReadFile(h.FS, "sys/fs/cgroup/cgroup.controllers")
		return strings.Fields(string(data)), err == nil
	}
	data, err := fs.ReadFile(h.FS, "proc/cgroups")
	if err != nil {
		return nil, false
	}
	var have []string
	for line := range strings.Lines(string(data)) {
		// name, hierarchy, number of cgroups, enabled
		if fields := strings.Fields(line); len(fields) == 4 && fields[3] == "1" {
			have = append(have, fields[0])
		}
	}
	return have, len(have) > 0
}

func checkStorage(_ context.Context, h *host) finding {
	f := finding{
		status: OK, value: h.Info.StorageDriver, need: "overlay2, fuse-overlayfs or overlayfs",
		cure: "set the engine's storage driver to overlay2, which nodes share their image with",
	}
	switch h.Info.StorageDriver {
	case "overlay2", "fuse-overlayfs", "overlayfs", "stargz", "btrfs":
	default: // vfs copies the image for every node; overlays cannot lie on aufs, or on old zfs
		f.status = Warn
	}
	return f
}

func checkAppArmor(_ context.Context, h *host) finding {
	f := finding{status: OK, value: "not used by the engine", need: "none: nodes run unconfined"}
	if slices.ContainsFunc(h.Info.SecurityOptions, func(o string) bool { return strings.Contains(o, "name=apparmor") }) {
		f.value = "used by the engine; nodes run unconfined"
	}
	return f
}

// fewSubnets is where a warning is due.
const fewSubnets = 4

// checkSubnets looks for what a cluster's network can be: a subnet that neither another cluster nor, where it is known, a
// route of the host takes. Networks of the engine that are not cove's are among the routes.
func checkSubnets(ctx context.Context, h *host) finding {
	f := finding{
		status: OK, need: "a private /24 that nothing else uses",
		cure: "remove unused networks with `docker network prune`, or end the VPN that routes all private addresses",
	}
	taken, err := takenSubnets(ctx, h)
	if err != nil {
		f.status, f.value, f.code = Fail, err.Error(), fault.CodeOf(err)
		return f
	}
	var free []string
	for range fewSubnets {
		next := engine.FreeSubnet(taken)
		if !next.IsValid() {
			break
		}
		free, taken = append(free, next.String()), append(taken, next)
	}
	switch len(free) {
	case 0:
		f.status, f.value = Fail, "none"
	case fewSubnets:
		f.value = free[0] + " and more"
	default:
		f.status, f.value = Warn, "only "+strings.Join(free, ", ")
	}
	return f
}

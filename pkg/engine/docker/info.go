package docker

import (
	"context"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/system"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Info asks the engine what it is.
func (e *Engine) Info(ctx context.Context) (engine.Info, error) {
	sys, err := e.api.Info(ctx)
	if err != nil {
		return engine.Info{}, e.fail(fault.EngineFailed, err, "cannot ask the engine what it is")
	}
	version, err := e.api.ServerVersion(ctx)
	if err != nil {
		return engine.Info{}, e.fail(fault.EngineFailed, err, "cannot ask the engine for its version")
	}
	if sys.OSType != "linux" {
		return engine.Info{}, fault.New(fault.EngineUnsupported, "cannot use the engine at %s: it runs %s containers", e.endpoint, sys.OSType)
	}
	e.mu.Lock()
	e.system = &sys
	e.mu.Unlock()
	cgroup, err := strconv.Atoi(sys.CgroupVersion)
	if err != nil {
		cgroup = 1 // engines that do not tell know only that one
	}
	return engine.Info{
		Name: "docker", Version: version.Version, APIVersion: version.APIVersion,
		Endpoint: e.endpoint.host, Host: e.endpoint.remote(),
		OS: version.Os, Architecture: version.Arch, Kernel: sys.KernelVersion, HostName: sys.Name,
		StorageDriver: sys.Driver, CgroupVersion: cgroup, CgroupDriver: sys.CgroupDriver,
		SecurityOptions: sys.SecurityOptions, CPUs: sys.NCPU, MemoryBytes: sys.MemTotal, RootDir: sys.DockerRootDir,
		Rootless: hasSecurity(&sys, "rootless"), Restricted: e.restricted.Load(), Warnings: sys.Warnings,
	}, nil
}

// about returns what the engine said of itself the first time.
func (e *Engine) about(ctx context.Context) (*system.Info, error) {
	e.mu.Lock()
	known := e.system
	e.mu.Unlock()
	if known != nil {
		return known, nil
	}
	sys, err := e.api.Info(ctx)
	if err != nil {
		return nil, e.fail(fault.EngineFailed, err, "cannot ask the engine what it is")
	}
	e.mu.Lock()
	e.system = &sys
	e.mu.Unlock()
	return &sys, nil
}

// hasSecurity tells whether the engine has a security option, such as "rootless", "selinux" or "userns".
func hasSecurity(sys *system.Info, name string) bool {
	for _, o := range sys.SecurityOptions {
		for part := range strings.SplitSeq(o, ",") {
			if part == "name="+name {
				return true
			}
		}
	}
	return false
}

// containerdStore tells whether the engine keeps its images in containerd, where an image has all of its platforms.
func containerdStore(sys *system.Info) bool {
	for _, s := range sys.DriverStatus {
		if s[0] == "driver-type" && strings.HasPrefix(s[1], "io.containerd.snapshotter") {
			return true
		}
	}
	return false
}

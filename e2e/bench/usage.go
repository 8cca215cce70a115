//go:build linux

package main

import (
	"context"
	"strings"
	"time"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// container is what the engine says of a container.
type container struct {
	State struct {
		Running bool
		PID     int `json:"Pid"`
	}
}

func inspect(ctx context.Context, engine *testbed.Engine, name string) (container, error) {
	var c container
	return c, engine.Get(ctx, "/containers/"+name+"/json", &c)
}

// usage is what containers use together.
type usage struct {
	at     time.Time
	cpu    time.Duration // since they started
	memory uint64        // bytes
}

// containers returns the names of the engine's containers: those of the one cluster that is there at a time, and those
// of its load balancer among them.
func containers(ctx context.Context, engine *testbed.Engine, query string) ([]string, error) {
	var list []struct{ Names []string }
	if err := engine.Get(ctx, "/containers/json"+query, &list); err != nil {
		return nil, err
	}
	var names []string
	for _, c := range list {
		for _, name := range c.Names {
			names = append(names, strings.TrimPrefix(name, "/"))
		}
	}
	return names, nil
}

// read asks the engine what the containers that run use.
func read(ctx context.Context, engine *testbed.Engine) (usage, error) {
	var u usage
	names, err := containers(ctx, engine, "")
	if err != nil {
		return u, err
	}
	for _, name := range names {
		var s stats
		if err := engine.Get(ctx, "/containers/"+name+"/stats?stream=false&one-shot=true", &s); err != nil {
			return u, err
		}
		u.at = s.Read
		u.cpu += time.Duration(s.CPU.Usage.Total) //nolint:gosec // nanoseconds of CPU fit for 292 years
		u.memory += s.memory()
	}
	return u, nil
}

// stats is what the engine's API says of a container's resources.
type stats struct {
	Read time.Time `json:"read"`
	CPU  struct {
		Usage struct {
			Total uint64 `json:"total_usage"`
		} `json:"cpu_usage"`
	} `json:"cpu_stats"`
	Memory struct {
		Usage uint64            `json:"usage"`
		Stats map[string]uint64 `json:"stats"`
	} `json:"memory_stats"`
}

// memory is what is in use without page cache that can be dropped, as the docker command has it.
// Source: docker/cli, cli/command/container/stats_helpers.go, calculateMemUsageUnixNoCache.
func (s stats) memory() uint64 {
	cache, v1 := s.Memory.Stats["total_inactive_file"]
	if !v1 {
		cache = s.Memory.Stats["inactive_file"]
	}
	if cache > s.Memory.Usage {
		return s.Memory.Usage
	}
	return s.Memory.Usage - cache
}

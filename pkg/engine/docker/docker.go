// Package docker runs nodes on a Docker Engine, from 20.10 on, through the engine's API. It never calls the docker
// command; for an ssh:// endpoint it runs ssh, as docker does.
package docker

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// minAPI is the API of Docker Engine 20.10, the first that can give a container a cgroup namespace of its own.
const minAPI = "1.41"

// Options choose the engine. With neither it is found as the docker command finds it: DOCKER_HOST, DOCKER_CONTEXT, the
// current context of the docker configuration, the platform's default socket.
type Options struct {
	Host    string // an endpoint: "unix:///run/docker.sock", "tcp://host:2376", "ssh://user@host"
	Context string // the name of a docker context
}

// Engine is a Docker Engine. It is an engine.Engine.
type Engine struct {
	api      *client.Client
	endpoint endpoint
	keychain authn.Keychain

	restricted atomic.Bool // --privileged is known to fail
	noModules  atomic.Bool // the engine's host is known to have no /lib/modules
	noSwap     atomic.Bool // the engine's host is known not to account swap, whatever the engine says

	mu     sync.Mutex
	system *system.Info   // what does not change while the engine runs; nil: not asked yet
	lacks  []string       // capabilities that the engine's process lacks, as far as known
	dials  map[string]int // by node: the index in dialPrograms of the one that its image has
}

// The adapter is what it says.
var _ engine.Engine = (*Engine)(nil)

// New finds the engine and makes sure that it answers and is of a kind that can run nodes. EngineUnreachable,
// EnginePermission, EngineUnsupported; ConfigInvalid where an option or a variable is not an endpoint.
func New(ctx context.Context, o Options) (*Engine, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // then there is no docker configuration either
	}
	ep, err := resolve(o, os.Getenv, home, client.DefaultDockerHost)
	if err != nil {
		return nil, err
	}
	return connect(ctx, ep)
}

// connect makes a client for the endpoint and asks for a first sign of life.
func connect(ctx context.Context, ep endpoint) (*Engine, error) {
	opts, err := ep.clientOptions()
	if err != nil {
		return nil, err
	}
	opts = append(opts, client.WithVersionFromEnv(), client.WithAPIVersionNegotiation(), client.WithUserAgent("cove"))
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fault.Wrap(fault.ConfigInvalid, err, "cannot use the engine endpoint %s", ep)
	}
	e := &Engine{api: api, endpoint: ep, keychain: authn.DefaultKeychain, dials: map[string]int{}}
	ping, err := api.Ping(ctx)
	if err != nil {
		return nil, e.fail(fault.EngineUnreachable, err, "cannot reach the engine at %s", ep)
	}
	if ping.OSType != "" && ping.OSType != "linux" {
		return nil, fault.New(fault.EngineUnsupported, "cannot use the engine at %s: it runs %s containers", ep, ping.OSType).
			WithHint("switch Docker Desktop to Linux containers")
	}
	if versions.LessThan(ping.APIVersion, minAPI) {
		return nil, fault.New(fault.EngineUnsupported, "cannot use the engine at %s: it speaks API %q, and %s is needed",
			ep, ping.APIVersion, minAPI)
	}
	api.NegotiateAPIVersionPing(ping)
	e.detect(ping.APIVersion)
	return e, nil
}

// Close lets go of the connections.
func (e *Engine) Close() error { return e.api.Close() }

// detect finds out before the first start whether the engine can give --privileged. It only ever learns that it cannot:
// what it does not find out, the first start does.
func (e *Engine) detect(apiVersion string) {
	// From 23.0 (API 1.42) on the engine itself asks only for the capabilities that it has.
	if runtime.GOOS != "linux" || !versions.LessThan(apiVersion, "1.42") {
		return
	}
	if lacks := missingCapabilities(e.endpoint.socket(), "/proc"); len(lacks) > 0 {
		e.lacks = lacks
		e.restricted.Store(true)
	}
}

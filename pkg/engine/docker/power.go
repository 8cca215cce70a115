package docker

import (
	"context"
	"math"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/cove-k8s/cove/pkg/fault"
)

// PauseNode freezes the node's processes. A node that does not run is ClusterNotRunning.
func (e *Engine) PauseNode(ctx context.Context, name string) error {
	return e.setPaused(ctx, name, true, "pause", e.api.ContainerPause)
}

// ResumeNode lets the node's processes go on. A node that does not run has nothing that could.
func (e *Engine) ResumeNode(ctx context.Context, name string) error {
	return e.setPaused(ctx, name, false, "resume", e.api.ContainerUnpause)
}

// setPaused brings a node into the state by do, unless it is in it: engines refuse to do it twice.
func (e *Engine) setPaused(ctx context.Context, name string, paused bool, doing string, do func(context.Context, string) error) error {
	c, err := e.inspect(ctx, name)
	if err != nil || isPaused(c) == paused {
		return err
	}
	refused := do(ctx, c.ID)
	if refused == nil {
		return nil
	}
	if now, err := e.inspect(ctx, name); err == nil && isPaused(now) == paused {
		return nil // somebody else was faster
	}
	return e.fail(fault.EngineFailed, refused, "cannot %s node %s", doing, name)
}

func isPaused(c container.InspectResponse) bool { return c.State != nil && c.State.Paused }

// KeepDown changes the container's restart policy. With the one that a node is made with, an engine that is started anew also
// starts what was stopped.
func (e *Engine) KeepDown(ctx context.Context, name string, down bool) error {
	c, err := e.inspect(ctx, name)
	if err != nil {
		return err
	}
	if c.HostConfig != nil && (down && c.HostConfig.RestartPolicy.IsNone() || !down && c.HostConfig.RestartPolicy.IsAlways()) {
		return nil
	}
	policy := container.RestartPolicyAlways
	if down {
		policy = container.RestartPolicyDisabled
	}
	_, err = e.api.ContainerUpdate(ctx, c.ID, container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: policy}})
	return e.fail(fault.EngineFailed, err, "cannot change the restart policy of node %s", name)
}

// StopNode asks PID 1 to end, and kills it after grace (0: at once; rounded up to seconds). Engines differ in what they do
// with a container that is paused, so it is resumed first.
func (e *Engine) StopNode(ctx context.Context, name string, grace time.Duration) error {
	if err := e.ResumeNode(ctx, name); err != nil {
		return err
	}
	seconds := int(math.Ceil(grace.Seconds()))
	err := e.api.ContainerStop(ctx, name, container.StopOptions{Timeout: &seconds})
	return e.fail(fault.EngineFailed, err, "cannot stop node %s", name)
}

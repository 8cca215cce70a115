package initd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cove.dev/images/node/internal/control"
	"cove.dev/images/node/internal/unit"
)

// requestGrace is how long a unit that is stopped on request may take: systemd gives 90 s, which nobody waits for here.
const requestGrace = 10 * time.Second

// handle answers one request from the control socket.
func (d *daemon) handle(ctx context.Context, req control.Request) control.Response {
	if req.Verb == control.Status {
		return control.Response{Units: []control.UnitStatus{status(d.containerd), status(d.kubelet)}}
	}
	if err := d.act(ctx, req); err != nil {
		return control.Response{Error: err.Error()}
	}
	return control.Response{}
}

func status(u *unit.Unit) control.UnitStatus {
	return control.UnitStatus{Status: u.Status(), Enabled: !disabled(u.Name())}
}

func (d *daemon) act(ctx context.Context, req control.Request) error {
	var u *unit.Unit
	switch req.Unit {
	case ContainerdName:
		u = d.containerd
	case KubeletName:
		u = d.kubelet
	default:
		return fmt.Errorf("there is no unit %q", req.Unit)
	}
	d.log.Printf("init: asked to %s %s", req.Verb, req.Unit)
	switch req.Verb {
	case control.Start:
		return u.Start(ctx)
	case control.Stop:
		return u.Stop(ctx, requestGrace)
	case control.Restart:
		return u.Restart(ctx, requestGrace)
	case control.Enable:
		return setDisabled(req.Unit, false)
	case control.Disable:
		return setDisabled(req.Unit, true)
	default:
		return fmt.Errorf("there is no verb %q", req.Verb)
	}
}

// disabledMark is where it is noted that a unit does not start with the node: on the volume, so that it holds for the node.
func disabledMark(name string) string { return filepath.Join(stateDir, "disabled-"+name) }

func disabled(name string) bool {
	_, err := os.Lstat(disabledMark(name))
	return err == nil
}

func setDisabled(name string, off bool) error {
	if !off {
		if err := os.Remove(disabledMark(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(stateDir, 0o750); err != nil {
		return err
	}
	return os.WriteFile(disabledMark(name), nil, 0o600)
}

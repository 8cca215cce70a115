package initd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cove.dev/images/node/internal/control"
	"cove.dev/images/node/internal/unit"
)

// requestGrace is how long a unit that is stopped on request may take: systemd gives 90 s, which nobody waits for here.
const requestGrace = 10 * time.Second

// errNoReload is that of a unit that takes a new configuration only by a restart.
var errNoReload = errors.New("it takes its configuration when it starts: restart it")

// handle answers one request from the control socket.
func (d *daemon) handle(ctx context.Context, req control.Request) control.Response {
	if req.Verb == control.Status {
		var list []control.UnitStatus
		for _, u := range d.role.units() {
			list = append(list, control.UnitStatus{Status: u.Status(), Enabled: !d.marks.disabled(u.Name())})
		}
		return control.Response{Units: list}
	}
	if err := d.act(ctx, req); err != nil {
		return control.Response{Error: err.Error()}
	}
	return control.Response{}
}

func (d *daemon) act(ctx context.Context, req control.Request) error {
	units := d.role.units()
	i := slices.IndexFunc(units, func(u *unit.Unit) bool { return u.Name() == req.Unit })
	if i < 0 {
		return fmt.Errorf("there is no unit %q", req.Unit)
	}
	u := units[i]
	d.log.Printf("init: asked to %s %s", req.Verb, req.Unit)
	switch req.Verb {
	case control.Start:
		return errors.Join(d.marks.release(req.Unit), u.Start(ctx))
	case control.Stop:
		return u.Stop(ctx, requestGrace)
	case control.Restart:
		return errors.Join(d.marks.release(req.Unit), u.Restart(ctx, requestGrace))
	case control.Reload:
		return d.role.reload(ctx, u)
	case control.ReloadOrRestart:
		if err := d.role.reload(ctx, u); !errors.Is(err, errNoReload) {
			return err
		}
		return errors.Join(d.marks.release(req.Unit), u.Restart(ctx, requestGrace))
	case control.Enable:
		return d.marks.setDisabled(req.Unit, false)
	case control.Disable:
		return d.marks.setDisabled(req.Unit, true)
	default:
		return fmt.Errorf("there is no verb %q", req.Verb)
	}
}

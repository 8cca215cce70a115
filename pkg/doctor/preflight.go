package doctor

import (
	"context"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Preflight returns the checks that create makes before it has made anything: those that can be fatal. The first that
// fails is the error, with the check's code and its cure as the hint; what is only low is a warning. The function is a
// cluster.Preflight.
func Preflight(env Env) func(ctx context.Context, info engine.Info, nodes int, rep *event.Reporter) error {
	return func(ctx context.Context, info engine.Info, nodes int, rep *event.Reporter) error {
		h := &host{Env: env}
		h.Info, h.Nodes = info, nodes
		h.prepare()
		var fatal []probe
		for _, p := range probes() {
			if p.preflight {
				fatal = append(fatal, p)
			}
		}
		for _, c := range h.check(ctx, fatal) {
			switch c.Status {
			case Fail:
				return fault.New(c.Code, "%s: %s, where a cluster needs %s", lower(c.Title), c.Value, c.Need).WithHint("%s", c.Cure)
			case Warn:
				rep.Warn(c.Cure, "%s: %s, better %s", lower(c.Title), c.Value, c.Need)
			case OK, Skipped:
			}
		}
		return nil
	}
}

// lower makes a title fit into a message.
func lower(title string) string {
	if len(title) > 1 && title[0] >= 'A' && title[0] <= 'Z' && (title[1] < 'A' || title[1] > 'Z') {
		return string(title[0]+'a'-'A') + title[1:]
	}
	return title
}

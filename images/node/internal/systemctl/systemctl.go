// Package systemctl answers the systemctl command line for the container's few units, as far as kubeadm, kind and people use it:
// the same words and exit statuses (systemctl(1)), asked of the node's own PID 1. It is no systemd: there are no other
// units, no targets and no dependencies.
package systemctl

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"cove.dev/images/node/internal/control"
	"cove.dev/images/node/internal/unit"
)

// Exit statuses of systemctl(1), after the LSB's.
const (
	ok         = 0
	failed     = 1
	notActive  = 3
	noSuchUnit = 4
)

// Command is one systemctl; its fields are what it talks to.
type Command struct {
	Ask    func(ctx context.Context, req control.Request) (control.Response, error)
	Stdout io.Writer
	Stderr io.Writer
	// Describe says what a unit runs, and the file that cat shows.
	Describe func(name string) Description
	// Tail has the last lines of a unit's log, for status.
	Tail func(name string, n int) []string
}

// Description is what is known of a unit beside its state.
type Description struct{ Title, Exec string }

// options are those flags that change anything here.
type options struct {
	quiet, value, now bool
	lines             int
	properties        []string
}

// Run executes the arguments and returns the exit status.
func (c *Command) Run(ctx context.Context, args []string) int {
	opts, words, err := parse(args)
	if err != nil {
		return c.fail(failed, "%v", err)
	}
	if len(words) == 0 {
		words = []string{"list-units"}
	}
	verb, units := words[0], unitNames(words[1:])
	switch verb {
	case "daemon-reload", "daemon-reexec", "reset-failed":
		return ok // the kubelet's files are read at each start
	case "is-system-running":
		c.print(opts, "running")
		return ok
	case "list-units", "list-unit-files":
		return c.list(ctx)
	case "start", "stop", "restart", "try-restart", "reload", "reload-or-restart", "enable", "disable":
		return c.act(ctx, verb, units, opts)
	case "is-active", "is-enabled", "is-failed", "status", "cat", "show":
		return c.tell(ctx, verb, units, opts)
	default:
		return c.fail(failed, "Unknown command verb '%s'.", verb)
	}
}

// unitNames drops the suffix, so that kubelet and kubelet.service are one.
func unitNames(words []string) []string {
	var names []string
	for _, w := range words {
		names = append(names, strings.TrimSuffix(w, ".service"))
	}
	return names
}

// act changes units, one after the other, and stops at the first error.
func (c *Command) act(ctx context.Context, verb string, units []string, opts options) int {
	if len(units) == 0 {
		return c.fail(failed, "Too few arguments.")
	}
	state, err := c.units(ctx)
	if err != nil {
		return c.fail(failed, "%v", err)
	}
	for _, name := range units {
		if _, known := state[name]; !known {
			return c.fail(unknownStatus(verb), "Failed to %s %s.service: Unit %s.service not found.", verb, name, name)
		}
		for _, v := range steps(verb, opts.now) {
			if _, err := c.Ask(ctx, control.Request{Verb: v, Unit: name}); err != nil {
				return c.fail(failed, "Job for %s.service failed: %v", name, err)
			}
		}
	}
	return ok
}

// unknownStatus: systemctl start of an unknown unit exits with 5, enable with 1.
func unknownStatus(verb string) int {
	if verb == "enable" || verb == "disable" {
		return failed
	}
	return 5
}

func steps(verb string, now bool) []string {
	switch {
	case verb == "enable" && now:
		return []string{control.Enable, control.Start}
	case verb == "disable" && now:
		return []string{control.Disable, control.Stop}
	case verb == "try-restart":
		return []string{control.Restart}
	default:
		return []string{verb}
	}
}

// tell answers a question about units. With several, is-active and is-failed succeed when one is, the others when all are.
func (c *Command) tell(ctx context.Context, verb string, units []string, opts options) int {
	state, err := c.units(ctx)
	if err != nil {
		return c.fail(failed, "%v", err)
	}
	if len(units) == 0 {
		if verb != "status" && verb != "show" {
			return c.fail(failed, "Too few arguments.")
		}
		units = sortedNames(state)
	}
	var codes []int
	for _, name := range units {
		s, known := state[name]
		if !known {
			codes = append(codes, c.unknown(verb, name, opts))
			continue
		}
		codes = append(codes, c.one(verb, s, opts))
	}
	if (verb == "is-active" || verb == "is-failed") && slices.Contains(codes, ok) {
		return ok
	}
	return slices.Max(codes)
}

func (c *Command) one(verb string, s control.UnitStatus, opts options) int {
	switch verb {
	case "is-active":
		c.print(opts, activeState(s))
		return statusCode(s)
	case "is-failed":
		c.print(opts, activeState(s))
		return failed // a unit that fails is tried again, so none stays failed
	case "is-enabled":
		c.print(opts, enabledState(s))
		if s.Enabled {
			return ok
		}
		return failed
	case "cat":
		c.cat(s)
		return ok
	case "show":
		c.show(s, opts)
		return ok
	default:
		c.status(s, opts)
		return statusCode(s)
	}
}

// unknown answers for a unit that does not exist, in systemctl's words: kubeadm looks for them.
func (c *Command) unknown(verb, name string, opts options) int {
	switch verb {
	case "is-active", "is-failed":
		c.print(opts, "inactive")
		return noSuchUnit
	case "is-enabled":
		c.print(opts, "not-found")
		return noSuchUnit
	case "show":
		c.properties(opts, [][2]string{{"Id", name + ".service"}, {"LoadState", "not-found"}, {"ActiveState", "inactive"}})
		return ok
	case "cat":
		return c.fail(failed, "No files found for %s.service.", name)
	default:
		// On stdout as well, where kubeadm reads it.
		c.print(opts, fmt.Sprintf("Unit %s.service could not be found.", name))
		return c.fail(noSuchUnit, "Unit %s.service could not be found.", name)
	}
}

func (c *Command) units(ctx context.Context) (map[string]control.UnitStatus, error) {
	resp, err := c.Ask(ctx, control.Request{Verb: control.Status})
	if err != nil {
		return nil, err
	}
	units := map[string]control.UnitStatus{}
	for _, u := range resp.Units {
		units[u.Name] = u
	}
	return units, nil
}

func (c *Command) print(opts options, text string) {
	if !opts.quiet {
		_, _ = fmt.Fprintln(c.Stdout, text)
	}
}

func (c *Command) fail(code int, format string, args ...any) int {
	_, _ = fmt.Fprintf(c.Stderr, format+"\n", args...)
	return code
}

// activeState is systemd's word. A unit that waits or is between two tries is "activating", which kubeadm takes for active.
func activeState(s control.UnitStatus) string {
	switch s.State {
	case unit.Running:
		return "active"
	case unit.Stopped:
		return "inactive"
	case unit.Waiting, unit.Backoff:
		return "activating"
	}
	return "unknown"
}

func enabledState(s control.UnitStatus) string {
	if s.Enabled {
		return "enabled"
	}
	return "disabled"
}

func statusCode(s control.UnitStatus) int {
	if s.State == unit.Running {
		return ok
	}
	return notActive
}

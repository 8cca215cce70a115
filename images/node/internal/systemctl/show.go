package systemctl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"cove.dev/images/node/internal/control"
	"cove.dev/images/node/internal/unit"
)

const timeFormat = "Mon 2006-01-02 15:04:05 MST"

// subState is systemd's finer word.
func subState(s control.UnitStatus) string {
	switch s.State {
	case unit.Running:
		return "running"
	case unit.Stopped:
		return "dead"
	case unit.Waiting:
		return "start-pre"
	case unit.Backoff:
		return "auto-restart"
	}
	return "unknown"
}

func (c *Command) list(ctx context.Context) int {
	state, err := c.units(ctx)
	if err != nil {
		return c.fail(failed, "%v", err)
	}
	_, _ = fmt.Fprintf(c.Stdout, "%-20s %-6s %-10s %-12s %s\n", "UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION")
	for _, name := range sortedNames(state) {
		s := state[name]
		_, _ = fmt.Fprintf(c.Stdout, "%-20s %-6s %-10s %-12s %s\n",
			name+".service", "loaded", activeState(s), subState(s), c.Describe(name).Title)
	}
	return ok
}

func (c *Command) status(s control.UnitStatus, opts options) {
	if opts.quiet {
		return
	}
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(c.Stdout, format+"\n", args...) }
	p("● %s.service - %s", s.Name, c.Describe(s.Name).Title)
	p("     Loaded: loaded (supervised by cove-node; %s)", enabledState(s))
	p("     Active: %s (%s) since %s; %s ago", activeState(s), subState(s), s.Since.UTC().Format(timeFormat),
		time.Since(s.Since).Round(time.Second))
	if s.PID != 0 {
		p("   Main PID: %d (%s)", s.PID, s.Name)
	}
	if s.LastExit != nil {
		p("  Last exit: %s at %s", s.LastExit, s.LastExit.At.UTC().Format(timeFormat))
	}
	if s.Error != "" {
		p("      Error: %s", s.Error)
	}
	p("   Restarts: %d", s.Restarts)
	if lines := c.Tail(s.Name, opts.lines); len(lines) > 0 {
		p("")
		for _, line := range lines {
			p("%s", line)
		}
	}
}

// cat shows the unit file that a systemd would have, for people who look for the command line.
func (c *Command) cat(s control.UnitStatus) {
	d := c.Describe(s.Name)
	_, _ = fmt.Fprintf(c.Stdout, "# %s.service is built into cove-node, the node's init\n"+
		"[Unit]\nDescription=%s\n\n[Service]\nExecStart=%s\nRestart=always\n", s.Name, d.Title, d.Exec)
}

func (c *Command) show(s control.UnitStatus, opts options) {
	status := 0
	if s.LastExit != nil {
		status = s.LastExit.Code
	}
	c.properties(opts, [][2]string{
		{"Id", s.Name + ".service"},
		{"Description", c.Describe(s.Name).Title},
		{"LoadState", "loaded"},
		{"ActiveState", activeState(s)},
		{"SubState", subState(s)},
		{"UnitFileState", enabledState(s)},
		{"MainPID", strconv.Itoa(s.PID)},
		{"NRestarts", strconv.Itoa(s.Restarts)},
		{"ExecMainStatus", strconv.Itoa(status)},
		{"StateChangeTimestamp", s.Since.UTC().Format(timeFormat)},
	})
}

func (c *Command) properties(opts options, all [][2]string) {
	for _, kv := range all {
		switch {
		case len(opts.properties) > 0 && !slices.Contains(opts.properties, kv[0]):
		case opts.value:
			_, _ = fmt.Fprintln(c.Stdout, kv[1])
		default:
			_, _ = fmt.Fprintf(c.Stdout, "%s=%s\n", kv[0], kv[1])
		}
	}
}

func sortedNames(state map[string]control.UnitStatus) []string {
	return slices.Sorted(maps.Keys(state))
}

package main

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/kind/pkg/cmd"

	"github.com/cove-k8s/cove/pkg/cli"
	"github.com/cove-k8s/cove/pkg/engine"
)

// rootCommand returns cove's commands, made with a factory that knows nothing of this machine.
func rootCommand() *cobra.Command {
	f := &cli.Factory{
		IO:        cmd.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard},
		Engine:    func(context.Context, string) (engine.Engine, error) { return nil, errors.New("pages have no engine") },
		Now:       func() time.Time { return time.Unix(0, 0) },
		Getenv:    func(string) string { return "" },
		BuildInfo: func() (*debug.BuildInfo, bool) { return nil, false },
	}
	root := cli.NewRoot(f)
	root.InitDefaultHelpFlag()
	return root
}

func cliPage(string) (page, error) {
	p := page{name: "cli.md", title: "Commands"}
	root := rootCommand()
	p.para("%s", root.Long)
	p.para("Results go to stdout, and nothing else does; progress, warnings and errors go to stderr. " +
		"[Errors](errors.md) lists the exit statuses, [Events](events.md) what `-o json` writes of a run, and [Configuration](config.md) the " +
		"settings that stand for flags.")
	var rows [][]string
	walk(root, func(c *cobra.Command) {
		rows = append(rows, []string{"[`" + c.CommandPath() + "`](#" + anchor(c.CommandPath()) + ")", cell(c.Short)})
	})
	p.table([]string{"Command", "What it does"}, rows)
	p.para("## Flags of every command")
	flagTable(&p, root.PersistentFlags())
	walk(root, func(c *cobra.Command) { describe(&p, c) })
	return p, nil
}

// walk calls fn for every command below c that help shows, in help's order.
func walk(c *cobra.Command, fn func(*cobra.Command)) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			fn(sub)
			walk(sub, fn)
		}
	}
}

// describe writes a command's section.
func describe(p *page, c *cobra.Command) {
	c.InitDefaultHelpFlag()
	p.para("## %s", c.CommandPath())
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	p.para("%s", prose(text))
	var lines []string
	if !isGroup(c) {
		lines = append(lines, c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		lines = append(lines, c.CommandPath()+" COMMAND")
	}
	p.printf("```\n%s\n```\n\n", strings.Join(lines, "\n"))
	if len(c.Aliases) > 0 {
		names := make([]string, 0, len(c.Aliases))
		for _, a := range c.Aliases {
			names = append(names, code(c.Parent().CommandPath()+" "+a))
		}
		p.para("Also: %s.", strings.Join(names, ", "))
	}
	if c.Example != "" {
		p.printf("```sh\n%s\n```\n\n", dedent(c.Example))
	}
	flagTable(p, c.LocalNonPersistentFlags())
	if c.HasPersistentFlags() {
		p.para("And, with every command below it:")
		flagTable(p, c.PersistentFlags())
	}
}

// isGroup says whether a command only has commands below it. One that does something itself says what it takes.
func isGroup(c *cobra.Command) bool {
	return c.HasAvailableSubCommands() && !strings.Contains(c.Use, " ")
}

// flagTable writes the flags that help shows, but for --help, which every command has.
func flagTable(p *page, flags *pflag.FlagSet) {
	var rows [][]string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if value != "" && f.NoOptDefVal == "" {
			name += " " + strings.ToUpper(value)
		}
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		rows = append(rows, []string{code(name), code(defaultOf(f)), cell(usage)})
	})
	if len(rows) > 0 {
		p.table([]string{"Flag", "Default", "Meaning"}, rows)
	}
}

// defaultOf returns a flag's default, where it says something.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "false", "0", "0s", "[]", "":
		return ""
	}
	return f.DefValue
}

// prose makes help text a page's: what is indented stays code, the rest is neither a heading nor HTML.
func prose(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "    ") {
			continue
		}
		// Two blanks are how help indents; four are how a page marks code.
		if rest, ok := strings.CutPrefix(line, "  "); ok {
			lines[i] = "    " + rest
			continue
		}
		lines[i] = strings.ReplaceAll(strings.TrimLeft(line, "# "), "<", "&lt;")
	}
	return strings.Join(lines, "\n")
}

// dedent removes the indentation of help's examples.
func dedent(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

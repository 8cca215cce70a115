package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cove-k8s/cove/pkg/fault"
)

// usage returns the error for a command line that cmd cannot take. suggestion is what was likely meant, if anything.
func usage(cmd *cobra.Command, suggestion, format string, args ...any) error {
	hint := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	if suggestion != "" {
		hint = fmt.Sprintf("did you mean %s? %s", suggestion, hint)
	}
	return fault.New(fault.Usage, format, args...).WithHint("%s", hint)
}

// noArgs is the Args of a command that takes none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd, "", "%q takes no argument, and there is %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// useLine returns the short usage of a command.
func useLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	return cmd.UseLine()
}

// runGroup is the RunE of a command that only has commands below it.
func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	suggestion := ""
	if names := cmd.SuggestionsFor(name); len(names) > 0 {
		suggestion = fmt.Sprintf("`%s %s`", cmd.CommandPath(), names[0])
	}
	return usage(cmd, suggestion, "unknown command %q for %q", name, cmd.CommandPath())
}

// flagError gives an error of cmd's flags its code, and a flag that there is none of a suggestion.
func flagError(cmd *cobra.Command, err error) error {
	missing := (*pflag.NotExistError)(nil)
	if !errors.As(err, &missing) {
		return usage(cmd, "", "%s", err.Error())
	}
	// In `cove creat --workers 2` it is the command that is wrong: cove itself has no such flag.
	if args := cmd.Flags().Args(); cmd.HasAvailableSubCommands() && len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return usage(cmd, nearestFlag(cmd.Flags(), missing.GetSpecifiedName()), "%s", err.Error())
}

// nearestFlag returns the flag that was likely meant by name, or nothing. Cobra knows how to compare names, of commands.
func nearestFlag(flags *pflag.FlagSet, name string) string {
	if len(name) < 2 {
		return ""
	}
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	if near := names.SuggestionsFor(name); len(near) > 0 {
		return "--" + near[0]
	}
	return ""
}

// enum is a flag's value that is one of a few words.
type enum struct {
	value   *string
	allowed []string
}

// String returns the word that is chosen.
func (e *enum) String() string { return *e.value }

// Set chooses a word.
func (e *enum) Set(s string) error {
	for _, a := range e.allowed {
		if s == a {
			*e.value = s
			return nil
		}
	}
	return fmt.Errorf("must be %s", oneOf(e.allowed))
}

// Type is how help calls the value.
func (e *enum) Type() string { return "string" }

// enumVar adds a flag whose value is one of allowed, the first by default, and completes it.
func enumVar(cmd *cobra.Command, p *string, name, shorthand, what string, allowed ...string) {
	*p = allowed[0]
	cmd.Flags().VarP(&enum{value: p, allowed: allowed}, name, shorthand, what+": "+oneOf(allowed))
	// It fails for a flag that there is none of, or that has a function already.
	if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

// oneOf returns "a, b or c".
func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// Package command is the command line of cove-node: it picks the command by the name that the program was called by, or by
// its first argument. The commands' work is done elsewhere.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"cove.dev/images/node/internal/initd"
)

// Exit statuses.
const (
	success = 0
	failure = 1
	misuse  = 2
)

// Streams are the standard ones.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// usageError is a wrong command line that was already explained.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// Main runs the program with its arguments, its own name first, and returns the exit status.
func Main(ctx context.Context, args []string, s Streams) int {
	name, rest := "", args
	if len(args) > 0 {
		name, rest = filepath.Base(args[0]), args[1:]
	}
	switch name {
	case "entrypoint", "init":
		return initd.Run(ctx, s.Out)
	case "systemctl":
		return systemctlMain(ctx, rest, s)
	case "journalctl":
		return report(journal(ctx, rest, s), s)
	}
	if len(rest) == 0 {
		_, _ = fmt.Fprint(s.Err, usage())
		return misuse
	}
	return subcommand(ctx, rest[0], rest[1:], s)
}

func subcommand(ctx context.Context, name string, args []string, s Streams) int {
	if name == "init" {
		return initd.Run(ctx, s.Out)
	}
	if name == "systemctl" {
		return systemctlMain(ctx, args, s)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	switch name {
	case "dial":
		err = dial(ctx, args, s)
	case "dns":
		err = dns(ctx, args, s)
	case "logs":
		err = logs(ctx, args, s)
	case "status":
		err = status(ctx, args, s)
	case "wait":
		err = wait(ctx, args, s)
	case "help", "-h", "--help":
		_, _ = fmt.Fprint(s.Out, usage())
	default:
		err = usageError{fmt.Sprintf("there is no command %q", name)}
	}
	return report(err, s)
}

// report prints an error and turns it into an exit status.
func report(err error, s Streams) int {
	var wrong usageError
	switch {
	case err == nil:
		return success
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintf(s.Err, "cove-node: %v\n%s", err, usage())
		return misuse
	default:
		_, _ = fmt.Fprintf(s.Err, "cove-node: %v\n", err)
		return failure
	}
}

func usage() string {
	return `usage:
  cove-node init                                       be PID 1 (also when called entrypoint)
  cove-node systemctl VERB [UNIT…]                     what is left of systemctl (also when called systemctl)
  cove-node status                                     the supervised processes, as JSON
  cove-node logs [--follow] [--tail N] [UNIT…]         logs of init, containerd, kubelet
  cove-node wait [--timeout 60s] containerd | kubelet | file PATH | tcp ADDR | unix PATH | http URL | https URL
  cove-node dial NETWORK ADDRESS                       join stdin and stdout to a connection
  cove-node dns [--server IP[:PORT]] [--timeout 30s] [--type A|AAAA] NAME
`
}

// parseFlags reads flags wherever they stand, and returns the other arguments.
func parseFlags(fs *flag.FlagSet, args []string) ([]string, error) {
	fs.SetOutput(io.Discard)
	var words []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, usageError{err.Error()}
		}
		if fs.NArg() == 0 {
			return words, nil
		}
		words = append(words, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
)

// ExitError is a command in a node that ended with a status other than 0.
type ExitError struct {
	Node   string
	Args   []string
	Code   int
	Output string // what Output and Run kept of both streams
}

// Error names the command and its status.
func (e *ExitError) Error() string {
	return fmt.Sprintf("command %q on %s ended with status %d", strings.Join(e.Args, " "), e.Node, e.Code)
}

// CommandOutput returns the command line and what it printed, for fault.ReportOf.
func (e *ExitError) CommandOutput() (command, output string) {
	return strings.Join(e.Args, " "), e.Output
}

// Output runs a command in a node and returns what it printed on stdout. An *ExitError has both streams.
func Output(ctx context.Context, a Access, node string, args ...string) (string, error) {
	var out, both bytes.Buffer
	err := a.Exec(ctx, node, Command{Args: args, Stdout: tee{&out, &both}, Stderr: &both})
	if e := (*ExitError)(nil); errors.As(err, &e) {
		e.Output = both.String()
	}
	return out.String(), err
}

// tee writes to two buffers.
type tee struct{ a, b *bytes.Buffer }

func (t tee) Write(p []byte) (int, error) {
	t.b.Write(p)
	return t.a.Write(p)
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/cli/display"
	"github.com/cove-k8s/cove/pkg/fault"
)

// Main runs the command that args name and returns the exit status of the process: 0, or that of the error's row in
// pkg/fault's catalogue. An error that was not yet reported is reported on the error stream; nothing else prints errors.
func Main(ctx context.Context, f *Factory, args []string) int {
	own := *f // flags are of this call only
	root := NewRoot(&own)
	return own.main(ctx, root, args)
}

func (f *Factory) main(ctx context.Context, root *cobra.Command, args []string) int {
	// With nil, cobra would take the process's own.
	root.SetArgs(append([]string{}, args...))
	cmd := root
	err := guard(func() (err error) {
		cmd, err = root.ExecuteContextC(ctx)
		return err
	})
	if err == nil {
		return fault.ExitOK
	}
	if status := (*statusError)(nil); errors.As(err, &status) {
		return status.status
	}
	if reported := (*reportedError)(nil); errors.As(err, &reported) {
		return fault.ReportOf(reported.err).Exit
	}
	report := fault.ReportOf(interrupted(ctx, f.asUsage(cmd, err)))
	if report.Code == fault.FileUnwritable && errors.Is(err, syscall.EPIPE) {
		return report.Exit // the reader has seen enough: `cove status | head -1`
	}
	display.WriteReport(f.IO.ErrOut, report, f.global.verbosity, f.color())
	if report.Code == fault.Usage {
		fmt.Fprintf(f.IO.ErrOut, "usage: %s\n", useLine(cmd))
	}
	return report.Exit
}

// asUsage gives cobra's own complaints, about flags and arguments, their code: whatever fails before a command has begun
// is the command line's fault.
func (f *Factory) asUsage(cmd *cobra.Command, err error) error {
	if f.begun || fault.CodeOf(err) != "" {
		return err
	}
	return usage(cmd, "", "%s", err.Error())
}

// interrupted makes one of whatever error an interrupt led to: the user knows what was interrupted, and why.
func interrupted(ctx context.Context, err error) error {
	if err == nil || !errors.Is(ctx.Err(), context.Canceled) || fault.Is(err, fault.Interrupted) {
		return err
	}
	return &fault.Error{Code: fault.Interrupted, Msg: "interrupted", Err: err}
}

// guard turns a panic of fn into an error, so that the terminal is put right and the status is that of a bug: Go's own
// status for a panic would say that the command line is wrong.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &fault.Error{Code: fault.Internal, Err: &panicError{value: p, stack: string(debug.Stack())}}
		}
	}()
	return fn()
}

// panicError is a panic that was caught.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// CommandOutput returns the stack, for fault.ReportOf.
func (e *panicError) CommandOutput() (command, output string) { return "", e.stack }

// reportedError is an error that people have been shown.
type reportedError struct{ err error }

func (e *reportedError) Error() string { return e.err.Error() }
func (e *reportedError) Unwrap() error { return e.err }

// statusError ends cove with the status of a command that it ran for the user, as ssh and docker exec do. That command
// has said itself what was wrong.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("status %d", e.status) }

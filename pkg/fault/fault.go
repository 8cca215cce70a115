// Package fault gives errors a stable code, and a code an exit status and a hint. It decides what people see of an
// error; it never prints, and it never ends the process.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Code names a kind of failure. Codes are stable: scripts match them.
type Code string

// Error is a failure with a code. Msg reads "cannot X Y", lower case, without a full stop; the cause follows it.
type Error struct {
	Code Code
	Msg  string
	Hint string // one thing to do; empty: the catalogue's
	Err  error
}

// Error returns the message and, behind a colon, its cause.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Msg
	case e.Msg == "":
		return e.Err.Error()
	}
	return e.Msg + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// WithHint returns a copy of e whose hint replaces the catalogue's.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// New returns an error of the code.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Msg: fmt.Sprintf(format, args...)}
}

// Wrap adds a message to err. A nil err stays nil. Where err, or what it wraps, has a code already, that inner code
// stays: the part that knows the most about a failure names it.
func Wrap(code Code, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	e := &Error{Code: code, Msg: fmt.Sprintf(format, args...), Err: err}
	if inner := (*Error)(nil); errors.As(err, &inner) {
		e.Code, e.Hint = inner.Code, inner.Hint
	}
	return e
}

// CodeOf returns the code that err, or what it wraps, has; empty where it has none.
func CodeOf(err error) Code {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Is reports whether err, or what it wraps, has the code.
func Is(err error, code Code) bool { return code != "" && CodeOf(err) == code }

// Commander is an error that knows the command that failed and what it printed.
type Commander interface {
	error
	CommandOutput() (command, output string)
}

// Report is what people see of an error.
type Report struct {
	Code    Code   `json:"code" yaml:"code"`
	Message string `json:"message" yaml:"message"`
	Hint    string `json:"hint,omitempty" yaml:"hint,omitempty"`
	Exit    int    `json:"exit" yaml:"exit"`
	Command string `json:"command,omitempty" yaml:"command,omitempty"`
	Output  string `json:"output,omitempty" yaml:"output,omitempty"`
}

// ReportOf turns err into a report; it is the only place that does. A cancelled context is an interrupt, an error
// without a code is a bug of cove's. The report of a nil error is the zero Report.
func ReportOf(err error) Report {
	if err == nil {
		return Report{}
	}
	code, hint := Internal, ""
	if e := (*Error)(nil); errors.As(err, &e) {
		code, hint = e.Code, e.Hint
	}
	if errors.Is(err, context.Canceled) && (code == Internal || KindOf(code).Exit != ExitUsage) {
		code, hint = Interrupted, ""
	}
	kind := KindOf(code)
	if hint == "" {
		hint = kind.Hint
	}
	r := Report{Code: code, Message: err.Error(), Hint: hint, Exit: kind.Exit}
	if c := Commander(nil); errors.As(err, &c) {
		r.Command, r.Output = c.CommandOutput()
	}
	return r
}

package strict

import (
	"fmt"
	"strings"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Problem is one thing that is wrong with a document or with the settings.
type Problem struct {
	Code    fault.Code `json:"code" yaml:"code"`
	Path    string     `json:"path" yaml:"path"`                     // nodes[1].extraPortMappings[0].hostPort; "" where it has none
	Line    int        `json:"line,omitempty" yaml:"line,omitempty"` // from 1; 0 where it is not known
	Message string     `json:"message" yaml:"message"`
}

// String returns the problem as people read it: "line 7: nodes[0].rol: unknown field; did you mean role?".
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is everything that is wrong, found in one go. It is the cause inside the *fault.Error that Fault
// makes: errors.As finds it there.
type Problems []Problem

// mostProblems is how many of them a message names; nobody reads more at once.
const mostProblems = 50

// Error returns the one problem, or all of them, one per line.
func (p Problems) Error() string {
	if len(p) == 1 {
		return p[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems", len(p))
	for i, one := range p {
		if i == mostProblems {
			fmt.Fprintf(&b, "\n  and %d more", len(p)-i)
			break
		}
		b.WriteString("\n  " + one.String())
	}
	return b.String()
}

// Fault returns the problems as one error with a code, nil where there are none. Where they differ in their codes, the
// document is invalid before it is anything else.
func (p Problems) Fault(format string, args ...any) error {
	if len(p) == 0 {
		return nil
	}
	code := p[0].Code
	for _, one := range p[1:] {
		if one.Code != code {
			code = fault.ConfigInvalid
		}
	}
	return &fault.Error{Code: code, Msg: fmt.Sprintf(format, args...), Err: p}
}

// Add notes a problem.
func (p *Problems) Add(code fault.Code, path, format string, args ...any) {
	*p = append(*p, Problem{Code: code, Path: path, Message: fmt.Sprintf(format, args...)})
}

// Invalid notes a problem of the code ConfigInvalid.
func (p *Problems) Invalid(path, format string, args ...any) {
	p.Add(fault.ConfigInvalid, path, format, args...)
}

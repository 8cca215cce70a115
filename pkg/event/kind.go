package event

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kind/pkg/log"
)

// KindLogger returns a logger for kind's packages whose lines become events of the reporter's step: Info a step.log,
// Warn and Error a warning (kind returns what is an error to it, too). Info beyond the verbosity is dropped.
func KindLogger(r *Reporter, verbosity int) log.Logger { return kindLogger{r: r, verbosity: verbosity} }

type kindLogger struct {
	r         *Reporter
	verbosity int
}

func (l kindLogger) Warn(message string)               { l.r.Warn("", "%s", strings.TrimSpace(message)) }
func (l kindLogger) Warnf(format string, args ...any)  { l.Warn(fmt.Sprintf(format, args...)) }
func (l kindLogger) Error(message string)              { l.Warn(message) }
func (l kindLogger) Errorf(format string, args ...any) { l.Warn(fmt.Sprintf(format, args...)) }

func (l kindLogger) V(level log.Level) log.InfoLogger {
	return kindInfo{r: l.r, on: int(level) <= l.verbosity}
}

type kindInfo struct {
	r  *Reporter
	on bool
}

func (i kindInfo) Enabled() bool { return i.on }

func (i kindInfo) Info(message string) {
	if !i.on {
		return
	}
	for line := range strings.Lines(message) {
		i.r.Log(strings.TrimRight(line, "\r\n"))
	}
}

func (i kindInfo) Infof(format string, args ...any) { i.Info(fmt.Sprintf(format, args...)) }

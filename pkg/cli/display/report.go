package display

import (
	"fmt"
	"io"
	"strings"

	"github.com/cove-k8s/cove/pkg/fault"
)

// outputLines is how many lines of a failed command's output are shown unless all are asked for.
const outputLines = 20

// WriteReport writes what people see of an error: the message and its code, the command that failed with the end of its
// output (all of it from verbosity 1 on), and what to do.
func WriteReport(w io.Writer, r fault.Report, verbosity int, color bool) {
	writeLines(w, reportLines(r, verbosity), color)
}

func reportLines(r fault.Report, verbosity int) []line {
	message := textLines(r.Message)
	if len(message) == 0 {
		message = []line{{}}
	}
	lines := message
	lines[0] = append(line{{red, "error:"}, {normal, " "}}, lines[0]...)
	last := len(lines) - 1
	lines[last] = append(lines[last], span{dim, " [" + string(r.Code) + "]"})
	if r.Command != "" {
		lines = append(lines, line{{dim, "command:"}, {normal, " " + clean(r.Command)}})
	}
	output := textLines(r.Output)
	if all := len(output); all > outputLines && verbosity == 0 {
		output = output[all-outputLines:]
		lines = append(lines, line{{dim, fmt.Sprintf("output: (the last %d of %d lines)", outputLines, all)}})
	} else if all > 0 {
		lines = append(lines, line{{dim, "output:"}})
	}
	for _, l := range output {
		lines = append(lines, append(line{{normal, "  "}}, l...))
	}
	for i, l := range textLines(r.Hint) {
		label := span{dim, "hint: "}
		if i > 0 {
			label.text = "      "
		}
		lines = append(lines, append(line{label}, l...))
	}
	return lines
}

// writeLines writes lines in one write, so that those of several writers do not mix.
func writeLines(w io.Writer, lines []line, color bool) {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimRight(l.paint(color), " ") + "\n")
	}
	// Where even the error stream is gone there is nobody left to tell.
	_, _ = io.WriteString(w, b.String())
}

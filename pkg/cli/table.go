package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Forms of output of lists, beside those of output.go.
const (
	formatWide = "wide"
	formatName = "name"
)

// writeTable writes rows below a heading, in columns.
func writeTable(w io.Writer, heading []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(heading, "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return fault.Wrap(fault.FileUnwritable, t.Flush(), "cannot write the output")
}

// writeLines writes a line for each of the words.
func writeLines(w io.Writer, words []string) error {
	for _, word := range words {
		if _, err := fmt.Fprintln(w, word); err != nil {
			return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
		}
	}
	return nil
}

// orNone makes an empty cell visible.
func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/cove-k8s/cove/pkg/fault"
)

// Forms of output. A command offers those that it honours.
const (
	formatText = "text"
	formatJSON = "json"
	formatYAML = "yaml"
)

// outputVar adds --output with the forms that the command honours, the first by default.
func outputVar(cmd *cobra.Command, p *string, formats ...string) {
	enumVar(cmd, p, "output", "o", "form of the output", formats...)
}

// writeObject writes v, whose fields have JSON names, in the format json or yaml.
func writeObject(w io.Writer, format string, v any) error {
	var data []byte
	var err error
	switch format {
	case formatJSON:
		if data, err = json.MarshalIndent(v, "", "  "); err == nil {
			data = append(data, '\n')
		}
	case formatYAML:
		data, err = yaml.Marshal(v)
	default:
		err = fmt.Errorf("format %q has no writer", format)
	}
	if err == nil {
		_, err = w.Write(data)
	}
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

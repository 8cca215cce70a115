package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/cove-k8s/cove/pkg/fault"
)

// versionOptions are what the command line says to `cove version`.
type versionOptions struct{ output string }

// versionInfo is what `cove version` says.
type versionInfo struct {
	Version   string `json:"version"`
	Commit    string `json:"commit,omitempty"`
	Date      string `json:"date,omitempty"` // of the commit, RFC 3339
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

func newVersionCmd(f *Factory, run func(*versionOptions) error) *cobra.Command {
	o := &versionOptions{}
	if run == nil {
		run = func(o *versionOptions) error { return runVersion(f, o) }
	}
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "Say which version this is",
		GroupID:           groupOther,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return run(o) },
	}
	outputVar(cmd, &o.output, formatText, formatJSON, formatYAML)
	return cmd
}

func runVersion(f *Factory, o *versionOptions) error {
	v := versionOf(f)
	if o.output != formatText {
		return writeObject(f.IO.Out, o.output, v)
	}
	commit := ""
	if v.Commit != "" {
		commit = fmt.Sprintf("commit %.12s, ", v.Commit)
	}
	_, err := fmt.Fprintf(f.IO.Out, "cove %s (%s%s, %s)\n", v.Version, commit, v.GoVersion, v.Platform)
	return fault.Wrap(fault.FileUnwritable, err, "cannot write the output")
}

// versionOf reads what the go command notes in each binary: `go install …@VERSION` notes the module's version, a build
// in a checkout the version that the checkout's tags give (since Go 1.24) and the commit.
func versionOf(f *Factory) versionInfo {
	v := versionInfo{Version: "(devel)", GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := f.BuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	v.Commit, v.Date = setting(info, "vcs.revision"), setting(info, "vcs.time")
	return v
}

// setting returns a setting of the build, or nothing.
func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/kind/pkg/cmd"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// bench is a factory for tests, with what it printed.
type bench struct {
	*Factory
	out, errOut bytes.Buffer
	env         map[string]string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{env: map[string]string{"XDG_STATE_HOME": t.TempDir()}}
	b.Factory = &Factory{
		IO:     cmd.IOStreams{In: strings.NewReader(""), Out: &b.out, ErrOut: &b.errOut},
		Now:    func() time.Time { return time.Date(2026, 11, 22, 14, 15, 3, 0, time.UTC) },
		Getenv: func(k string) string { return b.env[k] },
		BuildInfo: func() (*debug.BuildInfo, bool) {
			return &debug.BuildInfo{
				Main:     debug.Module{Version: "v0.1.0"},
				Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-11-22T14:15:03Z"}},
			}, true
		},
	}
	return b
}

// main runs args on a root that has the command too, below its group "group".
func (b *bench) main(ctx context.Context, c *cobra.Command, args ...string) int {
	group := &cobra.Command{Use: "group", Short: "A group"}
	group.AddCommand(c)
	root := NewRoot(b.Factory)
	root.AddCommand(group)
	b.wrap(group)
	return b.Factory.main(ctx, root, args)
}

// failing returns a command that fails with err.
func failing(err error) *cobra.Command {
	return &cobra.Command{Use: "do", RunE: func(*cobra.Command, []string) error { return err }}
}

func TestStatus(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context //nolint:containedctx // a row of a table
		err    error
		status int
		stderr string
	}{
		{"no error", nil, nil, 0, ""},
		{"a bug", nil, errors.New("oops"), 1, "error: oops [INTERNAL]\nhint: report it with the output of the same command and -v\n"},
		{"a code", nil, fault.New(fault.ClusterExists, "cluster exists").WithHint("h"), 3, "error: cluster exists [CLUSTER_EXISTS]\nhint: h\n"},
		{"a wrong command line", nil, fault.New(fault.Usage, "x").WithHint("h"), 2, "error: x [USAGE]\nhint: h\nusage: cove group do [flags]\n"},
		{"reported before", nil, &reportedError{fault.New(fault.NotReady, "x")}, 5, ""},
		{"a reader that went away", nil, fault.Wrap(fault.FileUnwritable, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}, "x"), fault.KindOf(fault.FileUnwritable).Exit, ""},
		{"a command's own status", nil, &statusError{42}, 42, ""},
		{
			"interrupted, whatever the error", cancelled, fault.New(fault.KubeadmInit, "x").WithHint("h"), 130,
			"error: interrupted: x [INTERRUPTED]\nhint: " + fault.KindOf(fault.Interrupted).Hint + "\n",
		},
		{"done in spite of an interrupt", cancelled, nil, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.ctx == nil {
				tt.ctx = t.Context()
			}
			b := newBench(t)
			if got := b.main(tt.ctx, failing(tt.err), "group", "do"); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
			if b.errOut.String() != tt.stderr || b.out.Len() > 0 {
				t.Errorf("printed %q and %q, want %q", b.out.String(), b.errOut.String(), tt.stderr)
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	tests := []struct {
		args   string
		stderr string
	}{
		{"group d", "error: unknown command \"d\" for \"cove group\" [USAGE]\nhint: did you mean `cove group do`? see `cove group --help`\nusage: cove group COMMAND\n"},
		{"group dx --workers 3", "error: unknown command \"dx\" for \"cove group\" [USAGE]\nhint: did you mean `cove group do`? see `cove group --help`\nusage: cove group COMMAND\n"},
		{"group do --qiet", "error: unknown flag: --qiet [USAGE]\nhint: did you mean --quiet? see `cove group do --help`\nusage: cove group do [flags]\n"},
		{"group do -z", "error: unknown shorthand flag: 'z' in -z [USAGE]\nhint: see `cove group do --help`\nusage: cove group do [flags]\n"},
		{"group do --docker-context", "error: flag needs an argument: --docker-context [USAGE]\nhint: see `cove group do --help`\nusage: cove group do [flags]\n"},
		{"help group d", "error: unknown command \"d\" for \"cove group\" [USAGE]\nhint: did you mean `cove group do`? see `cove group --help`\nusage: cove help [COMMAND] [flags]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			b := newBench(t)
			ran := failing(errors.New("it ran"))
			ran.Args = noArgs
			if got := b.main(t.Context(), ran, strings.Fields(tt.args)...); got != fault.ExitUsage {
				t.Errorf("status %d", got)
			}
			if b.errOut.String() != tt.stderr || b.out.Len() > 0 {
				t.Errorf("printed %q and\n%s\nwant\n%s", b.out.String(), b.errOut.String(), tt.stderr)
			}
		})
	}
}

func TestGroupPrintsHelp(t *testing.T) {
	b := newBench(t)
	do := failing(nil)
	do.Short = "Do it"
	if got := b.main(t.Context(), do, "group"); got != 0 || !strings.Contains(b.out.String(), "Do it") || b.errOut.Len() > 0 {
		t.Errorf("status %d, printed %q and %q", got, b.out.String(), b.errOut.String())
	}
}

func TestPanicIsABug(t *testing.T) {
	b := newBench(t)
	c := &cobra.Command{Use: "do", RunE: func(*cobra.Command, []string) error { panic("oops") }}
	if got := b.main(t.Context(), c, "group", "do", "-v"); got != fault.ExitBug {
		t.Errorf("status %d", got)
	}
	if got := b.errOut.String(); !strings.HasPrefix(got, "error: panic: oops [INTERNAL]\noutput:\n") || !strings.Contains(got, "main_test.go") {
		t.Errorf("printed %s", got)
	}
}

// TestMainKeepsFactory: one factory serves any number of calls, and flags are of one call.
func TestMainKeepsFactory(t *testing.T) {
	b := newBench(t)
	if got := Main(t.Context(), b.Factory, []string{"version", "-q"}); got != 0 {
		t.Fatalf("status %d: %s", got, b.errOut.String())
	}
	if b.global != (globalFlags{}) || b.begun {
		t.Errorf("left in the factory: %+v", b.global)
	}
}

// TestMainWithoutArgs: no arguments are none, not the process's own.
func TestMainWithoutArgs(t *testing.T) {
	b, saved := newBench(t), os.Args
	os.Args = []string{"cove", "nonsense"}
	defer func() { os.Args = saved }()
	if got := Main(t.Context(), b.Factory, nil); got != 0 || !strings.Contains(b.out.String(), "Usage:") {
		t.Errorf("status %d, printed %q", got, b.out.String())
	}
}

func TestSettingsAreUsed(t *testing.T) {
	b := newBench(t)
	b.Settings = filepath.Join(t.TempDir(), "config.yaml")
	write := func(text string) {
		if err := os.WriteFile(b.Settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("output: json\n")
	if got := Main(t.Context(), b.Factory, []string{"version"}); got != 0 || !strings.HasPrefix(b.out.String(), "{") {
		t.Errorf("status %d, printed %q %q", got, b.out.String(), b.errOut.String())
	}
	write("no-such-setting: 1\n")
	if got := Main(t.Context(), b.Factory, []string{"version"}); got != fault.ExitUsage || !strings.Contains(b.errOut.String(), "[CONFIG_INVALID]") {
		t.Errorf("status %d, printed %q", got, b.errOut.String())
	}
	for _, args := range [][]string{{"help"}, {"completion", "bash"}} {
		if got := Main(t.Context(), b.Factory, args); got != 0 {
			t.Errorf("%v: status %d with settings that are broken", args, got)
		}
	}
}

func TestVersionFlags(t *testing.T) {
	for args, want := range map[string]versionOptions{"": {"text"}, "-o json": {"json"}, "--output=yaml": {"yaml"}} {
		var got versionOptions
		c := newVersionCmd(newBench(t).Factory, func(o *versionOptions) error { got = *o; return nil })
		c.GroupID = ""
		c.SetArgs(strings.Fields(args))
		if err := c.Execute(); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", args, got, err, want)
		}
	}
}

func TestVersion(t *testing.T) {
	b := newBench(t)
	if got := Main(t.Context(), b.Factory, []string{"version"}); got != 0 || !strings.HasPrefix(b.out.String(), "cove v0.1.0 (commit 0123456789ab, go1.") {
		t.Errorf("status %d, printed %q", got, b.out.String())
	}
	b.out.Reset()
	Main(t.Context(), b.Factory, []string{"version", "-o", "json"})
	var v versionInfo
	if err := json.Unmarshal(b.out.Bytes(), &v); err != nil || v.Commit != "0123456789abcdef" || v.Date != "2026-11-22T14:15:03Z" {
		t.Errorf("%+v, %v", v, err)
	}
	b.BuildInfo = func() (*debug.BuildInfo, bool) { return nil, false }
	if got := versionOf(b.Factory).Version; got != "(devel)" {
		t.Errorf("without build info: %q", got)
	}
}

func TestEngineGetsTheDockerContext(t *testing.T) {
	b := newBench(t)
	got := ""
	b.Engine = func(_ context.Context, name string) (engine.Engine, error) {
		got = name
		return nil, fault.New(fault.EngineUnreachable, "no engine")
	}
	c := &cobra.Command{Use: "do", RunE: func(c *cobra.Command, _ []string) error {
		_, err := b.engine(c.Context())
		return err
	}}
	if status := b.main(t.Context(), c, "group", "do", "--docker-context", "far"); status != fault.ExitHost || got != "far" {
		t.Errorf("status %d, context %q", status, got)
	}
}

func TestWriteObjectRefusesOtherFormats(t *testing.T) {
	if err := writeObject(&bytes.Buffer{}, formatText, 1); err == nil {
		t.Error("text was written as an object")
	}
}

// runner returns a command that runs do as a run on cluster dev.
func (b *bench) runner(do work) *cobra.Command {
	output := ""
	c := &cobra.Command{Use: "do", RunE: func(c *cobra.Command, _ []string) error { return b.run(c.Context(), "dev", output, do) }}
	outputVar(c, &output, formatText, formatJSON)
	return c
}

// logged returns the events in the run's file.
func (b *bench) logged(t *testing.T) []event.Event {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.env["XDG_STATE_HOME"], "cove", "runs", "*.ndjson"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d run logs, %v", len(files), err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, data)
}

func decode(t *testing.T, data []byte) []event.Event {
	t.Helper()
	var events []event.Event
	for line := range bytes.Lines(data) {
		var ev event.Event
		if err := json.Unmarshal(line, &ev); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		events = append(events, ev)
	}
	return events
}

// oneStep is a run with a step and an end.
func oneStep(end error) work {
	return func(ctx context.Context, em *event.Emitter) (string, error) {
		err := em.Step(ctx, "a", "Do A", func(context.Context, *event.Reporter) error { return nil })
		return "all done", errors.Join(err, end)
	}
}

func TestRun(t *testing.T) {
	exists := fault.New(fault.ClusterExists, "cluster exists").WithHint("h")
	tests := []struct {
		name, args  string
		end         error
		status      int
		out, errOut string
	}{
		{"good", "", nil, 0, "", "✓ Do A (0.0s)\nall done\n"},
		{"quiet", "-q", nil, 0, "", ""},
		{"verbose", "-v", nil, 0, "", "· Do A\n✓ Do A (0.0s)\nall done\n"},
		{"bad", "", exists, 3, "", "✓ Do A (0.0s)\nerror: cluster exists [CLUSTER_EXISTS]\nhint: h\n"},
		{"bad, quiet", "-q", exists, 3, "", "error: cluster exists [CLUSTER_EXISTS]\nhint: h\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			args := append([]string{"group", "do"}, strings.Fields(tt.args)...)
			if got := b.main(t.Context(), b.runner(oneStep(tt.end)), args...); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
			if b.out.String() != tt.out || b.errOut.String() != tt.errOut {
				t.Errorf("printed %q and %q", b.out.String(), b.errOut.String())
			}
			events := b.logged(t)
			if last := events[len(events)-1]; len(events) != 3 || last.Type != event.RunFinished || last.Cluster != "dev" {
				t.Errorf("logged %+v", events)
			}
		})
	}
}

func TestRunJSON(t *testing.T) {
	b := newBench(t)
	status := b.main(t.Context(), b.runner(oneStep(fault.New(fault.NotReady, "not ready"))), "group", "do", "-o", "json", "-q")
	if status != fault.ExitKubernetes || b.errOut.Len() > 0 {
		t.Errorf("status %d, stderr %q: the error is to be in the last event only", status, b.errOut.String())
	}
	events := decode(t, b.out.Bytes())
	last := events[len(events)-1]
	if len(events) != 3 || last.Type != event.RunFinished || last.Error == nil || last.Error.Code != fault.NotReady || last.Error.Exit != 5 {
		t.Errorf("events %+v", events)
	}
}

func TestRunInterrupted(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	do := func(ctx context.Context, em *event.Emitter) (string, error) {
		cancel()
		// The warning comes from another goroutine; the step is there to wait for it.
		return "", em.Step(ctx, "a", "Do A", func(context.Context, *event.Reporter) error {
			for len(b.logged(t)) < 2 {
				<-time.After(time.Millisecond)
			}
			return fault.New(fault.KubeadmInit, "killed")
		})
	}
	if status := b.main(ctx, b.runner(do), "group", "do"); status != fault.ExitInterrupted {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{"warning: interrupted: cleaning up\nhint: press Ctrl-C again", "error: interrupted: killed [INTERRUPTED]\n"} {
		if strings.Count(b.errOut.String(), want) != 1 {
			t.Errorf("printed %q, want %q in it once", b.errOut.String(), want)
		}
	}
}

func TestRunPanics(t *testing.T) {
	b := newBench(t)
	do := func(context.Context, *event.Emitter) (string, error) { panic("oops") }
	if status := b.main(t.Context(), b.runner(do), "group", "do"); status != fault.ExitBug {
		t.Errorf("status %d", status)
	}
	if strings.Count(b.errOut.String(), "error: panic: oops [INTERNAL]") != 1 {
		t.Errorf("printed %q", b.errOut.String())
	}
	if events := b.logged(t); events[len(events)-1].Type != event.RunFinished {
		t.Error("the run has no end in its log")
	}
}

// TestRunWithoutLog: a state directory that cannot be used costs the log, not the run.
func TestRunWithoutLog(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.env["XDG_STATE_HOME"] = file
	if status := b.main(t.Context(), b.runner(oneStep(nil)), "group", "do"); status != 0 {
		t.Errorf("status %d", status)
	}
	if got := b.errOut.String(); !strings.HasPrefix(got, "warning: this run is not logged: ") || !strings.HasSuffix(got, "all done\n") {
		t.Errorf("printed %q", got)
	}
}

package initd

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cove.dev/images/node/internal/control"
	"cove.dev/images/node/internal/reaper"
	"cove.dev/images/node/internal/unit"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMachineIDStaysWithTheVolume(t *testing.T) {
	volume, image := t.TempDir(), t.TempDir()
	stored, target := filepath.Join(volume, "cove", "machine-id"), filepath.Join(image, "machine-id")
	if err := os.WriteFile(target, []byte("uninitialized\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := machineID(stored, target); err != nil {
		t.Fatal(err)
	}
	first := read(t, target)
	if len(first) != 33 || first != read(t, stored) {
		t.Errorf("got %q", first)
	}
	fresh := filepath.Join(t.TempDir(), "machine-id") // the container was replaced
	if err := machineID(stored, fresh); err != nil || read(t, fresh) != first {
		t.Errorf("got %q, %v, want %q", read(t, fresh), err, first)
	}
	another := filepath.Join(t.TempDir(), "machine-id")
	if err := machineID(another, target); err != nil || read(t, target) == first {
		t.Errorf("two nodes share an id, %v", err)
	}
	if err := os.Remove(stored); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stored, []byte("half of"), 0o600); err != nil { // cut off by a kill
		t.Fatal(err)
	}
	if err := machineID(stored, target); err != nil || len(read(t, target)) != 33 {
		t.Errorf("got %q, %v", read(t, target), err)
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"HTTP_PROXY=a", "X=1"}, map[string]string{"X": "2"})
	if want := []string{"HTTP_PROXY=a", "PATH=" + defaultPath, "X=2"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := environment([]string{"PATH=/x"}, nil); !slices.Equal(got, []string{"PATH=/x"}) {
		t.Errorf("got %q", got)
	}
}

func TestLookPath(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for dir, mode := range map[string]os.FileMode{first: 0o644, second: 0o755} { // the first is no program
		if err := os.WriteFile(filepath.Join(dir, "tool"), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"A=b", "PATH=" + first + ":" + second}
	if got, err := lookPath("tool", env); err != nil || got != filepath.Join(second, "tool") {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := lookPath("none", env); err == nil {
		t.Error("no error")
	}
}

// fakeRole has units that are never run, and one that can reload.
type fakeRole struct {
	role
	list     []*unit.Unit
	reloaded []string
}

func (f *fakeRole) units() []*unit.Unit { return f.list }

func (f *fakeRole) reload(_ context.Context, u *unit.Unit) error {
	if u.Name() != HAProxyName {
		return errNoReload
	}
	f.reloaded = append(f.reloaded, u.Name())
	return nil
}

func testDaemon(t *testing.T) (*daemon, *fakeRole) {
	t.Helper()
	logger := log.New(io.Discard, "", 0)
	f := &fakeRole{}
	for _, name := range []string{HAProxyName, KubeletName} {
		u := unit.New(unit.Config{
			Name: name, Log: logger, Held: true,
			Launch: func() (unit.Process, error) { return nil, errors.New("started for real") },
		})
		go u.Run(t.Context())
		f.list = append(f.list, u)
	}
	return &daemon{log: logger, role: f, marks: marks{volume: filepath.Join(t.TempDir(), "volume"), container: t.TempDir()}}, f
}

func TestHandle(t *testing.T) {
	for _, c := range []struct {
		verb, unit string
		err        string
		reloaded   bool
	}{
		{control.Reload, HAProxyName, "", true},
		{control.ReloadOrRestart, HAProxyName, "", true},
		{control.Reload, KubeletName, "restart it", false},
		{control.ReloadOrRestart, KubeletName, "started for real", false}, // the restart's
		{control.Start, KubeletName, "started for real", false},
		{control.Stop, HAProxyName, "", false},
		{control.Start, ContainerdName, "there is no unit", false},
		{"frob", KubeletName, "there is no verb", false},
	} {
		d, f := testDaemon(t)
		got := d.handle(t.Context(), control.Request{Verb: c.verb, Unit: c.unit}).Error
		if (got == "") != (c.err == "") || !strings.Contains(got, c.err) || (len(f.reloaded) > 0) != c.reloaded {
			t.Errorf("%s %s: %q, reloaded %v", c.verb, c.unit, got, f.reloaded)
		}
	}
}

func TestHoldIsForOneContainerAndDisabledForTheNode(t *testing.T) {
	d, _ := testDaemon(t)
	ask := func(verb string) {
		t.Helper()
		_ = d.handle(t.Context(), control.Request{Verb: verb, Unit: KubeletName}) // that it cannot start is no matter here
	}
	hold := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(d.marks.container, "hold-kubelet"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if d.marks.held(KubeletName) {
		t.Error("held without a reason")
	}
	for _, verb := range []string{control.Start, control.Restart, control.ReloadOrRestart} {
		hold()
		if !d.marks.held(KubeletName) || d.marks.held(HAProxyName) {
			t.Error("the mark does not hold the kubelet, or holds others")
		}
		for _, other := range []string{control.Stop, control.Enable, control.Disable, control.Enable} {
			ask(other)
		}
		if !d.marks.held(KubeletName) {
			t.Error("the hold ends without a start")
		}
		if ask(verb); d.marks.held(KubeletName) {
			t.Errorf("%s leaves the hold for the next start of the container", verb)
		}
	}
	ask(control.Disable)
	ask(control.Start)
	another := marks{volume: d.marks.volume, container: t.TempDir()} // the container was replaced
	if !d.marks.held(KubeletName) || !another.held(KubeletName) {
		t.Error("a disabled unit starts")
	}
	if status := d.handle(t.Context(), control.Request{Verb: control.Status}).Units; len(status) != 2 || !status[0].Enabled || status[1].Enabled {
		t.Errorf("status %+v", status)
	}
	if ask(control.Enable); another.held(KubeletName) {
		t.Error("an enabled unit is held")
	}
}

func TestKubeletCommandReserves(t *testing.T) {
	cmd, err := kubeletCommand("cpu=500m")
	if err != nil || cmd.argv[0] != "kubelet" || !slices.Contains(cmd.argv, "--system-reserved=cpu=500m") {
		t.Errorf("%q, %v", cmd.argv, err)
	}
	cmd, err = kubeletCommand("")
	if err != nil || slices.ContainsFunc(cmd.argv, func(a string) bool { return strings.Contains(a, "reserved") }) {
		t.Errorf("%q, %v", cmd.argv, err)
	}
}

func TestRunCommand(t *testing.T) {
	d := &daemon{reaper: reaper.New()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go d.reaper.Run(ctx)
	shell := func(script string) command { return command{argv: []string{"sh", "-c", script}} }
	if out, err := d.run(ctx, shell("echo one; echo two >&2")); err != nil || out != "one\ntwo\n" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := d.run(ctx, shell("echo why; exit 3")); err == nil || !strings.Contains(err.Error(), "exit status 3") || out != "why\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := d.run(ctx, command{argv: []string{"no-such-program"}}); err == nil {
		t.Error("no error")
	}
	brief, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if _, err := d.run(brief, command{argv: []string{"sleep", "60"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command that does not end: %v", err)
	}
}

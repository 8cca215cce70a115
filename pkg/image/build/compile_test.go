package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

func TestRunKeepsTheLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "x.log")
	var lines []string
	script := command{args: []string{"sh", "-c", "for i in $(seq 30); do echo line $i; done; echo oops >&2; exit 3"}, env: os.Environ()}
	err := run(t.Context(), log, script, func(l string) { lines = append(lines, l) })
	report := fault.ReportOf(fault.Wrap(fault.ImageBuild, err, "cannot build x"))
	if report.Code != fault.ImageBuild || !strings.Contains(report.Message, "(log: "+log+")") || !strings.Contains(report.Message, "exit status 3") {
		t.Errorf("report %+v", report)
	}
	if n := len(strings.Split(report.Output, "\n")); n != tailLines || !strings.HasSuffix(report.Output, "oops") {
		t.Errorf("%d lines: %s", n, report.Output)
	}
	data, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(data), "line 1\n") || !strings.Contains(string(data), "sh -c") || len(lines) != 31 {
		t.Errorf("%d lines, log %s, %v", len(lines), data, err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	begun := time.Now()
	script := command{args: []string{"sh", "-c", "echo go; exec sleep 60"}, env: os.Environ()}
	err := run(ctx, filepath.Join(t.TempDir(), "x.log"), script, func(string) { cancel() })
	if !errors.Is(err, context.Canceled) || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

// A part is compiled from the packed sources, with what it was made of beside it, and the second time it is there already.
func TestCompilePause(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a small program: seconds")
	}
	b := testBuilder(t)
	var seen []event.Event
	b.Emitter = event.NewEmitter("r", "", time.Now, recorder{&seen})
	var pause part
	for _, p := range nodeParts(versions()[0]) {
		if p.Name == partPause {
			pause = p
		}
	}
	t.Setenv("GOPROXY", "off") // it needs no module
	dir, err := b.compile(t.Context(), pause)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "pause")); err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Errorf("pause: %v", err)
	}
	list, err := partModules(map[string]string{partPause: dir})
	if err != nil || len(list) != 1 || list[0].Path != "std" {
		t.Errorf("modules %v, %v", list, err)
	}
	if again, err := b.compile(t.Context(), pause); err != nil || again != dir || seen[len(seen)-1].Status != event.Skipped {
		t.Errorf("the second time: %s, %v, %+v", again, err, seen[len(seen)-1])
	}
}

func TestCompileNamesTheLog(t *testing.T) {
	b := testBuilder(t)
	p := part{Name: "broken", Title: "broken", Module: "pause", Binaries: []binary{{Name: "x", Package: "./missing"}}}
	t.Setenv("GOPROXY", "off")
	_, err := b.compile(t.Context(), p)
	if !fault.Is(err, fault.ImageBuild) || !strings.Contains(err.Error(), b.cache.log("broken")) {
		t.Errorf("err = %v", err)
	}
}

func TestUnpackRefusesAMissingModule(t *testing.T) {
	if err := testBuilder(t).tree.unpack("nothing", t.TempDir()); !fault.Is(err, fault.Internal) {
		t.Errorf("err = %v", err)
	}
}

package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cove-k8s/cove/pkg/cli"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image/build"
)

// TestMain makes this test binary the cove command, and a tool for its engine, when a script calls it so.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cove": cove, "engine": engineTool, "kube": kubeTool, "locked": lockedTool})
}

func cove() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	f, save := factory()
	status := cli.Main(ctx, f, os.Args[1:])
	save()
	os.Exit(status)
}

// Variables that say how the world of a script is, beside enginetest.EnvState. Without that one it is the real one.
const (
	envKube     = "FAKE_KUBE"     // calls of the API that fail: "WaitAPI", with a code: "Drain=DRAIN_FAILED", or that hang: "WaitReady=hang"
	envEngine   = "FAKE_ENGINE"   // the code by which the engine cannot be used
	envRegistry = "FAKE_REGISTRY" // "on": a registry tells the size of images
	envBuild    = "FAKE_BUILD"    // the code by which builds of node images fail
	envHost     = "FAKE_HOST"     // the engine's host's root directory
	envKill     = "FAKE_KILL"     // the call of the API at which the process is killed
	envPanic    = "FAKE_PANIC"    // the call of the API that panics
	envExec     = "FAKE_EXEC"     // how a command line begins that fails in a node
	envSignal   = "FAKE_SIGNAL"   // the call of the API at which the process is interrupted, as by Ctrl-C
	envObjects  = "FAKE_OBJECTS"  // the file that keeps the objects of the clusters' APIs
	envLate     = "FAKE_LATE"     // what objects lack to be ready: "deployment x/y: reason", one per line
)

// factory is that of a process in a script: its engine is fake, and so is what runs in the nodes. save keeps what the
// clusters' APIs have.
func factory() (f *cli.Factory, save func()) {
	f = cli.NewFactory()
	path := os.Getenv(enginetest.EnvState)
	if path == "" {
		return f, func() {}
	}
	fake, err := enginetest.Open(path)
	check(err)
	world := clustertest.New(fake)
	world.Late = map[string]string{}
	for line := range strings.Lines(os.Getenv(envLate)) {
		ref, lack, _ := strings.Cut(strings.TrimSpace(line), ": ")
		world.Late[ref] = lack
	}
	check(world.Load(os.Getenv(envObjects)))
	self, err := os.FindProcess(os.Getpid())
	check(err)
	for call := range strings.FieldsSeq(os.Getenv(envKube)) {
		name, how, _ := strings.Cut(call, "=")
		world.Fail[name] = errors.New("injected")
		switch how {
		case "":
		case "hang":
			world.Fail[name] = &clustertest.HangError{}
		default:
			world.Fail[name] = fault.New(fault.Code(how), "injected")
		}
	}
	var once sync.Once
	world.OnCall = func(name string) {
		switch name {
		case os.Getenv(envKill):
			check(self.Kill())
			select {}
		case os.Getenv(envSignal):
			once.Do(func() { check(self.Signal(os.Interrupt)) }) // steps that run together make the same call
		case os.Getenv(envPanic):
			panic("injected")
		}
	}
	world.OnExec = func(_ string, cmd engine.Command) (bool, error) {
		line := os.Getenv(envExec)
		if line == "" || !strings.HasPrefix(strings.Join(cmd.Args, " "), line) {
			return false, nil
		}
		fmt.Fprintln(cmd.Stderr, "no luck today")
		return true, &engine.ExitError{Code: 1}
	}
	f.Engine = func(context.Context, string) (engine.Engine, error) {
		if code := os.Getenv(envEngine); code != "" {
			return nil, fault.New(fault.Code(code), "cannot use the engine")
		}
		return fake, nil
	}
	f.Connect, f.ConnectConfig = world.Connect, world.ConnectConfig
	f.Host = os.DirFS(os.Getenv(envHost))
	f.LookPath = func(string) (string, error) { return "", exec.ErrNotFound }
	f.RegistrySize = func(context.Context, string, string) (int64, error) {
		if os.Getenv(envRegistry) == "on" {
			return 412_000_000, nil
		}
		return 0, errors.New("no such host")
	}
	f.BuildImage = func(_ context.Context, o build.Options) (build.Result, error) {
		if code := os.Getenv(envBuild); code != "" {
			return build.Result{}, fault.New(fault.Code(code), "cannot build the node image")
		}
		r := build.Result{Tag: o.Tag, KubernetesVersion: o.KubernetesVersion, Size: 461_000_000}
		if r.KubernetesVersion == "" {
			r.KubernetesVersion = clustertest.Version
		}
		if r.Tag == "" {
			r.Tag = "cove-node:" + r.KubernetesVersion
		}
		if o.Compressed {
			r.Compressed = 152_000_000
		}
		clustertest.AddNodeImageOf(fake, r.Tag, r.KubernetesVersion, true)
		return r, nil
	}
	f.BuildAddonImage = func(_ context.Context, _ build.Options, recipe string) (build.Result, error) {
		return buildAddon(fake, recipe)
	}
	return f, func() { check(world.Save(os.Getenv(envObjects))) }
}

// buildAddon gives the engine what a recipe makes.
func buildAddon(fake *enginetest.Fake, recipe string) (build.Result, error) {
	if code := os.Getenv(envBuild); code != "" {
		return build.Result{}, fault.New(fault.Code(code), "cannot build the image of %s", recipe)
	}
	tag, err := build.AddonTag(recipe)
	if err != nil {
		return build.Result{}, err
	}
	content, err := build.AddonContent(recipe, "amd64")
	if err != nil {
		return build.Result{}, err
	}
	fake.AddImage(engine.Image{Names: []string{tag}, Architecture: "amd64", Labels: map[string]string{build.LabelContent: content}}, nil)
	return build.Result{Tag: tag, Content: content, Size: 50_000_000}, nil
}

// TestScripts runs testdata/script/*.txtar. With COVE_UPDATE_SCRIPTS=1 it rewrites the files that `cmp` compares with.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("COVE_UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("KUBECONFIG", filepath.Join(home, "kubeconfig"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("NODE_IMAGE", "cove-node:"+clustertest.Version)
			env.Setenv(envHost, filepath.Join(env.WorkDir, "host"))
			state := filepath.Join(env.WorkDir, "engine.json")
			env.Setenv(enginetest.EnvState, state)
			env.Setenv(envObjects, filepath.Join(env.WorkDir, "objects.json"))
			fake := enginetest.NewFake()
			clustertest.AddNodeImage(fake, "cove-node:"+clustertest.Version, true)
			return errors.Join(os.Mkdir(home, 0o700), fake.Save(state))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}

// TestEveryCode wants each code to be shown by a script.
func TestEveryCode(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	for _, k := range fault.Catalogue() {
		if !strings.Contains(all.String(), `\[`+string(k.Code)+`\]`) {
			t.Errorf("no script shows %s", k.Code)
		}
	}
}

// exits is the script command `exits STATUS PROGRAM ARG…`: the program must end with that very status. What it printed
// can be looked at as after exec.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) {
			ts.Fatalf("cannot run %s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
}

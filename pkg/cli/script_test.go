package cli_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/cli"
	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/image/build"
	"github.com/cove-k8s/cove/pkg/kube"
)

// TestMain makes this test binary the cove command, and a tool for its engine, when a script calls it so.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cove": cove, "engine": engineTool, "kube": kubeTool})
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
	envKube     = "FAKE_KUBE"     // calls of the API that fail: "WaitAPI", or that hang: "WaitWorkloads=hang"
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
		if how == "hang" {
			world.Fail[name] = &clustertest.HangError{}
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
		clustertest.AddNodeImage(fake, r.Tag, true)
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

// kubeTool is the script program `kube`: it looks into the objects of the clusters, and changes them as someone else would.
//
//	kube list                 print the references of all objects
//	kube add FILE             put objects there, or change those of the same name, in the first cluster
func kubeTool() {
	fake, err := enginetest.Open(os.Getenv(enginetest.EnvState))
	check(err)
	world := clustertest.New(fake)
	file := os.Getenv(envObjects)
	check(world.Load(file))
	apis := world.APIs()
	if len(apis) == 0 {
		check(errors.New("kube: no cluster has any object"))
	}
	switch os.Args[1] {
	case "list":
		for _, a := range apis {
			for _, name := range a.Names() {
				fmt.Println(name)
			}
		}
	case "add":
		data, err := os.ReadFile(os.Args[2])
		check(err)
		objs, err := kube.Decode(data)
		check(err)
		for _, o := range objs {
			there, err := apis[0].Get(context.Background(), kube.RefOf(o))
			check(err)
			if there == nil {
				apis[0].Add(o)
				continue
			}
			delete(o.Object, "metadata") // labels stay
			apis[0].Change(kube.RefOf(there), func(live *unstructured.Unstructured) { maps.Copy(live.Object, o.Object) })
		}
	default:
		check(fmt.Errorf("kube: unknown command %q", os.Args[1]))
	}
	check(world.Save(file))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(100)
	}
}

// engineTool is the script program `engine`: it sets up the fake engine, and looks into it.
//
//	engine image NAME [own|kind|plain]        give it an image: a node image of cove's, of kind's layout, or no node image
//	engine registry NAME                      make an image that can be pulled
//	engine fail OPERATION CODE MESSAGE        let an operation fail: engine fail 'StartNode dev-worker' PORT_TAKEN 'in use'
//	engine info KEY=VALUE...                  change what it says of itself
//	engine port PORT                          take a port of its host
//	engine network NAME | stop NODE | crash NODE
//	engine left | operations                  print what there is of clusters, or what was done
func engineTool() {
	fake, err := enginetest.Open(os.Getenv(enginetest.EnvState))
	check(err)
	command, ok := engineCommands()[os.Args[1]]
	if !ok {
		check(fmt.Errorf("engine: unknown command %q", os.Args[1]))
	}
	check(command(context.Background(), fake, os.Args[2:]))
	check(fake.Save(os.Getenv(enginetest.EnvState)))
}

// engineCommands are what the program can do.
func engineCommands() map[string]func(context.Context, *enginetest.Fake, []string) error {
	lines := func(words []string) error {
		for _, w := range words {
			fmt.Println(w)
		}
		return nil
	}
	return map[string]func(context.Context, *enginetest.Fake, []string) error{
		"image": func(_ context.Context, fake *enginetest.Fake, args []string) error {
			if kind := append(args, "own")[1]; kind == "plain" {
				fake.AddImage(engine.Image{Names: args[:1]}, nil)
			} else {
				clustertest.AddNodeImage(fake, args[0], kind == "own")
			}
			return nil
		},
		"registry": func(_ context.Context, fake *enginetest.Fake, args []string) error {
			fake.AddRegistryImage(engine.Image{Names: args, Size: 1_000_000_000})
			return nil
		},
		"fail": func(_ context.Context, fake *enginetest.Fake, args []string) error {
			fake.FailOn(args[0], fault.Code(args[1]), args[2])
			return nil
		},
		"info": func(ctx context.Context, fake *enginetest.Fake, args []string) error {
			info, err := fake.Info(ctx)
			for _, a := range args {
				err = errors.Join(err, setInfo(&info, a))
			}
			fake.SetInfo(info)
			return err
		},
		"port": func(_ context.Context, fake *enginetest.Fake, args []string) error {
			port, err := strconv.ParseUint(args[0], 10, 16)
			fake.TakePort(engine.Port{HostIP: "127.0.0.1", HostPort: uint16(port), Protocol: "tcp"})
			return err
		},
		"network": func(ctx context.Context, fake *enginetest.Fake, args []string) error {
			_, err := fake.CreateNetwork(ctx, engine.NetworkSpec{Name: args[0], Cluster: "another", Run: "another"})
			return err
		},
		"stop": func(ctx context.Context, fake *enginetest.Fake, args []string) error {
			return fake.StopNode(ctx, args[0], time.Second)
		},
		"crash": func(_ context.Context, fake *enginetest.Fake, args []string) error {
			return fake.Crash(args[0], 137, "out of memory")
		},
		"left": func(_ context.Context, fake *enginetest.Fake, _ []string) error {
			return lines(clustertest.New(fake).Left())
		},
		"operations": func(_ context.Context, fake *enginetest.Fake, _ []string) error {
			return lines(fake.Operations())
		},
	}
}

func setInfo(info *engine.Info, setting string) error {
	key, value, _ := strings.Cut(setting, "=")
	var err error
	switch key {
	case "version":
		info.Version = value
	case "cgroup-driver":
		info.CgroupDriver = value
	case "memory":
		info.MemoryBytes, err = strconv.ParseInt(value, 10, 64)
	case "kernel":
		info.Kernel = value
	case "host":
		info.Host = value
	default:
		err = fmt.Errorf("engine: unknown setting %q", key)
	}
	return err
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

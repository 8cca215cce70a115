// Package cli is the command line: one file per command, flags in, exit status out. It never does the work itself, and
// it never ends the process.
package cli

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"golang.org/x/term"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/kind/pkg/cmd"

	"github.com/cove-k8s/cove/pkg/cli/display"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/docker"
	"github.com/cove-k8s/cove/pkg/image/build"
	"github.com/cove-k8s/cove/pkg/kube"
)

// Factory gives commands what they need of the outside world. What costs something is a function, so that only the
// commands that need it pay.
type Factory struct {
	IO cmd.IOStreams
	// Engine connects to the container engine. dockerContext is the name of a docker context; empty: as docker finds it.
	Engine func(ctx context.Context, dockerContext string) (engine.Engine, error)
	Now    func() time.Time
	Getenv func(string) string
	// BuildInfo says what the binary was built from.
	BuildInfo func() (*debug.BuildInfo, bool)
	// Settings is the path of the settings file; there need be none.
	Settings string
	// Connect makes a client of a cluster's API.
	Connect func(kube.Options) (cluster.Kube, error)
	// ConnectConfig makes a client of the API that a kubeconfig leads to.
	ConnectConfig func(*rest.Config) (cluster.Kube, error)
	// BuildImage builds a node image from source, BuildAddonImage one of an addon's by its recipe.
	BuildImage      func(context.Context, build.Options) (build.Result, error)
	BuildAddonImage func(ctx context.Context, o build.Options, recipe string) (build.Result, error)
	// RegistrySize asks a registry how large an image is; nil asks the one that its name says.
	RegistrySize func(ctx context.Context, ref, arch string) (int64, error)
	// Host is this machine's root directory, to be checked as an engine's host.
	Host fs.FS
	// LookPath finds programs.
	LookPath func(string) (string, error)

	global   globalFlags
	settings *config.Settings // of the command that runs
	begun    bool             // a command has got past its flags and arguments
}

// globalFlags are the flags of every command.
type globalFlags struct {
	verbosity     int
	quiet         bool
	noColor       bool
	dockerContext string
}

// engine connects to the engine that the command line chooses.
func (f *Factory) engine(ctx context.Context) (engine.Engine, error) {
	return f.Engine(ctx, f.global.dockerContext)
}

// NewFactory returns the factory of the process itself: its streams, its environment, and a Docker Engine.
func NewFactory() *Factory {
	return &Factory{
		IO:        cmd.StandardIOStreams(),
		Engine:    connectDocker,
		Now:       time.Now,
		Getenv:    os.Getenv,
		BuildInfo: debug.ReadBuildInfo,
		Settings:  config.SettingsPath(),

		Connect:         connectKube,
		ConnectConfig:   connectConfig,
		BuildImage:      build.NodeImage,
		BuildAddonImage: build.AddonImage,
		Host:            os.DirFS("/"),
		LookPath:        exec.LookPath,
	}
}

func connectDocker(ctx context.Context, dockerContext string) (engine.Engine, error) {
	e, err := docker.New(ctx, docker.Options{Context: dockerContext})
	if err != nil {
		return nil, err // not e: a nil *docker.Engine in an interface is not nil
	}
	return e, nil
}

// display returns how to show a run on the error stream, or as JSON on stdout; interrupted is closed when the user has
// asked to stop.
func (f *Factory) display(output string, interrupted <-chan struct{}) display.Display {
	o := display.Options{
		Kind: display.Plain, Out: f.IO.ErrOut, Verbosity: f.global.verbosity, Color: f.color(),
		Now: f.Now, Interrupted: interrupted,
	}
	file, isTerminal := terminal(f.IO.ErrOut)
	switch {
	case output == formatJSON:
		o.Kind, o.Out = display.JSON, f.IO.Out
	case output == outputPlain && !f.global.quiet: // lines, also on a terminal
	case f.global.quiet:
		o.Kind = display.Quiet
	case isTerminal && f.Getenv("TERM") != "dumb" && enableControlSequences(file) == nil:
		o.Kind = display.Terminal
		o.Size = func() (width, height int) {
			width, height, err := term.GetSize(int(file.Fd()))
			if err != nil {
				return 0, 0
			}
			return width, height
		}
	}
	return display.New(o)
}

// color reports whether the error stream is to be coloured (https://no-color.org: any value but an empty one says no).
func (f *Factory) color() bool {
	file, ok := terminal(f.IO.ErrOut)
	return ok && !f.global.noColor && f.Getenv("NO_COLOR") == "" && f.Getenv("TERM") != "dumb" && enableControlSequences(file) == nil
}

// terminal returns the stream's file where it is a terminal.
func terminal(stream any) (*os.File, bool) {
	file, ok := stream.(*os.File)
	return file, ok && term.IsTerminal(int(file.Fd()))
}

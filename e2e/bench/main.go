//go:build linux

// Command bench compares cove with kind: both make the same cluster on the same engine, in turn, and are measured from
// outside in the same way. It never touches the machine's own engine, apart from copying images out of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cove-k8s/cove/e2e/testbed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

// options is what is compared, and how often.
type options struct {
	rounds    int
	sizes     []int // numbers of nodes
	ha        bool
	life      bool
	cove      string
	image     string
	peerImage string
	storage   string
	offline   bool     // no name server answers
	profiles  []string // measured beside minimal
	addons    []string // each measured on top of minimal
	idle      time.Duration
	output    string
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var sizes, profiles, addons string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 3, "how often each tool has its turn")
	flags.StringVar(&sizes, "nodes", "1,3", "numbers of nodes to compare; one of them is the control plane")
	flags.BoolVar(&o.ha, "ha", false, "compare clusters of three control planes, too")
	flags.BoolVar(&o.life, "life", false, "measure one cluster of cove's that grows, stops and starts")
	flags.StringVar(&profiles, "profiles", "dev", "profiles to compare with minimal")
	flags.StringVar(&addons, "addons", "local-path,metrics-server,metallb,traefik,kwok", "addons whose use to measure, each on top of minimal")
	flags.StringVar(&o.cove, "cove", "bin/cove", "the cove binary")
	flags.StringVar(&o.image, "image", "cove-node:v1.36.3", "the node image of cove, on the machine's engine")
	flags.StringVar(&o.peerImage, "peer-image", "", "the node image of kind, on the machine's engine (default: the same)")
	flags.StringVar(&o.storage, "storage-driver", testbed.Overlay2, "the storage driver of the engine that both use")
	flags.BoolVar(&o.offline, "offline", false, "let no name server answer, as on a machine without a network")
	flags.DurationVar(&o.idle, "idle", 30*time.Second, "how long after it was usable a cluster's idle use is measured")
	flags.StringVar(&o.output, "o", "text", "form of the output: text (a table, then JSON), table or json")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.profiles, o.addons = splitList(profiles), splitList(addons)
	for _, s := range splitList(sizes) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return o, fmt.Errorf("--nodes=%s: %q is not a number of nodes", sizes, s)
		}
		o.sizes = append(o.sizes, n)
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.rounds < 1:
		return o, errors.New("--rounds must be at least 1")
	case o.idle < cpuWindow:
		return o, fmt.Errorf("--idle must be at least %s: over so long the CPU's use is measured", cpuWindow)
	case o.output != "text" && o.output != "table" && o.output != "json":
		return o, fmt.Errorf("-o %s: choose text, table or json", o.output)
	}
	if o.peerImage == "" {
		o.peerImage = o.image
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.cove, err = filepath.Abs(o.cove); err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
	engine, err := testbed.Start(ctx, testbed.Options{StorageDriver: o.storage, Names: !o.offline, Log: say})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Stop(context.WithoutCancel(ctx))) }()
	images := []string{o.image}
	if o.peerImage != o.image {
		images = append(images, o.peerImage)
	}
	if len(o.profiles)+len(o.addons) > 0 {
		images = append(images, addonImages()...)
	}
	if err := engine.Transfer(ctx, machineSocket(os.Getenv("DOCKER_HOST")), images...); err != nil {
		return err
	}
	report, err := measureAll(ctx, engine, o, say)
	if err != nil {
		return err
	}
	return report.write(stdout, o.output)
}

// measureAll measures what the options ask for.
func measureAll(ctx context.Context, engine *testbed.Engine, o options, say func(string, ...any)) (r report, err error) {
	r = report{Engine: engineInfo{StorageDriver: o.storage, Offline: o.offline}, Rounds: o.rounds, Image: o.image, PeerImage: o.peerImage}
	if err := r.Engine.read(ctx, engine); err != nil {
		return r, err
	}
	if o.ha {
		if r.PeerBalancer, err = prepareBalancer(ctx, engine, o.image); err != nil {
			return r, err
		}
	}
	if len(o.clusters()) > 0 {
		tools, err := prepare(ctx, engine, o)
		if err != nil {
			return r, err
		}
		if r.Comparisons, err = compare(ctx, engine, o, tools, say); err != nil {
			return r, err
		}
		r.Ratios = aimedRatios(r.Comparisons)
	}
	if o.life {
		if r.Life, err = measureLife(ctx, engine, o, say); err != nil {
			return r, err
		}
	}
	if len(o.profiles)+len(o.addons) > 0 {
		r.Variants, err = measureVariants(ctx, engine, o, variants(o.profiles, o.addons), say)
	}
	return r, err
}

// clusters are what both tools make.
func (o options) clusters() []size {
	var list []size
	for _, n := range o.sizes {
		list = append(list, size{Nodes: n, ControlPlanes: 1})
	}
	if o.ha {
		list = append(list, size{Nodes: 3, ControlPlanes: 3})
	}
	return list
}

// compare gives each tool its turn, round after round, for each size of cluster.
func compare(ctx context.Context, engine *testbed.Engine, o options, tools []tool, say func(string, ...any)) ([]comparison, error) {
	var list []comparison
	for _, size := range o.clusters() {
		c := comparison{size: size}
		for round := 1; round <= o.rounds; round++ {
			for _, tool := range tools {
				s, err := measure(ctx, engine, tool, size, o.idle)
				if err != nil {
					return nil, fmt.Errorf("%s, %s, round %d: %w", tool.name, size, round, err)
				}
				say("%s, round %d of %d, %s: usable after %.1f s", size, round, o.rounds, tool.name, s.Usable)
				c.add(tool.name, s)
			}
		}
		list = append(list, c.summarize())
	}
	return list, nil
}

// machineSocket is where the machine's own engine listens.
func machineSocket(dockerHost string) string {
	if socket, ok := strings.CutPrefix(dockerHost, "unix://"); ok {
		return socket
	}
	return "/var/run/docker.sock"
}

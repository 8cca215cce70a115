package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/cluster/clustertest"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
)

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

// lockedTool is the script program `locked`: it runs a command while another run works on a cluster, and ends with its status.
//
//	locked CLUSTER DURATION COMMAND ARG…    let go of the cluster after that time; 0s holds it until the command ends
func lockedTool() {
	held, err := time.ParseDuration(os.Args[2])
	check(err)
	dir := filepath.Join(os.Getenv("XDG_STATE_HOME"), "cove", "locks")
	check(os.MkdirAll(dir, 0o700))
	l := flock.New(filepath.Join(dir, os.Args[1]+".lock"))
	check(l.Lock())
	if held > 0 {
		time.AfterFunc(held, func() { check(l.Unlock()) })
	}
	cmd := exec.Command(os.Args[3], os.Args[4:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	check(err)
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
//	engine take NODE                          take the ports that a node that is stopped publishes
//	engine gone NODE | lose NODE              remove its container; with its volumes
//	engine restart                            start the engine anew
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
		"take": func(ctx context.Context, fake *enginetest.Fake, args []string) error {
			n, err := fake.Node(ctx, args[0])
			for _, p := range n.Ports {
				fake.TakePort(p)
			}
			return err
		},
		"gone": func(ctx context.Context, fake *enginetest.Fake, args []string) error {
			return fake.RemoveNode(ctx, args[0])
		},
		"lose": func(ctx context.Context, fake *enginetest.Fake, args []string) error {
			volumes, err := fake.Volumes(ctx, engine.Selector{})
			err = errors.Join(err, fake.RemoveNode(ctx, args[0]))
			for _, v := range volumes {
				if v.Node == args[0] {
					err = errors.Join(err, fake.RemoveVolume(ctx, v.Name))
				}
			}
			return err
		},
		"tear": func(ctx context.Context, fake *enginetest.Fake, args []string) error { // a node's files, in the middle
			for _, path := range args[1:] {
				data, err := fake.ReadFile(ctx, args[0], path)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err == nil {
					err = fake.PutFiles(ctx, args[0], []engine.File{{Path: path, Data: data[:len(data)/2]}})
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
		"restart": func(ctx context.Context, fake *enginetest.Fake, _ []string) error {
			return fake.Restart(ctx)
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

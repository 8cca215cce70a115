package cli

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

// parse runs a command, which command returns with a run function that notes its options, below a root like cove's own.
// It returns the options, or the error's report.
func parse[T any](t *testing.T, command func(*Factory, func(context.Context, *T) error) *cobra.Command, args string) (got *T, message string) {
	t.Helper()
	b := newBench(t)
	c := command(b.Factory, func(_ context.Context, o *T) error {
		got = o
		return nil
	})
	root := NewRoot(b.Factory)
	for _, old := range root.Commands() {
		if old.Name() == c.Name() {
			root.RemoveCommand(old)
		}
	}
	c.GroupID = ""
	root.AddCommand(c)
	b.wrap(c)
	if status := b.Factory.main(t.Context(), root, strings.Fields(args)); status != 0 {
		if status != fault.ExitUsage {
			t.Errorf("%s: status %d", args, status)
		}
		return nil, b.errOut.String()
	}
	return got, ""
}

// row is a command line, and what it must come to: options, or a part of the error.
type row[T any] struct {
	args string
	want T
	err  string
}

func check[T any](t *testing.T, command func(*Factory, func(context.Context, *T) error) *cobra.Command, rows []row[T]) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.args, func(t *testing.T) {
			got, message := parse(t, command, r.args)
			switch {
			case r.err != "":
				if got != nil || !strings.Contains(message, r.err) || !strings.Contains(message, "[USAGE]") {
					t.Errorf("got %+v, %q", got, message)
				}
			case got == nil:
				t.Error(message)
			case !reflect.DeepEqual(*got, r.want):
				t.Errorf("got\n%+v\nwant\n%+v", *got, r.want)
			}
		})
	}
}

func number(n int) *int { return &n }

func TestCreateOptions(t *testing.T) {
	plain := func(change func(*createOptions)) createOptions {
		o := createOptions{create: cluster.CreateOptions{Wait: cluster.WaitUsable, Timeout: 5 * time.Minute}, output: formatText}
		change(&o)
		return o
	}
	check(t, newCreateCmd, []row[createOptions]{
		{args: "create", want: plain(func(*createOptions) {})},
		{args: "create dev", want: plain(func(o *createOptions) { o.document.flags.Name = "dev" })},
		{args: "create cluster", want: plain(func(*createOptions) {})},
		{args: "create cluster --name dev --config x.yaml", want: plain(func(o *createOptions) { o.document.flags.Name, o.document.file = "dev", "x.yaml" })},
		{args: "create dev --name dev", want: plain(func(o *createOptions) { o.document.flags.Name = "dev" })},
		{args: "create --workers 2 --control-planes 1 --image i:1 --kubernetes-version 1.35", want: plain(func(o *createOptions) {
			o.document.flags = config.Overrides{Workers: number(2), ControlPlanes: number(1), Image: "i:1", KubernetesVersion: "1.35"}
		})},
		{args: "create -f - --wait none --timeout 90s --retain --kubeconfig k --keep-context --dry-run -o yaml", want: plain(func(o *createOptions) {
			o.document.file, o.kubeconfig, o.dryRun, o.output = "-", "k", true, formatYAML
			o.create = cluster.CreateOptions{Wait: cluster.WaitNone, Timeout: 90 * time.Second, Retain: true, KeepContext: true}
		})},
		{args: "create --cpus 1.5 --memory 2Gi", want: plain(func(o *createOptions) { o.document.flags = config.Overrides{CPUs: "1.5", Memory: "2Gi"} })},
		{args: "create --wait 60s", want: plain(func(o *createOptions) { o.create.Timeout = time.Minute })},
		{args: "create --wait 60s --timeout 1m", want: plain(func(o *createOptions) { o.create.Timeout = time.Minute })},
		{args: "create --wait 0", want: plain(func(o *createOptions) { o.create.Wait = cluster.WaitNone })},
		{args: "create --lock-timeout 3s", want: plain(func(o *createOptions) { o.create.LockTimeout = 3 * time.Second })},
		{args: "create --no-kubeconfig -o json", want: plain(func(o *createOptions) { o.create.SkipKubeconfig, o.output = true, formatJSON })},
		{args: "create -p 8080:80 --port 53/udp --mount /a:/b:ro --pod-subnet 10.1.0.0/16 --service-subnet 10.2.0.0/16 --api-port 6443", want: plain(func(o *createOptions) {
			o.document = documentOptions{
				podSubnet: "10.1.0.0/16", serviceSubnet: "10.2.0.0/16", apiPort: 6443,
				ports:     []kind.PortMapping{{ContainerPort: 80, HostPort: 8080}, {ContainerPort: 53, Protocol: "UDP"}},
				mounts:    []kind.Mount{{HostPath: "/a", ContainerPath: "/b", Readonly: true}},
				portFlags: []string{"8080:80", "53/udp"}, mountFlags: []string{"/a:/b:ro"},
			}
		})},
		{args: "create a b", err: `takes one name, and there is "b", too`},
		{args: "create a --name b", err: `two names are given, "a" and --name "b"`},
		{args: "create --wait soon", err: "--wait=soon is not a level"},
		{args: "create --wait -1s", err: "no time to wait"},
		{args: "create --timeout 0s", err: "--timeout=0s is no time to wait"},
		{args: "create --wait 1m --timeout 2m", err: "contradict each other"},
		{args: "create -o yaml", err: "-o yaml is for --dry-run"},
		{args: "create -o wide", err: "must be text, json or yaml"},
		{args: "create --no-kubeconfig --keep-context", err: "no-kubeconfig"},
		{args: "create -p 80:x", err: `--port "80:x": "x" is no port`},
		{args: "create --mount /a", err: `--mount "/a": write it as HOSTPATH:PATH`},
		{args: "create dev --wrokers 2", err: "did you mean --workers?"},
	})
}

func TestDeleteOptions(t *testing.T) {
	plain := func(names ...string) deleteOptions { return deleteOptions{names: names, output: formatText} }
	all := deleteOptions{all: true, output: formatText}
	check(t, newDeleteCmd, []row[deleteOptions]{
		{args: "delete", want: plain("cove")},
		{args: "delete a b", want: plain("a", "b")},
		{args: "rm a", want: plain("a")},
		{args: "delete --name a", want: plain("a")},
		{args: "delete cluster --name a", want: plain("a")},
		{args: "delete clusters a b", want: plain("a", "b")},
		{args: "delete clusters -A", want: all},
		{args: "delete --all", want: all},
		{args: "delete a --kubeconfig k -o json", want: deleteOptions{names: []string{"a"}, kubeconfig: "k", output: formatJSON}},
		{args: "delete a --lock-timeout 3s", want: deleteOptions{names: []string{"a"}, delete: cluster.DeleteOptions{LockTimeout: 3 * time.Second}, output: formatText}},
		{args: "delete a --all", err: "no name goes with it"},
		{args: "delete --name a --all", err: "no name goes with it"},
		{args: "delete a --name b", err: "names are given as arguments (a) and by --name (b)"},
	})
}

func TestExecOptions(t *testing.T) {
	check(t, newExecCmd, []row[execOptions]{
		{args: "exec -- ls -l", want: execOptions{args: []string{"ls", "-l"}, stdin: true}},
		{args: "exec worker -- ls -l", want: execOptions{node: "worker", args: []string{"ls", "-l"}, stdin: true}},
		{args: "exec worker --name dev -- ls", want: execOptions{name: "dev", node: "worker", args: []string{"ls"}, stdin: true}},
		{args: "exec -it worker -- sh", want: execOptions{node: "worker", args: []string{"sh"}, stdin: true, tty: true}},
		{args: "exec -i=false worker ls", want: execOptions{node: "worker", args: []string{"ls"}}},
		{args: "exec", err: "no command is given"},
		{args: "exec worker", err: "no command is given"},
		{args: "exec worker --", err: "no command is given"},
		{args: "exec a b -- c", err: "one node is named before --, not 2"},
	})
	check(t, newShellCmd, []row[execOptions]{
		{args: "shell a b", err: "did you mean `cove exec a -- COMMAND`?"},
	})
}

func TestOtherOptions(t *testing.T) {
	check(t, newListCmd, []row[listOptions]{
		{args: "list", want: listOptions{formatText}},
		{args: "ls -o name", want: listOptions{formatName}},
		{args: "list dev", err: "takes no argument"},
	})
	check(t, newStatusCmd, []row[statusOptions]{
		{args: "status", want: statusOptions{"", formatText}},
		{args: "status dev -o wide", want: statusOptions{"dev", formatWide}},
		{args: "status --name dev", want: statusOptions{"dev", formatText}},
		{args: "status a b", err: "takes one name"},
	})
	check(t, newLogsCmd, []row[logsOptions]{
		{args: "logs", want: logsOptions{unit: unitAll, tail: -1}},
		{args: "logs worker --name dev -f --tail 3 -u kubelet", want: logsOptions{name: "dev", node: "worker", unit: unitKubelet, follow: true, tail: 3}},
		{args: "logs a b", err: "takes one node"},
		{args: "logs -u etcd", err: "must be all, kubelet, containerd or init"},
	})
	check(t, newExportCmd, []row[exportOptions]{
		{args: "export", want: exportOptions{}},
		{args: "export dir --name dev", want: exportOptions{"dev", "dir"}},
		{args: "export logs dir", want: exportOptions{"", "dir"}},
		{args: "export a b", err: "takes one folder"},
	})
	check(t, newKubectlCmd, []row[kubectlOptions]{
		{args: "kubectl", want: kubectlOptions{args: []string{}}},
		{args: "kubectl get pods -A -o wide", want: kubectlOptions{args: []string{"get", "pods", "-A", "-o", "wide"}}},
		{args: "kubectl --name dev -- get pods --name x", want: kubectlOptions{name: "dev", args: []string{"get", "pods", "--name", "x"}}},
		{args: "kubectl exec p -- ls", want: kubectlOptions{args: []string{"exec", "p", "--", "ls"}}},
	})
	check(t, newDoctorCmd, []row[doctorOptions]{
		{args: "doctor", want: doctorOptions{nodes: 1, version: "v1.36.3", output: formatText}},
		{args: "doctor --nodes 3 --image i --kubernetes-version 1.35 --kubeconfig k -o json", want: doctorOptions{3, "i", "v1.35.4", "k", formatJSON}},
		{args: "doctor --nodes 0", err: "--nodes=0"},
	})
}

func TestBelowOthers(t *testing.T) {
	group := func(name string, c *cobra.Command) *cobra.Command {
		g := &cobra.Command{Use: name}
		g.AddCommand(c)
		return g
	}
	check(t, func(f *Factory, run func(context.Context, *imageLoadOptions) error) *cobra.Command {
		return group("image", newImageLoadCmd(f, run))
	}, []row[imageLoadOptions]{
		{args: "image load app:1 options_test.go - no.tar --name dev --nodes a,b", want: imageLoadOptions{
			name: "dev", nodes: []string{"a", "b"}, images: []string{"app:1", "no.tar"}, archives: []string{"options_test.go", "-"}, output: formatText,
		}},
		{args: "image load", err: "nothing to load is named"},
		{args: "image load - -", err: "standard input can be read once"},
	})
	check(t, func(f *Factory, run func(context.Context, *imageListOptions) error) *cobra.Command {
		return group("image", newImageListCmd(f, run))
	}, []row[imageListOptions]{
		{args: "image ls --name dev --node worker -o wide", want: imageListOptions{"dev", "worker", formatWide}},
	})
	check(t, func(f *Factory, run func(context.Context, *buildOptions) error) *cobra.Command {
		return group("build", newBuildNodeImageCmd(f, run))
	}, []row[buildOptions]{
		{args: "build node-image", want: buildOptions{output: formatText}},
		{args: "build node-image --kubernetes-version 1.35 --tag t --fresh --sizes -o json", want: buildOptions{"1.35", "t", true, true, formatJSON}},
	})
	check(t, func(f *Factory, run func(context.Context, *getNodesOptions) error) *cobra.Command {
		return group("get", newGetNodesCmd(f, run))
	}, []row[getNodesOptions]{
		{args: "get nodes --name dev", want: getNodesOptions{name: "dev"}},
		{args: "get nodes -A", want: getNodesOptions{all: true}},
		{args: "get nodes -A --name dev", err: "all-clusters"},
	})
	check(t, func(f *Factory, run func(context.Context, *configViewOptions) error) *cobra.Command {
		return group("config", newConfigViewCmd(f, run))
	}, []row[configViewOptions]{
		{args: "config view dev -f x", want: configViewOptions{documentOptions{file: "x", flags: config.Overrides{Name: "dev"}}, formatYAML}},
	})
	for name, command := range map[string]func(*Factory, kubeconfigRun) *cobra.Command{
		"get": newKubeconfigGetCmd, "merge": newKubeconfigMergeCmd, "remove": newKubeconfigRemoveCmd, "path": newKubeconfigPathCmd,
	} {
		args := map[string]row[kubeconfigOptions]{
			"get":    {args: "kubeconfig get dev --internal", want: kubeconfigOptions{name: "dev", internal: true}},
			"merge":  {args: "kubeconfig merge --name dev --kubeconfig k --keep-context", want: kubeconfigOptions{name: "dev", kubeconfig: "k", keepContext: true}},
			"remove": {args: "kubeconfig rm dev --kubeconfig k", want: kubeconfigOptions{name: "dev", kubeconfig: "k"}},
			"path":   {args: "kubeconfig path dev --kubeconfig k", want: kubeconfigOptions{name: "dev", kubeconfig: "k"}},
		}
		check(t, func(f *Factory, run func(context.Context, *kubeconfigOptions) error) *cobra.Command {
			return group("kubeconfig", command(f, func(ctx context.Context, _ *Factory, o *kubeconfigOptions) error { return run(ctx, o) }))
		}, []row[kubeconfigOptions]{args[name]})
	}
}

func TestParsePort(t *testing.T) {
	for s, want := range map[string]kind.PortMapping{
		"80":                    {ContainerPort: 80},
		"8080:80":               {ContainerPort: 80, HostPort: 8080},
		"8080:80/sctp":          {ContainerPort: 80, HostPort: 8080, Protocol: "SCTP"},
		"127.0.0.1:8080:80/tcp": {ContainerPort: 80, HostPort: 8080, ListenAddress: "127.0.0.1", Protocol: "TCP"},
		"127.0.0.1::80":         {ContainerPort: 80, ListenAddress: "127.0.0.1"},
		"[::1]:8080:80":         {ContainerPort: 80, HostPort: 8080, ListenAddress: "::1"},
	} {
		if got, err := parsePort(s); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "x", "70000", "80/icmp", "::1:8080:80", "0:80", "80:"} {
		if got, err := parsePort(s); err == nil {
			t.Errorf("%s: got %+v", s, got)
		}
	}
}

func TestParseMount(t *testing.T) {
	for s, want := range map[string]kind.Mount{
		"/a:/b":            {HostPath: "/a", ContainerPath: "/b"},
		"./a:/b:ro":        {HostPath: "./a", ContainerPath: "/b", Readonly: true},
		`C:\src:/src`:      {HostPath: `C:\src`, ContainerPath: "/src"},
		"C:/src:/src:ro":   {HostPath: "C:/src", ContainerPath: "/src", Readonly: true},
		"/with:colon:/b/c": {HostPath: "/with:colon", ContainerPath: "/b/c"},
	} {
		if got, err := parseMount(s); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "/a", ":/b", "/a:b", "/a:/", "/a:ro"} {
		if got, err := parseMount(s); err == nil {
			t.Errorf("%s: got %+v", s, got)
		}
	}
}

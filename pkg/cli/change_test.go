package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/config"
	"github.com/cove-k8s/cove/pkg/fault"
)

// plainChange is what commands that change a cluster do without any flag.
func plainChange(change func(*changeOptions)) changeOptions {
	o := changeOptions{output: formatText}
	o.apply.Timeout, o.apply.DrainTimeout = 5*time.Minute, 2*time.Minute
	if change != nil {
		change(&o)
	}
	return o
}

func TestApplyOptions(t *testing.T) {
	plain := func(change func(*applyOptions)) applyOptions {
		o := applyOptions{change: plainChange(func(c *changeOptions) { c.apply.Wait = cluster.WaitUsable })}
		change(&o)
		return o
	}
	check(t, newApplyCmd, []row[applyOptions]{
		{args: "apply", want: plain(func(*applyOptions) {})},
		{args: "apply dev --config x.yaml --workers 2", want: plain(func(o *applyOptions) {
			o.document.file, o.document.flags = "x.yaml", config.Overrides{Name: "dev", Workers: number(2)}
		})},
		{args: "apply -f x --cpus 2 --memory 2Gi --name dev", want: plain(func(o *applyOptions) {
			o.document.file, o.document.flags = "x", config.Overrides{Name: "dev", CPUs: "2", Memory: "2Gi"}
		})},
		{args: "apply -f x --wait nodes --timeout 9m --lock-timeout 1s --drain-timeout 3s --force -y --kubeconfig k --keep-context --diff -o yaml", want: plain(func(o *applyOptions) {
			o.document.file = "x"
			o.change = changeOptions{kubeconfig: "k", yes: true, diff: true, output: formatYAML}
			o.change.apply = cluster.ApplyOptions{DrainTimeout: 3 * time.Second, Force: true}
			o.change.apply.CreateOptions = cluster.CreateOptions{Wait: cluster.WaitNodes, Timeout: 9 * time.Minute, KeepContext: true, LockTimeout: time.Second}
		})},
		{args: "apply -f x --wait 60s --no-kubeconfig --dry-run -o json", want: plain(func(o *applyOptions) {
			o.document.file, o.change.dryRun, o.change.output = "x", true, formatJSON
			o.change.apply.Timeout, o.change.apply.SkipKubeconfig = time.Minute, true
		})},
		{args: "apply -f x --keep-context=false", want: plain(func(o *applyOptions) {
			o.document.file, o.change.apply.SwitchContext = "x", true
		})},
		{args: "apply a b", err: `takes one name, and there is "b", too`},
		{args: "apply --wait soon", err: "--wait=soon is not a level"},
		{args: "apply --timeout 0s", err: "--timeout=0s is no time to wait"},
		{args: "apply --drain-timeout -1s", err: "--drain-timeout=-1s is no time to wait"},
		{args: "apply --lock-timeout -1s", err: "--lock-timeout=-1s is no time to wait"},
		{args: "apply -o yaml", err: "-o yaml is for --dry-run"},
		{args: "apply --diff --dry-run", err: "diff"},
		{args: "apply --no-kubeconfig --keep-context", err: "no-kubeconfig"},
	})
}

func TestUpgradeOptions(t *testing.T) {
	check(t, newUpgradeCmd, []row[upgradeOptions]{
		{args: "upgrade dev --kubernetes-version 1.36", want: upgradeOptions{name: "dev", version: "1.36", change: plainChange(nil)}},
		{args: "upgrade --name dev --image i:1 --dry-run -y", want: upgradeOptions{name: "dev", image: "i:1", change: plainChange(func(o *changeOptions) {
			o.dryRun, o.yes = true, true
		})}},
		{args: "upgrade dev", err: "no version is named"},
		{args: "upgrade a b --image i", err: "takes one name"},
		{args: "upgrade --image i --timeout 0s", err: "no time to wait"},
	})
	t.Setenv("COVE_IMAGE", "other:1")
	if got, message := parse(t, newUpgradeCmd, "upgrade dev --kubernetes-version 1.36"); got == nil || got.image != "" {
		t.Errorf("the settings chose the image: %+v, %s", got, message)
	}
}

func TestPowerOptions(t *testing.T) {
	verbs := map[string]powerVerb{}
	for _, v := range powerVerbs() {
		verbs[v.use] = v
	}
	command := func(use string) func(*Factory, func(context.Context, *powerOptions) error) *cobra.Command {
		return func(f *Factory, run func(context.Context, *powerOptions) error) *cobra.Command {
			return newPowerCmd(f, verbs[use], func(ctx context.Context, v powerVerb, o *powerOptions) error {
				if v.use != use {
					t.Errorf("%s runs %s", use, v.use)
				}
				return run(ctx, o)
			})
		}
	}
	started := func(change func(*powerOptions), names ...string) powerOptions {
		o := powerOptions{names: names, output: formatText, power: cluster.PowerOptions{Timeout: 5 * time.Minute, Wait: cluster.WaitUsable, KeepContext: true}}
		if change != nil {
			change(&o)
		}
		return o
	}
	check(t, command("stop"), []row[powerOptions]{
		{args: "stop", want: powerOptions{output: formatText}},
		{args: "stop a b --lock-timeout 3s -o json", want: powerOptions{names: []string{"a", "b"}, output: formatJSON, power: cluster.PowerOptions{LockTimeout: 3 * time.Second}}},
		{args: "stop --name a", want: powerOptions{names: []string{"a"}, output: formatText}},
		{args: "stop -A", want: powerOptions{all: true, output: formatText}},
		{args: "stop a --all", err: "no name goes with it"},
		{args: "stop a --name b", err: "names are given as arguments (a) and by --name (b)"},
		{args: "stop --wait none", err: "unknown flag"},
		{args: "stop --lock-timeout -3s", err: "no time to wait"},
	})
	check(t, command("resume"), []row[powerOptions]{
		{args: "unpause a", want: powerOptions{names: []string{"a"}, output: formatText}},
	})
	for _, use := range []string{"start", "restart"} {
		check(t, command(use), []row[powerOptions]{
			{args: use + " a", want: started(nil, "a")},
			{args: use + " --wait nodes --timeout 1m --kubeconfig k --keep-context=false", want: started(func(o *powerOptions) {
				o.kubeconfig, o.power = "k", cluster.PowerOptions{Wait: cluster.WaitNodes, Timeout: time.Minute}
			})},
			{args: use + " --wait 30s --no-kubeconfig", want: started(func(o *powerOptions) { o.power.Timeout, o.power.SkipKubeconfig = 30*time.Second, true })},
			{args: use + " --wait soon", err: "not a level"},
			{args: use + " --timeout 0s", err: "no time to wait"},
			{args: use + " --no-kubeconfig --kubeconfig k", err: "no-kubeconfig"},
		})
	}
}

func below[T any](name string, command func(*Factory, func(context.Context, *T) error) *cobra.Command) func(*Factory, func(context.Context, *T) error) *cobra.Command {
	return func(f *Factory, run func(context.Context, *T) error) *cobra.Command {
		g := &cobra.Command{Use: name}
		g.AddCommand(command(f, run))
		return g
	}
}

func TestNodeOptions(t *testing.T) {
	plain := func(change func(*nodeOptions), set ...string) nodeOptions {
		o := nodeOptions{change: plainChange(nil), nodes: []string{}, set: map[string]bool{}}
		for _, flag := range set {
			o.set[flag] = true
		}
		change(&o)
		return o
	}
	check(t, below("node", newNodeListCmd), []row[nodeListOptions]{
		{args: "node ls --name dev -o wide", want: nodeListOptions{"dev", formatWide}},
		{args: "node list dev", err: "takes no argument"},
	})
	check(t, below("node", newNodeAddCmd), []row[nodeOptions]{
		{args: "node add", want: plain(func(o *nodeOptions) { o.count, o.spec.Role = 1, kind.WorkerRole })},
		{
			args: "node add --name dev --role control-plane --count 2 --cpus 2 --memory 4Gi --image i:1 --labels a=b,c=d=e --labels f= --taints k=v:NoSchedule,l:NoExecute -p 8080:80 --mount /a:/b:ro",
			want: plain(func(o *nodeOptions) {
				o.name, o.count = "dev", 2
				o.spec = v1alpha1.NodeSpec{
					Role: kind.ControlPlaneRole, CPUs: "2", Memory: "4Gi", Image: "i:1", Labels: map[string]string{"a": "b", "c": "d=e", "f": ""},
					Taints:            []v1alpha1.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}, {Key: "l", Effect: "NoExecute"}},
					ExtraPortMappings: []kind.PortMapping{{ContainerPort: 80, HostPort: 8080}},
					ExtraMounts:       []kind.Mount{{HostPath: "/a", ContainerPath: "/b", Readonly: true}},
				}
				o.labelFlags, o.taintFlags = []string{"a=b", "c=d=e", "f="}, []string{"k=v:NoSchedule", "l:NoExecute"}
				o.portFlags, o.mountFlags = []string{"8080:80"}, []string{"/a:/b:ro"}
			}, "name", "role", "count", "cpus", "memory", "image", "labels", "taints", "port", "mount"),
		},
		{args: "node add --node-name web", want: plain(func(o *nodeOptions) { o.count, o.spec.Role, o.spec.Name = 1, kind.WorkerRole, "web" }, "node-name")},
		{args: "node add web", err: "takes no argument"},
		{args: "node add --count 0", err: "--count=0"},
		{args: "node add --role boss", err: "must be worker or control-plane"},
		{args: "node add --labels a", err: `--labels "a": write it as KEY=VALUE`},
		{args: "node add --taints a", err: `--taints "a": write it as KEY=VALUE:EFFECT`},
		{args: "node add -p x", err: `--port "x"`},
		{args: "node add --mount x", err: `--mount "x"`},
	})
	check(t, below("node", newNodeRemoveCmd), []row[nodeOptions]{
		{args: "node rm a b --force --timeout 9s", want: plain(func(o *nodeOptions) {
			o.nodes, o.change.apply.Force = []string{"a", "b"}, true
			o.change.apply.Timeout, o.change.apply.DrainTimeout = 9*time.Second, 9*time.Second
		}, "force", "timeout")},
		{args: "node delete a --timeout 9s --drain-timeout 3s", want: plain(func(o *nodeOptions) {
			o.nodes, o.change.apply.Timeout, o.change.apply.DrainTimeout = []string{"a"}, 9*time.Second, 3*time.Second
		}, "timeout", "drain-timeout")},
		{args: "node remove", err: "no node is named"},
	})
	check(t, below("node", newNodeReplaceCmd), []row[nodeOptions]{
		{args: "node replace a -y --name dev", want: plain(func(o *nodeOptions) {
			o.name, o.nodes, o.again, o.change.yes = "dev", []string{"a"}, true, true
		}, "yes", "name")},
		{args: "node replace", err: "no node is named"},
	})
	check(t, below("node", newNodeUpdateCmd), []row[nodeOptions]{
		{
			args: "node update a --remove-label l --remove-taint t --remove-port 80 --remove-mount /a --memory=",
			want: plain(func(o *nodeOptions) {
				o.nodes, o.removeLabels, o.removeTaints, o.removePorts, o.removeMounts = []string{"a"}, []string{"l"}, []string{"t"}, []string{"80"}, []string{"/a"}
			}, "remove-label", "remove-taint", "remove-port", "remove-mount", "memory"),
		},
		{args: "node update a", err: "nothing to change is said"},
		{args: "node update --cpus 2", err: "no node is named"},
	})
	t.Setenv("COVE_CPUS", "8")
	if got, message := parse(t, below("node", newNodeAddCmd), "node add"); got == nil || got.spec.CPUs != "" {
		t.Errorf("the settings chose the size: %+v, %s", got, message)
	}
}

func TestConfigGetAndImportOptions(t *testing.T) {
	check(t, below("config", newConfigGetCmd), []row[configGetOptions]{
		{args: "config get dev -o json", want: configGetOptions{"dev", formatJSON}},
		{args: "config get --name dev", want: configGetOptions{"dev", formatYAML}},
		{args: "config get a --name b", err: "two names are given"},
	})
	check(t, below("config", func(f *Factory, run func(context.Context, *configImportOptions) error) *cobra.Command {
		return newConfigImportCmd(f, func(o *configImportOptions) error { return run(t.Context(), o) })
	}), []row[configImportOptions]{
		{args: "config import f", want: configImportOptions{"f", formatYAML}},
		{args: "config import", err: "takes one file"},
	})
}

// What the document of a cluster that is there leaves open is as the cluster has it.
func TestKeep(t *testing.T) {
	doc := func(version, image, profile string) v1alpha1.Cluster {
		return v1alpha1.Cluster{KubernetesVersion: version, Image: image, Profile: profile}
	}
	for name, tt := range map[string]struct{ file, current, flags, want v1alpha1.Cluster }{
		"all open":               {doc("", "", ""), doc("v1.35.2", "i:1", "ci"), doc("", "", ""), doc("v1.35.2", "i:1", "ci")},
		"minor version":          {doc("1.35", "", "ci"), doc("v1.35.2", "", "dev"), doc("", "", ""), doc("v1.35.2", "", "ci")},
		"minor version, v":       {doc("v1.35", "", ""), doc("v1.35.2", "i:1", "dev"), doc("", "", ""), doc("v1.35.2", "i:1", "dev")},
		"same version":           {doc("1.35.2", "", ""), doc("v1.35.2", "i:1", "dev"), doc("", "", ""), doc("v1.35.2", "i:1", "dev")},
		"another version":        {doc("1.36", "", ""), doc("v1.35.2", "i:1", "dev"), doc("", "", ""), doc("1.36", "", "dev")},
		"another release":        {doc("v1.35.20", "", ""), doc("v1.35.2", "i:1", "dev"), doc("", "", ""), doc("v1.35.20", "", "dev")},
		"no version begins so":   {doc("1.3", "", ""), doc("v1.35.2", "", "dev"), doc("", "", ""), doc("1.3", "", "dev")},
		"same image":             {doc("", "i:1", ""), doc("v1.35.2", "i:1", "dev"), doc("", "", ""), doc("v1.35.2", "i:1", "dev")},
		"another image":          {doc("", "i:2", ""), doc("v1.35.2", "i:1", "dev"), doc("", "", ""), doc("", "i:2", "dev")},
		"flags choose a version": {doc("", "", ""), doc("v1.35.2", "i:1", "dev"), doc("1.36", "", ""), doc("", "", "dev")},
		"flags choose a profile": {doc("", "", ""), doc("v1.35.2", "", "dev"), doc("", "", "ci"), doc("v1.35.2", "", "")},
	} {
		o := documentOptions{flags: config.Overrides{KubernetesVersion: tt.flags.KubernetesVersion, Image: tt.flags.Image, Profile: tt.flags.Profile}}
		if got := o.keep(tt.file, &tt.current); got.KubernetesVersion != tt.want.KubernetesVersion || got.Image != tt.want.Image || got.Profile != tt.want.Profile {
			t.Errorf("%s: got %q, %q, %q, want %+v", name, got.KubernetesVersion, got.Image, got.Profile, tt.want)
		}
	}
	none := (&documentOptions{}).keep(doc("", "", ""), nil)
	if none.KubernetesVersion != "" || none.Profile != "" {
		t.Errorf("of no cluster: %+v", none)
	}
}

func TestConfirmChanges(t *testing.T) {
	lost := cluster.Difference{Changes: []cluster.Change{
		{Op: cluster.Modify, Object: "worker dev-worker", Details: []string{"cpus 1 → 2"}},
		{Op: cluster.Remove, Object: "worker dev-worker2", Destroys: "what its pods keep on it is lost"},
	}}
	harmless := cluster.Difference{Changes: lost.Changes[:1]}
	for name, tt := range map[string]struct {
		diff        cluster.Difference
		yes         bool
		interactive bool
		answer      string
		want        bool
		code        fault.Code
		shown       string
	}{
		"harmless":           {diff: harmless, want: true, shown: "~ worker dev-worker: cpus 1 → 2\n"},
		"yes":                {diff: lost, yes: true, want: true, shown: "- worker dev-worker2 (what its pods keep on it is lost)\n"},
		"nobody to ask":      {diff: lost, code: fault.Usage},
		"asked, yes":         {diff: lost, interactive: true, answer: "y\n", want: true, shown: "Go on and destroy the data of worker dev-worker2? [y/N] "},
		"asked, no":          {diff: lost, interactive: true, answer: "\n"},
		"harmless, terminal": {diff: harmless, interactive: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.IO.In = strings.NewReader(tt.answer)
			ok, err := b.confirmChanges(t.Context(), changeOptions{yes: tt.yes, output: formatText}, tt.diff, tt.interactive)
			if ok != tt.want || fault.CodeOf(err) != tt.code || !strings.Contains(b.errOut.String(), tt.shown) {
				t.Errorf("%v, %v, shown %q", ok, err, b.errOut.String())
			}
			if tt.code != "" && !strings.Contains(fault.ReportOf(err).Hint, "--yes") {
				t.Errorf("the hint is %q", fault.ReportOf(err).Hint)
			}
		})
	}
}

// An interrupt ends the wait for an answer that never comes.
func TestAskIsInterrupted(t *testing.T) {
	b := newBench(t)
	in, out := io.Pipe()
	defer out.Close()
	b.IO.In, b.IO.ErrOut = in, io.Discard
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if ok, err := b.ask(ctx, "Sure? "); ok || !errors.Is(err, stop) {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestWriteDifference(t *testing.T) {
	d := cluster.Difference{Cluster: "dev", Changes: []cluster.Change{{Op: cluster.Add, Object: "worker dev-worker"}}}
	for want, tt := range map[string]struct {
		closing string
		diff    cluster.Difference
	}{
		"+ worker dev-worker\n": {"", d},
		"all is well\n":         {"all is well", cluster.Difference{Cluster: "dev"}},
		"cluster \"dev\" is as its document says; only the record of the document would change\n": {"", cluster.Difference{Cluster: "dev"}},
	} {
		var out bytes.Buffer
		if err := writeDifference(&out, tt.closing, tt.diff, false); err != nil || out.String() != want {
			t.Errorf("got %q, %v, want %q", out.String(), err, want)
		}
	}
}

func TestUpgradedNodesHaveOneImage(t *testing.T) {
	doc := v1alpha1.Cluster{Name: "dev", KubernetesVersion: "v1.35.4", Image: "old:1", NodeSpecs: []v1alpha1.NodeSpec{{Role: kind.ControlPlaneRole, CPUs: "2"}, {Image: "older:1"}}}
	kinds := v1alpha1.Cluster{Cluster: kind.Cluster{Nodes: []kind.Node{{Role: kind.ControlPlaneRole, Image: "old:1"}}}}
	for _, o := range []upgradeOptions{{version: "1.36"}, {image: "new:1"}} {
		got := o.upgraded(doc)
		if got.KubernetesVersion != o.version || got.Image != o.image || got.NodeSpecs[1].Image != "" || got.NodeSpecs[0].CPUs != "2" {
			t.Errorf("%+v: got %+v", o, got)
		}
		if got := o.upgraded(kinds); got.Cluster.Nodes[0].Image != "" {
			t.Errorf("%+v: got %+v", o, got)
		}
	}
	if doc.NodeSpecs[1].Image != "older:1" {
		t.Error("the document of the cluster was changed")
	}
}

// Ports and mounts that flags add again are taken out first; those of other nodes and others stay.
func TestRefine(t *testing.T) {
	port := kind.PortMapping{ContainerPort: 80, Protocol: kind.PortMappingProtocolTCP}
	other := kind.PortMapping{ContainerPort: 81, HostPort: 8081, Protocol: kind.PortMappingProtocolTCP}
	mount := kind.Mount{HostPath: "/a", ContainerPath: "/b"}
	doc := v1alpha1.Cluster{Name: "dev", NodeSpecs: []v1alpha1.NodeSpec{
		{Role: kind.ControlPlaneRole, ExtraPortMappings: []kind.PortMapping{port, other}, ExtraMounts: []kind.Mount{mount, {HostPath: "/a", ContainerPath: "/c"}}},
		{Role: kind.WorkerRole, ExtraPortMappings: []kind.PortMapping{port}, ExtraMounts: []kind.Mount{mount}},
	}}
	o := documentOptions{ports: []kind.PortMapping{{ContainerPort: 80}}, mounts: []kind.Mount{{HostPath: "/elsewhere", ContainerPath: "/b"}}}
	refined := o.refine(doc)
	nodes := refined.Nodes()
	if p := nodes[0].ExtraPortMappings; len(p) != 1 || p[0] != other {
		t.Errorf("the control plane has %+v", p)
	}
	if p := nodes[1].ExtraPortMappings; len(p) != 1 || p[0] != port {
		t.Errorf("the worker has %+v", p)
	}
	if len(nodes[0].ExtraMounts) != 1 || nodes[0].ExtraMounts[0].ContainerPath != "/c" || len(nodes[1].ExtraMounts) != 0 {
		t.Errorf("mounts: %+v, %+v", nodes[0].ExtraMounts, nodes[1].ExtraMounts)
	}
	if len(doc.NodeSpecs[0].ExtraPortMappings) != 2 {
		t.Error("the document of the cluster was changed")
	}
}

// Ports and mounts of an update take the place of those that are the same, so that it can be given again.
func TestUpdateNodeAgain(t *testing.T) {
	o := nodeOptions{nodes: []string{"worker"}, set: map[string]bool{}}
	o.spec.ExtraPortMappings = []kind.PortMapping{{ContainerPort: 80, HostPort: 8080}}
	o.spec.ExtraMounts = []kind.Mount{{HostPath: "/a", ContainerPath: "/b"}}
	doc := v1alpha1.Cluster{Name: "dev", NodeSpecs: []v1alpha1.NodeSpec{{Role: kind.ControlPlaneRole}, {Role: kind.WorkerRole}}}
	for range 2 {
		config.Default(&doc)
		var err error
		if doc, err = o.update(doc); err != nil {
			t.Fatal(err)
		}
		if n := doc.Nodes()[1]; len(n.ExtraPortMappings) != 1 || len(n.ExtraMounts) != 1 {
			t.Errorf("got %+v, %+v", n.ExtraPortMappings, n.ExtraMounts)
		}
	}
}

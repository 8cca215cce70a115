package cluster

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/kube"
)

// PowerOptions is how to stop, start, pause and resume.
type PowerOptions struct {
	Timeout     time.Duration // of start; 0 is DefaultTimeout
	LockTimeout time.Duration
	Wait        WaitLevel // of start; "" is WaitUsable
	KeepContext bool
	// SkipKubeconfig leaves the kubeconfig alone, also where its certificate or its port is out of date.
	SkipKubeconfig bool
	// Nodes bounds it to these; none are all, with the load balancer.
	Nodes []string
}

// powerPlan says what to do to these containers of a cluster.
type powerPlan func(was observed, chosen []engine.Node, rc *Context) (Plan, error)

// powered is a run on the containers of a cluster, or several one after the other.
func powered(ctx context.Context, d Deps, name string, o PowerOptions, plans ...powerPlan) error {
	unlock, err := lock(ctx, d.StateDir, name, o.LockTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	for _, plan := range plans {
		if err := power(ctx, d, name, o, plan); err != nil {
			return err
		}
	}
	return nil
}

// power carries a plan out; the caller has the lock.
func power(ctx context.Context, d Deps, name string, o PowerOptions, plan powerPlan) error {
	was, err := observe(ctx, d, name)
	if err != nil {
		return err
	}
	if err := was.noReader(); err != nil {
		return err
	}
	chosen, err := was.choose(o.Nodes)
	if err != nil {
		return err
	}
	rc := was.context(d, *was.record.Document)
	rc.Options = CreateOptions{Wait: o.Wait, KeepContext: o.KeepContext, SkipKubeconfig: o.SkipKubeconfig}
	p, err := plan(was, chosen, rc)
	if err != nil {
		return err
	}
	timeout := o.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	return Runner{Timeout: timeout, Retain: true, Quiet: true}.Run(ctx, p, rc)
}

// choose returns the containers of these nodes; of all, where none is named. A node on record without one is gone.
func (o observed) choose(names []string) ([]engine.Node, error) {
	all := o.containers()
	for _, n := range o.gone(o.record) {
		all = append(all, engine.Node{Name: n.Name, Cluster: o.name, Role: n.Role, State: stateGone})
	}
	if len(names) == 0 {
		return all, nil
	}
	var chosen []engine.Node
	for _, name := range names {
		i := slices.IndexFunc(all, func(n engine.Node) bool { return n.Name == name || n.Name == fullName(o.name, name) })
		if i < 0 {
			return nil, fault.New(fault.NodeNotFound, "cluster %q has no node %q", o.name, name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// fullName returns a node's whole name, by that or by what follows the cluster's name in it.
func fullName(cluster, node string) string {
	if len(node) > len(cluster) && node[:len(cluster)+1] == cluster+"-" {
		return node
	}
	return cluster + "-" + node
}

// Stop stops a cluster, or some of its nodes: pods end in order, data stays, and nothing comes back by itself, not even when the
// engine is started anew. What is stopped already stays so.
func Stop(ctx context.Context, d Deps, name string, o PowerOptions) error {
	return powered(ctx, d, name, o, planStop)
}

// Restart stops a cluster, or some of its nodes, and starts it as Start does. What could not be started is not stopped.
func Restart(ctx context.Context, d Deps, name string, o PowerOptions) error {
	return powered(ctx, d, name, o, func(was observed, chosen []engine.Node, rc *Context) (Plan, error) {
		if _, err := planStart(was, chosen, rc); err != nil {
			return Plan{}, err
		}
		return planStop(was, chosen, rc)
	}, planStart)
}

func planStop(was observed, chosen []engine.Node, _ *Context) (Plan, error) {
	nodes, balancer := Stage{Name: "stop"}, Stage{Name: "balancer"}
	for _, n := range chosen {
		s := step{"stop/" + n.Name, "Stop " + n.Name, stopContainer(n.Name)}
		if n.Role == engine.RoleLoadBalancer {
			balancer.Steps = append(balancer.Steps, s)
		} else {
			nodes.Steps = append(nodes.Steps, s)
		}
	}
	return Plan{Cluster: was.name, Stages: slices.DeleteFunc([]Stage{nodes, balancer}, func(s Stage) bool { return len(s.Steps) == 0 })}, nil
}

func stopContainer(name string) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		n, err := rc.Engine.Node(ctx, name)
		if fault.Is(err, fault.NodeNotFound) {
			return event.Skip(whyGone)
		}
		if err != nil {
			return err
		}
		if err := rc.Engine.KeepDown(ctx, name, true); err != nil {
			return err
		}
		if n.State == engine.StateExited || n.State == engine.StateCreated {
			return event.Skip("it is stopped")
		}
		if n.State == engine.StatePaused {
			if err := rc.Engine.ResumeNode(ctx, name); err != nil {
				return err
			}
		}
		return rc.Engine.StopNode(ctx, name, stopGrace)
	}
}

// Pause freezes all processes of a cluster where they are; Resume lets them go on.
func Pause(ctx context.Context, d Deps, name string, o PowerOptions) error {
	return powered(ctx, d, name, o, freezing("pause", "Pause", engine.Engine.PauseNode))
}

// Resume lets a paused cluster go on. It does not wait for anything: what was frozen goes on where it was.
func Resume(ctx context.Context, d Deps, name string, o PowerOptions) error {
	return powered(ctx, d, name, o, freezing("resume", "Resume", engine.Engine.ResumeNode))
}

// freezing plans to do that to all containers, together. They must be up.
func freezing(id, title string, do func(engine.Engine, context.Context, string) error) powerPlan {
	return func(was observed, chosen []engine.Node, _ *Context) (Plan, error) {
		stage := Stage{Name: id}
		for _, n := range chosen {
			if n.State == stateGone && len(chosen) > 1 { // the others can all the same
				continue
			}
			if n.State != engine.StateRunning && n.State != engine.StatePaused {
				return Plan{}, fault.New(fault.ClusterNotRunning, "cannot %s cluster %q: %s is %s", id, was.name, n.Name, n.State).WithHint("start it first with `cove start %s`", was.name)
			}
			stage.Steps = append(stage.Steps, step{id + "/" + n.Name, title + " " + n.Name, func(ctx context.Context, rc *Context) error {
				return do(rc.Engine, ctx, n.Name)
			}})
		}
		return Plan{Cluster: was.name, Stages: []Stage{stage}}, nil
	}
}

// Start starts a cluster, or some of its nodes, and returns when it is as usable as it was: nodes Ready, their pods back, DNS
// answering. What runs already is waited for as well.
func Start(ctx context.Context, d Deps, name string, o PowerOptions) error {
	return powered(ctx, d, name, o, planStart)
}

// planStart refuses a cluster that an upgrade was cut off on: a node may have a kubelet that waits for the rest of it.
func planStart(was observed, chosen []engine.Node, rc *Context) (Plan, error) {
	if half := was.record.Upgrading; half != "" {
		return Plan{}, cutOff(was.name, half)
	}
	p := Plan{Cluster: was.name}
	stage := func(name string, steps ...Step) {
		if len(steps) > 0 {
			p.Stages = append(p.Stages, Stage{Name: name, Timed: true, Steps: steps})
		}
	}
	lost, err := was.remade(chosen)
	if err != nil {
		return Plan{}, err
	}
	steps, names := startAll(chosen, lost)
	balancers := startBalancers(was, chosen)
	if len(lost) == 0 { // else the record, which the load balancer's port belongs into, waits for them
		steps, balancers = append(steps, balancers...), nil
	}
	if len(lost) > 0 || was.balancerLost() {
		stage("prepare", step{"image", "Get the node image" + imageTitle(rc.Doc), was.imagesAgain(lost)})
	}
	stage("keys", step{"keys", "Read the cluster's keys", (&delta{was: was}).loadKeys})
	stage("certificates", step{"certificates", "Renew the certificates that end soon", renewCertificates(names)})
	stage("start", steps...)
	stage("balancer", balancers...)
	if !rc.Options.SkipKubeconfig {
		stage("kubeconfig", step{"kubeconfig", "Keep context " + ContextName(was.name) + " up to date", keepKubeconfig(movedSince(was.record.APIPort))})
	}
	if rc.Options.Wait != WaitNone {
		was.planUsable(stage, rc, names)
	}
	return p, nil
}

// planUsable waits until the API answers and these nodes are usable again, as far as the options want it.
func (o observed) planUsable(stage stageFunc, rc *Context, names []string) {
	stage("api", step{"api", "Reach the API server", waitAPI})
	if o.allStopped() && len(controlPlanes(o.record.nodes())) > 1 {
		stage("leases", step{"leases", "Let the control planes elect new leaders", dropLeases})
	}
	if rc.Options.Wait == WaitAPI || len(names) == 0 {
		return
	}
	stage("ready", step{"ready/nodes", "Nodes and their pods are back", waitBack(names)})
	if rc.Options.Wait != WaitNodes && !noCNI(rc.Doc) && kubeProxyMode(rc.Doc) != "none" {
		stage("dns", dnsSteps(o.record.nodes(), names)...)
	}
}

// allStopped reports whether no control plane runs.
func (o observed) allStopped() bool {
	return !slices.ContainsFunc(o.nodes, func(n engine.Node) bool {
		return n.Role == engine.RoleControlPlane && n.State != engine.StateExited && n.State != engine.StateCreated
	})
}

// startAll returns the steps that start the nodes among these containers, with their names. Those that are lost get a new one.
func startAll(chosen []engine.Node, lost []v1alpha1.Node) (steps []Step, nodes []string) {
	for _, n := range chosen {
		if n.Role == engine.RoleLoadBalancer {
			continue
		}
		nodes = append(nodes, n.Name)
		do, title := startContainer(n.Name), "Start "+n.Name
		if i := slices.IndexFunc(lost, func(l v1alpha1.Node) bool { return l.Name == n.Name }); i >= 0 {
			do, title = replaceContainer(lost[i]), "Make the container of "+n.Name+" again"
		}
		steps = append(steps, step{"start/" + n.Name, title, do})
	}
	return steps, nodes
}

// startBalancers returns the step that starts the load balancer, if it is among these containers. One that is lost gets a new container
// in any case: without it nobody would reach the nodes.
func startBalancers(was observed, chosen []engine.Node) []Step {
	if was.balancerLost() {
		return []Step{step{"balancer", "Start a new load balancer", balancerAgain}}
	}
	for _, n := range chosen {
		if n.Role == engine.RoleLoadBalancer {
			return []Step{step{"start/" + n.Name, "Start the load balancer", startBalancerAgain}}
		}
	}
	return nil
}

func dnsSteps(nodes []v1alpha1.Node, names []string) []Step {
	var steps []Step
	for _, n := range nodes {
		if slices.Contains(names, n.Name) {
			steps = append(steps, step{"ready/dns/" + n.Name, "DNS answers on " + n.Name, waitDNS(n)})
		}
	}
	return steps
}

// startBalancerAgain starts the load balancer. Where it is of an older image than the control planes it is made anew, since nobody misses
// it now; and where its port is taken, with another one.
func startBalancerAgain(ctx context.Context, rc *Context) error {
	b, err := rc.Engine.Node(ctx, balancerName(rc.Name()))
	if err != nil {
		return err
	}
	img, stale, err := staleBalancer(ctx, rc)
	if err != nil {
		return err
	}
	if stale && b.State == engine.StateExited {
		return anotherBalancer(ctx, rc, img)
	}
	err = wake(ctx, rc.Engine, b.Name)
	if fault.Is(err, fault.AddressMissing) {
		return fault.New(fault.AddressMissing, "cannot start the load balancer: %v", err).
			WithHint("give the cluster one of the host's addresses: networking.apiServerAddress with `cove apply`")
	}
	if !fault.Is(err, fault.PortTaken) {
		return fault.Wrap(fault.NodeStart, err, "cannot start the load balancer")
	}
	if rc.Doc.Cluster.Networking.APIServerPort > 0 { // the user's own choice
		return fault.New(fault.PortTaken, "cannot start the load balancer: %v", err).
			WithHint("free the port, or give the cluster another one: networking.apiServerPort with `cove apply`")
	}
	return anotherBalancer(ctx, rc, b.Image)
}

// balancerAgain makes the load balancer anew, of the control planes' image where they have one of cove's own.
func balancerAgain(ctx context.Context, rc *Context) error {
	img, stale, err := staleBalancer(ctx, rc)
	if err != nil {
		return err
	}
	if !stale {
		img = rc.balancerImage
	}
	return anotherBalancer(ctx, rc, img)
}

// anotherBalancer makes the load balancer anew, of that image, and records its port, which may be another one.
func anotherBalancer(ctx context.Context, rc *Context, image string) error {
	rc.balancerImage = image
	if err := replaceBalancer(ctx, rc); err != nil {
		return err
	}
	return rc.writeRecord(ctx, rc.record)
}

// dropLeases removes the leases of leaders that ended with the last stop: nobody holds them, and who waits for one to run out
// waits for 15 s.
func dropLeases(ctx context.Context, rc *Context) error {
	for _, name := range electing() {
		lease, err := rc.kube.Get(ctx, kube.Ref{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: "kube-system", Name: name})
		if err != nil {
			return err
		}
		if lease == nil {
			continue
		}
		if err := rc.kube.Delete(ctx, []*unstructured.Unstructured{lease}, func(string) {}); err != nil {
			return err
		}
	}
	return nil
}

package cluster

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"text/template"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// The load balancer before the API runs haproxy from the node image, in a container that can be replaced at any time: a cluster
// has one from its first second, with one control plane too, so that control planes come and go without a new address, a
// new port or a new certificate.
const (
	balancerConf = "/etc/cove/haproxy.cfg"
	balancerCA   = "/etc/cove/ca.crt"
)

// balancerName is the name of the cluster's load balancer, as kind has it.
func balancerName(cluster string) string { return cluster + "-" + engine.RoleLoadBalancer }

// gateway returns the name of the container that publishes the API.
func (rc *Context) gateway() string {
	if rc.balanced {
		return balancerName(rc.Name())
	}
	return rc.publisher
}

// balancerTemplate is haproxy's configuration. Connections are passed through as they are; where there are several servers,
// one gets them only while it says that it is ready, and loses those it has when it does not. Each stands there a second
// time, unchecked, for the case that all seem to be down: a busy machine must not cut itself off. There is no log: changes of a
// server's state are on the error stream without.
const balancerTemplate = `global
  maxconn 2000
  nbthread 1
  mworker-max-reloads 3
defaults
  mode tcp
  timeout connect 2s
  timeout client 24h
  timeout server 24h
  timeout tunnel 24h
  option srvtcpka
  srvtcpka-idle 10s
  srvtcpka-intvl 5s
  srvtcpka-cnt 3
{{- if .Checks}}
  retries 2
  option redispatch 1
{{- else}}
  retries 0
{{- end}}
frontend api
  bind {{.Bind}}
  default_backend control-planes
backend control-planes
  balance leastconn
{{- if .Checks}}
  option httpchk GET /readyz
  http-check expect status 200
  timeout check 1s
  option allbackups
  default-server inter 500ms fastinter 200ms downinter 250ms rise 1 fall 2
{{- end}}
{{- range .Servers}}
  server {{.Name}} {{.Address}}{{if $.Checks}} check check-ssl verify required ca-file {{$.CA}} verifyhost {{$.Endpoint}} on-marked-down shutdown-sessions
  server {{.Name}}-unchecked {{.Address}} backup{{end}}
{{- end}}
`

// balancerConfig returns haproxy's configuration for control planes at these addresses, by their names.
func balancerConfig(cluster string, servers map[string]netip.Addr, v6 bool) ([]byte, error) {
	type server struct{ Name, Address string }
	data := struct {
		Bind, CA, Endpoint string
		Checks             bool
		Servers            []server
	}{Bind: "*:6443", CA: balancerCA, Endpoint: endpointName(cluster), Checks: len(servers) > 1}
	if v6 {
		data.Bind = ":::6443 v4v6"
	}
	names := make([]string, 0, len(servers))
	for name := range servers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		data.Servers = append(data.Servers, server{name, netip.AddrPortFrom(servers[name], apiServerPort).String()})
	}
	t, err := template.New("haproxy").Parse(balancerTemplate)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "cannot write the load balancer's configuration")
	}
	var out bytes.Buffer
	err = t.Execute(&out, data)
	return out.Bytes(), fault.Wrap(fault.Internal, err, "cannot write the load balancer's configuration")
}

// servers returns the addresses of these control planes.
func (rc *Context) servers(names []string) map[string]netip.Addr {
	servers := map[string]netip.Addr{}
	for _, name := range names {
		servers[name] = rc.nodeIP(name)
	}
	return servers
}

// balancerFiles are the files of the load balancer.
func balancerFiles(rc *Context, names []string) ([]engine.File, error) {
	conf, err := balancerConfig(rc.Name(), rc.servers(names), wantsIPv6(rc.Doc))
	return []engine.File{
		{Path: balancerConf, Data: conf},
		{Path: balancerCA, Data: rc.ca.CertPEM()},
	}, err
}

// startBalancer makes and starts the load balancer.
type startBalancer struct{ cluster string }

func (s startBalancer) ID() string    { return "balancer" }
func (s startBalancer) Title() string { return "Start the load balancer" }

func (s startBalancer) Do(ctx context.Context, rc *Context) error {
	if !rc.balanced {
		return event.Skip("the node image has none, and one control plane needs none")
	}
	spec := balancerSpec(rc)
	auto := spec.Ports[0].HostPort == 0 && rc.Doc.Cluster.Networking.APIServerPort == 0
	names := controlPlanes(rc.Doc.Nodes())
	err := startPublished(ctx, rc, spec, auto, func(context.Context) ([]engine.File, error) { return balancerFiles(rc, names) })
	return fault.Wrap(fault.NodeStart, err, "cannot start the load balancer")
}

func balancerSpec(rc *Context) engine.NodeSpec {
	port := apiPort(rc.Doc.Cluster.Networking)
	if port.HostPort == 0 {
		port.HostPort = rc.record.APIPort // what kubeconfigs have stays, where there was one
	}
	return placed(engine.NodeSpec{
		Name: balancerName(rc.Name()), Cluster: rc.Name(), Role: engine.RoleLoadBalancer, Run: rc.Emitter.Run(), Image: rc.balancerImage,
		Ports: []engine.Port{port}, Unprivileged: true,
	}, rc.network, balancerPlace)
}

// Undo removes the run's load balancer.
func (s startBalancer) Undo(ctx context.Context, rc *Context) error {
	if rc.record.Revision > 0 { // the cluster is there without this run
		return nil
	}
	return startNode{node: v1alpha1.Node{Name: balancerName(s.cluster)}}.Undo(ctx, rc)
}

// updateBalancer leads the load balancer to the control planes that are given, without dropping what is connected.
func updateBalancer(ctx context.Context, rc *Context, names []string) error {
	if !rc.balanced {
		return nil
	}
	files, err := balancerFiles(rc, names)
	if err != nil {
		return err
	}
	name := balancerName(rc.Name())
	if err := rc.Engine.PutFiles(ctx, name, files); err != nil {
		return err
	}
	_, err = engine.Output(ctx, rc.Engine, name, "systemctl", "reload", "haproxy")
	return fault.Wrap(fault.NodeStart, err, "the load balancer does not take its new configuration")
}

// loadBalancer looks whether the load balancer is as it must be.
func (d *delta) loadBalancer() {
	if !d.was.record.Balanced {
		return
	}
	const object = "load balancer"
	port := d.doc.Cluster.Networking.APIServerPort
	var details []string
	if had, wants := d.apiAddress(), d.doc.Cluster.Networking.APIServerAddress; had != wants {
		d.address = true
		details = append(details, "address "+had+" → "+wants)
	}
	switch b := d.was.balancer; {
	case b == nil, d.was.pruned:
		gone := whyGone
		if b != nil {
			gone = whyNetworkGone
		}
		d.balancer = true
		d.note(Modify, object, append(details, gone)...)
		return
	case port > 0 && publishedAPI(*b).Port() != 0 && int32(publishedAPI(*b).Port()) != port:
		details = append(details, "port "+portNumber(publishedAPI(*b).Port())+" → "+portNumber(uint16(port))) //nolint:gosec // config checked it
	}
	if why := d.was.broken(d.was.record, *d.was.balancer); why != "" {
		details = append(details, why)
	}
	switch b := d.was.balancer; {
	case len(details) > 0:
		d.balancer = true
		d.note(Modify, object, details...).Effect = "the context in the kubeconfig follows"
	case b.State != engine.StateRunning:
		d.start = append(d.start, b.Name)
		d.note(Modify, object, string(b.State)+" → running")
	case b.KeptDown:
		d.start = append(d.start, b.Name)
		d.note(Modify, object, whyKeptDown)
	}
}

// apiAddress is the address of the host by which the API is published: that on record, but where a run that was cut off has replaced the load
// balancer, that of its container.
func (d *delta) apiAddress() string {
	recorded, wants := d.was.record.Document.Cluster.Networking.APIServerAddress, d.doc.Cluster.Networking.APIServerAddress
	if d.was.balancer == nil || recorded != wants {
		return recorded
	}
	p, ok := publishedPort(*d.was.balancer)
	is, err := netip.ParseAddr(p.HostIP)
	want, errWant := netip.ParseAddr(wants)
	if !ok || err != nil || errWant != nil || is == want {
		return recorded
	}
	return p.HostIP
}

package cluster

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
	"github.com/cove-k8s/cove/pkg/wait"
)

// dnsName is a name that every cluster's DNS knows.
const dnsName = "kubernetes.default.svc.cluster.local"

// dnsPlace is the place of the DNS service in the service subnet, as kubeadm has it.
const dnsPlace = 10

func waitNodes(nodes []v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		names := make([]string, len(nodes))
		for i, n := range nodes {
			names[i] = n.Name
		}
		rep := reporter(ctx)
		err := rc.kube.WaitNodesReady(ctx, names, func(s string) { rep.Waiting("%s", s) })
		return fault.Wrap(fault.NotReady, err, "the nodes did not get ready")
	}
}

func waitCore(ctx context.Context, rc *Context) error {
	rep := reporter(ctx)
	err := rc.kube.WaitReady(ctx, rc.core, func(s string) { rep.Waiting("%s", s) })
	return fault.Wrap(fault.AddonFailed, err, "kube-proxy and DNS did not become available")
}

// waitDNS returns the step that asks the cluster's DNS from within the node until it answers.
func waitDNS(n v1alpha1.Node) func(context.Context, *Context) error {
	return func(ctx context.Context, rc *Context) error {
		for _, needed := range []string{"coredns", "kube-proxy"} {
			if !slices.Contains(rc.kubeadmAddons, needed) {
				return event.Skip("the document leaves out %s", needed)
			}
		}
		services, err := prefixes("serviceSubnet", rc.Doc.Cluster.Networking.ServiceSubnet)
		if err != nil {
			return err
		}
		server, record := addressAt(services[0], dnsPlace), "A"
		if server.Is6() {
			record = "AAAA"
		}
		reporter(ctx).Waiting("an answer from %s", server)
		if rc.images[n.Name].native() {
			_, err = engine.Output(ctx, rc.Engine, n.Name, "cove-node", "dns", "--server", server.String(), "--type", record, "--timeout", dnsTimeout(ctx), dnsName)
		} else {
			err = askUntilAnswered(ctx, rc.Engine, n.Name, server)
		}
		return fault.Wrap(fault.NotReady, err, "DNS does not answer on node %s", n.Name)
	}
}

// dnsTimeout is what is left of the run's time.
func dnsTimeout(ctx context.Context) string {
	if end, ok := ctx.Deadline(); ok {
		return time.Until(end).Truncate(time.Millisecond).String()
	}
	return DefaultTimeout.String()
}

// askUntilAnswered asks the DNS server over TCP through the engine, for images that have no tool that could ask.
func askUntilAnswered(ctx context.Context, e engine.Access, node string, server netip.Addr) error {
	return wait.Until(ctx, runtimePoll, nil, wait.Condition{
		Name: "a DNS answer from " + server.String(),
		Check: func(ctx context.Context) (bool, string, error) {
			conn, err := e.Dial(ctx, node, "tcp", net.JoinHostPort(server.String(), "53"))
			if err != nil {
				return false, err.Error(), nil
			}
			defer conn.Close()
			if err := ask(conn, dnsName, server.Is6()); err != nil {
				return false, err.Error(), nil
			}
			return true, "", nil
		},
	})
}

// ask sends one question for an address (with six for one of IPv6) over a stream (RFC 1035, 4.2.2) and wants an answer to it.
func ask(conn net.Conn, name string, six bool) error {
	kind := dnsmessage.TypeA
	if six {
		kind = dnsmessage.TypeAAAA
	}
	q, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: q, Type: kind, Class: dnsmessage.ClassINET}},
	}
	packed, err := m.AppendPack(make([]byte, 2, 512))
	if err != nil {
		return err
	}
	size := len(packed) - 2
	binary.BigEndian.PutUint16(packed, uint16(size)) //nolint:gosec // AppendPack bounds a message
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(packed); err != nil {
		return err
	}
	answer, err := readFramed(conn)
	if err != nil {
		return err
	}
	var got dnsmessage.Message
	if err := got.Unpack(answer); err != nil {
		return err
	}
	if len(got.Answers) == 0 {
		return fmt.Errorf("the server answers %s", got.RCode)
	}
	return nil
}

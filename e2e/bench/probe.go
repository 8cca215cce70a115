//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"strconv"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cove-k8s/cove/e2e/testbed"
)

// dnsServer is where kubeadm puts the cluster's DNS with the service subnet that both tools have by default.
const dnsServer = "10.96.0.10:53"

// probeTimeout bounds a single look.
const probeTimeout = 2 * time.Second

// probe looks at a cluster from outside: it enters the network of the nodes' containers, so that neither tool has a part
// in what is seen, and no process has to be started in a node.
type probe struct {
	engine *testbed.Engine
	size   size
	names  []string // of the nodes' containers, the control planes first

	pids    []int // of the nodes' first processes, as far as they are known
	clients map[int]*http.Client
}

func newProbe(engine *testbed.Engine, cluster string, size size) *probe {
	return &probe{engine: engine, size: size, names: nodeNames(cluster, size), clients: map[int]*http.Client{}}
}

// pid returns the first process of a node.
func (p *probe) pid(ctx context.Context, node int) (int, error) {
	for len(p.pids) <= node {
		c, err := inspect(ctx, p.engine, p.names[len(p.pids)])
		if err != nil {
			return 0, err
		}
		if !c.State.Running || c.State.PID == 0 {
			return 0, fmt.Errorf("container %s does not run", p.names[len(p.pids)])
		}
		p.pids = append(p.pids, c.State.PID)
	}
	return p.pids[node], nil
}

// dial connects from within a node.
func (p *probe) dial(ctx context.Context, node int, network, address string) (net.Conn, error) {
	pid, err := p.pid(ctx, node)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return testbed.DialIn(ctx, path.Join("/proc", strconv.Itoa(pid), "ns/net"), network, address)
}

// get asks the API server that listens in a control plane, with the credentials that kubeadm left in the first one.
func (p *probe) get(ctx context.Context, node int, path string, out any) error {
	if p.clients[node] == nil {
		client, err := p.connect(ctx, node)
		if err != nil {
			return err
		}
		p.clients[node] = client
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:6443"+path, nil)
	if err != nil {
		return err
	}
	resp, err := p.clients[node].Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// connect makes a client with the administrator's certificate, which works from the API server's first second.
func (p *probe) connect(ctx context.Context, node int) (*http.Client, error) {
	pid, err := p.pid(ctx, 0)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", path.Join("/proc", strconv.Itoa(pid), "root/etc/kubernetes/super-admin.conf"))
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return p.dial(ctx, node, network, address)
		},
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}, //nolint:gosec // it is the node that was entered
	}}, nil
}

// api succeeds when the first API server says that it is ready.
func (p *probe) api(ctx context.Context) error { return p.get(ctx, 0, "/readyz", nil) }

// nodes succeeds when every node is Ready.
func (p *probe) nodes(ctx context.Context) error {
	var list struct {
		Items []struct {
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := p.get(ctx, 0, "/api/v1/nodes", &list); err != nil {
		return err
	}
	ready := 0
	for _, n := range list.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == "Ready" && c.Status == "True" {
				ready++
			}
		}
	}
	if ready < len(p.names) {
		return fmt.Errorf("%d of %d nodes are Ready", ready, len(p.names))
	}
	return nil
}

// usable succeeds when the other API servers are ready, too, and DNS answers.
func (p *probe) usable(ctx context.Context) error {
	for node := 1; node < p.size.ControlPlanes; node++ {
		if err := p.get(ctx, node, "/readyz", nil); err != nil {
			return fmt.Errorf("on %s: %w", p.names[node], err)
		}
	}
	return p.dns(ctx)
}

// dns succeeds when the cluster's DNS answers on every node.
func (p *probe) dns(ctx context.Context) error {
	for node := range p.names {
		if err := p.ask(ctx, node); err != nil {
			return fmt.Errorf("on %s: %w", p.names[node], err)
		}
	}
	return nil
}

// ask sends one question from within a node, and wants an address.
func (p *probe) ask(ctx context.Context, node int) (err error) {
	conn, err := p.dial(ctx, node, "udp", dnsServer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// Before the service's rules are there nobody answers, so each question is given up soon.
	if err := conn.SetDeadline(time.Now().Add(4 * pollEvery)); err != nil {
		return err
	}
	question, err := question("kubernetes.default.svc.cluster.local.")
	if err != nil {
		return err
	}
	if _, err := conn.Write(question); err != nil {
		return err
	}
	answer := make([]byte, 1500)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	return answered(answer[:n])
}

// question packs a question for an address. Source: RFC 1035, section 4.1.
func question(name string) ([]byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	return m.Pack()
}

// answered wants an answer with an address in it.
func answered(packet []byte) error {
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return err
	}
	if m.RCode != dnsmessage.RCodeSuccess || len(m.Answers) == 0 {
		return fmt.Errorf("DNS answers %s with %d records", m.RCode, len(m.Answers))
	}
	return nil
}

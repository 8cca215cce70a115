//go:build linux

package testbed

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer is the address of an engine's name server: one for documentation (RFC 5737), which nothing else has.
const nameServer = "192.0.2.53"

// serveNames opens the engine's name server, in its namespace. It knows no name and says so, as that of a machine with a network does of
// what does not exist: without one, questions of the nodes wait until the engine gives them up.
func (e *Engine) serveNames(ctx context.Context) error {
	if err := ip(ctx, "-n", e.id, "address", "add", nameServer+"/32", "dev", "lo"); err != nil {
		return err
	}
	socket, err := listenIn(ctx, e.Namespace(), "udp", net.JoinHostPort(nameServer, "53"))
	if err != nil {
		return fmt.Errorf("cannot serve names: %w", err)
	}
	e.names = socket
	go answerAll(socket)
	return nil
}

// answerAll answers until the socket is closed.
func answerAll(socket net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := socket.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer, err := unknown(buf[:n]); err == nil {
			_, _ = socket.WriteTo(answer, from) // who asked may be gone
		}
	}
}

// unknown returns the answer that the name asked for does not exist (RFC 1035, 4.1.1).
func unknown(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := p.Question()
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: header.ID, Response: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true, RCode: dnsmessage.RCodeNameError,
		},
		Questions: []dnsmessage.Question{question},
	}
	return m.Pack()
}

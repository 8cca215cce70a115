// Package relay passes DNS messages on to other servers and their answers back, over UDP and TCP. It caches nothing, changes
// nothing, and looks at no more of a message than its number.
package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxMessage is what the length field of DNS over TCP can say, and more than any UDP answer.
	maxMessage = 1<<16 - 1
	// header is the length of the part that every message has (RFC 1035, 4.1.1).
	header = 12
	// maxQueries and maxConns bound the work at one time: beyond, a query is dropped (its client asks again), a connection
	// waits.
	maxQueries = 256
	maxConns   = 64
	// idle is how long a TCP client may take for its next query.
	idle = 10 * time.Second
	// defaultTimeout is what all upstreams together get for one answer. CoreDNS gives up after 2 s, and then asks its upstream twice a
	// second whether it is back, for as long as there is no answer; "server failure" in time is one. Without it a node on a machine that
	// is offline always has questions waiting in the engine's resolver, and an engine takes no network down before they are answered:
	// its container went 4 s later.
	defaultTimeout = 1800 * time.Millisecond
)

// Relay serves on sockets of its own. Make it with Listen.
type Relay struct {
	upstreams []string
	timeout   time.Duration
	packets   []net.PacketConn
	listeners []net.Listener
	queries   chan struct{}
	conns     chan struct{}
	log       *log.Logger
}

// Listen opens UDP and TCP sockets on the addresses, all or none, and will ask the upstreams (host:port) in their order.
func Listen(ctx context.Context, addrs []netip.AddrPort, upstreams []string, logger *log.Logger) (*Relay, error) {
	r := &Relay{
		upstreams: upstreams, timeout: defaultTimeout, log: logger,
		queries: make(chan struct{}, maxQueries), conns: make(chan struct{}, maxConns),
	}
	var lc net.ListenConfig
	for _, a := range addrs {
		l, err := lc.Listen(ctx, "tcp", a.String())
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("cannot relay DNS: %w", err)
		}
		r.listeners = append(r.listeners, l)
		// The port that TCP got: it differs from a's only in tests, which ask for any.
		p, err := lc.ListenPacket(ctx, "udp", l.Addr().String())
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("cannot relay DNS: %w", err)
		}
		r.packets = append(r.packets, p)
	}
	return r, nil
}

// Addr is the first address that the relay listens on.
func (r *Relay) Addr() string { return r.listeners[0].Addr().String() }

// Close ends the relay's sockets, and with them Serve.
func (r *Relay) Close() {
	for _, p := range r.packets {
		_ = p.Close()
	}
	for _, l := range r.listeners {
		_ = l.Close()
	}
}

// Serve relays until ctx is done.
func (r *Relay) Serve(ctx context.Context) {
	defer context.AfterFunc(ctx, r.Close)()
	var all sync.WaitGroup
	for _, p := range r.packets {
		all.Go(func() { r.serveUDP(ctx, p) })
	}
	for _, l := range r.listeners {
		all.Go(func() { r.serveTCP(ctx, l) })
	}
	all.Wait()
}

func (r *Relay) serveUDP(ctx context.Context, p net.PacketConn) {
	buf := make([]byte, maxMessage)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			if done(ctx, err) {
				return
			}
			continue // such as an ICMP error to an earlier answer
		}
		if n < header {
			continue
		}
		select {
		case r.queries <- struct{}{}:
		default:
			continue
		}
		query := append([]byte(nil), buf[:n]...)
		go func() {
			defer func() { <-r.queries }()
			_, _ = p.WriteTo(r.ask(ctx, "udp", query), from)
		}()
	}
}

func (r *Relay) serveTCP(ctx context.Context, l net.Listener) {
	for {
		r.conns <- struct{}{}
		conn, err := l.Accept()
		if err != nil {
			<-r.conns
			if done(ctx, err) {
				return
			}
			continue
		}
		go func() {
			defer func() { <-r.conns }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			r.serveConn(ctx, conn)
		}()
	}
}

// serveConn answers one client's queries in turn.
func (r *Relay) serveConn(ctx context.Context, conn net.Conn) {
	for {
		_ = conn.SetDeadline(time.Now().Add(idle))
		query, err := readMessage(conn)
		if err != nil || len(query) < header {
			return
		}
		answer := r.ask(ctx, "tcp", query)
		_ = conn.SetDeadline(time.Now().Add(idle))
		if writeMessage(conn, answer) != nil {
			return
		}
	}
}

// ask returns the first upstream's answer, or when none answers, "server failure" in its name: the client then need not wait.
func (r *Relay) ask(ctx context.Context, network string, query []byte) []byte {
	var errs []error
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	for i, upstream := range r.upstreams {
		answer, err := r.askOne(ctx, network, upstream, query, len(r.upstreams)-i)
		if err == nil {
			return answer
		}
		errs = append(errs, err)
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		r.log.Printf("dns: %v", errors.Join(errs...))
	}
	return failure(query)
}

// askOne asks one upstream, which gets its share of the time where others are left: so many with it.
func (r *Relay) askOne(ctx context.Context, network, upstream string, query []byte, left int) ([]byte, error) {
	end, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(left))
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, upstream)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if network == "tcp" {
		if err := writeMessage(conn, query); err != nil {
			return nil, err
		}
		return readMessage(conn)
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, maxMessage)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if n >= header && buf[0] == query[0] && buf[1] == query[1] {
			return buf[:n], nil
		}
	}
}

// failure is the query sent back as an answer with code 2, "server failure" (RFC 1035, 4.1.1).
func failure(query []byte) []byte {
	answer := append([]byte(nil), query...)
	answer[2] |= 0x80
	answer[3] = answer[3]&0x70 | 0x80 | 2
	return answer
}

// readMessage reads a message and the length before it (RFC 1035, 4.2.2).
func readMessage(from io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(from, message)
	return message, err
}

func writeMessage(to io.Writer, message []byte) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, len(message)+2), uint16(len(message))) //nolint:gosec // read with a length of 16 bits
	_, err := to.Write(append(framed, message...))
	return err
}

func done(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, net.ErrClosed)
}

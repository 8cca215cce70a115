package relay

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// upstream answers on UDP and TCP with the query and what it adds, after a delay.
func upstream(t *testing.T, network, suffix string, delay time.Duration) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := lc.ListenPacket(t.Context(), "udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = p.Close() })
	reply := func(query []byte) []byte {
		time.Sleep(delay)
		return append(bytes.Clone(query), network+suffix...)
	}
	go func() {
		buf := make([]byte, maxMessage)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			query := bytes.Clone(buf[:n])
			go func() {
				_, _ = p.WriteTo([]byte("xx stray answer with another number"), from)
				_, _ = p.WriteTo(append(reply(query), "-udp"...), from)
			}()
		}
	}()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if query, err := readMessage(conn); err == nil {
					_ = writeMessage(conn, append(reply(query), "-tcp"...))
				}
			}()
		}
	}()
	return l.Addr().String()
}

func serve(t *testing.T, timeout time.Duration, upstreams ...string) string {
	t.Helper()
	r, err := Listen(t.Context(), []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, upstreams, log.New(io.Discard, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	r.timeout = timeout
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r.Addr()
}

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func query(id byte) []byte {
	return append([]byte{id, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "question"...)
}

func udp(t *testing.T, server string, message []byte) []byte {
	t.Helper()
	conn, err := net.Dial("udp", server)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(message); err != nil {
		t.Error(err)
	}
	buf := make([]byte, maxMessage)
	n, err := conn.Read(buf)
	if err != nil {
		t.Error(err)
	}
	return buf[:n]
}

func TestUDP(t *testing.T) {
	server := serve(t, time.Second, upstream(t, "up", "1", 0))
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			q := query(byte(i))
			if got, want := udp(t, server, q), string(q)+"up1-udp"; string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	all.Wait()
}

func TestTCPKeepsTheConnection(t *testing.T) {
	conn, err := net.Dial("tcp", serve(t, time.Second, upstream(t, "up", "1", 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 3 {
		q := query(byte(i))
		if err := writeMessage(conn, q); err != nil {
			t.Fatal(err)
		}
		if got, err := readMessage(conn); err != nil || string(got) != string(q)+"up1-tcp" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestNextUpstream(t *testing.T) {
	server := serve(t, 100*time.Millisecond, closed(t), upstream(t, "slow", "", time.Hour), upstream(t, "up", "2", 0))
	q := query(9)
	if got, want := udp(t, server, q), string(q)+"up2-udp"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUpstreamsShareTheTime(t *testing.T) {
	const timeout = time.Second
	slow := upstream(t, "slow", "", time.Hour)
	server := serve(t, timeout, slow, slow, slow, slow)
	began := time.Now()
	if got := udp(t, server, query(7)); got[3]&0x0f != 2 {
		t.Errorf("got %x", got)
	}
	if took := time.Since(began); took > 3*timeout {
		t.Errorf("took %s, and all were to get %s together", took, timeout)
	}
}

func TestCoreDNSGetsItsAnswerInTime(t *testing.T) {
	const readTimeout = 2 * time.Second // of CoreDNS' plugin forward
	if defaultTimeout >= readTimeout {
		t.Errorf("%s is too long", defaultTimeout)
	}
}

func TestNoUpstreamAnswers(t *testing.T) {
	server := serve(t, 50*time.Millisecond, closed(t))
	q := query(5)
	got := udp(t, server, q)
	if len(got) != len(q) || got[0] != 5 || got[2]&0x80 == 0 || got[3]&0x0f != 2 {
		t.Errorf("got %x", got)
	}
	if !bytes.Equal(got[4:], q[4:]) {
		t.Errorf("the question changed: %x", got)
	}
}

func TestGarbageIsDropped(t *testing.T) {
	server := serve(t, time.Second, upstream(t, "up", "1", 0))
	conn, err := net.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("short"))
	_ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 16)); err == nil {
		t.Errorf("%d bytes for a message that is none", n)
	}
}

func TestAddressInUse(t *testing.T) {
	server := serve(t, time.Second, "127.0.0.1:1")
	if _, err := Listen(t.Context(), []netip.AddrPort{netip.MustParseAddrPort(server)}, nil, log.New(io.Discard, "", 0)); err == nil {
		t.Error("no error")
	}
}

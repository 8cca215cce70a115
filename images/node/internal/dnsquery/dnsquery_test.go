package dnsquery

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// server calls reply for each question, numbered from 1; no answer is sent when it returns nil.
func server(t *testing.T, reply func(n int, m *dnsmessage.Message) *dnsmessage.Message) string {
	t.Helper()
	p, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	var count atomic.Int32
	go func() {
		buf := make([]byte, maxAnswer)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(buf[:n]); err != nil {
				t.Error(err)
				return
			}
			m.Response = true
			if answer := reply(int(count.Add(1)), &m); answer != nil {
				packed, err := answer.Pack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = p.WriteTo(packed, from)
			}
		}
	}()
	return p.LocalAddr().String()
}

func withA(m *dnsmessage.Message, addrs ...string) *dnsmessage.Message {
	for _, a := range addrs {
		h := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET}
		addr := netip.MustParseAddr(a)
		var body dnsmessage.ResourceBody = &dnsmessage.AAAAResource{AAAA: addr.As16()}
		if addr.Is4() {
			body = &dnsmessage.AResource{A: addr.As4()}
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: body})
	}
	return m
}

func TestFirstAnswerWithAnAddress(t *testing.T) {
	address := server(t, func(n int, m *dnsmessage.Message) *dnsmessage.Message {
		switch n {
		case 1:
			return nil // lost
		case 2:
			m.RCode = dnsmessage.RCodeServerFailure
			return m
		case 3:
			return m // no record
		case 4:
			m.ID++ // somebody else's
			return withA(m, "10.0.0.9")
		}
		if m.Questions[0].Name.String() != "kubernetes.default.svc.cluster.local." || m.Questions[0].Type != dnsmessage.TypeA {
			t.Errorf("asked %v", m.Questions[0])
		}
		return withA(m, "10.96.0.1", "10.96.0.2")
	})
	before := time.Now()
	got, err := Until(t.Context(), address, "kubernetes.default.svc.cluster.local", false)
	if err != nil || !slices.Equal(got, []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.96.0.2")}) {
		t.Errorf("got %v, %v", got, err)
	}
	if took := time.Since(before); took >= patience {
		t.Errorf("took %s: the lost question held the others up", took)
	}
}

func TestIPv6(t *testing.T) {
	address := server(t, func(_ int, m *dnsmessage.Message) *dnsmessage.Message {
		if m.Questions[0].Type != dnsmessage.TypeAAAA {
			t.Errorf("asked %v", m.Questions[0])
		}
		return withA(m, "fd00::1")
	})
	if got, err := Until(t.Context(), address, "x.", true); err != nil || got[0] != netip.MustParseAddr("fd00::1") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestLastErrorOnTimeout(t *testing.T) {
	address := server(t, func(_ int, m *dnsmessage.Message) *dnsmessage.Message {
		m.RCode = dnsmessage.RCodeNameError
		return m
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Until(ctx, address, "x", false); err == nil || !strings.Contains(err.Error(), "NameError") {
		t.Errorf("got %v", err)
	}
	silent := server(t, func(int, *dnsmessage.Message) *dnsmessage.Message { return nil })
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Until(ctx, silent, "x", false); err == nil || !strings.Contains(err.Error(), "no answer yet") {
		t.Errorf("got %v", err)
	}
}

func TestNoName(t *testing.T) {
	if _, err := Ask(t.Context(), "127.0.0.1:1", strings.Repeat("x", 300), false); err == nil {
		t.Error("no error")
	}
}

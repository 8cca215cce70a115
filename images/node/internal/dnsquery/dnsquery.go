// Package dnsquery asks one DNS server for the addresses of a name until it answers. It knows no search domains and keeps
// nothing.
package dnsquery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// interval is how often the question is asked again.
	interval = 50 * time.Millisecond
	// patience is how long one question waits for its answer: a slow server still gets to answer an early one.
	patience = 2 * time.Second
	// maxAnswer is the largest UDP answer that a server may send here; a truncated one still has addresses.
	maxAnswer = 4096
)

type result struct {
	addrs []netip.Addr
	err   error
}

// Until asks server (host:port) for name's A (or AAAA) records every 50 ms until an answer has at least one address. When ctx
// ends first, the error is that of the last question.
//
// Every question has a socket of its own. A flow that began before kube-proxy had written its rules keeps going nowhere, for
// the kernel remembers it as long as packets come.
func Until(ctx context.Context, server, name string, six bool) ([]netip.Addr, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result)
	again := time.NewTicker(interval)
	defer again.Stop()
	last := errors.New("no answer yet")
	for {
		go func() {
			addrs, err := Ask(ctx, server, name, six)
			select {
			case results <- result{addrs, err}:
			case <-ctx.Done():
			}
		}()
		for asked := false; !asked; {
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("cannot resolve %s at %s: %w", name, server, last)
			case r := <-results:
				if r.err == nil {
					return r.addrs, nil
				}
				if cut := net.Error(nil); !errors.As(r.err, &cut) || !cut.Timeout() {
					last = r.err // a dial that the end of ctx cut off says nothing
				}
			case <-again.C:
				asked = true
			}
		}
	}
}

// Ask asks once. No address is an error too.
func Ask(ctx context.Context, server, name string, six bool) ([]netip.Addr, error) {
	kind := dnsmessage.TypeA
	if six {
		kind = dnsmessage.TypeAAAA
	}
	id := uint16(rand.Uint32()) //nolint:gosec // it tells answers apart and is no secret
	query, err := question(id, name, kind)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, maxAnswer)
	for {
		n, err := conn.Read(buf)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no answer within %s", patience)
		}
		if err != nil {
			return nil, err
		}
		if addrs, mine, err := answer(buf[:n], id); mine {
			return addrs, err
		}
	}
}

func question(id uint16, name string, kind dnsmessage.Type) ([]byte, error) {
	full, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, fmt.Errorf("%q is no name: %w", name, err)
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	return finish(&b, dnsmessage.Question{Name: full, Type: kind, Class: dnsmessage.ClassINET})
}

func finish(b *dnsmessage.Builder, q dnsmessage.Question) ([]byte, error) {
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(q); err != nil {
		return nil, err
	}
	return b.Finish()
}

// answer takes the addresses from a message, and says whether it is the answer to the question with this number.
func answer(message []byte, id uint16) (addrs []netip.Addr, mine bool, err error) {
	var m dnsmessage.Message
	if bad := m.Unpack(message); bad != nil || !m.Response || m.ID != id {
		return nil, false, nil //nolint:nilerr // garbage is somebody else's
	}
	if m.RCode != dnsmessage.RCodeSuccess {
		return nil, true, fmt.Errorf("the server says %s", strings.TrimPrefix(m.RCode.String(), "RCode"))
	}
	for _, r := range m.Answers {
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			addrs = append(addrs, netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			addrs = append(addrs, netip.AddrFrom16(body.AAAA))
		}
	}
	if len(addrs) == 0 {
		return nil, true, errors.New("the answer has no address")
	}
	return addrs, true, nil
}

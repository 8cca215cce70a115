package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"cove.dev/images/node/internal/dnsquery"
	"cove.dev/images/node/internal/initd"
	"cove.dev/images/node/internal/resolv"
	"cove.dev/images/node/internal/splice"
	"cove.dev/images/node/internal/waitfor"
)

const (
	dnsTimeout  = 30 * time.Second
	waitTimeout = 60 * time.Second
	// kubeletHealth is where a kubelet tells its health (healthzPort in its configuration).
	kubeletHealth = "http://127.0.0.1:10248/healthz"
)

func dial(ctx context.Context, args []string, s Streams) error {
	if len(args) != 2 {
		return usageError{"dial takes a network and an address"}
	}
	return splice.Dial(ctx, args[0], args[1], s.In, s.Out)
}

func dns(ctx context.Context, args []string, s Streams) error {
	fs := flag.NewFlagSet("dns", flag.ContinueOnError)
	server := fs.String("server", "", "")
	timeout := fs.Duration("timeout", dnsTimeout, "")
	kind := fs.String("type", "A", "")
	words, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(words) != 1 {
		return usageError{"dns takes one name"}
	}
	six := strings.EqualFold(*kind, "AAAA")
	if !six && !strings.EqualFold(*kind, "A") {
		return usageError{"the type is A or AAAA"}
	}
	address, err := serverAddress(*server)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	addrs, err := dnsquery.Until(ctx, address, words[0], six)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		_, _ = fmt.Fprintln(s.Out, a)
	}
	return nil
}

// serverAddress adds the port, and takes the node's first name server when none is given.
func serverAddress(server string) (string, error) {
	if server == "" {
		text, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			return "", err
		}
		servers := resolv.Servers(string(text))
		if len(servers) == 0 {
			return "", usageError{"/etc/resolv.conf names no server: say --server"}
		}
		server = servers[0].String()
	}
	if a, err := netip.ParseAddr(strings.Trim(server, "[]")); err == nil {
		return net.JoinHostPort(a.String(), "53"), nil
	}
	if a, err := netip.ParseAddrPort(server); err == nil {
		return a.String(), nil
	}
	return "", usageError{fmt.Sprintf("%q is no address of a server", server)}
}

func wait(ctx context.Context, args []string, _ Streams) error {
	fs := flag.NewFlagSet("wait", flag.ContinueOnError)
	timeout := fs.Duration("timeout", waitTimeout, "")
	words, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	what := strings.Join(words, " ")
	switch {
	case what == initd.ContainerdName:
		err = waitfor.Dial(ctx, "unix", initd.ContainerdSocket)
	case what == initd.KubeletName:
		err = waitfor.Get(ctx, kubeletHealth)
	case len(words) == 2:
		err = waitKind(ctx, words[0], words[1])
	default:
		err = usageError{"wait takes containerd, kubelet, or a kind and a place"}
	}
	var wrong usageError
	if err == nil || errors.As(err, &wrong) {
		return err
	}
	return fmt.Errorf("waited %s for %s: %w", *timeout, what, err)
}

func waitKind(ctx context.Context, kind, where string) error {
	switch kind {
	case "file":
		return waitfor.File(ctx, where)
	case "tcp", "unix":
		return waitfor.Dial(ctx, kind, where)
	case "http", "https":
		return waitfor.Get(ctx, withScheme(kind, where))
	default:
		return usageError{fmt.Sprintf("wait does not know %q", kind)}
	}
}

// withScheme lets the URL be written with or without it.
func withScheme(scheme, url string) string {
	if strings.Contains(url, "://") {
		return url
	}
	return scheme + "://" + url
}

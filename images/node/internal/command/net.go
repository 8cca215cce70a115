package command

import (
	"context"
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
	for len(words) < 2 {
		words = append(words, "")
	}
	what, where := words[0], words[1]
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	switch {
	case len(words) > 2:
		return usageError{"wait waits for one thing"}
	case what == initd.ContainerdName && where == "":
		err = waitfor.Dial(ctx, "unix", initd.ContainerdSocket)
	case what == initd.KubeletName && where == "":
		err = waitfor.Get(ctx, kubeletHealth)
	case where == "":
		return usageError{"wait takes containerd, kubelet, or a kind and a place"}
	case what == "file":
		err = waitfor.File(ctx, where)
	case what == "tcp" || what == "unix":
		err = waitfor.Dial(ctx, what, where)
	case what == "http" || what == "https":
		err = waitfor.Get(ctx, withScheme(what, where))
	default:
		return usageError{fmt.Sprintf("wait does not know %q", what)}
	}
	if err != nil {
		return fmt.Errorf("waited %s for %s: %w", *timeout, strings.TrimSpace(what+" "+where), err)
	}
	return nil
}

// withScheme lets the URL be written with or without it.
func withScheme(scheme, url string) string {
	if strings.Contains(url, "://") {
		return url
	}
	return scheme + "://" + url
}

// Package resolv decides what a node's /etc/resolv.conf should say, and finds the node's own addresses. It asks no server.
//
// On its user networks the engine puts a resolver on a loopback address (127.0.0.11) that only the container itself
// reaches: pods do not, and CoreDNS takes it for itself and stops. So the node relays from its own address, and names
// that one instead.
package resolv

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// EngineResolver is where Docker's resolver is on user networks, if nothing else tells.
const EngineResolver = "127.0.0.11"

// Servers are the name servers that a resolv.conf names, in order. Lines that are no address are left out.
func Servers(text string) []netip.Addr {
	var servers []netip.Addr
	for _, line := range strings.Split(text, "\n") {
		if a, ok := server(line); ok {
			servers = append(servers, a)
		}
	}
	return servers
}

func server(line string) (netip.Addr, bool) {
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "nameserver" {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(fields[1])
	return a, err == nil
}

// With is text with its name servers replaced; search, options and comments stay.
func With(text string, servers []netip.Addr) string {
	var out strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&out, "nameserver %s\n", s)
	}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "nameserver" {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

// Record is what a relay once replaced: the addresses it wrote, and the servers that stood there before. The engine writes
// the file anew when it starts a container, but not always; then the record says what is behind our own address, which
// may be an earlier one.
type Record struct {
	Own       []netip.Addr `json:"own"`
	Upstreams []netip.Addr `json:"upstreams"`
}

// Upstreams are the servers that a relay at the addresses own should ask, given the text of resolv.conf and what an earlier
// start recorded. Nil means that no relay is needed: the file names servers that pods reach themselves.
func Upstreams(text string, own []netip.Addr, last Record) []netip.Addr {
	servers := Servers(text)
	ours := func(a netip.Addr) bool { return slices.Contains(own, a) || slices.Contains(last.Own, a) }
	if !slices.ContainsFunc(servers, func(a netip.Addr) bool { return a.IsLoopback() || ours(a) }) {
		return nil
	}
	upstreams := slices.DeleteFunc(slices.Clone(servers), ours)
	if len(upstreams) > 0 {
		return upstreams
	}
	if len(last.Upstreams) > 0 {
		return last.Upstreams
	}
	return []netip.Addr{netip.MustParseAddr(EngineResolver)}
}

// LoadRecord reads what an earlier start left at path; nothing when there is nothing that can be read.
func LoadRecord(path string) Record {
	var r Record
	text, err := os.ReadFile(path) //nolint:gosec // of a name that the code has
	if err != nil || json.Unmarshal(text, &r) != nil {
		return Record{}
	}
	return r
}

// Save writes the record to path.
func (r Record) Save(path string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// Rewrite replaces the file's content in place: the engine bind mounts it, so a rename is refused. It writes before it cuts
// off, so that no reader ever finds the file empty.
func Rewrite(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // the caller's file, that is the point
	if err != nil {
		return fmt.Errorf("cannot rewrite the resolver configuration: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		return fmt.Errorf("cannot rewrite the resolver configuration: %w", err)
	}
	if err := f.Truncate(int64(len(text))); err != nil {
		return fmt.Errorf("cannot rewrite the resolver configuration: %w", err)
	}
	return nil
}

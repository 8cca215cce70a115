package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/cove-k8s/cove/pkg/fault"
)

// engineError is what the engine or the way to it said, without the prefixes that say nothing.
type engineError struct {
	msg string
	err error
}

func (e *engineError) Error() string { return e.msg }
func (e *engineError) Unwrap() error { return e.err }

// fail gives err a message and a code: the one that err shows, else usual. A nil err stays nil.
func (e *Engine) fail(usual fault.Code, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if coded := (*fault.Error)(nil); errors.As(err, &coded) {
		return fault.Wrap(usual, err, format, args...)
	}
	code := classify(err, usual)
	clean := &engineError{msg: trimPrefixes(err.Error()), err: err}
	msg := fmt.Sprintf(format, args...)
	if code == fault.EngineUnreachable || code == fault.EnginePermission {
		clean.msg = unreachable(err, code, clean.msg)
		if at := e.endpoint.String(); !strings.Contains(msg, at) {
			msg += ": cannot reach the engine at " + at
		}
	}
	switch port := takenPort(clean.msg); {
	case port == "":
	case code == fault.PortTaken:
		clean.msg = "port " + port + " is in use: " + clean.msg
	case code == fault.AddressMissing:
		clean.msg = "the host has no address for port " + port + ": " + clean.msg
	}
	return &fault.Error{Code: code, Msg: msg, Err: clean}
}

// classify tells the code of an error of the engine's, or of the way to it. The engine has no codes of its own beyond the
// HTTP status, so for what matters its words are read: those of releases from 20.10 to 29, and of Docker Desktop's proxy.
func classify(err error, usual fault.Code) fault.Code {
	switch {
	case errors.Is(err, context.Canceled):
		return fault.Interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return usual
	case errors.Is(err, fs.ErrPermission) && client.IsErrConnectionFailed(err):
		return fault.EnginePermission
	case client.IsErrConnectionFailed(err):
		return fault.EngineUnreachable
	}
	msg := strings.ToLower(err.Error())
	for _, r := range wordings() {
		if r.match(msg) {
			return r.code
		}
	}
	return usual
}

// wording maps words of the engine's to a code: all of one of the sets must occur.
type wording struct {
	code fault.Code
	sets [][]string
}

func (w wording) match(msg string) bool {
	for _, set := range w.sets {
		n := 0
		for _, s := range set {
			if strings.Contains(msg, s) {
				n++
			}
		}
		if n == len(set) {
			return true
		}
	}
	return false
}

// wordings are in the order in which they are tried.
func wordings() []wording {
	return []wording{
		{fault.DiskFull, [][]string{{"no space left on device"}, {"disk quota exceeded"}}},
		{fault.EngineUnsupported, [][]string{{"client version", "is too new"}, {"client version", "is too old"}}},
		{fault.HostLimit, [][]string{{"cannot expose privileged port"}, {"too many open files"}, {"exposing port", "permission denied"}}},
		{fault.AddressMissing, [][]string{{"cannot assign requested address"}}},
		{fault.PortTaken, [][]string{
			{"port is already allocated"}, {"bind", "address already in use"}, {"ports are not available"},
		}},
		{fault.NetworkTaken, [][]string{{"pool overlaps"}, {"overlaps with other one"}, {"conflicts with network"}, {"address already in use"}}},
		{fault.NetworkExhausted, [][]string{
			{"could not find an available, non-overlapping"}, {"all predefined address pools have been fully subnetted"},
			{"no available network"}, {"no available ipv4 addresses"},
		}},
		{fault.NameTaken, [][]string{{"is already in use by container"}, {"network with name", "already exists"}, {"volume name", "already in use"}}},
		{fault.ImageNotFound, [][]string{{"no such image"}}},
		{fault.NodeNotFound, [][]string{{"no such container"}}},
		{fault.ClusterNotRunning, [][]string{{"container", "is not running"}, {"container", "is paused"}, {"container", "is restarting"}}},
		{fault.ImageBroken, [][]string{
			{"no command specified"}, {"exec format error"}, {"oci runtime create failed", "no such file or directory", "exec:"},
			{"oci runtime create failed", "executable file not found"}, {"does not match the specified platform"},
		}},
		{fault.CgroupUnsupported, [][]string{{"cgroup isn't mounted"}, {"cgroup mountpoint does not exist"}, {"cgroup namespaces"}, {"cgroupns"}}},
	}
}

// isNotFound tells that the engine has no such object.
func isNotFound(err error) bool { return cerrdefs.IsNotFound(err) }

// lacksCapabilities tells the error of an engine that has not all the capabilities that --privileged gives.
func lacksCapabilities(err error) bool {
	return strings.Contains(err.Error(), "apply caps: ") // "unable to apply caps: " from runc 1.1 on
}

// lacksSwap tells the error of a host whose kernel does not account swap, from an engine that takes it for one that does: of
// cgroups 2 before 23.0, as it looks for the memory controller alone.
func lacksSwap(err error) bool {
	msg := err.Error()
	return strings.Contains(msg, "no such file or directory") &&
		(strings.Contains(msg, "memory.swap.max") || strings.Contains(msg, "memory.memsw.limit_in_bytes"))
}

// lacksIPv6 tells the errors of an engine that is asked for a network with IPv6, and whose kernel or whose tables have none: "Cannot read
// IPv6 setup for bridge", "Unable to enable IPv6 on the bridge", "iptables failed: ip6tables".
func lacksIPv6(err error) bool {
	if err == nil {
		return false
	}
	msg := strings.ToLower(err.Error())
	return strings.Contains(msg, "ip6tables") || strings.Contains(msg, "ipv6") && (strings.Contains(msg, "bridge") || strings.Contains(msg, "/proc/sys/net"))
}

// trimPrefixes removes what the client and the engine put before what happened.
func trimPrefixes(msg string) string {
	for _, prefix := range []string{"Error response from daemon: ", "error during connect: "} {
		msg = strings.TrimPrefix(msg, prefix)
	}
	return strings.TrimSuffix(strings.TrimSpace(msg), ".")
}

// unreachable says why the engine cannot be reached, without telling again what the message has.
func unreachable(err error, code fault.Code, msg string) string {
	var inner *fs.PathError
	switch {
	case code == fault.EnginePermission:
		return "permission denied"
	case errors.As(err, &inner):
		return inner.Error()
	case strings.HasPrefix(msg, "Cannot connect to the Docker daemon"):
		return "nothing listens there"
	}
	return msg
}

// takenPort finds the "ip:port" that a message about a taken port is about; "" where it tells none.
func takenPort(msg string) string {
	const address = `(\[[0-9a-fA-F:.]+\]:\d+|:::\d+|[0-9.]+:\d+)`
	for _, pattern := range []string{
		`[Bb]ind for ` + address + ` failed`,
		`listen (?:tcp|udp|sctp)[46]? ` + address + `: bind`,
		`failed to bind host port (?:for )?` + address,
		`exposing port \S+ ` + address,
	} {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(msg); m != nil {
			return m[1]
		}
	}
	return ""
}

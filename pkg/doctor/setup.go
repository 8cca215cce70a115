package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/cove-k8s/cove/pkg/fault"
)

// resolvedConf is where systemd-resolved says which servers it asks itself; engines hand these to containers.
const resolvedConf = "run/systemd/resolve/resolv.conf"

// checkDNS looks for a server that a container can ask too: one on the host's loopback is out of its reach.
func checkDNS(_ context.Context, h *host) finding {
	f := finding{
		status: OK, need: "a name server that is not on the loopback address",
		cure: "name a server in /etc/resolv.conf, or set \"dns\" in the engine's daemon.json",
	}
	var all []string
	for _, path := range []string{"etc/resolv.conf", resolvedConf} {
		data, err := fs.ReadFile(h.FS, path)
		if err != nil {
			continue
		}
		servers := nameServers(string(data))
		all = append(all, servers...)
		for _, s := range servers {
			if a, err := netip.ParseAddr(s); err == nil && !a.IsLoopback() {
				f.value = s
				return f
			}
		}
	}
	f.status, f.value = Warn, "no server is named"
	if len(all) > 0 {
		f.value = "only " + strings.Join(all, ", ")
	}
	return f
}

func nameServers(conf string) []string {
	var servers []string
	for line := range strings.Lines(conf) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" {
			servers = append(servers, fields[1])
		}
	}
	return servers
}

// checkImage looks for an image that create would use as it is.
func checkImage(ctx context.Context, h *host) finding {
	names := []string{"cove-node:" + h.KubernetesVersion, "kindest/node:" + h.KubernetesVersion}
	if h.Image != "" {
		names = []string{h.Image}
	} else if h.KubernetesVersion == "" {
		return skip("no version is asked for")
	}
	f := finding{
		status: Warn, value: "none of " + strings.Join(names, ", ") + " is there: create pulls or builds one",
		need: names[0], cure: "cove build node-image",
	}
	for _, name := range names {
		_, err := h.Engine.Image(ctx, name)
		if err == nil {
			f.status, f.value = OK, name
			return f
		}
		if !fault.Is(err, fault.ImageNotFound) {
			f.value, f.cure = err.Error(), fault.ReportOf(err).Hint
			return f
		}
	}
	return f
}

// checkKubeconfig tries to open the file as it would be written, or to make one in its directory.
func checkKubeconfig(_ context.Context, h *host) finding {
	if h.Kubeconfig == "" {
		return skip("it is not to be written")
	}
	f := finding{status: OK, value: h.Kubeconfig, need: "a file that can be written", cure: "mend its mode or its owner, or give --kubeconfig"}
	if err := writable(h.Kubeconfig); err != nil {
		f.status, f.value = Fail, err.Error()
	}
	return f
}

// writable reports whether a file could be written: as it is, or below the nearest directory that there is.
func writable(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the user's own kubeconfig
	if err == nil {
		return file.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return &fs.PathError{Op: "open", Path: dir, Err: errors.New("it is no directory")}
		}
		if err == nil || !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	probe, err := os.CreateTemp(dir, ".cove-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func checkLeftovers(ctx context.Context, h *host) finding {
	if h.Incomplete == nil {
		return skip("not asked for")
	}
	f := finding{status: OK, value: "none", need: "none"}
	names, err := h.Incomplete(ctx)
	switch {
	case err != nil:
		f.status, f.value, f.cure = Warn, err.Error(), fault.ReportOf(err).Hint
	case len(names) > 0:
		f.status, f.value = Warn, strings.Join(names, ", ")
		f.cure = "cove delete " + strings.Join(names, " ") + ", unless they are being made now"
	}
	return f
}

func checkKubectl(_ context.Context, h *host) finding {
	if h.LookPath == nil {
		return skip("not asked for")
	}
	f := finding{status: OK, need: "on the PATH; `cove kubectl --` has one of its own"}
	path, err := h.LookPath("kubectl")
	if err != nil {
		f.value = "not on the PATH; `cove kubectl --` works"
		return f
	}
	f.value = path
	return f
}

package initd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"cove.dev/images/node/internal/envfile"
	"cove.dev/images/node/internal/reaper"
	"cove.dev/images/node/internal/unit"
	"cove.dev/images/node/internal/watch"
)

// The units' names.
const (
	ContainerdName = "containerd"
	KubeletName    = "kubelet"
	HAProxyName    = "haproxy" // of a load balancer, which has no other
	initName       = "init"
)

// Paths that the node image's contract fixes, and those that kubeadm's own kubelet.service has.
const (
	ContainerdSocket = "/run/containerd/containerd.sock"
	containerdConfig = "/etc/containerd/config.toml"
	kubeletConfig    = "/var/lib/kubelet/config.yaml"
	kubeadmFlags     = "/var/lib/kubelet/kubeadm-flags.env"
	kubeletDefaults  = "/etc/default/kubelet"
	defaultPath      = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// oomScore is what systemd units of both programs ask for; the kernel's memory killer then takes pods first.
	oomScore = "-999"
)

// Units are the names of the container's supervised processes, in the order of their start.
func Units() []string {
	if isBalancer() {
		return []string{HAProxyName}
	}
	return []string{ContainerdName, KubeletName}
}

// Logs are the names of the logs that the container keeps.
func Logs() []string { return append([]string{initName}, Units()...) }

// command is what a unit runs.
type command struct {
	argv []string
	env  map[string]string // beside PID 1's own
}

func containerdCommand() command {
	return command{argv: []string{"containerd", "--config", containerdConfig}}
}

// KubeletArgs are the kubelet's arguments without those from files, as in kubeadm's 10-kubeadm.conf.
func KubeletArgs() []string {
	return []string{
		"--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
		"--kubeconfig=/etc/kubernetes/kubelet.conf",
		"--config=" + kubeletConfig,
	}
}

// kubeletCommand reads the files at each start: kubeadm writes one of them shortly before the first. reserved is what of the
// host is not the node's, in the form of --system-reserved; arguments from the files come later, so they win.
func kubeletCommand(reserved string) (command, error) {
	cmd := command{argv: append([]string{"kubelet"}, KubeletArgs()...), env: map[string]string{}}
	if reserved != "" {
		cmd.argv = append(cmd.argv, "--system-reserved="+reserved)
	}
	for _, path := range []string{kubeadmFlags, kubeletDefaults} {
		vars, err := envfile.Load(path)
		if err != nil {
			return cmd, err
		}
		maps.Copy(cmd.env, vars)
	}
	for _, name := range []string{"KUBELET_KUBEADM_ARGS", "KUBELET_EXTRA_ARGS"} {
		cmd.argv = append(cmd.argv, envfile.Words(cmd.env[name])...)
	}
	return cmd, nil
}

// kubeletReady waits for what kubeadm writes last and for the runtime: without either the kubelet would only fail.
func kubeletReady(ctx context.Context) error {
	if err := watch.Until(ctx, kubeletConfig, watch.Filled(kubeletConfig)); err != nil {
		return err
	}
	return waitContainerd(ctx)
}

// waitContainerd waits until containerd accepts connections. Its socket is watched for; that it is old and nobody listens
// is the one thing that only trying tells.
func waitContainerd(ctx context.Context) error {
	for {
		if err := watch.Until(ctx, ContainerdSocket, watch.Present(ContainerdSocket)); err != nil {
			return err
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", ContainerdSocket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// launch starts a unit's process with its output going to the unit's log.
func (d *daemon) launch(name string, cmd command) (unit.Process, error) {
	child, _, err := d.start(cmd, d.logs[name])
	if err != nil {
		return nil, err
	}
	// Needs CAP_SYS_RESOURCE, which the engine may not have: then the kernel's default order stays.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", child.PID()), []byte(oomScore), 0)
	return child, nil
}

// run runs a command to its end, which comes with ctx at the latest, and returns what it printed.
func (d *daemon) run(ctx context.Context, cmd command) (string, error) {
	var out bytes.Buffer
	child, copied, err := d.start(cmd, &out)
	if err != nil {
		return "", err
	}
	select {
	case <-child.Done():
	case <-ctx.Done():
		_ = child.Signal(syscall.SIGKILL)
		<-child.Done()
	}
	<-copied
	if exit := child.Exit(); exit.Code != 0 {
		return out.String(), errors.Join(ctx.Err(), fmt.Errorf("%s: %s", cmd.argv[0], exit))
	}
	return out.String(), nil
}

// start starts a process whose output goes to out; copied is closed when all of it is there.
func (d *daemon) start(cmd command, out io.Writer) (child *reaper.Child, copied <-chan struct{}, err error) {
	env := environment(os.Environ(), cmd.env)
	path, err := lookPath(cmd.argv[0], env)
	if err != nil {
		return nil, nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot start %s: %w", cmd.argv[0], err)
	}
	defer null.Close()
	output, input, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot start %s: %w", cmd.argv[0], err)
	}
	defer input.Close()
	child, err = d.reaper.Start(path, cmd.argv, &syscall.ProcAttr{
		Dir: "/", Env: env, Files: []uintptr{null.Fd(), input.Fd(), input.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, nil, errors.Join(err, output.Close())
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		defer output.Close()
		_, _ = io.Copy(out, output)
	}()
	return child, end, nil
}

// environment is base with more on top, and with a PATH.
func environment(base []string, more map[string]string) []string {
	vars := map[string]string{"PATH": defaultPath}
	for _, kv := range base {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	maps.Copy(vars, more)
	env := make([]string, 0, len(vars))
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, k+"="+vars[k])
	}
	return env
}

// lookPath finds a program on env's PATH.
func lookPath(name string, env []string) (string, error) {
	for _, kv := range env {
		dirs, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(dirs) {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("cannot start %s: there is no such program on PATH", name)
}

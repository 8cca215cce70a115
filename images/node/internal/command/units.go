package command

import (
	"context"
	"encoding/json"
	"strings"

	"cove.dev/images/node/internal/balancer"
	"cove.dev/images/node/internal/control"
	"cove.dev/images/node/internal/initd"
	"cove.dev/images/node/internal/logfile"
	"cove.dev/images/node/internal/systemctl"
)

func ask(ctx context.Context, req control.Request) (control.Response, error) {
	return control.Ask(ctx, control.Socket, req)
}

func status(ctx context.Context, args []string, s Streams) error {
	if len(args) > 0 {
		return usageError{"status takes no arguments"}
	}
	resp, err := ask(ctx, control.Request{Verb: control.Status})
	if err != nil {
		return err
	}
	enc := json.NewEncoder(s.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(resp)
}

func systemctlMain(ctx context.Context, args []string, s Streams) int {
	c := systemctl.Command{Ask: ask, Stdout: s.Out, Stderr: s.Err, Describe: describe, Tail: tailOf}
	return c.Run(ctx, args)
}

func describe(name string) systemctl.Description {
	switch name {
	case initd.KubeletName:
		return systemctl.Description{
			Title: "kubelet: The Kubernetes Node Agent",
			Exec:  "kubelet " + strings.Join(initd.KubeletArgs(), " ") + " $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS",
		}
	case initd.HAProxyName:
		return systemctl.Description{Title: "HAProxy Load Balancer", Exec: strings.Join(balancer.Command(), " ")}
	}
	return systemctl.Description{Title: "containerd container runtime", Exec: "containerd --config /etc/containerd/config.toml"}
}

func tailOf(name string, n int) []string {
	var lines []string
	r := &logfile.Reader{Path: logfile.Path(logfile.Dir, name), Tail: n, Emit: func(line []byte) error {
		lines = append(lines, string(line))
		return nil
	}}
	_ = r.Read(context.Background()) // status without the log is still status
	return lines
}

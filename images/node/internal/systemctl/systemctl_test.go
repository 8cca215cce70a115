package systemctl

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"cove.dev/images/node/internal/control"
	"cove.dev/images/node/internal/unit"
)

// run executes one command line on a node whose containerd runs and whose kubelet is in the given state.
func run(state unit.State, fail error, args ...string) (code int, stdout, stderr string, asked []string) {
	var out, errOut bytes.Buffer
	c := Command{
		Stdout: &out, Stderr: &errOut,
		Ask: func(_ context.Context, req control.Request) (control.Response, error) {
			if req.Verb == control.Status {
				return control.Response{Units: []control.UnitStatus{
					{Status: unit.Status{Name: "containerd", State: unit.Running, PID: 5, Since: time.Unix(0, 0)}, Enabled: true},
					{Status: unit.Status{Name: "kubelet", State: state, Since: time.Unix(0, 0)}, Enabled: state != unit.Stopped},
				}}, nil
			}
			asked = append(asked, req.Verb+" "+req.Unit)
			return control.Response{}, fail
		},
		Describe: func(name string) Description { return Description{Title: "title of " + name, Exec: "/bin/" + name} },
		Tail:     func(name string, n int) []string { return slices.Repeat([]string{"line of " + name}, n) },
	}
	code = c.Run(context.Background(), args)
	return code, out.String(), errOut.String(), asked
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		args  string
		state unit.State
		code  int
		out   string
	}{
		// kubeadm: cmd/kubeadm/app/util/initsystem/initsystem_unix.go
		{"is-active kubelet", unit.Running, 0, "active\n"},
		{"is-active kubelet", unit.Waiting, 3, "activating\n"},
		{"is-active kubelet", unit.Backoff, 3, "activating\n"},
		{"is-active kubelet.service", unit.Stopped, 3, "inactive\n"},
		{"is-active firewalld", unit.Running, 4, "inactive\n"},
		{"is-active -q kubelet", unit.Running, 0, ""},
		{"is-active kubelet containerd", unit.Stopped, 0, "inactive\nactive\n"},
		{"is-enabled kubelet", unit.Running, 0, "enabled\n"},
		{"is-enabled kubelet", unit.Stopped, 1, "disabled\n"},
		{"is-enabled nope", unit.Running, 4, "not-found\n"},
		{"is-failed kubelet", unit.Backoff, 1, "activating\n"},
		{"is-system-running", unit.Running, 0, "running\n"},
		{"daemon-reload", unit.Running, 0, ""},
		{"show -p MainPID,ActiveState containerd", unit.Running, 0, "ActiveState=active\nMainPID=5\n"},
		{"show --property=SubState --value kubelet", unit.Waiting, 0, "start-pre\n"},
		{"show -P LoadState nope", unit.Running, 0, "not-found\n"},
	} {
		code, out, errOut, _ := run(c.state, nil, strings.Fields(c.args)...)
		if code != c.code || out != c.out {
			t.Errorf("%s (%s): %d %q %q, want %d %q", c.args, c.state, code, out, errOut, c.code, c.out)
		}
	}
}

func TestActions(t *testing.T) {
	for args, want := range map[string][]string{
		"start kubelet":                             {"start kubelet"},
		"stop --no-block kubelet.service":           {"stop kubelet"},
		"--no-pager -q restart containerd":          {"restart containerd"},
		"restart containerd kubelet":                {"restart containerd", "restart kubelet"},
		"enable --now kubelet":                      {"enable kubelet", "start kubelet"},
		"disable --now kubelet":                     {"disable kubelet", "stop kubelet"},
		"reload containerd":                         {"reload containerd"},
		"reload-or-restart kubelet":                 {"reload-or-restart kubelet"},
		"--job-mode replace try-restart -- kubelet": {"restart kubelet"},
	} {
		code, _, errOut, asked := run(unit.Running, nil, strings.Fields(args)...)
		if code != 0 || !slices.Equal(asked, want) {
			t.Errorf("%s: %d %q, asked %q", args, code, errOut, asked)
		}
	}
}

func TestStatus(t *testing.T) {
	code, out, _, _ := run(unit.Running, nil, "status", "-n2", "containerd")
	if code != 0 || !strings.Contains(out, "Active: active (running) since Thu 1970-01-01") ||
		strings.Count(out, "line of containerd") != 2 || !strings.Contains(out, "Main PID: 5") {
		t.Errorf("%d %s", code, out)
	}
	if code, out, _, _ := run(unit.Backoff, nil, "status", "kubelet"); code != 3 || !strings.Contains(out, "activating (auto-restart)") {
		t.Errorf("%d %s", code, out)
	}
	code, out, errOut, _ := run(unit.Running, nil, "status", "nope")
	if code != 4 || !strings.Contains(out, "could not be found") || !strings.Contains(errOut, "could not be found") {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	if code, out, _, _ := run(unit.Running, nil, "cat", "kubelet"); code != 0 || !strings.Contains(out, "ExecStart=/bin/kubelet") {
		t.Errorf("%d %s", code, out)
	}
	if code, out, _, _ := run(unit.Running, nil); code != 0 || !strings.Contains(out, "kubelet.service") {
		t.Errorf("%d %s", code, out)
	}
}

func TestErrors(t *testing.T) {
	for args, want := range map[string]int{
		"frobnicate kubelet": 1, "start": 1, "start nope": 5, "enable nope": 1, "--frob start kubelet": 1, "status -n x kubelet": 1,
		"show -p": 1, "cat nope": 1, "is-active": 1,
	} {
		if code, _, errOut, asked := run(unit.Running, nil, strings.Fields(args)...); code != want || errOut == "" || asked != nil {
			t.Errorf("%s: %d %q, asked %q", args, code, errOut, asked)
		}
	}
	code, _, errOut, _ := run(unit.Running, errors.New("no such program"), "start", "kubelet")
	if code != 1 || !strings.Contains(errOut, "no such program") {
		t.Errorf("%d %q", code, errOut)
	}
}

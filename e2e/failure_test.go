//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// startUntil starts a create and sends it the signal as soon as a step whose ID begins with prefix has started. It
// returns how the create ended, and whether the step was reached.
func startUntil(cl cluster, prefix string, signal os.Signal) (r result, reached bool) {
	cl.t.Helper()
	args := []string{"create", cl.name, "--image", nodeImage(), "--workers", "1", "-o", "json"}
	cmd := cl.command(cl.t.Context(), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		cl.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		cl.t.Fatal(err)
	}
	var said strings.Builder
	var sent time.Time
	for lines := bufio.NewScanner(io.TeeReader(out, &said)); lines.Scan(); {
		var event struct{ Type, Step string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			cl.t.Errorf("an event is not JSON: %v: %s", err, lines.Text())
		}
		if !reached && event.Type == "step.started" && strings.HasPrefix(event.Step, prefix) {
			reached, sent = true, time.Now()
			if err := cmd.Process.Signal(signal); err != nil {
				cl.t.Error(err)
			}
		}
	}
	err = cmd.Wait()
	if reached {
		cl.t.Logf("%s at step %s: ended %.1f s later", signal, prefix, time.Since(sent).Seconds())
	}
	r = result{args: args, stdout: said.String(), stderr: stderr.String()}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		r.status = exit.ExitCode()
	}
	return r, reached
}

// TestInterrupt interrupts creates at many moments. Each has to end with status 130, and to leave nothing.
func TestInterrupt(t *testing.T) {
	c := newCove(t, onThrowAway(t))
	before := contents(t, c.at)
	for _, step := range []string{"host", "network", "node/", "kubeadm/", "core", "ready/"} {
		t.Run(strings.Trim(step, "/"), func(t *testing.T) {
			cl := cluster{c, "e2e-interrupted"}.in(t)
			r, reached := startUntil(cl, step, os.Interrupt)
			if !reached {
				t.Fatalf("no step %s was started: %s", step, r)
			}
			if r.status != 130 {
				t.Errorf("want status 130, got %s", r)
			}
			wantNothing(cl, before)
		})
	}
}

// wantNothing wants the engine to have what it had before, and the kubeconfig not to know the cluster.
func wantNothing(cl cluster, before string) {
	cl.t.Helper()
	if after := contents(cl.t, cl.at); after != before {
		cl.t.Errorf("the engine had\n%s\nand has\n%s", before, after)
	}
	config, err := clientcmd.LoadFromFile(cl.kubeconfig())
	if err != nil && !os.IsNotExist(err) {
		cl.t.Error(err)
	}
	if err == nil && config.Contexts["cove-"+cl.name] != nil {
		cl.t.Errorf("the kubeconfig has a context of %s", cl.name)
	}
}

// TestKill9 kills creates, which then cannot tidy up. A delete and the next create of the name have to find the rest.
func TestKill9(t *testing.T) {
	c := newCove(t, onThrowAway(t))
	before := contents(t, c.at)
	cl := c.newName("killed")
	for _, step := range []string{"node/", "kubeadm/"} {
		r, reached := startUntil(cl, step, syscall.SIGKILL)
		if !reached || contents(t, c.at) == before {
			t.Fatalf("nothing was made that could be left: %s", r)
		}
		cl.run("delete", cl.name)
		wantNothing(cl, before)
	}
	if r, reached := startUntil(cl, "kubeadm/", syscall.SIGKILL); !reached {
		t.Fatalf("nothing was made that could be left: %s", r)
	}
	if s := decode[[]summary](c, "list"); len(s) != 1 || s[0].State != "incomplete" {
		t.Errorf("the list has %+v", s)
	}
	cl.run("create", cl.name, "--image", nodeImage())
	if s := cl.status(); !s.Usable || len(s.Nodes) != 1 {
		t.Errorf("after a create over the rest of a killed one: %+v", s)
	}
	cl.fails(3, "CLUSTER_EXISTS", "create", cl.name, "--image", nodeImage())
	cl.run("delete", cl.name)
	wantNothing(cl, before)
}

// TestTaken wants a create to fail where somebody else has what it needs, and to leave that and nothing else.
func TestTaken(t *testing.T) {
	c := newCove(t, onThrowAway(t))
	const port = 18099
	hold := func(t *testing.T, args ...string) {
		t.Helper()
		id := docker(t, c.at, append(append([]string{"run", "-d", "--entrypoint", "sleep"}, args...), nodeImage(), "infinity")...)
		t.Cleanup(func() {
			if out, err := c.at.Command(cleanupContext(t), "docker", "rm", "-fv", id).CombinedOutput(); err != nil {
				t.Errorf("docker rm: %v: %s", err, out)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "port.yaml")
	document := fmt.Sprintf("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: control-plane, extraPortMappings: [{containerPort: 80, hostPort: %d, listenAddress: 127.0.0.1}]}]\n", port)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		take   func(t *testing.T, cl cluster)
		status int
		code   string
		args   []string
	}{
		{"Container", func(t *testing.T, cl cluster) {
			t.Helper()
			hold(t, "--name", cl.name+"-control-plane")
		}, 3, "NAME_TAKEN", nil},
		{"Network", func(t *testing.T, cl cluster) {
			t.Helper()
			docker(t, c.at, "network", "create", "cove-"+cl.name)
			t.Cleanup(func() {
				if out, err := c.at.Command(cleanupContext(t), "docker", "network", "rm", "cove-"+cl.name).CombinedOutput(); err != nil {
					t.Errorf("docker network rm: %v: %s", err, out)
				}
			})
		}, 3, "NAME_TAKEN", nil},
		{"Port", func(t *testing.T, _ cluster) {
			t.Helper()
			hold(t, "-p", fmt.Sprintf("127.0.0.1:%d:80", port))
		}, 4, "PORT_TAKEN", []string{"-f", file}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cl := cluster{c, "e2e-taken"}.in(t)
			test.take(t, cl)
			before := contents(t, c.at)
			cl.fails(test.status, test.code, append([]string{"create", cl.name, "--image", nodeImage()}, test.args...)...)
			wantNothing(cl, before)
		})
	}
}

// TestRetain makes creates fail, with and without --retain, and wants evidence of both.
func TestRetain(t *testing.T) {
	c := newCove(t, onThrowAway(t))
	before := contents(t, c.at)
	file := filepath.Join(t.TempDir(), "broken.yaml")
	document := "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nkubeadmConfigPatches:\n- |\n  kind: ClusterConfiguration\n  apiServer: {extraArgs: [{name: no-such-flag, value: \"1\"}]}\n"
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	cl := c.newName("retained")
	create := []string{"create", cl.name, "--image", nodeImage(), "-f", file, "--timeout", "25s"}
	r := c.call(t.Context(), "", create...)
	if r.status != 5 {
		t.Errorf("want status 5, got %s", r)
	}
	wantEvidence(t, r)
	wantNothing(cl, before)

	r = c.call(t.Context(), "", append(create, "--retain")...)
	if r.status != 5 {
		t.Errorf("want status 5, got %s", r)
	}
	wantEvidence(t, r)
	if got := cl.containers(t.Context()); len(got) != 2 { // the control plane, and the load balancer before it
		t.Errorf("--retain kept containers %q", got)
	}
	cl.run("delete", cl.name)
	wantNothing(cl, before)
}

// wantEvidence wants the output to name a folder in which the API server's log says what was wrong.
func wantEvidence(t *testing.T, r result) {
	t.Helper()
	found := regexp.MustCompile(`evidence is in (\S+)`).FindStringSubmatch(r.stderr)
	if found == nil {
		t.Fatalf("no evidence is named: %s", r)
	}
	says := false
	err := filepath.WalkDir(found[1], func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		says = says || strings.Contains(string(data), "unknown flag: --no-such-flag")
		return err
	})
	if err != nil || !says {
		t.Errorf("nothing in %s says why (%v): %s", found[1], err, r)
	}
}

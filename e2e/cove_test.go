//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// runLimit bounds a single call of cove; the slowest, an upgrade of five nodes, takes two minutes on two cores.
const runLimit = 10 * time.Minute

// cove calls the binary for one test: with a kubeconfig, settings and state of its own, on one engine.
type cove struct {
	t    *testing.T
	at   place
	bin  string
	home string // holds the kubeconfig, the settings and the state
	env  []string
}

func newCove(t *testing.T, at place) *cove {
	t.Helper()
	c := &cove{t: t, at: at, bin: binary(t), home: t.TempDir()}
	c.env = []string{
		"KUBECONFIG=" + c.kubeconfig(), "XDG_STATE_HOME=" + filepath.Join(c.home, "state"),
		"XDG_CONFIG_HOME=" + filepath.Join(c.home, "config"), "NO_COLOR=1",
		"COVE_PROFILE=ci", // the leanest that has all that most tests need; those of other profiles name them
	}
	return c
}

func (c *cove) kubeconfig() string { return filepath.Join(c.home, "kubeconfig") }

// result is how a call ended.
type result struct {
	args           []string
	stdout, stderr string
	status         int
}

func (r result) String() string {
	return fmt.Sprintf("cove %s: status %d\nstdout:\n%s\nstderr:\n%s", strings.Join(r.args, " "), r.status, r.stdout, r.stderr)
}

// command returns a call that has not started. It is interrupted when ctx ends.
func (c *cove) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := c.at.Command(ctx, c.bin, args...)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = slices.DeleteFunc(cmd.Env, func(kv string) bool { return strings.HasPrefix(kv, "COVE_") })
	cmd.Env = append(cmd.Env, c.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 90 * time.Second // it may roll back
	return cmd
}

// call runs cove to its end, whatever that is.
func (c *cove) call(ctx context.Context, stdin string, args ...string) result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	cmd := c.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	r := result{args: args, stdout: stdout.String(), stderr: stderr.String()}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		r.status = exit.ExitCode()
	} else if err != nil {
		c.t.Fatalf("cove %s: %v\n%s", strings.Join(args, " "), err, r.stderr)
	}
	return r
}

// run runs cove, which must succeed, and returns what it printed on stdout.
func (c *cove) run(args ...string) string {
	c.t.Helper()
	r := c.call(c.t.Context(), "", args...)
	if r.status != 0 {
		c.t.Fatal(r)
	}
	return r.stdout
}

// fails runs cove, which must fail with the status and the code.
func (c *cove) fails(status int, code string, args ...string) result {
	c.t.Helper()
	r := c.call(c.t.Context(), "", args...)
	if r.status != status || !strings.Contains(r.stderr, code) {
		c.t.Errorf("want status %d and code %s, got %s", status, code, r)
	}
	return r
}

// cluster is a cluster that the test owns.
type cluster struct {
	*cove
	name string
}

// in returns the cluster for a subtest, which then is what fails.
func (cl cluster) in(t *testing.T) cluster {
	t.Helper()
	c := *cl.cove
	c.t = t
	return cluster{&c, cl.name}
}

// newName returns a name that no other test or run has, and sees to it that the cluster is exported if the test fails,
// and deleted when it ends, whether or not it was ever made.
func (c *cove) newName(hint string) cluster {
	c.t.Helper()
	cl := cluster{c, "e2e-" + hint + "-" + strings.ToLower(rand.Text()[:4])}
	c.t.Cleanup(func() {
		ctx := cleanupContext(c.t)
		if c.t.Failed() {
			cl.export(ctx)
		}
		if r := c.call(ctx, "", "delete", cl.name); r.status != 0 && !strings.Contains(r.stderr, "CLUSTER_NOT_FOUND") {
			c.t.Error(r)
		}
	})
	return cl
}

// export leaves what is known of the cluster in the artifacts.
func (cl cluster) export(ctx context.Context) {
	dir := os.Getenv("E2E_ARTIFACTS")
	if dir == "" {
		return
	}
	dir = filepath.Join(dir, strings.ReplaceAll(cl.t.Name(), "/", "_"), cl.name)
	if r := cl.call(ctx, "", "export", dir, "--name", cl.name); r.status == 0 {
		cl.t.Logf("what is known of cluster %s is in %s", cl.name, dir)
	}
}

// create makes a cluster with the node image and returns how long that took.
func (c *cove) create(hint string, args ...string) cluster {
	c.t.Helper()
	return c.createOf(hint, nodeImage(), args...)
}

// createOf makes a cluster of that node image.
func (c *cove) createOf(hint, image string, args ...string) cluster {
	c.t.Helper()
	cl := c.newName(hint)
	begun := time.Now()
	cl.run(append([]string{"create", cl.name, "--image", image}, args...)...)
	c.t.Logf("cluster %s was usable after %.1f s", cl.name, time.Since(begun).Seconds())
	return cl
}

// kubectl runs kubectl on the cluster.
func (cl cluster) kubectl(args ...string) string {
	cl.t.Helper()
	return strings.TrimSpace(cl.run(append([]string{"kubectl", "--name", cl.name, "--"}, args...)...))
}

// ask is kubectl for what may fail for a while.
func (cl cluster) ask(ctx context.Context, args ...string) (string, error) {
	cl.t.Helper()
	r := cl.call(ctx, "", append([]string{"kubectl", "--name", cl.name, "--"}, args...)...)
	if r.status != 0 {
		return "", fmt.Errorf("%s", r)
	}
	return strings.TrimSpace(r.stdout), nil
}

// apply applies manifests.
func (cl cluster) apply(manifests string) {
	cl.t.Helper()
	r := cl.call(cl.t.Context(), manifests, "kubectl", "--name", cl.name, "--", "apply", "-f", "-")
	if r.status != 0 {
		cl.t.Fatal(r)
	}
}

// decode runs cove with -o json and decodes what it prints.
func decode[T any](c *cove, args ...string) T {
	c.t.Helper()
	var v T
	out := c.run(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		c.t.Fatalf("cove %v -o json: %v:\n%s", args, err, out)
	}
	return v
}

// summary is what list tells of a cluster, status what status tells; as users' scripts read them.
type summary struct {
	Name              string `json:"name"`
	State             string `json:"state"`
	KubernetesVersion string `json:"kubernetesVersion"`
	ControlPlanes     int    `json:"controlPlanes"`
	Workers           int    `json:"workers"`
	API               string `json:"api"`
	Context           string `json:"context"`
}

type status struct {
	summary
	APIUp  bool `json:"apiUp"`
	Usable bool `json:"usable"`
	Nodes  []struct {
		Name      string `json:"name"`
		Role      string `json:"role"`
		Container string `json:"container"`
		Ready     bool   `json:"ready"`
		IP        string `json:"ip"`
	} `json:"nodes"`
	Problems []string `json:"problems"`
}

func (cl cluster) status() status {
	cl.t.Helper()
	return decode[status](cl.cove, "status", cl.name)
}

// containers are the cluster's containers, as the engine knows them.
func (cl cluster) containers(ctx context.Context) []string {
	cl.t.Helper()
	out, err := cl.at.Command(ctx, "docker", "ps", "-a", "--filter", "label=cove.dev/cluster="+cl.name, "--format", "{{.Names}}").Output()
	if err != nil {
		cl.t.Fatalf("docker ps: %v", err)
	}
	names := strings.Fields(string(out))
	slices.Sort(names)
	return names
}

// leavings lists what the engine has that bears the cluster's name.
func (cl cluster) leavings() []string {
	cl.t.Helper()
	var left []string
	for _, list := range [][]string{
		{"ps", "-a", "--format", "container {{.Names}}"}, {"volume", "ls", "--format", "volume {{.Name}}"}, {"network", "ls", "--format", "network {{.Name}}"},
	} {
		for line := range strings.Lines(docker(cl.t, cl.at, list...)) {
			if strings.Contains(line, cl.name) {
				left = append(left, strings.TrimSpace(line))
			}
		}
	}
	return left
}

// contents are all containers, volumes and networks of an engine.
func contents(t *testing.T, p place) string {
	t.Helper()
	return strings.Join([]string{
		docker(t, p, "ps", "-a", "--format", "container {{.Names}}"),
		docker(t, p, "volume", "ls", "--format", "volume {{.Name}}"),
		docker(t, p, "network", "ls", "--format", "network {{.Name}}"),
	}, "\n")
}

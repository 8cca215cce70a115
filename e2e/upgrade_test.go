//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"strings"
)

// upgraded brings the cluster to the next version of Kubernetes while objects are written. The first run is killed in the middle of a
// control plane; the second one goes on there.
func upgraded(cl cluster) {
	if plan := cl.run("upgrade", cl.name, "--kubernetes-version", kubernetesVersion, "--dry-run"); strings.Count(plan, oldVersion+" → "+kubernetesVersion) != 5 {
		cl.t.Errorf("it would do\n%s", plan)
	}
	w := &writer{cl: cl, prefix: "upgraded"}
	stop := w.start()
	cl.killAt("✓ Replace the container of "+cl.name+"-control-plane2", "upgrade", cl.name, "--kubernetes-version", kubernetesVersion)
	cl.fails(2, "CONFIG_UNSUPPORTED", "node", "add", "--name", cl.name) // half-way nothing else is done
	cl.run("upgrade", cl.name, "--kubernetes-version", kubernetesVersion)
	stop()
	w.noneLost()
	versions := cl.kubectl("get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name}={.status.nodeInfo.kubeletVersion} {end}`)
	if n := strings.Count(versions, "="+kubernetesVersion); n != 5 || len(strings.Fields(versions)) != n {
		cl.t.Errorf("the nodes are %s", versions)
	}
	proxies := cl.kubectl("get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-proxy", "-o", `jsonpath={range .items[*]}{.spec.containers[0].image} {end}`)
	if strings.Count(proxies, ":"+kubernetesVersion) != 5 {
		cl.t.Errorf("the nodes have %s", proxies)
	}
	cl.fails(2, "CONFIG_UNSUPPORTED", "upgrade", cl.name, "--kubernetes-version", oldVersion)
	wantImage(cl, []string{cl.name + "-worker", cl.name + "-worker2"}, agnhostImage) // which was loaded before
}

// killAt runs cove until it says the line, and kills it then.
func (cl cluster) killAt(line string, args ...string) {
	cl.t.Helper()
	ctx, cancel := context.WithTimeout(cl.t.Context(), runLimit)
	defer cancel()
	cmd := cl.command(ctx, args...)
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cl.t.Fatal(err)
	}
	var said []string
	killed := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said = append(said, lines.Text())
		if !killed && strings.HasPrefix(lines.Text(), line) {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				cl.t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !killed {
		cl.t.Fatalf("it was not killed at %q, and said\n%s", line, strings.Join(said, "\n"))
	}
}

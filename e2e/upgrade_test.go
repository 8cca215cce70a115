//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// writer writes objects, one after the other, and keeps which were accepted.
type writer struct {
	cl     cluster
	prefix string // of the objects' names

	mu       sync.Mutex
	accepted []string
	refused  int
	at       time.Time // of the last one that was accepted
	gap      time.Duration
}

// start begins to write; the function that it returns ends it.
func (w *writer) start() (stop func()) {
	ctx, cancel := context.WithCancel(w.cl.t.Context())
	maps := clientFor(w.cl.t, w.cl.kubeconfig(), w.cl.at).CoreV1().ConfigMaps("default")
	w.at = time.Now()
	var done sync.WaitGroup
	done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			name := fmt.Sprintf("%s-%d", w.prefix, i)
			try, end := context.WithTimeout(ctx, 3*time.Second)
			_, err := maps.Create(try, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
			end()
			w.note(name, err)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

func (w *writer) note(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.refused++
		return
	}
	w.accepted = append(w.accepted, name)
	now := time.Now()
	w.gap, w.at = max(w.gap, now.Sub(w.at)), now
}

func (w *writer) last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// longestGap is how long no write may be accepted: etcd needs a second or two for a new leader, and the machine may be busy.
const longestGap = 15 * time.Second

// noneLost wants all that was accepted to be there, and writes to have been accepted nearly all the time.
func (w *writer) noneLost() {
	w.cl.t.Helper()
	w.kept()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gap > longestGap {
		w.cl.t.Errorf("for %s no write was accepted", w.gap)
	}
}

// kept wants all that was accepted to be there.
func (w *writer) kept() {
	t := w.cl.t
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d writes were accepted, %d were not; the longest gap was %.1f s", len(w.accepted), w.refused, w.gap.Seconds())
	list, err := clientFor(t, w.cl.kubeconfig(), w.cl.at).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, m := range list.Items {
		there[m.Name] = true
	}
	lost := slices.DeleteFunc(slices.Clone(w.accepted), func(name string) bool { return there[name] })
	if len(lost) > 0 {
		t.Errorf("%d writes were accepted and are lost: %q", len(lost), lost)
	}
	if len(w.accepted) == 0 {
		t.Error("no write was accepted")
	}
}

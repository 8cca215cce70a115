//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// writer writes objects, one after the other, and keeps which were accepted.
type writer struct {
	cl     cluster
	prefix string        // of the objects' names
	pace   time.Duration // between two of them; 0 is a twentieth of a second

	mu       sync.Mutex
	accepted []string
	refused  int
	at       time.Time // of the last one that was accepted
	gap      time.Duration
}

// start begins to write; the function that it returns ends it.
func (w *writer) start() (stop func()) {
	ctx, cancel := context.WithCancel(w.cl.t.Context())
	w.at = time.Now()
	var done sync.WaitGroup
	done.Go(func() {
		client, err := newClient(w.cl.kubeconfig(), w.cl.at)
		for i := 0; ctx.Err() == nil; i++ {
			name := fmt.Sprintf("%s-%d", w.prefix, i)
			if err == nil {
				err = createMap(ctx, client, name)
			}
			w.note(name, err)
			if err != nil { // the kubeconfig may lead elsewhere now
				client, err = newClient(w.cl.kubeconfig(), w.cl.at)
			}
			select {
			case <-ctx.Done():
			case <-time.After(cmp.Or(w.pace, 50*time.Millisecond)):
			}
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		done.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.gap = max(w.gap, time.Since(w.at)) // also when nothing is accepted in the end
	})
}

// createMap makes an object of that name.
func createMap(ctx context.Context, client kubernetes.Interface, name string) error {
	ctx, end := context.WithTimeout(ctx, 3*time.Second)
	defer end()
	_, err := client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
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

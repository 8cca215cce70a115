package main

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/metrics-server/pkg/storage"
)

const resolution = 10 * time.Second

// kubelet is a scraper of one node. Its samples of the node and of pod p are renewed every period, the first after one; it
// never has any where period is zero. Pod idle has another period, or is not there.
type kubelet struct {
	period, takes time.Duration
	idle          time.Duration
	hangs         time.Duration // a scrape that begins then or later, since boot, takes for ever; zero: none does
	measured      uint64        // the rate that it knows of itself, in nanocores
	boot          time.Time
	scrapes       []time.Duration // when they began, since boot
}

func (k *kubelet) Scrape(ctx context.Context) *storage.MetricsBatch {
	k.scrapes = append(k.scrapes, time.Since(k.boot))
	empty := &storage.MetricsBatch{}
	if k.hangs > 0 && time.Since(k.boot) >= k.hangs {
		<-ctx.Done()
		return empty
	}
	select {
	case <-ctx.Done():
		return empty
	case <-time.After(k.takes):
	}
	if k.period == 0 || time.Since(k.boot) < k.period {
		return empty
	}
	batch := &storage.MetricsBatch{
		Nodes: map[string]storage.MetricsPoint{"n": k.sample(k.period)},
		Pods:  map[types.NamespacedName]storage.PodMetricsPoint{{Namespace: "a", Name: "p"}: k.pod(k.period)},
	}
	if k.idle > 0 && time.Since(k.boot) >= k.idle {
		batch.Pods[types.NamespacedName{Namespace: "a", Name: "idle"}] = k.pod(k.idle)
	}
	return batch
}

// rates has none until the kubelet has measured twice.
func (k *kubelet) rates(context.Context) cpuRates {
	if k.measured == 0 {
		return cpuRates{}
	}
	return cpuRates{
		nodes: map[string]uint64{"n": k.measured},
		pods:  map[types.NamespacedName]map[string]uint64{{Namespace: "a", Name: "p"}: {"c": k.measured}},
	}
}

func (k *kubelet) pod(period time.Duration) storage.PodMetricsPoint {
	return storage.PodMetricsPoint{Containers: map[string]storage.MetricsPoint{"c": k.sample(period)}}
}

// sample is the last one of what uses one processor.
func (k *kubelet) sample(period time.Duration) storage.MetricsPoint {
	since := time.Since(k.boot).Truncate(period)
	return storage.MetricsPoint{
		StartTime: k.boot.Add(-time.Minute), Timestamp: k.boot.Add(since),
		CumulativeCPUUsed: uint64(since), MemoryUsage: 1 << 20,
	}
}

// ticks does what the server's loop does, for so long.
func ticks(ctx context.Context, w *warmUp, long time.Duration) {
	ticker := time.NewTicker(resolution)
	defer ticker.Stop()
	for end := time.After(long); ; {
		tick, cancel := context.WithTimeout(ctx, resolution)
		w.store.Store(w.Scrape(tick))
		cancel()
		select {
		case <-end:
			return
		case <-ticker.C:
		}
	}
}

func seconds(of ...float64) []time.Duration {
	out := make([]time.Duration, len(of))
	for i, s := range of {
		out[i] = time.Duration(s * float64(time.Second))
	}
	return out
}

func TestWarmUp(t *testing.T) {
	for _, tc := range []struct {
		name          string
		period, takes time.Duration
		idle          time.Duration
		want          []time.Duration // the scrapes of the first 45 seconds
		ready         bool
	}{
		{"two samples are enough", 2 * time.Second, 0, 0, seconds(0, 1, 2, 3, 4, 10, 20, 30, 40), true},
		{"slow scrapes wait for each other", 2 * time.Second, 1500 * time.Millisecond, 0, seconds(0, 1.5, 3, 10, 20, 30, 40), true},
		{"all pods count", 2 * time.Second, 0, 3 * time.Second, seconds(0, 1, 2, 3, 4, 5, 6, 10, 20, 30, 40), true},
		{"it goes on in the next tick", 7 * time.Second, 0, 0, seconds(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 20, 30, 40), true},
		{"it gives up", 0, 0, 0, seconds(
			0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 40), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kubelet{period: tc.period, takes: tc.takes, idle: tc.idle, boot: time.Now()}
				store := storage.NewStorage(resolution)
				ticks(t.Context(), newWarmUp(k, store, k.rates), 45*time.Second)
				if got := slices.Compact(k.scrapes); !slices.Equal(got, tc.want) {
					t.Errorf("scrapes at %v, want %v", got, tc.want)
				}
				if store.Ready() != tc.ready {
					t.Errorf("ready is %v", store.Ready())
				}
			})
		})
	}
}

// What the server stores once more after the warm-up must not cost it the figures.
func TestWarmUpLeavesFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kubelet{period: 2 * time.Second, boot: time.Now()}
		store := storage.NewStorage(resolution)
		store.Store(newWarmUp(k, store, k.rates).Scrape(t.Context()))
		if took := time.Since(k.boot); took != 4*time.Second {
			t.Errorf("ready after %v", took)
		}
		nodes, err := store.GetNodeMetrics(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
		if err != nil || len(nodes) != 1 || nodes[0].Usage.Cpu().MilliValue() != 1000 || nodes[0].Window.Duration != 2*time.Second {
			t.Errorf("nodes %+v, %v", nodes, err)
		}
		pods, err := store.GetPodMetrics(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}})
		if err != nil || len(pods) != 1 || len(pods[0].Containers) != 1 || pods[0].Containers[0].Usage.Cpu().MilliValue() != 1000 {
			t.Errorf("pods %+v, %v", pods, err)
		}
	})
}

// A scrape that the tick's end cuts short has no samples: it must not take the place of one that has.
func TestWarmUpKeepsWhatACutScrapeLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kubelet{period: 7 * time.Second, hangs: 8 * time.Second, boot: time.Now()}
		store := storage.NewStorage(resolution)
		ctx, cancel := context.WithTimeout(t.Context(), resolution)
		defer cancel()
		if batch := newWarmUp(k, store, k.rates).Scrape(ctx); len(batch.Nodes) != 1 {
			t.Errorf("the batch has %d nodes", len(batch.Nodes))
		}
	})
}

// With the rates that the kubelets have measured the first scrape is enough, and the figures are those rates.
func TestWarmUpFromRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kubelet{period: time.Second, measured: 250_000_000, boot: time.Now()}
		time.Sleep(time.Minute)
		begun := time.Now()
		store := storage.NewStorage(resolution)
		store.Store(newWarmUp(k, store, k.rates).Scrape(t.Context()))
		if took := time.Since(begun); took != 0 {
			t.Errorf("ready after %v", took)
		}
		nodes, err := store.GetNodeMetrics(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
		if err != nil || len(nodes) != 1 || nodes[0].Usage.Cpu().MilliValue() != 250 || nodes[0].Usage.Memory().Value() != 1<<20 || nodes[0].Window.Duration != rateWindow {
			t.Errorf("nodes %+v, %v", nodes, err)
		}
		pods, err := store.GetPodMetrics(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}})
		if err != nil || len(pods) != 1 || pods[0].Containers[0].Usage.Cpu().MilliValue() != 250 {
			t.Errorf("pods %+v, %v", pods, err)
		}
	})
}

func TestEarlier(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		age  time.Duration
		used uint64
		rate uint64
		back time.Duration
		want uint64
	}{
		"long there":             {time.Minute, 30e9, 5e8, 2 * time.Second, 29e9},
		"just started":           {time.Second, 4e8, 2e8, 500 * time.Millisecond, 3e8},
		"faster than it can be":  {time.Minute, 1e9, 9e9, 2 * time.Second, 0},
		"a second old, and idle": {2 * time.Second, 7, 0, time.Second, 7},
	} {
		p := storage.MetricsPoint{StartTime: start, Timestamp: start.Add(tc.age), CumulativeCPUUsed: tc.used, MemoryUsage: 1}
		got := earlier(p, tc.rate)
		if p.Timestamp.Sub(got.Timestamp) != tc.back || got.CumulativeCPUUsed != tc.want || !got.StartTime.Equal(start) || got.MemoryUsage != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

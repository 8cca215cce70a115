package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/metrics-server/pkg/scraper"
	"sigs.k8s.io/metrics-server/pkg/storage"
)

const (
	warmUpEvery = time.Second      // time between two scrapes of the warm-up
	warmUpLimit = 30 * time.Second // what has no figures by then waits for the regular scrapes
)

// warmUp is the server's scraper. The server serves figures as soon as it has two samples, but scrapes only once per
// --metric-resolution, of ten seconds at least. So what it gets before the first sample is computed from the rates that the
// kubelets have measured by then; and the first calls of Scrape do not return before they have scraped and stored, every
// second, until there are figures of all that runs. Later calls scrape once.
//
// It is a part of the server's regular loop rather than a loop beside it: two scrapes at once might be stored in the wrong
// order, which makes the store forget what it has. For the same reason Scrape is not safe for concurrent use.
type warmUp struct {
	scraper.Scraper
	store storage.Storage
	rates func(context.Context) cpuRates
	every time.Duration
	limit time.Duration

	end  time.Time // of the warm-up at the latest; zero before the first scrape
	over bool
}

// newWarmUp returns s with a warm-up that fills store.
func newWarmUp(s scraper.Scraper, store storage.Storage, rates func(context.Context) cpuRates) *warmUp {
	return &warmUp{Scraper: s, store: store, rates: rates, every: warmUpEvery, limit: warmUpLimit}
}

// Scrape returns the last batch that it scraped. The server stores it, again where the warm-up did: the same samples do
// not count twice. The server ends ctx after a --metric-resolution and calls anew, and the warm-up goes on with that call.
func (w *warmUp) Scrape(ctx context.Context) *storage.MetricsBatch {
	if w.over {
		return w.Scraper.Scrape(ctx)
	}
	first := w.end.IsZero()
	if first {
		w.end = time.Now().Add(w.limit)
	}
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	batch := w.Scraper.Scrape(ctx)
	if first {
		w.store.Store(w.rates(ctx).before(batch))
	}
	for {
		w.store.Store(batch)
		if w.settled(batch) || !time.Now().Before(w.end) {
			w.over = true
			return batch
		}
		select {
		case <-ctx.Done():
			return batch
		case <-ticker.C:
		}
		next := w.Scraper.Scrape(ctx)
		if ctx.Err() != nil {
			return batch // next was cut short: to store it would forget the samples of the nodes that it lacks
		}
		batch = next
	}
}

// settled reports whether the store has figures of every node and every pod in batch. The server is ready before: with
// those of one node and one pod.
func (w *warmUp) settled(batch *storage.MetricsBatch) bool {
	if !w.store.Ready() {
		return false
	}
	var nodes []*corev1.Node
	for name := range batch.Nodes {
		nodes = append(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	var pods []*metav1.PartialObjectMetadata
	for name := range batch.Pods {
		pods = append(pods, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}})
	}
	ofNodes, err := w.store.GetNodeMetrics(nodes...)
	if err != nil || len(ofNodes) < len(nodes) {
		return false
	}
	ofPods, err := w.store.GetPodMetrics(pods...)
	return err == nil && len(ofPods) == len(pods)
}

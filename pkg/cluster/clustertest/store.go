package clustertest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/cove-k8s/cove/pkg/addon/addontest"
)

// Load reads what Save wrote: the objects of all clusters. There need be no such file.
func (w *World) Load(file string) error {
	data, err := os.ReadFile(file) //nolint:gosec // a test's own file
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := json.Unmarshal(data, &w.objects); err != nil {
		return err
	}
	for _, a := range w.objects {
		a.Late = w.Late
	}
	return nil
}

// Save writes the objects of all clusters, so that the next process finds them.
func (w *World) Save(file string) error {
	w.mu.Lock()
	data, err := json.Marshal(w.objects)
	w.mu.Unlock()
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// APIs returns the objects of all clusters, ordered by what Objects knows them by.
func (w *World) APIs() []*addontest.API {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*addontest.API
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		all = append(all, w.objects[key])
	}
	return all
}

package cluster_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/apis/v1alpha1"
	"github.com/cove-k8s/cove/pkg/cluster"
	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// recordFiles are where the record of a cluster may be.
func recordFiles() []string {
	return []string{"/var/lib/cove/created.json", "/var/lib/cove/created.1.json"}
}

// tear leaves the first half of a file, as a write does that a power cut ended; false where there is none.
func (s *setup) tear(t *testing.T, node, file string) bool {
	t.Helper()
	data, err := s.Engine.ReadFile(t.Context(), node, file)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		err = s.Engine.PutFiles(t.Context(), node, []engine.File{{Path: file, Mode: 0o600, Data: data[:len(data)/2]}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// The newest record was torn: the one before it is the cluster's, whichever file it is in.
func TestTornRecordLeavesTheOneBefore(t *testing.T) {
	for i, sizes := range [][]int{{2}, {2, 3}} {
		s := newSetup(t)
		doc := document(t, "dev", 1)
		if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		before := doc
		for _, workers := range sizes {
			before = doc
			doc = resized(t, doc, 1, workers)
			if _, err := s.apply(t.Context(), doc); err != nil {
				t.Fatal(err)
			}
		}
		// Growing writes twice: the second write says the same, and is torn, too.
		revision := 1 + 2*len(sizes)
		newest := recordFiles()[(revision+1)%2]
		if !s.tear(t, "dev-control-plane", newest) {
			t.Fatalf("%d: the newest record is not in %s", i, newest)
		}
		got, err := cluster.Document(t.Context(), s.Engine, "dev")
		if err != nil || len(got.Nodes()) != len(doc.Nodes()) {
			t.Errorf("%d: %d nodes, want %d, before %d: %v", i, len(got.Nodes()), len(doc.Nodes()), len(before.Nodes()), err)
		}
		s.follows(t, doc)
	}
}

// A cluster that an older cove has made has one file, of any revision. It stays as it is until the next one is whole.
func TestRecordOfOneFileIsNotOverwritten(t *testing.T) {
	s := newSetup(t)
	doc := document(t, "dev", 1)
	if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	old, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", recordFiles()[0])
	if err != nil || !strings.Contains(string(old), `"revision":1`) {
		t.Fatalf("%s, %v", old, err)
	}
	old = []byte(strings.Replace(string(old), `"revision":1`, `"revision":4`, 1))
	if err := s.Engine.PutFiles(t.Context(), "dev-control-plane", []engine.File{{Path: recordFiles()[0], Data: old}}); err != nil {
		t.Fatal(err)
	}
	next := *doc.DeepCopy()
	next.Addons = slices.DeleteFunc(next.Addons, func(a v1alpha1.Addon) bool { return a.Name == "metrics-server" })
	next.Profile = "other"
	if _, err := s.apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	now, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", recordFiles()[0])
	if err != nil || string(now) != string(old) {
		t.Errorf("the old one is now %s, %v", now, err)
	}
	other, err := s.Engine.ReadFile(t.Context(), "dev-control-plane", recordFiles()[1])
	if err != nil || !strings.Contains(string(other), `"revision":5`) {
		t.Errorf("the new one is %s, %v", other, err)
	}
}

// Records that are there, and none of them whole, are no reason to take the cluster for one that never was complete.
func TestUnreadableRecordIsNotClearedAway(t *testing.T) {
	for _, gone := range []bool{false, true} {
		s := newSetup(t)
		doc := document(t, "dev", 1)
		if err := s.create(t.Context(), doc, cluster.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, file := range recordFiles() {
			s.tear(t, "dev-control-plane", file)
		}
		if gone {
			if err := s.Engine.RemoveNode(t.Context(), "dev-control-plane"); err != nil {
				t.Fatal(err)
			}
		}
		left := s.Left()
		if err := s.create(t.Context(), doc, cluster.CreateOptions{}); !fault.Is(err, fault.RecordUnreadable) || !strings.Contains(fault.ReportOf(err).Hint, "`cove delete dev`") {
			t.Errorf("create: %v", err)
		}
		if diff, err := s.apply(t.Context(), doc); !fault.Is(err, fault.RecordUnreadable) || diff != "" {
			t.Errorf("apply: %s, %v", diff, err)
		}
		if now := s.Left(); !slices.Equal(now, left) {
			t.Errorf("there is %v, was %v", now, left)
		}
		if list, err := cluster.List(t.Context(), s.Engine); err != nil || len(list) != 1 || list[0].State == cluster.Incomplete && !gone {
			t.Errorf("list: %+v, %v", list, err)
		}
		status, err := cluster.GetStatus(t.Context(), s.deps, "dev")
		if err != nil || status.Usable || len(status.Problems) == 0 || !gone && !strings.Contains(status.Problems[0], "is cut short on dev-control-plane") {
			t.Errorf("status: %+v, %v", status, err)
		}
		if err := cluster.Delete(t.Context(), s.run(), "dev", cluster.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		s.nothingLeft(t)
	}
}

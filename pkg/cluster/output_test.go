package cluster

import (
	"errors"
	"testing"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// What a failing command printed must reach the report of the error.
func TestOutputReachesReport(t *testing.T) {
	w := &lineWriter{}
	for _, part := range []string{"one\ntw", "o\nthree"} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	w.flush()
	err := error(&engine.ExitError{Node: "n", Args: []string{"kubeadm"}, Code: 1})
	if e := (*engine.ExitError)(nil); errors.As(err, &e) {
		e.Output = string(w.kept)
	}
	got := fault.ReportOf(fault.Wrap(fault.KubeadmJoin, err, "cannot join"))
	if want := "one\ntwo\nthree\n"; got.Output != want {
		t.Errorf("output %q, want %q", got.Output, want)
	}
}

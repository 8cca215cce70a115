package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

func TestEnded(t *testing.T) {
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	other := fault.New(fault.EngineFailed, "x")
	status := func(err error) int {
		if s := (*statusError)(nil); errors.As(err, &s) {
			return s.status
		}
		return -1
	}
	if ended(t.Context(), nil) != nil || ended(stopped, nil) != nil {
		t.Error("a good end is an error")
	}
	if got := status(ended(t.Context(), fmt.Errorf("x: %w", &engine.ExitError{Code: 7}))); got != 7 {
		t.Errorf("status %d", got)
	}
	if got := status(ended(stopped, other)); got != 130 {
		t.Errorf("interrupted: status %d", got)
	}
	if got := ended(t.Context(), other); !errors.Is(got, other) {
		t.Errorf("got %v", got)
	}
	if got := status(followed(stopped, other)); got != 130 {
		t.Errorf("interrupted: status %d", got)
	}
	if got := followed(t.Context(), other); !errors.Is(got, other) {
		t.Errorf("got %v", got)
	}
}

func TestPrefixWriter(t *testing.T) {
	var b bytes.Buffer
	w := &prefixWriter{prefix: "a | ", w: &lockedWriter{w: &b}}
	for _, part := range []string{"one\nt", "wo", "\n\nthree"} {
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != "a | one\na | two\na | \na | three\n" {
		t.Errorf("got %q", got)
	}
}

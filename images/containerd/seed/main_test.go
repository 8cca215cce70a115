package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"cove.dev/images/containerd/internal/state"
)

func TestRun(t *testing.T) {
	in, err := json.Marshal(state.Spec{Root: t.TempDir(), Files: "/files", Version: state.SpecVersion})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), bytes.NewReader(in), &out); err != nil || strings.TrimSpace(out.String()) != `{"Places":{}}` {
		t.Errorf("%q, %v", out.String(), err)
	}
	for text, want := range map[string]string{`{"Rot": "x"}`: "unknown field", `{"Version": 2}`: "version 2", "": "cannot read"} {
		if err := run(t.Context(), strings.NewReader(text), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

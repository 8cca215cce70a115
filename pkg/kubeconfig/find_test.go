package kubeconfig

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cove-k8s/cove/pkg/fault"
)

func TestFind(t *testing.T) {
	dir := sandbox(t)
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "none")
	put(t, a, foreign("work", "work"))
	put(t, b, foreign("cove-dev", "cove-dev"))
	t.Setenv("KUBECONFIG", strings.Join([]string{c, a, b}, string(filepath.ListSeparator)))
	for name, want := range map[string]string{"cove-dev": b, "work": a, "cove-no": ""} {
		if got, err := Find("", name); err != nil || got != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if got, err := Find(a, "cove-dev"); err != nil || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
	put(t, c, "{ no kubeconfig")
	if _, err := Find("", "cove-dev"); !fault.Is(err, fault.KubeconfigUnusable) {
		t.Errorf("got %v", err)
	}
}

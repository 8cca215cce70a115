package cluster

import (
	"os/exec"
	"slices"
	"testing"
)

// TestKindEntrypoint wants the image's own command at the end, and the preparation to hand over to it, whatever it could
// not arrange.
func TestKindEntrypoint(t *testing.T) {
	if got := kindEntrypoint(nil); got != nil {
		t.Errorf("an image without an entrypoint gets %q", got)
	}
	own := []string{"/usr/local/bin/entrypoint", "/sbin/init"}
	got := kindEntrypoint(own)
	if !slices.Equal(got[len(got)-2:], own) {
		t.Errorf("got %q", got)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.CommandContext(t.Context(), bash, "-n", "-c", kindPrepare).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

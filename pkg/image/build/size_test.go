package build

import (
	"testing"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/engine/enginetest"
	"github.com/cove-k8s/cove/pkg/fault"
)

// An image that is there already is measured by the engine's own archive.
func TestArchiveSize(t *testing.T) {
	fake := enginetest.NewFake()
	fake.AddImage(engine.Image{Names: []string{"app:1"}}, nil)
	if n, err := archiveSize(t.Context(), fake, "app:1"); err != nil || n == 0 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := archiveSize(t.Context(), fake, "none:1"); !fault.Is(err, fault.ImageNotFound) {
		t.Errorf("an image that is not there: %v", err)
	}
}

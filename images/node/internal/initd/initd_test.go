package initd

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMachineIDStaysWithTheVolume(t *testing.T) {
	volume, image := t.TempDir(), t.TempDir()
	stored, target := filepath.Join(volume, "cove", "machine-id"), filepath.Join(image, "machine-id")
	if err := os.WriteFile(target, []byte("uninitialized\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := machineID(stored, target); err != nil {
		t.Fatal(err)
	}
	first := read(t, target)
	if len(first) != 33 || first != read(t, stored) {
		t.Errorf("got %q", first)
	}
	fresh := filepath.Join(t.TempDir(), "machine-id") // the container was replaced
	if err := machineID(stored, fresh); err != nil || read(t, fresh) != first {
		t.Errorf("got %q, %v, want %q", read(t, fresh), err, first)
	}
	another := filepath.Join(t.TempDir(), "machine-id")
	if err := machineID(another, target); err != nil || read(t, target) == first {
		t.Errorf("two nodes share an id, %v", err)
	}
	if err := os.Remove(stored); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stored, []byte("half of"), 0o600); err != nil { // cut off by a kill
		t.Fatal(err)
	}
	if err := machineID(stored, target); err != nil || len(read(t, target)) != 33 {
		t.Errorf("got %q, %v", read(t, target), err)
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"HTTP_PROXY=a", "X=1"}, map[string]string{"X": "2"})
	if want := []string{"HTTP_PROXY=a", "PATH=" + defaultPath, "X=2"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := environment([]string{"PATH=/x"}, nil); !slices.Equal(got, []string{"PATH=/x"}) {
		t.Errorf("got %q", got)
	}
}

func TestLookPath(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for dir, mode := range map[string]os.FileMode{first: 0o644, second: 0o755} { // the first is no program
		if err := os.WriteFile(filepath.Join(dir, "tool"), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"A=b", "PATH=" + first + ":" + second}
	if got, err := lookPath("tool", env); err != nil || got != filepath.Join(second, "tool") {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := lookPath("none", env); err == nil {
		t.Error("no error")
	}
}

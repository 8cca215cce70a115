package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func until(t *testing.T, path string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	go func() { done <- Until(ctx, path, Filled(path)) }()
	return done
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAppearsInDirectoriesThatAppear(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "var", "lib", "kubelet", "config.yaml")
	done := until(t, path)
	time.Sleep(20 * time.Millisecond) // so that it watches the root
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	time.Sleep(20 * time.Millisecond)
	select {
	case err := <-done:
		t.Fatal("returned before the file was there:", err)
	default:
	}
	must(t, os.WriteFile(path, nil, 0o600)) // made, not yet written
	time.Sleep(20 * time.Millisecond)
	select {
	case err := <-done:
		t.Fatal("returned before the file was written:", err)
	default:
	}
	before := time.Now()
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	must(t, <-done)
	// Well below the second after which it would have looked anyway.
	if took := time.Since(before); took > recheck/2 {
		t.Errorf("took %s", took)
	}
}

func TestRenamedIntoPlace(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a", "b")
	done := until(t, path)
	must(t, os.WriteFile(filepath.Join(root, "tmp"), []byte("x"), 0o600))
	must(t, os.Mkdir(filepath.Join(root, "a"), 0o755))
	must(t, os.Rename(filepath.Join(root, "tmp"), path))
	must(t, <-done)
}

func TestDirectoryReplaced(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a", "b")
	must(t, os.Mkdir(filepath.Join(root, "a"), 0o755))
	done := until(t, path)
	time.Sleep(20 * time.Millisecond)
	must(t, os.Rename(filepath.Join(root, "a"), filepath.Join(root, "old")))
	must(t, os.Mkdir(filepath.Join(root, "a"), 0o755))
	time.Sleep(20 * time.Millisecond)
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	must(t, <-done)
}

func TestCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "never")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Until(ctx, path, Present(path)) }()
	time.Sleep(20 * time.Millisecond)
	before := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(before); took > recheck/2 {
		t.Errorf("took %s to notice", took)
	}
}

func TestWithoutInotify(t *testing.T) {
	w := &Watcher{}
	w.Add(t.TempDir())
	before := time.Now()
	w.Wait(t.Context())
	if took := time.Since(before); took > recheck/2 {
		t.Errorf("woke after %s", took)
	}
	w.Close()
}

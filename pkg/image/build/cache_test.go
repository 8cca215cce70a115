package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cove-k8s/cove/pkg/fault"
)

const testKey = "0123456789abcdef0123456789abcdef"

func put(text string) func(context.Context, string) error {
	return func(_ context.Context, work string) error {
		return os.WriteFile(filepath.Join(work, "out", "x"), []byte(text), 0o600)
	}
}

func never(t *testing.T) func(context.Context, string) error {
	t.Helper()
	return func(context.Context, string) error {
		t.Error("it was built again")
		return nil
	}
}

func content(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCacheBuildsOnce(t *testing.T) {
	c := testBuilder(t).cache
	noWait := func() { t.Error("it waited for another build") }
	dir, cached, err := c.get(t.Context(), "p", testKey, false, noWait, put("one"))
	if err != nil || cached || content(t, dir) != "one" {
		t.Fatalf("first: %s %t %v", dir, cached, err)
	}
	again, cached, err := c.get(t.Context(), "p", testKey, false, noWait, never(t))
	if err != nil || !cached || again != dir {
		t.Errorf("second: %s %t %v", again, cached, err)
	}
	other, cached, err := c.get(t.Context(), "p", "f"+testKey, false, noWait, put("other"))
	if err != nil || cached || other == dir || content(t, other) != "other" {
		t.Errorf("another key: %s %t %v", other, cached, err)
	}
	fresh, cached, err := c.get(t.Context(), "p", testKey, true, noWait, put("two"))
	if err != nil || cached || fresh != dir || content(t, dir) != "two" {
		t.Errorf("fresh: %s %t %v", fresh, cached, err)
	}
}

func TestCacheKeepsNothingThatFailed(t *testing.T) {
	c := testBuilder(t).cache
	bad := errors.New("bad")
	_, _, err := c.get(t.Context(), "p", testKey, false, func() {}, func(ctx context.Context, work string) error {
		return errors.Join(put("half")(ctx, work), bad)
	})
	if !errors.Is(err, bad) {
		t.Fatalf("err = %v", err)
	}
	dir, cached, err := c.get(t.Context(), "p", testKey, false, func() {}, put("whole"))
	if err != nil || cached || content(t, dir) != "whole" {
		t.Errorf("after a failure: %s %t %v", dir, cached, err)
	}
	if left, err := os.ReadDir(filepath.Join(c.dir, "work")); err != nil || len(left) != 0 {
		t.Errorf("work has %v, %v", left, err)
	}
}

// Two builds at once share the cache's folder: the second waits, and takes what the first made.
func TestCacheLocks(t *testing.T) {
	first := testBuilder(t).cache
	second, err := openCache(filepath.Dir(first.dir))
	if err != nil {
		t.Fatal(err)
	}
	begun, waits := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_, cached, err := first.get(t.Context(), "p", testKey, false, func() {}, func(ctx context.Context, work string) error {
			close(begun)
			<-waits // until the other one waits
			return put("one")(ctx, work)
		})
		if err != nil || cached {
			t.Errorf("first: %t %v", cached, err)
		}
	})
	<-begun
	dir, cached, err := second.get(t.Context(), "p", testKey, false, func() { close(waits) }, never(t))
	group.Wait()
	if err != nil || !cached || content(t, dir) != "one" {
		t.Errorf("second: %s %t %v", dir, cached, err)
	}
}

// A build that was killed leaves its folder: the next build of the same part takes it away.
func TestCacheTidiesUpAfterAKill(t *testing.T) {
	c := testBuilder(t).cache
	left := filepath.Join(c.dir, "work", "p-"+testKey[:16]+"-123")
	other := filepath.Join(c.dir, "work", "q-"+testKey[:16]+"-123") // may be another build at work
	for _, d := range []string{left, other} {
		writeFile(t, d, "src/x", "x")
	}
	if _, _, err := c.get(t.Context(), "p", testKey, false, func() {}, put("one")); err != nil {
		t.Fatal(err)
	}
	for d, want := range map[string]bool{left: false, other: true} {
		if _, err := os.Stat(d); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", d, err == nil, want)
		}
	}
}

func TestCacheWaitEndsWithTheContext(t *testing.T) {
	c := testBuilder(t).cache
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := c.get(t.Context(), "p", testKey, false, func() {}, func(context.Context, string) error {
		_, _, err := c.get(ctx, "p", testKey, false, cancel, never(t))
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestCachePrunes(t *testing.T) {
	c := testBuilder(t).cache
	dir, _, err := c.get(t.Context(), "p", testKey, false, func() {}, put("old"))
	if err != nil {
		t.Fatal(err)
	}
	kept, _, err := c.get(t.Context(), "q", testKey, false, func() {}, put("new"))
	if err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(c.dir, "work", "killed")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * keepParts)
	for _, d := range []string{dir, work} {
		if err := os.Chtimes(d, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openCache(filepath.Dir(c.dir)); err != nil {
		t.Fatal(err)
	}
	for d, want := range map[string]bool{dir: false, work: false, kept: true} {
		if _, err := os.Stat(d); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", d, err == nil, want)
		}
	}
}

func TestCacheFolderMustBeWritable(t *testing.T) {
	file := writeFile(t, t.TempDir(), "file", "")
	if _, err := openCache(filepath.Join(file, "cache")); !fault.Is(err, fault.FileUnwritable) {
		t.Errorf("err = %v", err)
	}
}

func TestHasherKnowsBorders(t *testing.T) {
	sum := func(fields ...string) string {
		h := newHasher()
		h.add(fields...)
		return h.sum()
	}
	if sum("a", "bc") == sum("ab", "c") || sum("a") == sum("a", "") {
		t.Error("different fields have the same hash")
	}
	if one, two := sum("a", "b"), sum("a", "b"); one != two {
		t.Error("the same fields have different hashes")
	}
}

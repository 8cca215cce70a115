package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/cove-k8s/cove/pkg/fault"
)

// cache keeps finished parts, each in a folder that is named by its content's key. A folder that is there is whole: it was
// renamed into its place. Two builds may use a cache at once.
type cache struct{ dir string }

// How long things stay that nobody asks for.
const (
	keepParts = 60 * 24 * time.Hour
	keepWork  = 24 * time.Hour // a build that was killed leaves its work
	lockPoll  = 200 * time.Millisecond
)

func openCache(dir string) (*cache, error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fault.Wrap(fault.FileUnwritable, err, "cannot find the cache of this user")
		}
		dir = filepath.Join(base, "cove")
	}
	c := &cache{dir: filepath.Join(dir, "build")}
	for _, d := range []string{"parts", "work", "locks", "logs"} {
		if err := os.MkdirAll(filepath.Join(c.dir, d), 0o755); err != nil { //nolint:gosec // binaries of public sources
			return nil, fault.Wrap(fault.FileUnwritable, err, "cannot make the build cache")
		}
	}
	c.prune(filepath.Join(c.dir, "work"), keepWork)
	c.prune(filepath.Join(c.dir, "parts"), keepParts)
	return c, nil
}

// prune removes the folders that were not used for so long. A folder that cannot be removed stays.
func (c *cache) prune(dir string, age time.Duration) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > age {
			remove(filepath.Join(dir, e.Name()))
		}
	}
}

// remove removes a folder, unless something is mounted in it: the machine's own /dev could be, if mmdebstrap was killed.
func remove(dir string) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && bytes.Contains(mounts, []byte(" "+dir+"/")) {
		return
	}
	_ = os.RemoveAll(dir)
}

// log is where a part's build writes what its commands print.
func (c *cache) log(name string) string { return filepath.Join(c.dir, "logs", name+".log") }

// get returns the folder of the part; make fills a new one where there is none yet, or where fresh is set. Another build
// that makes the same part is waited for, and waiting is called once then.
func (c *cache) get(ctx context.Context, name, key string, fresh bool, waiting func(), build func(context.Context, string) error) (dir string, cached bool, err error) {
	id := name + "-" + key[:16]
	final := filepath.Join(c.dir, "parts", id)
	if !fresh && c.has(final) {
		return final, true, nil
	}
	lock := flock.New(filepath.Join(c.dir, "locks", id))
	ok, err := lock.TryLock()
	if err == nil && !ok {
		waiting()
		_, err = lock.TryLockContext(ctx, lockPoll)
	}
	if err != nil {
		return "", false, fault.Wrap(fault.FileUnwritable, err, "cannot lock %s in the build cache", name)
	}
	defer lock.Unlock() //nolint:errcheck // it ends with the process at the latest
	if (!fresh || !ok) && c.has(final) {
		return final, true, nil
	}
	work, out, err := c.work(id)
	if err != nil {
		return "", false, fault.Wrap(fault.FileUnwritable, err, "cannot work in the build cache")
	}
	defer remove(work)
	if err := build(ctx, work); err != nil {
		return "", false, err
	}
	if err := replace(out, final, filepath.Join(work, "old")); err != nil {
		return "", false, fault.Wrap(fault.FileUnwritable, err, "cannot keep %s in the build cache", name)
	}
	return final, false, nil
}

// work makes the folder that a part is built in, with the folder out. The part is locked: what lies there of an earlier
// build was left by one that was killed.
func (c *cache) work(id string) (work, out string, err error) {
	left, err := filepath.Glob(filepath.Join(c.dir, "work", id+"-*"))
	if err != nil {
		return "", "", err
	}
	for _, dir := range left {
		remove(dir)
	}
	if work, err = os.MkdirTemp(filepath.Join(c.dir, "work"), id+"-"); err != nil {
		return "", "", err
	}
	out = filepath.Join(work, "out")
	return work, out, os.Mkdir(out, 0o755) //nolint:gosec // binaries of public sources
}

// has reports whether the part is there, and notes that it was used.
func (c *cache) has(final string) bool {
	now := time.Now()
	return os.Chtimes(final, now, now) == nil
}

// replace renames a folder to final. What was there before goes to old.
func replace(dir, final, old string) error {
	if err := os.Rename(final, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot put the old one away: %w", err)
	}
	return os.Rename(dir, final)
}

// hasher hashes a sequence of strings; their borders count.
type hasher struct{ text []byte }

func newHasher() *hasher { return &hasher{} }

func (h *hasher) add(fields ...string) {
	for _, f := range fields {
		h.text = fmt.Appendf(h.text, "%d:%s\n", len(f), f)
	}
}

func (h *hasher) sum() string {
	s := sha256.Sum256(h.text)
	return hex.EncodeToString(s[:])
}

package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/cove-k8s/cove/pkg/fault"
)

// lockRetry is how often a lock that another run holds is tried.
const lockRetry = 50 * time.Millisecond

// lock keeps other runs of this machine off the cluster until the returned function is called. It waits up to timeout for a run
// that is at work; ClusterBusy when it does not end. The lock is the operating system's: a run that is killed lets go of it.
func lock(ctx context.Context, stateDir, name string, timeout time.Duration) (unlock func(), err error) {
	dir := filepath.Join(stateDir, "locks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot lock cluster %q", name)
	}
	l := flock.New(filepath.Join(dir, name+".lock"))
	ok, err := l.TryLock()
	if err == nil && !ok && timeout > 0 {
		waitCtx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ok, err = l.TryLockContext(waitCtx, lockRetry)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = nil
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot lock cluster %q", name)
	}
	if !ok {
		return nil, fault.New(fault.ClusterBusy, "another run works on cluster %q", name)
	}
	return func() { _ = l.Unlock() }, nil
}

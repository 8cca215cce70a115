package cluster

import (
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/cove-k8s/cove/pkg/fault"
)

// lock keeps other runs of this machine off the cluster until the returned function is called. The lock is the
// operating system's: a run that is killed lets go of it.
func lock(stateDir, name string) (unlock func(), err error) {
	dir := filepath.Join(stateDir, "locks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot lock cluster %q", name)
	}
	l := flock.New(filepath.Join(dir, name+".lock"))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fault.Wrap(fault.FileUnwritable, err, "cannot lock cluster %q", name)
	}
	if !ok {
		return nil, fault.New(fault.ClusterBusy, "another run works on cluster %q", name)
	}
	return func() { _ = l.Unlock() }, nil
}

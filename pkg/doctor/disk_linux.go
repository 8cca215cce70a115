package doctor

import "syscall"

// diskFree returns what an unprivileged user of the file system at path could write, and its size, in bytes. The engine
// as root may write a little more.
func diskFree(path string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, 0, err
	}
	unit := uint64(s.Bsize) //nolint:gosec // a block's size is positive
	return s.Bavail * unit, s.Blocks * unit, nil
}

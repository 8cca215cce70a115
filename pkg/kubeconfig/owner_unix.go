//go:build unix

package kubeconfig

import (
	"os"
	"syscall"
)

// own gives path to the owner of the file or directory like, if the process is root: nobody else may.
func own(path, like string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || s.Uid == 0 && s.Gid == 0 {
		return nil
	}
	return os.Chown(path, int(s.Uid), int(s.Gid))
}

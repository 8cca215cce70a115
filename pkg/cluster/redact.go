package cluster

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/cove-k8s/cove/pkg/fault"
)

// redactTree takes the users and passwords of URLs out of all files below a directory. A proxy's are in the document, which is a label of
// the network, in the environment of nodes and of the control planes' pods, and in logs of what has that environment. A file that cannot be
// redacted is removed.
func redactTree(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fault.Wrap(fault.FileUnwritable, err, "cannot read %s", dir)
	}
	defer root.Close()
	userinfo := regexp.MustCompile(`(?i)\b((?:https?|socks5h?)://)[^\s/@"'<>]+@`)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := root.ReadFile(name)
		if err == nil {
			clean := userinfo.ReplaceAll(data, []byte("${1}xxxxx@"))
			if bytes.Equal(clean, data) {
				return nil
			}
			err = root.WriteFile(name, clean, 0o600)
		}
		if err != nil {
			_ = root.Remove(name) // the error that made it necessary is told
		}
		return err
	})
	return fault.Wrap(fault.FileUnwritable, err, "cannot take passwords out of %s", dir)
}

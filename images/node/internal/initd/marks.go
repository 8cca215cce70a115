package initd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// marks are files that say which units do not start with the container.
type marks struct {
	volume    string // a folder on the node's volume: what is there holds for the node, whatever container it has
	container string // a folder of the container: what is there is gone with it
}

// held says whether a unit waits for systemctl start when the container starts: it was disabled, or is held once.
func (m marks) held(name string) bool { return m.disabled(name) || exists(m.hold(name)) }

// hold is a file by which whoever makes the container holds a unit back until it is started by hand.
func (m marks) hold(name string) string { return filepath.Join(m.container, "hold-"+name) }

// release takes the hold away for good: at its next start the container starts the unit.
func (m marks) release(name string) error { return remove(m.hold(name)) }

// off notes that a unit was disabled.
func (m marks) off(name string) string { return filepath.Join(m.volume, "disabled-"+name) }

func (m marks) disabled(name string) bool { return exists(m.off(name)) }

func (m marks) setDisabled(name string, off bool) error {
	if !off {
		return remove(m.off(name))
	}
	if err := os.MkdirAll(m.volume, 0o750); err != nil {
		return err
	}
	return os.WriteFile(m.off(name), nil, 0o600)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

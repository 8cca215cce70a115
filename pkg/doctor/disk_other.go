//go:build !linux

package doctor

import "errors"

// diskFree is never asked on other systems: an engine never shares their kernel.
func diskFree(string) (free, total uint64, err error) {
	return 0, 0, errors.ErrUnsupported
}

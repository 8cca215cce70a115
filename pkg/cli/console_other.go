//go:build !windows

package cli

import "os"

// enableControlSequences makes a terminal obey control sequences; here each does.
func enableControlSequences(*os.File) error { return nil }

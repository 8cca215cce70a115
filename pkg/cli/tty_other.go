//go:build !windows

package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// sizeChanges tells when the terminal's size may have changed, until ctx ends.
func sizeChanges(ctx context.Context) <-chan os.Signal {
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	context.AfterFunc(ctx, func() { signal.Stop(changes) })
	return changes
}

package cli

import (
	"context"
	"time"
)

// sizePoll is how often the size is looked at: Windows has no signal for it.
const sizePoll = 300 * time.Millisecond

// sizeChanges tells when the terminal's size may have changed, until ctx ends.
func sizeChanges(ctx context.Context) <-chan time.Time {
	tick := time.NewTicker(sizePoll)
	context.AfterFunc(ctx, tick.Stop)
	return tick.C
}

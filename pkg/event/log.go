package event

import (
	"context"
	"iter"
	"sync"
)

// Log is a sink that keeps a run's events for any number of readers, each at its own pace: a slow reader delays neither
// the run nor another reader, and loses nothing.
type Log struct {
	mu     sync.Mutex
	events []Event
	more   chan struct{} // closed, and made anew, when events were added
}

// NewLog returns an empty log.
func NewLog() *Log { return &Log{more: make(chan struct{})} }

// Emit adds an event and wakes the readers.
func (l *Log) Emit(ev Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, ev)
	close(l.more)
	l.more = make(chan struct{})
}

// Follow returns the events after the one of that number (0: all), those that are there first, then each as it comes.
// It ends behind run.finished, or when ctx ends.
func (l *Log) Follow(ctx context.Context, seq uint64) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			events, more := l.after(seq)
			for _, ev := range events {
				if ctx.Err() != nil || !yield(ev) || ev.Type == RunFinished {
					return
				}
				seq = ev.Seq
			}
			if len(events) > 0 {
				continue
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	}
}

// after returns the events after seq, which nobody changes any more, and the channel that is closed when there are others.
func (l *Log) after(seq uint64) ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Numbers have no gaps: the event of number n is n behind the one that would be before the first.
	skip := uint64(0)
	if len(l.events) > 0 && seq >= l.events[0].Seq {
		skip = min(seq-l.events[0].Seq+1, uint64(len(l.events)))
	}
	n := len(l.events)
	return l.events[skip:n:n], l.more
}

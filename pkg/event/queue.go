package event

import "sync"

// Queue stands before a sink that may be slow (a pipe, a disk): it takes events at once and hands them on, in order,
// from a goroutine of its own.
type Queue struct {
	sink Sink
	done chan struct{} // closed when all was handed on after Close

	mu      sync.Mutex
	wake    sync.Cond
	waiting []Event
	closed  bool
}

// NewQueue returns a queue before the sink. It must be closed.
func NewQueue(sink Sink) *Queue {
	q := &Queue{sink: sink, done: make(chan struct{})}
	q.wake.L = &q.mu
	go q.work()
	return q
}

// Emit takes the event. After Close it is dropped.
func (q *Queue) Emit(ev Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.waiting = append(q.waiting, ev)
	q.wake.Signal()
}

// Close returns when the sink has had every event. It may be called more than once.
func (q *Queue) Close() error {
	q.mu.Lock()
	q.closed = true
	q.wake.Signal()
	q.mu.Unlock()
	<-q.done
	return nil
}

func (q *Queue) work() {
	defer close(q.done)
	for {
		events := q.take()
		if len(events) == 0 {
			return
		}
		for _, ev := range events {
			q.sink.Emit(ev)
		}
	}
}

// take waits for events; it returns none when the queue is closed and empty.
func (q *Queue) take() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.closed {
		q.wake.Wait()
	}
	events := q.waiting
	q.waiting = nil
	return events
}

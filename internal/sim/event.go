package sim

import "time"

// eventKind says what an event is.
type eventKind uint8

const (
	evTimer eventKind = iota + 1 // a station's earliest deadline
	evAir                        // the frame of a station has left its antenna
	evFrame                      // a frame arrives
	evAck                        // an acknowledgment arrives
	evCCA                        // a station assesses the channel
	evCall                       // a function of the scenario
)

// An event is due at a time; of those due at one time the one scheduled first comes
// first. So the order is total and does not depend on anything but the run itself.
type event struct {
	at      time.Duration // since the start of the world
	seq     uint64
	kind    eventKind
	station int32
	gen     uint32 // of the station: events for an earlier life of it are void
	token   uint32 // of the timer or transmission: replaced ones are void
	frame   *frameBuf
	call    func()
}

// eventQueue is a binary heap.
type eventQueue struct {
	heap []event
	seq  uint64
}

func (q *eventQueue) less(i, j int) bool {
	a, b := &q.heap[i], &q.heap[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (q *eventQueue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	for i := len(q.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.less(i, up) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

// pop takes the first event where it is due at or before until.
func (q *eventQueue) pop(until time.Duration) (e event, ok bool) {
	if len(q.heap) == 0 || q.heap[0].at > until {
		return event{}, false
	}
	e = q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && q.less(down+1, down) {
			down++
		}
		if !q.less(down, i) {
			break
		}
		q.heap[i], q.heap[down] = q.heap[down], q.heap[i]
		i = down
	}
	return e, true
}

// A frameBuf is a frame in flight, without FCS, to one or more receivers.
type frameBuf struct {
	data []byte
	refs int
	air  *onAir // of an acknowledgment, where frames contend
}

package driver

import (
	"net"
	"sync"

	"border-router/ieee802154"
)

// QueueLen is how many frames a [Queue] holds.
const QueueLen = 256

type slot struct {
	n       uint8
	rssi    int8
	lqi     uint8
	channel uint8
	data    [ieee802154.MaxFrame]byte
}

// A Queue holds the frames between the one goroutine that reads a line, which never waits,
// and the one in Receive. It copies; nothing is allocated. Use [NewQueue].
type Queue struct {
	ready chan struct{}

	mu     sync.Mutex // guards everything below
	head   int
	length int
	slots  [QueueLen]slot
}

// NewQueue returns an empty queue.
func NewQueue() *Queue { return &Queue{ready: make(chan struct{}, 1)} }

// Full reports whether there is no room. Only the goroutine that calls Put fills it, so that
// what it is told here holds until then.
func (q *Queue) Full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length == QueueLen
}

// Put appends a frame of at most ieee802154.MaxFrame bytes; false without room.
func (q *Queue) Put(frame []byte, rssi int8, lqi, channel uint8) bool {
	q.mu.Lock()
	if q.length == QueueLen || len(frame) > ieee802154.MaxFrame {
		q.mu.Unlock()
		return false
	}
	s := &q.slots[(q.head+q.length)%QueueLen]
	s.n, s.rssi, s.lqi, s.channel = uint8(copy(s.data[:], frame)), rssi, lqi, channel
	q.length++
	q.mu.Unlock()
	Notify(q.ready)
	return true
}

// Receive waits for frames and moves them to batch, as [ieee802154.Radio] has it. The error
// is net.ErrClosed once closed is.
func (q *Queue) Receive(closed <-chan struct{}, batch []ieee802154.RxFrame) (int, error) {
	if len(batch) == 0 {
		return 0, nil
	}
	for {
		select {
		case <-closed:
			return 0, net.ErrClosed
		default:
		}
		n := 0
		q.mu.Lock()
		for n < len(batch) && q.length > 0 {
			s := &q.slots[q.head]
			q.head = (q.head + 1) % QueueLen
			q.length--
			b := &batch[n]
			b.Data = append(b.Data[:0], s.data[:s.n]...)
			b.RSSI, b.LQI, b.Channel = s.rssi, s.lqi, s.channel
			n++
		}
		more := q.length > 0
		q.mu.Unlock()
		if n > 0 {
			if more {
				Notify(q.ready)
			}
			return n, nil
		}
		select {
		case <-q.ready:
		case <-closed:
		}
	}
}

// Reset forgets what is in the queue.
func (q *Queue) Reset() {
	q.mu.Lock()
	q.head, q.length = 0, 0
	q.mu.Unlock()
}

// Notify wakes whoever waits on c, a channel with room for one, now or when it next looks.
func Notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

package lowpan

import (
	"encoding/binary"
	"math/bits"
	"time"

	"border-router/ipv6"
)

// Flows to one neighbour share what it is sent. A flow is what one host sends through us, or
// for a device what it sends to one host: a finer one, by ports, would give most to who uses
// most of them. One that sends less than its share finds no queue, as with FQ-CoDel (RFC
// 8290), whatever the others send.
//
// The finish of a flow is when the last byte of its first datagram would have left if each
// flow that waits had a byte in turn, counted in the bytes of one flow; the least is next
// (self-clocked fair queueing, Golestani 1994). Of each flow the order stays.

// maxFlows is how many flows to a neighbour are told apart; others share the queues of these.
const maxFlows = 8

// A flow is a queue of datagrams; unused where it is empty.
type flow struct {
	head, tail *datagram
	finish     uint64
	id         uint32
	bytes      int32
}

// flows is the queue for a neighbour.
type flows struct {
	flow    [maxFlows]flow
	used    uint8  // flows that are not empty
	turn    uint8  // the flow whose first datagram is next; any where nothing waits
	virtual uint64 // the finish of the last datagram that was sent
}

// flowSalt has no pattern: it is the fraction of the golden ratio.
const flowSalt = 0x9e3779b97f4a7c15

// flowOf returns the flow of p.
func (i *Interface) flowOf(p ipv6.Packet) uint32 {
	a := p[8:24]
	if i.cfg.Device {
		a = p[24:40]
	}
	hi, lo := bits.Mul64(binary.BigEndian.Uint64(a)^i.q.seed, binary.BigEndian.Uint64(a[8:])^flowSalt)
	return uint32(hi ^ lo)
}

// first returns the datagram that is sent next, or nil.
func (q *flows) first() *datagram { return q.flow[q.turn].head }

// insert appends d to the flow id.
func (q *flows) insert(d *datagram, id uint32) {
	d.next = nil
	k, empty := -1, int(q.turn)
	if q.used > 0 {
		if k, empty = q.find(id); k < 0 && empty < 0 {
			k = int(id % maxFlows)
		}
	}
	if k >= 0 {
		f := &q.flow[k]
		f.tail.next, f.tail = d, d
		f.bytes += int32(len(d.b))
		return
	}
	f := &q.flow[empty]
	f.head, f.tail, f.id, f.bytes, f.finish = d, d, id, int32(len(d.b)), q.virtual+uint64(len(d.b))
	q.used++
	if h := q.first(); !h.begun && f.finish < q.flow[q.turn].finish {
		q.turn = uint8(empty)
	}
}

// find returns the flow id, and the first that is empty; -1 where there is none.
func (q *flows) find(id uint32) (k, empty int) {
	if f := &q.flow[q.turn]; f.id == id {
		return int(q.turn), -1 // not empty where any is
	}
	k, empty = -1, -1
	for j := range q.flow {
		switch f := &q.flow[j]; {
		case f.head == nil && empty < 0:
			empty = j
		case f.head != nil && f.id == id:
			k = j
		}
	}
	return k, empty
}

// unlink takes the first datagram out of flow k, which has not had its share by that.
func (q *flows) unlink(k int) *datagram {
	f := &q.flow[k]
	d := f.head
	f.bytes -= int32(len(d.b))
	if f.head = d.next; f.head != nil {
		f.finish += uint64(len(f.head.b)) - uint64(len(d.b))
	} else {
		f.tail = nil
		q.used--
	}
	return d
}

// choose finds the flow whose turn it is. What was begun is ended first.
func (q *flows) choose() {
	h := q.first()
	if q.used == 0 || h != nil && (q.used == 1 || h.begun) {
		return
	}
	for k := range q.flow {
		if f := &q.flow[k]; f.head != nil && (h == nil || f.finish < q.flow[q.turn].finish) {
			h, q.turn = f.head, uint8(k)
		}
	}
}

// take takes the first datagram out, by which its flow has had a share.
func (q *flows) take() *datagram {
	f := &q.flow[q.turn]
	q.virtual = max(q.virtual, f.finish)
	d := q.unlink(int(q.turn))
	f.finish += uint64(len(d.b))
	q.choose()
	return d
}

// longest takes the oldest datagram of the flow with most bytes out. It is none that is with
// the radio, nor, where there is another, one that was begun. Nil means that there is no other.
func (q *flows) longest() *datagram {
	begun := q.first()
	switch {
	case begun == nil:
		return nil
	case !begun.begun:
		begun = nil
	case q.used == 1 && begun.next == nil: // there is no other
		if begun.flying {
			return nil
		}
		begun = nil
	}
	long, most := 0, int32(0)
	for k := range q.flow {
		n := q.flow[k].bytes
		if begun != nil && k == int(q.turn) {
			n -= int32(len(begun.b))
		}
		if n > most {
			long, most = k, n
		}
	}
	f := &q.flow[long]
	if begun == nil || f.head != begun {
		d := q.unlink(long)
		q.choose()
		return d
	}
	d := begun.next
	if begun.next = d.next; d.next == nil {
		f.tail = begun
	}
	f.bytes -= int32(len(d.b))
	return d
}

// waits reports whether there is a datagram that was there at t already.
func (q *flows) waits(t time.Time) bool {
	for k := range q.flow {
		if d := q.flow[k].head; d != nil && !d.at.After(t) {
			return true
		}
	}
	return false
}

// pop takes the next datagram out of the queue.
func (nb *neighbor) pop(q *queue) *datagram {
	d := nb.take()
	nb.left(q, d)
	return d
}

// victim takes out of the queue what is to make room in it, or returns nil.
func (nb *neighbor) victim(q *queue) *datagram {
	d := nb.longest()
	if d != nil {
		nb.left(q, d)
	}
	return d
}

// left counts d, which was taken out of the queue.
func (nb *neighbor) left(q *queue, d *datagram) {
	d.next = nil
	nb.n--
	nb.bytes -= len(d.b)
	if nb.sleepy {
		q.held--
	} else {
		q.ready--
	}
}

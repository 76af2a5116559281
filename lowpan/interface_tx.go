package lowpan

import (
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

const (
	maxMACFrame = ieee802154.MaxFrame - ieee802154.FCSLen
	seqOffset   = 2      // of the sequence number in the MAC header
	pendingBit  = 1 << 4 // Frame Pending, in the first byte of the MAC header
)

// Output queues the packet p for the neighbour dst. The zero dst is the broadcast address
// for a multicast packet. Where its queue, or all of them, are full, the oldest packet of the
// flow with most in the fullest makes room. An error, a [Drop], means that p was not taken: no neighbour, or
// longer than the MTU, or every frame counter used. Output keeps no part of p.
func (i *Interface) Output(now time.Time, p ipv6.Packet, dst ipv6.LinkAddr) error {
	if len(p) > ipv6.MinMTU {
		return DropTooLong
	}
	switch dst.Len() {
	case 0:
		if !p.IsMulticast() {
			return DropNoLinkAddr
		}
		dst = ipv6.BroadcastShort
	case 2:
		if dst != ipv6.BroadcastShort && !i.origin(dst) {
			return DropNoLinkAddr
		}
	case 8:
		if dst == i.own {
			return DropNoLinkAddr
		}
	default:
		return DropNoLinkAddr
	}
	if i.sec != nil && i.sec.exhausted() {
		return DropCounter
	}
	nb := i.q.admit(dst)
	if nb == nil {
		return DropQueueTotal
	}
	d := i.q.get()
	use, o := i.contexts.usable(now), &nb.options
	var l Link // see there
	l.Src, l.Dst, l.PAN = i.own, dst, i.cfg.PAN
	room := int(nb.room)
	err := i.compress(d, p, &l, use, o)
	if o.GHC && len(d.b) > room {
		without := *o
		without.GHC = false
		err = i.compress(d, p, &l, use, &without)
	}
	if err != nil || len(d.b) > datagramCap || !d.fits(room) {
		// Compression made it longer, or longer than the first fragment, which has to
		// hold all of it. RFC 4944 section 5.1: 41, "uncompressed IPv6 addresses".
		d.reset(append(append(d.buf[:0], 0x41), p...), 1, 0)
	}
	idle := (i.q.ready == 0 && i.current == nil || i.starved) && !nb.sleepy
	i.q.push(now, nb, d, i.flowOf(p))
	i.stats.DatagramsOut++
	if nb.sleepy {
		i.hold(nb)
	}
	if i.sleep.poller != nil {
		i.sleep.poller.Sending(now)
	}
	if idle {
		i.wake()
	}
	return nil
}

// compress puts p into d; use are the contexts that may be.
func (i *Interface) compress(d *datagram, p ipv6.Packet, l *Link, use uint16, o *CompressOptions) error {
	hdr, consumed, err := i.contexts.compressHeaders(d.buf[:0], p, l, use, o)
	if err != nil {
		return err
	}
	d.reset(append(hdr, p[consumed:]...), len(hdr), consumed)
	return nil
}

// setup writes the MAC header for nb. It is that of RIOT, Zephyr and OpenThread, and
// accepted by lwIP, Linux and Contiki-NG: a data frame of version 2006, which payloads of
// more than 102 bytes need (IEEE 802.15.4-2006 section 7.2.3), with PAN ID compression and
// our extended address, asking for an acknowledgment unless it is a broadcast.
func (i *Interface) setup(nb *neighbor) {
	var f ieee802154.Frame
	f.Type, f.Version = ieee802154.TypeData, ieee802154.Version2006
	f.PANIDCompression, f.DstPAN = true, i.cfg.PAN
	f.Dst, f.Src = macAddr(nb.dst), ieee802154.Extended(i.cfg.EUI64)
	nb.unicast = nb.dst != ipv6.BroadcastShort
	f.AckRequest = nb.unicast
	mic, aux := 0, uint8(0)
	if i.sec != nil {
		mic, aux = i.sec.header(&f)
		nb.key = i.sec.key(nb.dst)
	}
	b, err := f.AppendBinary(nb.hdr[:0])
	if err != nil {
		panic("lowpan: MAC header: " + err.Error())
	}
	nb.hdrLen = uint8(len(b) - mic)
	nb.room = uint8(maxMACFrame - len(b))
	nb.counterAt = nb.hdrLen - aux + 1
	p := i.Peer(nb.dst)
	nb.recover = nb.unicast && !nb.sleepy && i.rec.recoverable(nb.dst)
	nb.options = CompressOptions{ElideUDPChecksum: p.ElideUDPChecksum, PlainExtHeaders: !p.ExtHeaders, NoContexts: !p.Contexts, GHC: p.GHC}
}

// header begins a frame in the memory of b, which has room for all of it: the MAC header.
func (nb *neighbor) header(b []byte, seq uint8) []byte {
	b = b[:len(nb.hdr)]
	*(*[len(nb.hdr)]byte)(b) = nb.hdr // a known length is copied without a call
	b[seqOffset] = seq
	return b[:nb.hdrLen]
}

// sequence returns the sequence number of one more frame.
func (i *Interface) sequence() uint8 {
	i.dsn++
	return i.dsn - 1
}

// seal secures the frame b, which is for nb, where frames are secured.
func (i *Interface) seal(b []byte, nb *neighbor) []byte {
	if i.sec != nil {
		return i.sec.seal(b, nb, i.cfg.EUI64)
	}
	return b
}

// Next cuts the next frames for the radio into tx, each into the Data it has, whose
// capacity is at least [ieee802154.MaxFrame], and returns how many there are, at most
// [MaxBatch]. It returns 0 when nothing waits, and as long as the batch before has not
// come back by [Interface.Done].
//
// Frame Pending is set on every fragment to one neighbour but the last, as RIOT does: more
// does follow at once, and who sleeps between frames stays awake for it; others do not look
// at it.
func (i *Interface) Next(now time.Time, tx []ieee802154.TxFrame) int {
	if len(i.flight) > 0 {
		return 0
	}
	tx = tx[:min(len(tx), MaxBatch)]
	n := 0
	if i.sleep.own || i.sleep.polls.n > 0 {
		n = i.nextIndirect(now, tx)
	}
	for n < len(tx) {
		if i.sec != nil && !i.sec.ready() {
			if n == 0 && i.sec.exhausted() {
				i.mute(now)
			}
			break
		}
		d := i.current
		if d == nil {
			if i.rec.waiting() {
				tx[n] = ieee802154.TxFrame{Data: i.nextRecovery(tx[n].Data)}
				n++
				continue
			}
			if d = i.rec.plain; d != nil {
				i.rec.plain, d.next = d.next, nil
			} else if d = i.q.next(now); d == nil {
				break
			} else if len(d.b) > int(d.to.room) && !d.begun && i.recover(now, d) {
				continue
			}
			i.assignTag(d)
		}
		nb := d.to
		b, last := d.cut(nb.header(tx[n].Data, i.sequence()), int(nb.room))
		if !last && nb.unicast {
			b[0] |= pendingBit
		}
		tx[n] = ieee802154.TxFrame{Data: i.seal(b, nb), More: !last}
		i.flight = append(i.flight, flight{d: d, last: last})
		n++
		if i.current = d; last {
			i.current = nil
		}
	}
	if n > 0 {
		tx[n-1].More = false // of this batch
	}
	i.starved = n == 0 && i.q.ready > 0
	return n
}

// Done takes the batch of the last Next back, each frame with what became of it. Of a
// datagram of which one frame failed the rest is given up.
func (i *Interface) Done(now time.Time, tx []ieee802154.TxFrame) {
	var failed *datagram
	for k, f := range i.flight {
		status, size := ieee802154.TxClosed, 0
		if k < len(tx) {
			status, size = tx[k].Status, len(tx[k].Data)
			i.stats.FrameAttempts += uint64(tx[k].Attempts)
		}
		if status.OK() {
			i.stats.FramesOut++
			i.stats.BytesOut += uint64(size)
		} else {
			i.stats.FramesFailed++
		}
		if f.kind != flightData {
			i.sleepDone(now, f, status, k < len(tx) && tx[k].Pending)
			continue
		}
		if f.d == nil {
			i.recoveryDone(now, f, status)
			continue
		}
		if f.d == failed {
			continue
		}
		// A datagram that failed is unused by now, and may be what comes next in its turn.
		failed = nil
		dst := f.d.to.dst
		switch {
		case !status.OK():
			f.d.to.missed()
			failed = f.d
			if i.current == f.d {
				i.current = nil
			}
			i.q.discard(f.d, txDrop(status))
			if status == ieee802154.TxNoAck {
				i.linkStatus(now, dst, false)
			}
		case f.last:
			f.d.to.took()
			i.stats.DatagramsSent++
			i.q.release(f.d)
			if status == ieee802154.TxAcked {
				i.linkStatus(now, dst, true)
			}
		}
	}
	i.flight = i.flight[:0]
}

func (i *Interface) linkStatus(now time.Time, dst ipv6.LinkAddr, ok bool) {
	if i.cfg.LinkStatus != nil {
		i.cfg.LinkStatus(now, dst, ok)
	}
}

// dropTx counts a datagram that is not sent.
func (i *Interface) dropTx(d *datagram, why Drop) {
	i.stats.TxDrops[why]++
	i.debug("datagram dropped", why, d.to.dst)
	if d.to.sleepy && d.to.n == 0 {
		i.refresh(d.to.dst)
	}
}

func txDrop(s ieee802154.TxStatus) Drop {
	switch s {
	case ieee802154.TxNoAck:
		return DropNoAck
	case ieee802154.TxChannelBusy:
		return DropChannelBusy
	}
	return DropRadio
}

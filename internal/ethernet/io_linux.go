package ethernet

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"border-router/internal/mmsg"
	"border-router/ipv6"
)

// A batch is what one wake-up of the reader has read. It goes to the loop, which runs it
// and gives it back.
type batch struct {
	p    *Port
	in   *inlet
	n    int
	vnet bool // each frame stands behind a vnetHeader
	len  [rxBatch]int
	slot int    // room for one frame in bytes
	slab []byte // rxBatch slots
	hdrs [rxBatch]mmsg.Header
	iovs [rxBatch]unix.Iovec

	// What Run is at.
	now     time.Time
	meta    ipv6.Meta
	scratch []byte            // room for one segment
	yield   func(ipv6.Packet) // b.give, made once
}

func newBatch(p *Port, in *inlet) *batch {
	b := &batch{p: p, in: in, slot: in.slot, slab: make([]byte, rxBatch*in.slot), scratch: make([]byte, in.slot)}
	for i := range b.hdrs {
		b.iovs[i].Base = &b.slab[i*b.slot]
		b.iovs[i].SetLen(b.slot)
		b.hdrs[i].Hdr.Iov = &b.iovs[i]
		b.hdrs[i].Hdr.SetIovlen(1)
	}
	b.yield = b.give
	return b
}

func (b *batch) give(q ipv6.Packet) {
	b.p.count.delivered.Add(1)
	b.p.deliver(b.now, q, b.meta)
}

// left returns how many frames have not been discarded yet.
func (b *batch) left() (n int) {
	for _, l := range b.len[:b.n] {
		if l > 0 {
			n++
		}
	}
	return n
}

// Run delivers every packet of the batch; it is called by the loop.
func (b *batch) Run(now time.Time) {
	b.now = now
	for i, n := range b.len[:b.n] {
		if n == 0 {
			continue // discarded already
		}
		if d := b.frame(b.slab[i*b.slot : i*b.slot+n]); d != 0 {
			b.p.count.drops[d].Add(1)
		}
	}
	b.in.recycle(b)
}

// frame delivers what is in one frame, or returns the reason why not.
func (b *batch) frame(f []byte) Drop {
	var v vnetHeader
	if b.vnet {
		if len(f) < vnetHeaderLen {
			return DropTruncated
		}
		v, f = parseVnetHeader(f), f[vnetHeaderLen:]
	}
	if len(f) < headerLen+ipv6.HeaderLen {
		return DropTruncated
	}
	if binary.BigEndian.Uint16(f[12:]) != etherTypeIPv6 {
		return DropNotIPv6
	}
	mac := b.p.mac.Load()
	dst := [6]byte(f[:6])
	if mac == nil || dst != *mac && (dst[0] != 0x33 || dst[1] != 0x33) {
		return DropAddress
	}
	if [6]byte(f[6:12]) == *mac {
		b.p.ownAddress(b.now)
		return DropOwnAddress
	}
	b.meta = ipv6.Meta{LinkSrc: ipv6.EUI48([6]byte(f[6:12])), LinkDst: ipv6.EUI48(dst), RSSI: ipv6.RSSIUnknown}
	raw := f[headerLen:]
	if v.gso != vnetGSONone {
		n := ipv6.HeaderLen + int(binary.BigEndian.Uint16(raw[4:]))
		if raw[0]>>4 != 6 || n > len(raw) || !segment(ipv6.Packet(raw[:n]), v, v.csumStart-headerLen, b.scratch, b.yield) {
			return DropTruncated
		}
		b.p.count.merged.Add(1)
		return 0
	}
	pkt, err := ipv6.Parse(raw)
	if err != nil {
		return DropTruncated
	}
	if v.flags&vnetNeedsCsum != 0 && !fillChecksum(pkt, v.csumStart-headerLen, v.csumField) {
		return DropTruncated
	}
	b.give(pkt)
	return 0
}

// ownAddress warns that a frame has come from our own MAC address.
func (p *Port) ownAddress(now time.Time) {
	if !p.warned.IsZero() && now.Sub(p.warned) < time.Minute {
		return
	}
	p.warned = now
	p.cfg.Logger.Warn("frames come in from our own MAC address: another station has it, or the link goes round in a circle", "mac", p.LinkAddr())
}

// A conn is an open packet socket, or TAP interface.
type conn struct {
	f   *os.File
	raw syscall.RawConn
	tap bool

	// The reader's system call.
	b     *batch
	errno syscall.Errno
	fill  func(fd uintptr) bool
}

func newConn(fd int, tap bool) (*conn, error) {
	c := &conn{f: os.NewFile(uintptr(fd), "ethernet"), tap: tap}
	c.fill = c.recv
	var err error
	if c.raw, err = c.f.SyscallConn(); err != nil {
		c.f.Close()
		return nil, err
	}
	return c, nil
}

// control runs f with the file descriptor.
func (c *conn) control(f func(fd int) error) error {
	var e error
	if err := c.raw.Control(func(fd uintptr) { e = f(int(fd)) }); err != nil {
		return err
	}
	return e
}

// missed returns how many frames the kernel has had no room for since the last call.
func (c *conn) missed() (n uint64) {
	if c.tap {
		return 0
	}
	_ = c.control(func(fd int) error {
		st, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err == nil {
			n = uint64(st.Drops)
		}
		return err
	})
	return n
}

// recv is called by the poller; false is to be called again when there is something.
func (c *conn) recv(fd uintptr) bool {
	b := c.b
	for {
		if c.tap {
			n, err := unix.Read(int(fd), b.slab[b.n*b.slot:(b.n+1)*b.slot])
			switch err {
			case nil:
				b.len[b.n] = n
				if b.n++; b.n < rxBatch {
					continue
				}
				return true
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return b.n > 0
			}
			c.errno, _ = err.(syscall.Errno)
			return true
		}
		n, e, ready := mmsg.Receive(fd, b.hdrs[:], 0)
		if !ready {
			return false
		}
		b.n = n
		for i := range n {
			b.len[i] = int(b.hdrs[i].N)
		}
		c.errno = e
		return true
	}
}

// next fills b; it waits for the first frame and takes what there is.
func (c *conn) next(b *batch) error {
	c.b, c.errno = b, 0
	b.vnet = !c.tap
	err := c.raw.Read(c.fill)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		return unix.EBADFD // the poller, of an interface that is being deleted
	}
	if c.errno != 0 {
		return c.errno
	}
	return err
}

// A writer sends what the loop puts into it, as many frames with one system call as have
// come together meanwhile.
type writer struct {
	p    *Port
	mu   sync.Mutex
	wake chan struct{}
	fill *txSlab // guarded by mu
	conn *conn   // guarded by mu; nil: drop
	sent *txSlab // of the goroutine, as what follows
	tap  bool
	hdrs [txBatch]mmsg.Header
	iovs [txBatch]unix.Iovec

	at, n int
	errno syscall.Errno
	fn    func(fd uintptr) bool
}

type txSlab struct {
	n    int
	len  [txQueue]int
	slab []byte
}

func newWriter(p *Port) *writer {
	size := txQueue * p.txSlot()
	w := &writer{p: p, wake: make(chan struct{}, 1), fill: &txSlab{slab: make([]byte, size)}, sent: &txSlab{slab: make([]byte, size)}}
	for i := range w.hdrs {
		w.hdrs[i].Hdr.Iov = &w.iovs[i]
		w.hdrs[i].Hdr.SetIovlen(1)
	}
	w.fn = w.send
	return w
}

// txSlot is the room for one frame, with the empty vnetHeader that a packet socket wants.
func (p *Port) txSlot() int { return vnetHeaderLen + headerLen + p.mtu }

// put takes a packet, unless there is no room: what we say ourselves has half of it, so that
// answers to a flood do not stop what is forwarded.
func (w *writer) put(h []byte, pkt ipv6.Packet) bool {
	w.mu.Lock()
	s := w.fill
	if s.n >= txQueue/2 && (s.n == txQueue || w.p.isOwn(pkt)) {
		w.mu.Unlock()
		return false
	}
	slot := s.slab[s.n*w.p.txSlot():][vnetHeaderLen:]
	copy(slot, h)
	copy(slot[headerLen:], pkt)
	s.len[s.n] = headerLen + len(pkt)
	s.n++
	first := s.n == 1
	w.mu.Unlock()
	if first {
		w.signal()
	}
	return true
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fill.n > txQueue/2
}

func (w *writer) setConn(c *conn) {
	w.mu.Lock()
	w.conn = c
	w.mu.Unlock()
}

// run is the writer's goroutine.
func (w *writer) run() {
	defer w.p.ended.Done()
	defer close(w.p.wrote)
	for {
		select {
		case <-w.wake:
		case <-w.p.quit:
			w.flush() // what the shutdown has said last
			return
		}
		w.flush()
	}
}

func (w *writer) flush() {
	w.mu.Lock()
	w.fill, w.sent = w.sent, w.fill
	c := w.conn
	w.mu.Unlock()
	s := w.sent
	if c == nil {
		w.p.count.drops[DropInterfaceDown].Add(uint64(s.n))
		s.n = 0
		return
	}
	size := w.p.txSlot()
	for w.at = 0; w.at < s.n; {
		w.n = min(s.n-w.at, txBatch)
		for i := range w.n {
			off, n := (w.at+i)*size, s.len[w.at+i]
			if c.tap {
				off += vnetHeaderLen
			} else {
				n += vnetHeaderLen
			}
			w.iovs[i].Base = &s.slab[off]
			w.iovs[i].SetLen(n)
		}
		w.tap, w.errno = c.tap, 0
		before := w.at
		if err := c.raw.Write(w.fn); err != nil {
			w.p.count.drops[DropInterfaceDown].Add(uint64(s.n - w.at))
			break
		}
		for i := before; i < w.at; i++ {
			w.p.count.outBytes.Add(uint64(s.len[i]))
		}
		w.p.count.outFrames.Add(uint64(w.at - before))
		w.p.count.outBatches.Add(1)
		if w.errno != 0 {
			w.p.count.drops[dropOf(w.errno)].Add(1)
			w.at++ // the frame that failed
		}
	}
	s.n = 0
}

// send is one system call; it waits where the interface takes no more.
func (w *writer) send(fd uintptr) bool {
	for {
		if w.tap {
			v := unsafe.Slice(w.iovs[0].Base, int(w.iovs[0].Len))
			_, err := unix.Write(int(fd), v)
			switch err {
			case nil:
				w.at++
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false
			default:
				w.errno, _ = err.(syscall.Errno)
			}
			return true
		}
		n, e, ready := mmsg.Send(fd, w.hdrs[:w.n])
		w.at += n
		if e != 0 {
			w.errno = e
		}
		return ready
	}
}

func dropOf(e syscall.Errno) Drop {
	switch e {
	case unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.EIO, unix.EBADF, unix.EBADFD:
		return DropInterfaceDown
	case unix.ENOBUFS, unix.ENOMEM:
		return DropQueueFull
	case unix.EMSGSIZE:
		return DropTooBig
	}
	return DropSendFailed
}

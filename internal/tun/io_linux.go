package tun

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"border-router/ipv6"
)

const (
	batchPackets = 32 // packets read for one wake-up
	numBatches   = 4  // batches between the reader and the loop; with none free, packets wait in the kernel
)

type deliverFunc = func(now time.Time, p ipv6.Packet, m ipv6.Meta)

// A batch is what one wake-up of the reader has read. It goes to the loop, which runs it
// and gives it back.
type batch struct {
	d    *Device
	n    int
	len  [batchPackets]int
	slab []byte // batchPackets slots of d.slot() bytes
}

// slot is the room for one packet: one byte more than the MTU, so that a longer one shows.
func (d *Device) slot() int { return d.mtu + 1 }

// Run delivers every packet of the batch; it is called by the loop.
func (b *batch) Run(now time.Time) {
	d, size := b.d, b.d.slot()
	for i := range b.n {
		raw := b.slab[i*size : i*size+b.len[i]]
		p, err := ipv6.Parse(raw)
		switch {
		case err == nil && len(p) == b.len[i] && len(p) <= d.mtu:
			d.count.delivered.Add(1)
			d.deliver(now, p, ipv6.Meta{RSSI: ipv6.RSSIUnknown})
		case len(raw) > 0 && raw[0]>>4 != 6:
			d.count.drops[DropNotIPv6].Add(1)
		default:
			d.count.drops[DropTruncated].Add(1)
		}
	}
	d.recycle(b)
}

func (d *Device) recycle(b *batch) {
	b.n = 0
	d.free <- b // has room for every batch
}

// Start begins to read. Each wake-up posts one batch to the loop; its Run calls deliver for
// every packet, with Meta.Port 0. The packet may be changed and is valid during the call.
// When four batches wait at the loop, reading stops and packets wait in the kernel's queue.
// post may block; false from it counts the packets as [DropLoopClosed]. Start is called at
// most once.
func (d *Device) Start(post func(interface{ Run(now time.Time) }) bool, deliver func(now time.Time, p ipv6.Packet, m ipv6.Meta)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started || d.closed {
		return
	}
	d.started = true
	d.post, d.deliver = post, deliver
	for range numBatches {
		d.free <- &batch{d: d, slab: make([]byte, batchPackets*d.slot())}
	}
	go d.read()
}

// A reader is the state of the reader's goroutine.
type reader struct {
	d    *Device
	b    *batch
	err  error
	fill func(fd uintptr) bool // r.read, made once
}

func (d *Device) newReader() *reader {
	r := &reader{d: d}
	r.fill = r.read
	return r
}

// next fills b; it waits for the first packet and takes what there is, 32 at most. An
// error may come together with packets.
func (r *reader) next(b *batch) error {
	r.b = b
	err := r.d.raw.Read(r.fill)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		// The driver signals an error condition, which the poller calls "not pollable", only
		// while the interface is being deleted; a read may still say EAGAIN then.
		return unix.EBADFD
	}
	if r.err != nil {
		return r.err
	}
	return err
}

// read is called by the poller; false is to be called again when the device is readable.
func (r *reader) read(fd uintptr) bool {
	b, size := r.b, r.d.slot()
	for b.n < batchPackets {
		n, err := unix.Read(int(fd), b.slab[b.n*size:(b.n+1)*size])
		switch err {
		case nil:
			if n <= 0 { // end of file does not happen on a tun
				r.err = unix.EBADFD
				return true
			}
			b.len[b.n] = n
			b.n++
		case unix.EAGAIN:
			return b.n > 0
		case unix.EINTR:
		default:
			r.err = err
			return true
		}
	}
	return true
}

// read is the reader's goroutine.
func (d *Device) read() {
	defer close(d.ended)
	r := d.newReader()
	for {
		var b *batch
		select {
		case b = <-d.free:
		case <-d.done:
			return
		}
		err := r.next(b)
		if n := b.n; n > 0 {
			bytes := 0
			for _, l := range b.len[:n] {
				bytes += l
			}
			d.count.inPackets.Add(uint64(n))
			d.count.inBytes.Add(uint64(bytes))
			d.count.inBatches.Add(1)
			if !d.post(b) {
				d.count.drops[DropLoopClosed].Add(uint64(n))
				d.recycle(b)
			}
		}
		if err != nil {
			d.readerFailed(err)
			return
		}
	}
}

// readerFailed tells that the interface is gone, unless that is our own doing.
func (d *Device) readerFailed(err error) {
	if d.down.Swap(true) {
		return
	}
	err = explainGone(d.name, err)
	d.cfg.Logger.Error("interface is gone", "err", err)
	if d.cfg.OnDown != nil {
		d.cfg.OnDown(err)
	}
}

// Output gives p to the kernel as a received packet. dst has no meaning here: the
// interface has no link addresses. The error is a [Drop], already counted; p is not kept.
func (d *Device) Output(_ time.Time, p ipv6.Packet, _ ipv6.LinkAddr) error {
	drop := d.output(p)
	if drop != 0 {
		d.count.drops[drop].Add(1)
		return drop
	}
	d.count.outPackets.Add(1)
	d.count.outBytes.Add(uint64(len(p)))
	return nil
}

func (d *Device) output(p ipv6.Packet) Drop {
	if len(p) > d.mtu {
		return DropTooBig
	}
	if d.down.Load() {
		return DropGone
	}
	d.out = p
	err := d.raw.Write(d.writeFn)
	d.out = nil
	if err != nil { // os.ErrClosed
		return DropGone
	}
	return dropOf(d.outErr)
}

// dropOf returns the reason for an error of a write, 0 for none.
func dropOf(err error) Drop {
	switch err {
	case nil:
		return 0
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return DropKernelFull
	case unix.EINVAL:
		return DropInvalid
	case unix.EIO:
		return DropDown
	case unix.EBADFD, unix.EBADF, unix.ENODEV:
		return DropGone
	}
	return DropWriteFailed
}

// write is one system call; it never waits.
func (d *Device) write(fd uintptr) bool {
	for {
		_, d.outErr = unix.Write(int(fd), d.out)
		if d.outErr != unix.EINTR {
			return true
		}
	}
}

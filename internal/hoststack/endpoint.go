package hoststack

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"border-router/ipv6"
)

// maxQueued is how many packets wait for the loop at most; two such batches exist.
const maxQueued = 128

// A batch is what the stack has emitted since the loop took the batch before.
type batch struct {
	s    *Stack
	buf  []byte // packets one after the other
	ends []int  // where each packet ends in buf
}

// Run delivers every packet of the batch; it is called by the loop.
func (b *batch) Run(now time.Time) {
	start := 0
	for _, end := range b.ends {
		if p, err := ipv6.Parse(b.buf[start:end]); err == nil && !b.s.isClosed() {
			b.s.count.delivered.Add(1)
			b.s.deliver(now, p, ipv6.Meta{RSSI: ipv6.RSSIUnknown})
		} else {
			b.s.count.drops[DropClosed].Add(1)
		}
		start = end
	}
	b.s.ep.spare <- b.reset()
}

const keepBytes = 32 << 10

// reset empties the batch, and gives a large buffer back once it is not needed.
func (b *batch) reset() *batch {
	if cap(b.buf) > keepBytes && len(b.buf) < cap(b.buf)/4 {
		b.buf = nil
	}
	b.buf, b.ends = b.buf[:0], b.ends[:0]
	return b
}

// endpoint is the stack's link: it takes packets from any goroutine of the stack and never
// makes one wait.
type endpoint struct {
	s     *Stack
	mtu   uint32
	ready chan struct{} // fill is not empty
	spare chan *batch   // the batch that is not fill, when the loop does not have it

	mu   sync.Mutex
	fill *batch

	dmu        sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

func newEndpoint(s *Stack, mtu int) *endpoint {
	e := &endpoint{s: s, mtu: uint32(mtu), ready: make(chan struct{}, 1), spare: make(chan *batch, 1), fill: &batch{s: s}}
	e.spare <- &batch{s: s}
	return e
}

// WritePackets implements stack.LinkWriter. A packet that cannot be queued is lost, as on
// any link.
func (e *endpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, pkt := range pkts.AsSlice() {
		e.write(pkt)
		n++
	}
	return n, nil
}

func (e *endpoint) write(pkt *stack.PacketBuffer) {
	c := &e.s.count
	c.inPackets.Add(1)
	c.inBytes.Add(uint64(pkt.Size()))
	if e.s.isClosed() {
		c.drops[DropClosed].Add(1)
		return
	}
	e.mu.Lock()
	b := e.fill
	if len(b.ends) >= maxQueued {
		e.mu.Unlock()
		c.drops[DropQueueFull].Add(1)
		return
	}
	start := len(b.buf)
	for _, s := range pkt.AsSlices() {
		b.buf = append(b.buf, s...)
	}
	if isControl(b.buf[start:]) {
		b.buf = b.buf[:start]
		e.mu.Unlock()
		c.drops[DropEmitted].Add(1)
		return
	}
	b.ends = append(b.ends, len(b.buf))
	e.mu.Unlock()
	select {
	case e.ready <- struct{}{}:
	default:
	}
}

// emit is the goroutine that posts batches to the loop.
func (e *endpoint) emit(post func(interface{ Run(now time.Time) }) bool) {
	defer close(e.s.ended)
	for {
		select {
		case <-e.ready:
		case <-e.s.done:
			return
		}
		var b *batch
		select {
		case b = <-e.spare:
		case <-e.s.done:
			return
		}
		e.mu.Lock()
		b, e.fill = e.fill, b
		e.mu.Unlock()
		n := len(b.ends)
		if n == 0 {
			e.spare <- b
			continue
		}
		e.s.count.inBatches.Add(1)
		if !post(b) {
			e.s.count.drops[DropLoopClosed].Add(uint64(n))
			e.spare <- b.reset()
		}
	}
}

// discard drops what is still queued when the stack closes.
func (e *endpoint) discard() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.s.count.drops[DropClosed].Add(uint64(len(e.fill.ends)))
	e.fill.buf, e.fill.ends = nil, nil
}

// inject hands a packet to the stack, which copies it.
func (e *endpoint) inject(p ipv6.Packet) {
	e.dmu.RLock()
	d := e.dispatcher
	e.dmu.RUnlock()
	if d == nil {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
	d.DeliverNetworkPacket(header.IPv6ProtocolNumber, pkt)
	pkt.DecRef()
}

// The rest of stack.LinkEndpoint.

func (e *endpoint) Attach(d stack.NetworkDispatcher) {
	e.dmu.Lock()
	e.dispatcher = d
	e.dmu.Unlock()
}

func (e *endpoint) IsAttached() bool {
	e.dmu.RLock()
	defer e.dmu.RUnlock()
	return e.dispatcher != nil
}

func (e *endpoint) MTU() uint32                                  { return e.mtu }
func (e *endpoint) SetMTU(uint32)                                {}
func (e *endpoint) MaxHeaderLength() uint16                      { return 0 }
func (e *endpoint) LinkAddress() tcpip.LinkAddress               { return "" }
func (e *endpoint) SetLinkAddress(tcpip.LinkAddress)             {}
func (e *endpoint) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityNone }
func (e *endpoint) Wait()                                        {}
func (e *endpoint) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareNone }
func (e *endpoint) AddHeader(*stack.PacketBuffer)                {}
func (e *endpoint) ParseHeader(*stack.PacketBuffer) bool         { return true }
func (e *endpoint) Close()                                       {}
func (e *endpoint) SetOnCloseAction(func())                      {}

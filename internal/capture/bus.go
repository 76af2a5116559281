package capture

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBuffer is how many packets a reader may fall behind by default.
const DefaultBuffer = 4096

// bytesPerPacket times the number of packets that a reader may fall behind is how many
// bytes it may. Full-size frames take about 230.
const bytesPerPacket = 256

// A Bus carries copies of frames and packets from where they pass to whoever reads. Its
// methods may be called from any goroutine.
type Bus struct {
	buffer int
	subs   atomic.Pointer[[]*subscriber] // nil while nobody reads
	lost   atomic.Uint64

	mu     sync.Mutex // for changes of subs and ifaces
	ifaces []iface
}

type iface struct {
	linkType    uint16
	name        string // as in the file
	port        string
	description string
}

// NewBus returns a bus whose readers may fall behind by so many packets; 0 stands for
// [DefaultBuffer].
func NewBus(buffer int) *Bus {
	if buffer <= 0 {
		buffer = DefaultBuffer
	}
	return &Bus{buffer: buffer}
}

// Frames returns the function to call with each frame of the radio of the port called
// name; it is an ieee802154.TapFunc. frame is without FCS and valid during the call. It
// may be called from several goroutines at once and never blocks for long.
func (b *Bus) Frames(name string) func(tx bool, frame []byte, channel uint8, rssi int8, lqi uint8) {
	i := b.add(iface{LinkTypeTAP, name, name, "IEEE 802.15.4 frames of " + name})
	return func(tx bool, frame []byte, channel uint8, rssi int8, lqi uint8) {
		subs := b.subs.Load()
		if subs == nil {
			return
		}
		now := time.Now()
		for _, s := range *subs {
			if !s.begin(i) {
				continue
			}
			s.buf = AppendFrame(s.buf, s.packet(i, now, tx), frame, channel, rssi, lqi)
			s.end()
		}
	}
}

// Packets returns the function to call with each IPv6 packet of the port called name; tx
// is set for a packet that leaves by it. p is valid during the call.
func (b *Bus) Packets(name string) func(tx bool, p []byte) {
	i := b.add(iface{LinkTypeIPv6, name + "-ip", name, "IPv6 packets of " + name})
	return func(tx bool, p []byte) {
		subs := b.subs.Load()
		if subs == nil {
			return
		}
		now := time.Now()
		for _, s := range *subs {
			if !s.begin(i) {
				continue
			}
			s.buf = AppendIPv6(s.buf, s.packet(i, now, tx), p)
			s.end()
		}
	}
}

// add returns the number of an interface on the bus, the same for the same one.
func (b *Bus) add(n iface) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.ifaces, n); i >= 0 {
		return i
	}
	b.ifaces = append(b.ifaces, n)
	return len(b.ifaces) - 1
}

func (b *Bus) iface(i int) iface {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ifaces[i]
}

// Active reports whether anybody reads.
func (b *Bus) Active() bool { return b.subs.Load() != nil }

// Lost returns how many packets readers have missed in all, being too slow.
func (b *Bus) Lost() uint64 { return b.lost.Load() }

// A Filter says what a reader wants to see. The zero value is everything.
type Filter struct {
	Ports []string // names; none: all
	Radio bool     // IEEE 802.15.4 frames only
	IP    bool     // IPv6 packets only; with Radio: both
}

func (f *Filter) takes(i iface) bool {
	if len(f.Ports) > 0 && !slices.Contains(f.Ports, i.port) {
		return false
	}
	if f.Radio == f.IP {
		return true
	}
	return f.Radio == (i.linkType == LinkTypeTAP)
}

// Subscribe writes pcapng to w until ctx is done, which is no error, or a write fails,
// which is the error returned. Each Write is of whole blocks. The caller must see to it
// that a Write that hangs ends when ctx does.
func (b *Bus) Subscribe(ctx context.Context, w io.Writer, f Filter) error {
	s := &subscriber{
		bus:   b,
		f:     f,
		limit: b.buffer * bytesPerPacket,
		count: b.buffer,
		wake:  make(chan struct{}, 1),
	}
	s.buf = AppendSection(nil, "border-router")
	b.mu.Lock()
	n := len(b.ifaces)
	b.mu.Unlock()
	for i := range n {
		s.describe(i)
	}
	b.change(func(subs []*subscriber) []*subscriber { return append(subs, s) })
	defer b.change(func(subs []*subscriber) []*subscriber {
		return slices.DeleteFunc(subs, func(o *subscriber) bool { return o == s })
	})
	var out []byte
	for {
		if out = s.swap(out); len(out) > 0 {
			if _, err := w.Write(out); err != nil {
				if ctx.Err() != nil {
					return nil // whoever ended it has closed w as well
				}
				return err
			}
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			// What has gathered still goes out, with the account of what was lost. The
			// reader may be gone: that is how it ends most often.
			w.Write(s.finish(out))
			return nil
		}
	}
}

// change replaces the list of readers by a changed copy.
func (b *Bus) change(f func([]*subscriber) []*subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var subs []*subscriber
	if p := b.subs.Load(); p != nil {
		subs = slices.Clone(*p)
	}
	if subs = f(subs); len(subs) == 0 {
		b.subs.Store(nil)
		return
	}
	b.subs.Store(&subs)
}

// A subscriber is one reader. Those who publish append blocks to buf; the reader takes
// buf away and leaves the one that it has written.
type subscriber struct {
	bus   *Bus
	f     Filter
	limit int // bytes in buf
	count int // packets in buf
	wake  chan struct{}

	mu      sync.Mutex
	buf     []byte
	packets int
	ids     []int    // number in the file of each interface of the bus: 0 not yet, -1 not wanted, else number+1
	files   int      // interfaces in the file
	missing uint64   // packets lost since the last one in the file
	lost    []uint64 // per interface of the bus
}

// describe puts an interface into the file, if the filter takes it, and returns its
// number there plus one, or -1.
func (s *subscriber) describe(i int) int {
	for len(s.ids) <= i {
		s.ids = append(s.ids, 0)
		s.lost = append(s.lost, 0)
	}
	if s.ids[i] == 0 {
		n := s.bus.iface(i)
		if !s.f.takes(n) {
			s.ids[i] = -1
		} else {
			s.buf = AppendInterface(s.buf, n.linkType, n.name, n.description)
			s.files++
			s.ids[i] = s.files
		}
	}
	return s.ids[i]
}

// begin locks s for a packet of interface i. It returns false, without the lock, where
// the packet is not wanted or there is no room.
func (s *subscriber) begin(i int) bool {
	s.mu.Lock()
	if s.describe(i) < 0 {
		s.mu.Unlock()
		return false
	}
	if s.packets >= s.count || len(s.buf) > s.limit {
		s.missing++
		s.lost[i]++
		s.mu.Unlock()
		s.bus.lost.Add(1)
		return false
	}
	return true
}

func (s *subscriber) packet(i int, now time.Time, tx bool) Packet {
	p := Packet{Interface: s.ids[i] - 1, Time: now, Sent: tx, Lost: s.missing}
	s.missing = 0
	return p
}

// end unlocks s after a packet.
func (s *subscriber) end() {
	s.packets++
	first := s.packets == 1
	s.mu.Unlock()
	if first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// swap takes what has gathered and leaves the memory of out.
func (s *subscriber) swap(out []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := s.buf
	s.buf, s.packets = out[:0], 0
	return full
}

// finish takes what has gathered, followed by the statistics of the interfaces.
func (s *subscriber) finish(out []byte) []byte {
	out = s.swap(out)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i, id := range s.ids {
		if id > 0 {
			out = AppendStatistics(out, id-1, now, s.lost[i])
		}
	}
	return out
}

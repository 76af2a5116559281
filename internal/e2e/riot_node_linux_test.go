package e2e_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What RIOT's native boards put on the wire is assembled here byte by byte, with nothing of
// this project's codecs: GNRC over socket_zep, as captured from RIOT 2026.10-devel.

const (
	riotAckWait = 864 * time.Microsecond
	riotRetries = 4
)

// kermit is the FCS of IEEE 802.15.4.
func kermit(b []byte) (crc uint16) {
	for _, x := range b {
		crc ^= uint16(x)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x8408
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

// onesSum is the checksum of ICMPv6: 0 where it is right in b.
func onesSum(src, dst netip.Addr, b []byte) uint16 {
	s, d := src.As16(), dst.As16()
	all := slices.Concat(s[:], d[:], []byte{0, 0, byte(len(b) >> 8), byte(len(b)), 0, 0, 0, 58}, b)
	if len(all)%2 != 0 {
		all = append(all, 0)
	}
	var sum uint32
	for i := 0; i < len(all); i += 2 {
		sum += uint32(all[i])<<8 | uint32(all[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// zepData is a ZEP v2 data header and the frame with its FCS.
func zepData(channel byte, frame []byte) []byte {
	b := []byte{'E', 'X', 2, 1, channel, 0, 1, 1, 0xff}
	ntp := uint64(time.Now().Unix()+2208988800) << 32
	b = binary.BigEndian.AppendUint64(b, ntp)
	b = append(b, make([]byte, 4+10)...) // sequence, reserved
	b = append(b, byte(len(frame)+2))
	b = append(b, frame...)
	return binary.LittleEndian.AppendUint16(b, kermit(frame))
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// A riotIP is one packet as the node sees it.
type riotIP struct {
	lsrc     [8]byte
	src, dst netip.Addr
	hops     byte
	b        []byte // ICMPv6
}

// A riotNode is a device that behaves as RIOT does.
type riotNode struct {
	t       testing.TB
	c       *net.UDPConn
	eui     [8]byte
	channel byte
	pan     uint16
	prefix  netip.Prefix // context 0; invalid before the RA
	router  [8]byte

	send     sync.Mutex // one frame at a time on the air
	dsn      byte
	tag      uint16
	acks     chan byte
	packets  chan riotIP // ND and what is not an echo request
	requests chan riotIP
	done     chan struct{}

	mu        sync.Mutex
	loseAcks  int // how many of the next are not sent
	lost      int
	frames    int // data frames to it
	acked     int
	retried   int // own frames sent again
	again     map[byte]bool
	latencies []time.Duration
	bad       []string // what RIOT would not take
	dsns      map[byte]int
	fragAt    []time.Time
	partial   map[uint16]*riotPartial
}

type riotPartial struct {
	p    riotIP
	b    []byte
	have int
}

func newRIOT(t testing.TB, c *net.UDPConn, eui [8]byte) *riotNode {
	n := &riotNode{
		t: t, c: c, eui: eui, channel: 26, pan: 0x0023, acks: make(chan byte, 64), packets: make(chan riotIP, 64), requests: make(chan riotIP, 64),
		done: make(chan struct{}), dsns: make(map[byte]int), again: make(map[byte]bool), partial: make(map[uint16]*riotPartial), tag: 7,
	}
	go n.receive()
	go n.answer()
	t.Cleanup(func() { c.Close(); <-n.done })
	return n
}

func (n *riotNode) iid() (id [8]byte) {
	id = n.eui
	id[0] ^= 2
	return id
}

func linkLocalOf(eui [8]byte) netip.Addr {
	eui[0] ^= 2
	return netip.AddrFrom16([16]byte(slices.Concat([]byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0}, eui[:])))
}

func (n *riotNode) global() netip.Addr {
	p, id := n.prefix.Addr().As16(), n.iid()
	return netip.AddrFrom16([16]byte(slices.Concat(p[:8], id[:])))
}

// header is the MAC header; a nil dst is the broadcast.
func (n *riotNode) header(dst []byte, pending bool) []byte {
	fc := []byte{0x41, 0xd8} // data, PAN ID compression; short destination, version 2006, long source
	to := []byte{0xff, 0xff}
	if dst != nil {
		fc = []byte{0x61, 0xdc} // ACK request; long destination
		to = reversed(dst)
	}
	if pending {
		fc[0] |= 0x10
	}
	n.dsn++
	return slices.Concat(fc, []byte{n.dsn, byte(n.pan), byte(n.pan >> 8)}, to, reversed(n.eui[:]))
}

func (n *riotNode) write(frame []byte) {
	n.c.Write(zepData(n.channel, frame))
}

// transmit sends a frame until it is acknowledged. It waits longer than RIOT: what the ACKs
// take is judged over many frames, not each by the scheduler of the machine.
func (n *riotNode) transmit(frame []byte, ack bool) bool {
	if !ack {
		n.write(frame)
		return true
	}
	for len(n.acks) > 0 {
		<-n.acks
	}
	for attempt := range riotRetries + 1 {
		begin := time.Now()
		n.write(frame)
		timeout := time.NewTimer(2 * time.Second)
	wait:
		select {
		case seq := <-n.acks:
			took := time.Since(begin)
			n.mu.Lock()
			if n.again[seq] && seq != frame[2] { // of a frame that was sent again, late
				delete(n.again, seq)
				n.mu.Unlock()
				goto wait
			}
			if seq != frame[2] {
				n.bad = append(n.bad, fmt.Sprintf("ACK of %d for frame %d", seq, frame[2]))
			}
			n.latencies = append(n.latencies, took)
			n.mu.Unlock()
			timeout.Stop()
			return true
		case <-timeout.C:
		}
		n.mu.Lock()
		n.again[frame[2]] = true
		if attempt > 0 {
			n.retried++
		}
		n.mu.Unlock()
	}
	return false
}

// iphc compresses the IPv6 header of an ICMPv6 message to the link destination ldst.
func (n *riotNode) iphc(src, dst netip.Addr, hops byte, ldst []byte) []byte {
	b0, b1 := byte(0x78), byte(0)
	inline := []byte{58}
	switch hops {
	case 255:
		b0 |= 3
	case 64:
		b0 |= 2
	default:
		inline = append(inline, hops)
	}
	if src.IsLinkLocalUnicast() {
		b1 |= 0x30
	} else {
		b1 |= 0x70 // context 0, from the MAC address
	}
	d := dst.As16()
	switch {
	case dst.IsMulticast():
		b1 |= 0x0b
		inline = append(inline, d[15])
	default:
		in := n.prefix.IsValid() && n.prefix.Contains(dst)
		if in {
			b1 |= 4
		}
		want := [8]byte(ldst)
		want[0] ^= 2
		switch {
		case (in || dst.IsLinkLocalUnicast()) && bytes.Equal(d[8:], want[:]):
			b1 |= 3
		case in || dst.IsLinkLocalUnicast():
			b1 |= 1
			inline = append(inline, d[8:]...)
		default:
			inline = append(inline, d[:]...)
		}
	}
	return slices.Concat([]byte{b0, b1}, inline)
}

// icmp sends an ICMPv6 message to the router, or to all where ldst is nil, in fragments
// where it must. It reports whether everything was acknowledged.
func (n *riotNode) icmp(src, dst netip.Addr, hops byte, ldst []byte, msg []byte) bool {
	n.send.Lock()
	defer n.send.Unlock()
	msg = slices.Clone(msg)
	msg[2], msg[3] = 0, 0
	binary.BigEndian.PutUint16(msg[2:], onesSum(src, dst, msg))
	hdr := n.iphc(src, dst, hops, ldst)
	room := 125 - len(n.header(ldst, false))
	n.dsn--
	if len(hdr)+len(msg) <= room {
		return n.transmit(append(n.header(ldst, false), slices.Concat(hdr, msg)...), ldst != nil)
	}
	n.tag++
	size, tag := 40+len(msg), n.tag
	first := (room-4-len(hdr)+40)&^7 - 40
	frag := slices.Concat([]byte{0xc0 | byte(size>>8), byte(size), byte(tag >> 8), byte(tag)}, hdr, msg[:first])
	if !n.transmit(append(n.header(ldst, true), frag...), true) {
		return false
	}
	for at := first; at < len(msg); {
		k := min((room-5)&^7, len(msg)-at)
		frag := slices.Concat([]byte{0xe0 | byte(size>>8), byte(size), byte(tag >> 8), byte(tag), byte((at + 40) / 8)}, msg[at:at+k])
		if !n.transmit(append(n.header(ldst, at+k < len(msg)), frag...), true) {
			return false
		}
		at += k
	}
	return true
}

// receive is the radio: it looks at everything that comes as socket_zep does, and
// acknowledges.
func (n *riotNode) receive() {
	defer close(n.done)
	// The kernel notes when a frame comes: this process may be kept from the processor, and
	// read several at once.
	if raw, err := n.c.SyscallConn(); err != nil {
		n.t.Error(err)
	} else if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) }); e != nil || err != nil {
		n.t.Error(e, err)
	}
	b, oob := make([]byte, 2048), make([]byte, 128)
	for {
		k, o, _, _, err := n.c.ReadMsgUDP(b, oob)
		if errors.Is(err, syscall.ECONNREFUSED) {
			continue // no hub yet
		}
		if err != nil {
			close(n.packets)
			close(n.requests)
			return
		}
		n.input(arrival(oob[:o]), b[:k])
	}
}

// arrival returns when the kernel got a datagram.
func arrival(oob []byte) time.Time {
	list, _ := unix.ParseSocketControlMessage(oob)
	for _, m := range list {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Now()
}

func (n *riotNode) input(now time.Time, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fail := func(format string, args ...any) {
		n.bad = append(n.bad, fmt.Sprintf(format, args...)+fmt.Sprintf(": %x", b))
	}
	switch {
	case len(b) < 32+5 || string(b[:2]) != "EX" || b[2] != 2 || b[3] != 1:
		fail("no ZEP v2 data")
		return
	case len(b) != 32+int(b[31]):
		fail("%d bytes, not 32 + %d", len(b), b[31])
		return
	case b[4] != n.channel:
		fail("channel %d", b[4])
		return
	case b[7] != 1:
		fail("mode %d", b[7])
		return
	}
	f := b[32 : len(b)-2]
	if kermit(f) != binary.LittleEndian.Uint16(b[len(b)-2:]) {
		fail("FCS")
		return
	}
	switch f[0] & 7 {
	case 2:
		if len(f) != 3 {
			fail("ACK of %d bytes", len(f))
			return
		}
		select {
		case n.acks <- f[2]:
		default:
		}
		return
	case 1:
	default:
		return
	}
	// data; the destination is long or the broadcast, the source long
	if f[0]&0x40 == 0 || binary.LittleEndian.Uint16(f[3:]) != n.pan {
		fail("PAN")
		return
	}
	at, mine := 7, false
	switch f[1] & 0x0c {
	case 0x0c:
		mine = bytes.Equal(reversed(f[5:13]), n.eui[:])
		if !mine {
			return // another's: the hub may forward as it likes
		}
		at = 13
	case 0x08:
		if f[5] != 0xff || f[6] != 0xff {
			return
		}
	default:
		fail("destination mode")
		return
	}
	if f[1]&0xc0 != 0xc0 {
		fail("source mode")
		return
	}
	var p riotIP
	copy(p.lsrc[:], reversed(f[at:at+8]))
	at += 8
	if mine && f[0]&0x20 != 0 {
		n.frames++
		n.dsns[f[2]]++
		if n.loseAcks > 0 {
			n.loseAcks--
			n.lost++
		} else {
			n.acked++
			n.c.Write(zepData(n.channel, []byte{2, 0, f[2]}))
		}
	} else if mine {
		fail("unicast without ACK request")
	}
	pl := f[at:]
	switch {
	case pl[0]>>3 == 0x18: // FRAG1
		n.fragAt = append(n.fragAt, now)
		size, tag := int(pl[0]&7)<<8|int(pl[1]), binary.BigEndian.Uint16(pl[2:])
		if err := n.decompress(&p, pl[4:]); err != nil {
			fail("IPHC: %v", err)
			return
		}
		if n.partial[tag] != nil {
			return // again, for want of an ACK
		}
		r := &riotPartial{p: p, b: make([]byte, size-40), have: 40 + len(p.b)}
		copy(r.b, p.b)
		n.partial[tag] = r
	case pl[0]>>3 == 0x1c: // FRAGN
		n.fragAt = append(n.fragAt, now)
		size, tag := int(pl[0]&7)<<8|int(pl[1]), binary.BigEndian.Uint16(pl[2:])
		r := n.partial[tag]
		if r == nil || len(r.b) != size-40 || int(pl[4])*8 != r.have {
			return // again, or late
		}
		r.have += copy(r.b[r.have-40:], pl[5:])
		if r.have == size {
			delete(n.partial, tag)
			r.p.b = r.b
			n.deliver(r.p, fail)
		}
	default:
		if err := n.decompress(&p, pl); err != nil {
			fail("IPHC: %v", err)
			return
		}
		n.deliver(p, fail)
	}
}

func (n *riotNode) deliver(p riotIP, fail func(string, ...any)) {
	if onesSum(p.src, p.dst, p.b) != 0 {
		fail("ICMPv6 checksum")
		return
	}
	to := n.packets
	if p.b[0] == 128 {
		to = n.requests
	}
	p.b = slices.Clone(p.b)
	select {
	case to <- p:
	default:
	}
}

// decompress reads an IPHC header of an ICMPv6 packet.
func (n *riotNode) decompress(p *riotIP, b []byte) error {
	if b[0]>>5 != 3 {
		return fmt.Errorf("dispatch %#x", b[0])
	}
	b0, b1 := b[0], b[1]
	if b1&0x80 != 0 {
		return fmt.Errorf("context other than 0")
	}
	b = b[2:]
	b = b[[]int{4, 3, 1, 0}[b0>>3&3]:]
	if b0&4 != 0 {
		return fmt.Errorf("next header compressed")
	}
	next := b[0]
	if next != 58 && next != 0 { // ICMPv6, or hop-by-hop options before it: MLD
		return fmt.Errorf("next header %d", next)
	}
	b = b[1:]
	if p.hops = []byte{0, 1, 64, 255}[b0&3]; p.hops == 0 {
		p.hops, b = b[0], b[1:]
	}
	address := func(stateful bool, mode byte, eui [8]byte) (netip.Addr, error) {
		if mode == 0 && !stateful {
			a := netip.AddrFrom16([16]byte(b[:16]))
			b = b[16:]
			return a, nil
		}
		if mode == 0 {
			return netip.IPv6Unspecified(), nil
		}
		a := [16]byte{0xfe, 0x80}
		if stateful {
			if !n.prefix.IsValid() {
				return netip.Addr{}, fmt.Errorf("context 0 before it was told")
			}
			a = n.prefix.Addr().As16()
		}
		switch mode {
		case 1:
			copy(a[8:], b[:8])
			b = b[8:]
		case 2:
			copy(a[8:], []byte{0, 0, 0, 0xff, 0xfe, 0, b[0], b[1]})
			b = b[2:]
		case 3:
			eui[0] ^= 2
			copy(a[8:], eui[:])
		}
		return netip.AddrFrom16(a), nil
	}
	var err error
	if p.src, err = address(b1&0x40 != 0, b1>>4&3, p.lsrc); err != nil {
		return err
	}
	if b1&8 == 0 {
		if p.dst, err = address(b1&4 != 0, b1&3, n.eui); err != nil {
			return err
		}
	} else {
		a := [16]byte{0xff, 0x02}
		switch b1 & 7 {
		case 0:
			copy(a[:], b[:16])
			b = b[16:]
		case 1:
			a[1] = b[0]
			copy(a[11:], b[1:6])
			b = b[6:]
		case 2:
			a[1] = b[0]
			copy(a[13:], b[1:4])
			b = b[4:]
		case 3:
			a[15] = b[0]
			b = b[1:]
		default:
			return fmt.Errorf("stateful multicast")
		}
		p.dst = netip.AddrFrom16(a)
	}
	if next == 0 {
		if len(b) < 8 || len(b) < 8+8*int(b[1]) || b[0] != 58 {
			return fmt.Errorf("hop-by-hop options %x", b)
		}
		b = b[8+8*int(b[1]):]
	}
	p.b = b
	return nil
}

// answer answers echo requests, by way of the router.
func (n *riotNode) answer() {
	for p := range n.requests {
		reply := slices.Clone(p.b)
		reply[0] = 129
		src := p.dst
		if src.IsMulticast() {
			continue
		}
		n.icmp(src, p.src, 64, p.lsrc[:], reply)
	}
}

// await returns the next ICMPv6 message of a type.
func (n *riotNode) await(typ byte, within time.Duration) (riotIP, bool) {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for {
		select {
		case p, ok := <-n.packets:
			if !ok {
				return p, false
			}
			if p.b[0] == typ {
				return p, true
			}
		case <-timeout.C:
			return riotIP{}, false
		}
	}
}

// options returns the options of an ND message.
func options(b []byte) (list [][]byte) {
	at := map[byte]int{133: 8, 134: 16, 135: 24, 136: 24}[b[0]]
	for at+8 <= len(b) && b[at+1] != 0 && at+8*int(b[at+1]) <= len(b) {
		list = append(list, b[at:at+8*int(b[at+1])])
		at += 8 * int(b[at+1])
	}
	return list
}

func option(b []byte, typ byte) []byte {
	for _, o := range options(b) {
		if o[0] == typ {
			return o
		}
	}
	return nil
}

func (n *riotNode) sllao() []byte {
	return slices.Concat([]byte{1, 2}, n.eui[:], make([]byte, 6))
}

// solicit sends the router solicitation of a node that starts.
func (n *riotNode) solicit() {
	n.icmp(linkLocalOf(n.eui), netip.MustParseAddr("ff02::2"), 255, nil, slices.Concat([]byte{133, 0, 0, 0, 0, 0, 0, 0}, n.sllao()))
}

// register asks the router to register addr, which is the node's own unless it lies.
func (n *riotNode) register(addr netip.Addr, minutes byte) bool {
	r := linkLocalOf(n.router).As16()
	msg := slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, r[:], n.sllao(), []byte{33, 2, 0, 0, 0, 0, 0, minutes}, n.eui[:])
	return n.icmp(addr, linkLocalOf(n.router), 255, n.router[:], msg)
}

// probe is the neighbor unreachability detection of the router.
func (n *riotNode) probe() bool {
	r := linkLocalOf(n.router).As16()
	return n.icmp(n.global(), linkLocalOf(n.router), 255, n.router[:], slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, r[:], n.sllao()))
}

// ping sends an echo request to the link-local address of the router.
func (n *riotNode) ping(seq uint16, size int) bool {
	msg := append([]byte{128, 0, 0, 0, 0x12, 0x34, byte(seq >> 8), byte(seq)}, make([]byte, size)...)
	return n.icmp(linkLocalOf(n.eui), linkLocalOf(n.router), 64, n.router[:], msg)
}

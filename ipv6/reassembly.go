package ipv6

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"time"
)

// FragmentHeaderLen is the length in bytes of the fragment header (RFC 8200 section 4.5).
const FragmentHeaderLen = 8

// ErrHeld says that a packet has been kept and that what becomes of it is decided later.
// It is not a drop.
var ErrHeld = errors.New("held")

// Defaults of [ReassemblyConfig].
const (
	reassemblyTimeout      = 60 * time.Second // RFC 8200 section 4.5
	reassemblyDatagrams    = 32
	reassemblyPerSource    = 4
	reassemblyBytes        = 64 << 10
	reassemblyMinimum      = 1500  // RFC 8200 section 5: a node must accept this much
	reassemblyMaximum      = 65575 // 40 bytes and the most that the length field can say
	reassemblyPortsAtFirst = 2
)

// A ReassemblyConfig sets up a [Reassembler]. Zero fields take their defaults.
type ReassemblyConfig struct {
	MaxSize      int           // bytes of a reassembled packet; default [MaxPacket], at least 1500
	MaxDatagrams int           // packets under reassembly; default 32
	MaxPerSource int           // of these with the same source address; default 4
	MaxBytes     int           // of memory for all of them, room for one at least; default 64 KiB
	Timeout      time.Duration // from the first fragment that arrives; default 60 s

	// Released is told that n packets which came in by port, and for which Input returned
	// ErrHeld, are not held any more. err is nil where they became part of the packet that
	// the running call of Input returns, else the [Drop] that they died of.
	Released func(now time.Time, port, n int, err error)

	// Error asks for an ICMPv6 error about cause, which came as m says and is valid during
	// the call (RFC 8200 section 4.5, RFC 4443). Whether one is allowed is for
	// [ErrorAllowed] to say. nil sends none.
	Error func(now time.Time, cause Packet, m Meta, typ, code uint8, param uint32)
}

// A Reassembler puts fragments of packets to ourselves together (RFC 8200 section 4.5).
// Fragments may come in any order and more than once. A packet with fragments that
// overlap is given up, and whatever still arrives of it until it would have timed out (RFC
// 5722). It is a plain machine: see [Reassembler.Deadline] and [Reassembler.Advance].
//
// Memory is bounded by MaxDatagrams and MaxBytes, and taken only as it is needed; when a
// fragment of a new packet finds no room, the oldest packet has to go: that of the same
// source where it has reached its limit, else of all.
type Reassembler struct {
	cfg   ReassemblyConfig
	index map[fragKey]int32
	slots []fragSlot
	free  int32 // first of the unused slots, linked by next; -1: none
	old   int32 // the oldest in use, -1: none; linked by next towards the newest
	young int32
	out   []byte
}

// A fragKey tells packets apart. Fragments with link-local addresses belong together only
// where they came by the same link (RFC 4007 section 6): zone is the port, else -1.
type fragKey struct {
	src, dst [16]byte
	id       uint32
	zone     int
}

type fragSlot struct {
	key        fragKey
	prev, next int32
	expires    time.Time
	meta       Meta   // of the first fragment once it is here, before that of any
	head       []byte // first fragment up to the end of its fragment header; empty: not here yet
	named      int    // offset in head of the Next Header byte that names the fragment header
	firstLen   int    // bytes of data in the first fragment
	data       []byte // fragmentable part
	have       []uint64
	start      []uint64 // blocks of 8 bytes that a fragment begins with; have: that are here
	total      int      // length of the fragmentable part, -1 until the last fragment is here
	got        int      // bytes of it that are here
	end        int      // end of the furthest fragment
	ecn        uint8    // bit set of the ECN fields seen
	dead       bool     // given up, and remembered so that the rest of it is dropped too
	held       []portCount
}

type portCount struct{ port, n int }

// NewReassembler returns an empty Reassembler.
func NewReassembler(cfg ReassemblyConfig) *Reassembler {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&cfg.MaxSize, MaxPacket)
	def(&cfg.MaxDatagrams, reassemblyDatagrams)
	def(&cfg.MaxPerSource, reassemblyPerSource)
	def(&cfg.MaxBytes, reassemblyBytes)
	cfg.MaxSize = min(max(cfg.MaxSize, reassemblyMinimum), reassemblyMaximum)
	cfg.MaxDatagrams = min(cfg.MaxDatagrams, max(1, cfg.MaxBytes/cfg.MaxSize))
	if cfg.Timeout <= 0 {
		cfg.Timeout = reassemblyTimeout
	}
	r := &Reassembler{
		cfg:   cfg,
		index: make(map[fragKey]int32, cfg.MaxDatagrams),
		slots: make([]fragSlot, cfg.MaxDatagrams),
		old:   -1,
		young: -1,
	}
	for i := range r.slots {
		r.slots[i].next = int32(i) + 1
	}
	r.slots[len(r.slots)-1].next = -1
	return r
}

// Input takes a packet for us that [UpperLayer] has passed and that came in as m says.
//
//   - A packet that is no fragment, or the only one (RFC 6946), is returned as it is.
//   - [ErrHeld]: p has been copied and waits for the rest. What becomes of it is told to
//     Released.
//   - nil: p was the last that was missing. whole is the packet, without the fragment
//     header; it aliases a buffer of r and is valid until the next call of Input or
//     Advance. Released has been told of the other parts.
//   - A [Drop]: p is dropped, and only p is meant; parts that die of the same cause are
//     told to Released. [DropDuplicate] for a fragment that is here already, [DropFragment]
//     for one that is malformed, overlaps another or makes the packet too large,
//     [DropTruncated] for a first fragment without the whole header chain (RFC 7112).
func (r *Reassembler) Input(now time.Time, p Packet, m Meta) (whole Packet, err error) {
	c := p.walk(walkUpper)
	if c.err != 0 {
		return nil, c.err
	}
	if c.proto != ProtoFragment {
		return p, nil
	}
	f, d := r.parse(now, p, m, &c)
	if d != 0 {
		return nil, d
	}
	i, ok := r.index[f.key]
	if ok && !r.slots[i].expires.After(now) {
		r.expire(now, i)
		ok = false
	}
	if !ok {
		i = r.open(now, f.key, m)
	}
	s := &r.slots[i]
	if s.dead {
		return nil, DropFragment
	}
	switch s.add(p, m, &f, r.cfg.MaxSize) {
	case addDuplicate:
		return nil, DropDuplicate
	case addConflict:
		r.kill(now, s, DropFragment)
		return nil, DropFragment
	}
	if s.total < 0 || s.got < s.total {
		s.hold(m.Port)
		return nil, ErrHeld
	}
	whole, d = r.finish(s)
	if d != 0 {
		r.kill(now, s, d)
		return nil, d
	}
	r.release(now, s, nil)
	r.close(i)
	return whole, nil
}

// A fragment is one packet with a fragment header that is no trivial one.
type fragment struct {
	key   fragKey
	hdr   int // offset of the fragment header
	named int
	from  int // offset of the data in the fragmentable part, bytes
	more  bool
	data  []byte
}

func (r *Reassembler) parse(now time.Time, p Packet, m Meta, c *chain) (f fragment, d Drop) {
	field := binary.BigEndian.Uint16(p[c.off+2:])
	f = fragment{
		key:   fragKey{p.Src16(), p.Dst16(), binary.BigEndian.Uint32(p[c.off+4:]), -1},
		hdr:   c.off,
		named: c.named,
		from:  int(field &^ 7),
		more:  field&1 != 0,
		data:  p[c.off+FragmentHeaderLen:],
	}
	if isLinkLocal(f.key.src) || isLinkLocal(f.key.dst) || f.key.dst[0] == 0xff {
		f.key.zone = m.Port
	}
	if f.more && len(f.data)%8 != 0 {
		// "that fragment must be discarded and an ICMP Parameter Problem, Code 0, message
		// should be sent ... pointing to the Payload Length field of the fragment packet."
		r.problem(now, p, m, ProblemHeaderField, 4)
		return f, DropFragment
	}
	if f.from+len(f.data)+c.off-HeaderLen > 65535 {
		r.problem(now, p, m, ProblemHeaderField, uint32(c.off+2))
		return f, DropFragment
	}
	if len(f.data) == 0 {
		return f, DropFragment
	}
	if f.from == 0 {
		// RFC 8200 section 4.5: "If the first fragment does not include all headers through
		// an Upper-Layer header, then that fragment should be discarded and an ICMP
		// Parameter Problem, Code 3, message should be sent".
		if !p.wholeChain() {
			r.problem(now, p, m, ProblemFirstFragment, 0)
			return f, DropTruncated
		}
	}
	return f, 0
}

// wholeChain reports whether a first fragment holds all headers up to and including that
// of the upper layer.
func (p Packet) wholeChain() bool {
	c := p.walk(walkUnchecked)
	if c.err == DropTruncated {
		return false
	}
	need := 0
	switch c.proto {
	case ProtoTCP:
		need = 20
	case ProtoUDP, ProtoICMPv6:
		need = 8
	}
	return c.err != 0 || len(p)-c.off >= need
}

func (r *Reassembler) problem(now time.Time, p Packet, m Meta, code uint8, pointer uint32) {
	if r.cfg.Error != nil {
		r.cfg.Error(now, p, m, ICMPParamProblem, code, pointer)
	}
}

// The outcomes of add.
const (
	addNew = iota
	addDuplicate
	addConflict
)

// add puts the data of f in place.
func (s *fragSlot) add(p Packet, m Meta, f *fragment, maxSize int) int {
	end := f.from + len(f.data)
	head := HeaderLen
	if f.from == 0 {
		head = f.hdr
	} else if len(s.head) > 0 {
		head = len(s.head) - FragmentHeaderLen
	}
	if head+max(end, s.end) > maxSize {
		return addConflict
	}
	first, last := f.from/8, (end+7)/8 // blocks
	if anyBit(s.have, first, last) {
		// RFC 8200 section 4.5 leaves exact duplicates to us: the same bytes between the
		// same bounds change nothing.
		if getBit(s.start, first) && !anyBit(s.start, first+1, last) && allBits(s.have, first, last) &&
			(getBit(s.start, last) || !getBit(s.have, last)) && (f.more || end == s.total) &&
			end <= s.end && bytes.Equal(s.data[f.from:end], f.data) && (f.more == (end != s.total)) {
			return addDuplicate
		}
		return addConflict
	}
	if !f.more {
		if s.total >= 0 || end < s.end {
			return addConflict
		}
		s.total = end
	} else if s.total >= 0 && end > s.total {
		return addConflict
	}
	if len(s.data) < maxSize-HeaderLen {
		n := (maxSize - HeaderLen + 7) / 8
		s.data = make([]byte, maxSize-HeaderLen)
		s.have = make([]uint64, n/64+1)
		s.start = make([]uint64, n/64+1)
	}
	copy(s.data[f.from:], f.data)
	setBits(s.have, first, last)
	setBits(s.start, first, first+1)
	s.got += len(f.data)
	s.end = max(s.end, end)
	s.ecn |= 1 << (p.TrafficClass() & 3)
	if f.from == 0 {
		s.head = append(s.head[:0], p[:f.hdr+FragmentHeaderLen]...)
		s.named, s.firstLen, s.meta = f.named, len(f.data), m
	}
	return addNew
}

func (s *fragSlot) hold(port int) {
	for i := range s.held {
		if s.held[i].port == port {
			s.held[i].n++
			return
		}
	}
	if s.held == nil {
		s.held = make([]portCount, 0, reassemblyPortsAtFirst)
	}
	s.held = append(s.held, portCount{port, 1})
}

// finish builds the packet of a complete slot.
func (r *Reassembler) finish(s *fragSlot) (Packet, Drop) {
	n := len(s.head) - FragmentHeaderLen
	b := append(r.out[:0], s.head[:n]...)
	b = append(b, s.data[:s.total]...)
	r.out = b[:0]
	b[s.named] = s.head[n] // Next Header of the fragment header takes its place
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-HeaderLen))
	ecn, ok := mergeECN(s.ecn)
	if !ok {
		return nil, DropFragment
	}
	b[1] = b[1]&^0x30 | ecn<<4
	p := Packet(b[:len(b):len(b)])
	if c := p.walk(walkUnchecked); c.err == 0 && c.frag != 0 || c.proto == ProtoFragment {
		// A fragment of a fragment: nobody sends one, and it could go on for ever.
		return nil, DropFragment
	}
	return p, 0
}

// mergeECN returns the ECN field of a packet from the set of those of its fragments (RFC
// 3168 section 5.3). ok is false for a packet that has to be dropped: one with congestion
// marked on some fragments that others of it say nobody could have marked.
func mergeECN(set uint8) (ecn uint8, ok bool) {
	const notECT, ect1, ect0, ce = 1 << 0, 1 << 1, 1 << 2, 1 << 3
	switch {
	case set&ce != 0:
		return 3, set&notECT == 0
	case set&notECT != 0:
		return 0, true
	case set&ect0 != 0:
		return 2, true
	}
	return 1, set&ect1 != 0
}

// Deadline returns when the oldest packet times out, or zero where there is none.
func (r *Reassembler) Deadline() time.Time {
	if r.old < 0 {
		return time.Time{}
	}
	return r.slots[r.old].expires
}

// Advance gives up every packet that has not become complete in time.
func (r *Reassembler) Advance(now time.Time) {
	for r.old >= 0 && !r.slots[r.old].expires.After(now) {
		r.expire(now, r.old)
	}
}

// Len returns how many packets are under reassembly, those given up but remembered
// included.
func (r *Reassembler) Len() int { return len(r.index) }

// Held returns how many packets (fragments) are held.
func (r *Reassembler) Held() int {
	n := 0
	for i := r.old; i >= 0; i = r.slots[i].next {
		for _, h := range r.slots[i].held {
			n += h.n
		}
	}
	return n
}

// expire ends slot i for want of time, with a Time Exceeded where the first fragment is
// here.
func (r *Reassembler) expire(now time.Time, i int32) {
	s := &r.slots[i]
	if !s.dead && len(s.head) > 0 && r.cfg.Error != nil {
		b := append(r.out[:0], s.head...)
		b = append(b, s.data[:s.firstLen]...)
		r.out = b[:0]
		r.cfg.Error(now, Packet(b[:len(b):len(b)]), s.meta, ICMPTimeExceeded, TimeExceededReassembly, 0)
	}
	r.release(now, s, DropReassemblyTimeout)
	r.close(i)
}

// kill gives up a packet and remembers it.
func (r *Reassembler) kill(now time.Time, s *fragSlot, d Drop) {
	s.dead = true
	r.release(now, s, d)
}

func (r *Reassembler) release(now time.Time, s *fragSlot, err error) {
	for _, h := range s.held {
		if r.cfg.Released != nil {
			r.cfg.Released(now, h.port, h.n, err)
		}
	}
	s.held = s.held[:0]
}

// open returns a slot for a new packet and makes room where there is none.
func (r *Reassembler) open(now time.Time, k fragKey, m Meta) int32 {
	mine, oldest := 0, int32(-1)
	for i := r.old; i >= 0; i = r.slots[i].next {
		if s := &r.slots[i]; s.key.src == k.src && s.key.zone == k.zone {
			if mine++; oldest < 0 {
				oldest = i
			}
		}
	}
	if mine >= r.cfg.MaxPerSource {
		r.evict(now, oldest)
	}
	if r.free < 0 {
		r.evict(now, r.old)
	}
	i := r.free
	s := &r.slots[i]
	r.free = s.next
	clear(s.have)
	clear(s.start)
	*s = fragSlot{
		key: k, prev: r.young, next: -1,
		expires: now.Add(r.cfg.Timeout),
		meta:    m,
		head:    s.head[:0], data: s.data, have: s.have, start: s.start,
		total: -1,
		held:  s.held[:0],
	}
	if r.young >= 0 {
		r.slots[r.young].next = i
	} else {
		r.old = i
	}
	r.young = i
	r.index[k] = i
	return i
}

func (r *Reassembler) evict(now time.Time, i int32) {
	r.release(now, &r.slots[i], DropReassemblyLimit)
	r.close(i)
}

// close gives slot i back.
func (r *Reassembler) close(i int32) {
	s := &r.slots[i]
	delete(r.index, s.key)
	if s.prev >= 0 {
		r.slots[s.prev].next = s.next
	} else {
		r.old = s.next
	}
	if s.next >= 0 {
		r.slots[s.next].prev = s.prev
	} else {
		r.young = s.prev
	}
	s.next, s.prev = r.free, -1
	r.free = i
}

func isLinkLocal(b [16]byte) bool { return b[0] == 0xfe && b[1]&0xc0 == 0x80 }

func getBit(w []uint64, i int) bool { return i>>6 < len(w) && w[i>>6]>>(i&63)&1 != 0 }

func setBits(w []uint64, from, to int) {
	for i := from; i < to; i++ {
		w[i>>6] |= 1 << (i & 63)
	}
}

func countBits(w []uint64, from, to int) int {
	n := 0
	for i := from; i < to && i>>6 < len(w); {
		v := w[i>>6] >> (i & 63)
		step := min(64-i&63, to-i)
		if step < 64 {
			v &= 1<<step - 1
		}
		n += bits.OnesCount64(v)
		i += step
	}
	return n
}

func anyBit(w []uint64, from, to int) bool  { return countBits(w, from, to) != 0 }
func allBits(w []uint64, from, to int) bool { return countBits(w, from, to) == to-from }

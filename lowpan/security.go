package lowpan

import (
	"encoding/binary"
	"math"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
)

// Security turns on the security of IEEE 802.15.4 (2006 section 7.6, 2015 section 9) on an
// [Interface]: what it sends is secured, and what is not secured well enough is dropped.
//
// A frame is secured with the key of the device it goes to or comes from where that device
// has one and the frame is for one device, with the key of all otherwise.
type Security struct {
	Key [16]byte // of all devices

	// Level is how outgoing frames are secured: 1 to 3 authenticate with 4, 8 or 16 bytes,
	// 4 enciphers, 5 to 7 do both. With any other value it is 5.
	Level uint8

	// MinLevel is how well received frames must be secured at least: a MIC as long, and
	// enciphered where MinLevel is. 0 takes unsecured frames too.
	MinLevel uint8

	// KeyIDMode, KeyIndex and KeySource identify the key in outgoing frames. Received ones
	// must have the same index and source, or none (mode 0).
	KeyIDMode uint8
	KeyIndex  uint8
	KeySource uint64 // its low 4 bytes in mode 2

	Devices []SecureDevice

	// MaxDevices is how many pairs of device and key are remembered with their frame
	// counter. None is ever forgotten, for its frames could be repeated then: one more is
	// refused. Default 4096.
	MaxDevices int

	// Known are the counters of [Interface.DeviceCounters] of an earlier life.
	Known []DeviceCounter

	// Counter is the first frame counter to use, and Reserved the first that may not be
	// used yet. Before they run out, Reserve is called once with a higher limit, and is to
	// be answered by [Interface.GrantCounters] when no other life of this device can use
	// the counters below it. Until then nothing is sent. Without Reserve all may be used:
	// that is for a device whose EUI-64 or key is new.
	Counter  uint32
	Reserved uint32
	Reserve  func(limit uint32)
}

// A SecureDevice is what is known of a device before it speaks.
type SecureDevice struct {
	EUI64  uint64
	Short  uint16 // by which it may send as well: the nonce is made of the EUI-64; 0: none
	HasKey bool   // Key is for frames between it and us
	Key    [16]byte
}

// A DeviceCounter is the lowest frame counter that is still accepted of a device.
type DeviceCounter struct {
	EUI64 uint64
	Key   uint64 // its fingerprint ([ieee802154.Cipher.Fingerprint])
	Next  uint32
}

const (
	// CounterStep is how many frame counters are reserved at a time, and so the most that
	// a device loses when it is killed.
	CounterStep = 8192

	// MaxCounter is a frame counter that no frame may have: the key must be replaced before
	// (2006 section 7.5.8.2.1).
	MaxCounter = math.MaxUint32
)

// A deviceKey names a device and the key it uses: one counter.
type deviceKey struct {
	ext uint64
	key uint16
}

type security struct {
	cfg  Security
	keys []*ieee802154.Cipher // the key of all first
	fps  []uint64             // their fingerprints

	own    map[uint64]uint16 // devices with a key of their own: its index
	shorts map[uint16]uint64 // EUI-64 of those with a short address

	next    map[deviceKey]uint32 // lowest frame counter that is still accepted
	changes uint64               // how often next has changed

	out     ieee802154.AuxSecurity // of the next frame: its counter
	limit   uint32
	asked   bool
	stalled bool // nothing is sent for want of counters
	told    bool // exhaustion is in the log

	buf [ieee802154.MaxFrame]byte
}

func newSecurity(cfg Security) *security {
	if cfg.Level == 0 || cfg.Level > 7 {
		cfg.Level = 5
	}
	if cfg.MaxDevices <= 0 {
		cfg.MaxDevices = 4096
	}
	if cfg.KeyIDMode &= 3; cfg.KeyIDMode == 2 {
		cfg.KeySource &= math.MaxUint32
	}
	s := &security{
		cfg:    cfg,
		own:    make(map[uint64]uint16),
		shorts: make(map[uint16]uint64),
		next:   make(map[deviceKey]uint32),
		out: ieee802154.AuxSecurity{
			Level: cfg.Level, KeyIDMode: cfg.KeyIDMode, KeyIndex: cfg.KeyIndex, KeySource: cfg.KeySource,
			FrameCounter: cfg.Counter,
		},
		limit: cfg.Reserved,
	}
	if cfg.Reserve == nil {
		s.limit = MaxCounter
	}
	s.addKey(cfg.Key)
	for _, d := range cfg.Devices {
		if d.Short != 0 && d.Short < ieee802154.NoShort {
			s.shorts[d.Short] = d.EUI64
		}
		if d.HasKey {
			s.own[d.EUI64] = s.addKey(d.Key)
		}
	}
	for _, c := range cfg.Known {
		for k, fp := range s.fps {
			if fp == c.Key && len(s.next) < cfg.MaxDevices {
				s.next[deviceKey{c.EUI64, uint16(k)}] = c.Next
				break
			}
		}
	}
	return s
}

// addKey returns the index of key, which is new or there already.
func (s *security) addKey(key [16]byte) uint16 {
	c := ieee802154.NewCipher(key)
	fp := c.Fingerprint()
	for k, f := range s.fps {
		if f == fp {
			return uint16(k)
		}
	}
	s.keys, s.fps = append(s.keys, c), append(s.fps, fp)
	return uint16(len(s.keys) - 1)
}

// ext returns the EUI-64 of a neighbour, 0 where it is not known.
func (s *security) ext(a ipv6.LinkAddr) uint64 {
	switch a.Len() {
	case 8:
		return a.Uint64()
	case 2:
		return s.shorts[uint16(a.Uint64())]
	}
	return 0
}

// covers reports whether a frame secured at level is secured as well as min demands.
func covers(level, min uint8) bool { return level&3 >= min&3 && level&4 >= min&4 }

// open takes the frame b, of which h was parsed, and puts its payload in clear into
// h.Payload, which is valid until the next call. Nothing changes but for a frame that is
// genuine and new.
func (s *security) open(b []byte, h *ieee802154.Frame, l *Link) Drop {
	c := &h.Sec
	switch {
	case !h.Security && s.cfg.MinLevel == 0:
		return 0
	case !h.Security:
		return DropSecurityLevel
	case c.Level == 0 || c.CounterSuppressed || c.ASNInNonce:
		return DropSecurity
	case !covers(c.Level, s.cfg.MinLevel):
		return DropSecurityLevel
	case c.Level == 4 && s.cfg.MinLevel != 4 && s.cfg.MinLevel != 0:
		return DropSecurityLevel
	}
	if c.KeyIDMode != 0 && c.KeyIndex != s.cfg.KeyIndex || c.KeyIDMode > 1 && c.KeySource != s.cfg.KeySource {
		return DropSecurityKey
	}
	if pan, ok := h.SourcePAN(); l.Src.Len() == 2 && ok && pan != l.PAN {
		return DropSecuritySource
	}
	k := deviceKey{ext: s.ext(l.Src)}
	if k.ext == 0 {
		return DropSecuritySource
	}
	if l.Dst != ipv6.BroadcastShort {
		k.key = s.own[k.ext]
	}
	// 2006 section 7.5.8.2.3: counters only go up. What is old does not cost a decipherment.
	next, known := s.next[k]
	if c.FrameCounter < next || c.FrameCounter == MaxCounter {
		return DropReplay
	}
	if !known && len(s.next) >= s.cfg.MaxDevices {
		return DropSecurityDevices
	}
	if _, err := s.keys[k.key].Open(s.buf[:0], b, h, k.ext); err != nil {
		if err == ieee802154.DropMIC {
			return DropMIC
		}
		return DropMAC
	}
	// A frame without a MIC can be anybody's: it must not shut out the others.
	if c.MICLen() > 0 {
		s.next[k] = c.FrameCounter + 1
		s.changes++
	}
	return 0
}

// auxLen is the length of the auxiliary security header for each key identifier mode.
var auxLen = [4]uint8{5, 6, 10, 14}

// header adds the auxiliary security header to f, and room for the MIC. It returns the
// lengths of both.
func (s *security) header(f *ieee802154.Frame) (mic int, aux uint8) {
	f.Security, f.Sec = true, s.out
	f.MIC = s.buf[:s.out.MICLen()]
	return len(f.MIC), auxLen[s.out.KeyIDMode]
}

// key returns the key for frames to dst.
func (s *security) key(dst ipv6.LinkAddr) *ieee802154.Cipher {
	if dst == ipv6.BroadcastShort {
		return s.keys[0]
	}
	return s.keys[s.own[s.ext(dst)]]
}

// seal secures the frame b, which is for nb, in place, and counts it. ready must have said
// yes.
func (s *security) seal(b []byte, nb *neighbor, src uint64) []byte {
	binary.LittleEndian.PutUint32(b[nb.counterAt:], s.out.FrameCounter)
	b = nb.key.Protect(b, int(nb.hdrLen), &s.out, src)
	s.out.FrameCounter++
	s.ask()
	return b
}

// ask asks for more counters while half of a step is left.
func (s *security) ask() {
	if s.asked || s.limit == MaxCounter || s.limit > s.out.FrameCounter && s.limit-s.out.FrameCounter > CounterStep/2 {
		return
	}
	s.asked = true
	limit := max(s.limit, s.out.FrameCounter)
	if limit > MaxCounter-CounterStep {
		limit = MaxCounter - CounterStep
	}
	s.cfg.Reserve(limit + CounterStep)
}

// exhausted reports whether every frame counter has been used.
func (s *security) exhausted() bool { return s.out.FrameCounter == MaxCounter }

// ready reports whether one more frame may be secured.
func (s *security) ready() bool {
	if s.out.FrameCounter < s.limit {
		return true
	}
	if !s.stalled {
		s.stalled = true
		s.ask()
	}
	return s.out.FrameCounter < s.limit
}

// GrantCounters says that frame counters below limit may be used: no other life of this
// device can use them. It answers [Security].Reserve.
func (i *Interface) GrantCounters(limit uint32) {
	s := i.sec
	if s == nil {
		return
	}
	s.asked = false
	s.limit = max(s.limit, limit)
	if s.stalled && s.out.FrameCounter < s.limit {
		s.stalled = false
		if i.cfg.Wake != nil && (i.q.ready > 0 || i.current != nil || i.rec.plain != nil || i.rec.waiting()) {
			i.cfg.Wake()
		}
	}
}

// FrameCounter returns the frame counter of the next secured frame.
func (i *Interface) FrameCounter() uint32 {
	if i.sec == nil {
		return 0
	}
	return i.sec.out.FrameCounter
}

// SetShort notes the short address of a device, by which it may send secured frames: their
// nonce is made of its EUI-64. The zero short takes none away. It reports false where
// there is no security, or no room for one more.
func (i *Interface) SetShort(eui64 uint64, short uint16) bool {
	s := i.sec
	if s == nil || short == 0 || short >= ieee802154.NoShort {
		return false
	}
	if _, ok := s.shorts[short]; !ok && len(s.shorts) >= s.cfg.MaxDevices {
		return false
	}
	s.shorts[short] = eui64
	return true
}

// DeviceCounters appends to c the counters of all devices that were heard. changes goes up
// with each that changes.
func (i *Interface) DeviceCounters(c []DeviceCounter) (_ []DeviceCounter, changes uint64) {
	s := i.sec
	if s == nil {
		return c, 0
	}
	for k, next := range s.next {
		c = append(c, DeviceCounter{k.ext, s.fps[k.key], next})
	}
	return c, s.changes
}

// DeviceCounterChanges returns the changes of [Interface.DeviceCounters] alone.
func (i *Interface) DeviceCounterChanges() uint64 {
	if i.sec == nil {
		return 0
	}
	return i.sec.changes
}

// mute gives up all that waits: there are no frame counters any more.
func (i *Interface) mute(now time.Time) {
	if !i.sec.told {
		i.sec.told = true
		i.log.Error("frame counter exhausted: nothing more is sent until the key is replaced")
	}
	for len(i.rec.active) > 0 {
		i.end(i.rec.active[0], DropCounter)
	}
	i.rec.controlN = 0
	for d := i.current; ; {
		if d == nil {
			if d = i.q.next(now); d == nil {
				break
			}
		}
		i.q.discard(d, DropCounter)
		d = nil
	}
	i.current = nil
	for d := i.rec.plain; d != nil; d = i.rec.plain {
		i.rec.plain = d.next
		i.q.discard(d, DropCounter)
	}
}

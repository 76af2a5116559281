package zep

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"border-router/ieee802154"
	"border-router/ieee802154/driver"
)

// maxOwners bounds the addresses that a hub remembers, over all peers.
const maxOwners = 8192

// ackWindow is how long a hub remembers who asked for an acknowledgment.
const ackWindow = time.Second

// sniffersAge times PeerAge is how long a sniffer is kept: it never says anything.
const sniffersAge = 12

// A peer is one UDP address that speaks ZEP: a node, a sniffer, another hub; for a client
// and in broadcast mode, the one remote address.
type peer struct {
	addr    netip.AddrPort
	sock    uint8
	fixed   bool // not learnt, never forgotten
	gone    bool // forgotten; flights may still name it
	sniffer bool
	channel uint8 // of its last frame; 0: not known
	hasPAN  bool
	pan     uint16 // of its last frame
	heard   time.Time
	owned   int       // addresses in owners
	told    KnownPeer // as OnPeer knows it
	frames  uint64
}

// A PeerInfo describes one peer of a hub.
type PeerInfo struct {
	Addr      netip.AddrPort
	Channel   uint8  // 0: not known
	PAN       uint16 // ieee802154.BroadcastPAN: not known
	Sniffer   bool
	LastHeard time.Time
	Frames    uint64 // received from it
	Addresses int    // 802.15.4 addresses learnt behind it
}

// A KnownPeer is what is worth keeping of a hub's peer over a restart.
type KnownPeer struct {
	Addr    netip.AddrPort `json:"addr"`
	Channel uint8          `json:"channel"` // 0: not known
	PAN     uint16         `json:"pan"`     // ieee802154.BroadcastPAN: not known
	Sniffer bool           `json:"sniffer,omitempty"`
}

func (p *peer) known() KnownPeer {
	k := KnownPeer{p.addr, p.channel, ieee802154.BroadcastPAN, p.sniffer}
	if p.hasPAN {
		k.PAN = p.pan
	}
	return k
}

// restore takes peers of an earlier run as if they had just been heard.
func (r *Radio) restore() {
	for _, k := range r.cfg.Known {
		if len(r.table.list) >= r.table.max {
			return
		}
		for _, s := range r.socks {
			if s.local.Addr().Is4() != k.Addr.Addr().Is4() || r.table.byAddr[k.Addr] != nil {
				continue
			}
			p := &peer{addr: k.Addr, sock: s.index, heard: r.now(), channel: k.Channel, pan: k.PAN, hasPAN: k.PAN != ieee802154.BroadcastPAN, told: k}
			r.table.byAddr[k.Addr] = p
			r.table.list = append(r.table.list, p)
			r.setSniffer(p, k.Sniffer)
		}
	}
}

// tell passes what is new of p to OnPeer.
func (r *Radio) tell(p *peer) {
	if k := p.known(); r.cfg.OnPeer != nil && k != p.told {
		p.told = k
		r.cfg.OnPeer(k, false)
	}
}

// An owner key is an 802.15.4 address; a short one counts within its PAN.
type ownerKey struct {
	addr ieee802154.Addr
	pan  uint16
}

type owner struct {
	p  *peer
	at time.Time
}

// An ackWant remembers a frame that asks for an acknowledgment.
type ackWant struct {
	at   time.Time
	src  *peer // nil: this radio itself
	dst  *peer // the only one it was given to; nil: several, or this radio
	many bool
	set  bool
}

type peerTable struct {
	max    int
	byAddr map[netip.AddrPort]*peer
	list   []*peer
	owners map[ownerKey]owner
	sweep  time.Time // next look for silent peers
	sniff  int       // sniffers in list
}

func (t *peerTable) init(n int) {
	t.max, t.byAddr, t.owners = n, make(map[netip.AddrPort]*peer), make(map[ownerKey]owner)
}

func (t *peerTable) fix(p *peer) {
	p.fixed = true
	t.list = append(t.list, p)
}

// meta goes with a frame.
type meta struct {
	channel   uint8
	rssi      int8
	lqi       uint8
	device    uint16
	forwarded bool // peers were given it
}

// Peers returns the peers of a hub, or the remote address of the other modes.
func (r *Radio) Peers() []PeerInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]PeerInfo, 0, len(r.table.list))
	for _, p := range r.table.list {
		pan := uint16(ieee802154.BroadcastPAN)
		if p.hasPAN {
			pan = p.pan
		}
		out = append(out, PeerInfo{p.addr, p.channel, pan, p.sniffer, p.heard, p.frames, p.owned})
	}
	slices.SortFunc(out, func(a, b PeerInfo) int { return a.Addr.Compare(b.Addr) })
	return out
}

// learn returns the peer that sent a good datagram.
func (r *Radio) learn(now time.Time, s *socket, from netip.AddrPort) *peer {
	t := &r.table
	if p := t.byAddr[from]; p != nil {
		p.heard, p.sock = now, s.index
		return p
	}
	level := slog.LevelInfo
	if len(t.list) >= t.max {
		level = slog.LevelDebug // whoever makes up sources shall not fill the log
		oldest := slices.MinFunc(t.list, func(a, b *peer) int { return a.heard.Compare(b.heard) })
		r.forget(oldest, level)
		r.hub.PeersEvicted++
	}
	p := &peer{addr: from, sock: s.index, heard: now}
	t.byAddr[from] = p
	t.list = append(t.list, p)
	r.hub.PeersLearned++
	r.log.Log(context.Background(), level, "zep: new peer", "addr", from)
	return p
}

func (r *Radio) forget(p *peer, level slog.Level) {
	t := &r.table
	p.gone = true
	if p.sniffer {
		t.sniff--
	}
	delete(t.byAddr, p.addr)
	i := slices.Index(t.list, p)
	last := len(t.list) - 1
	t.list[i], t.list[last] = t.list[last], nil
	t.list = t.list[:last]
	if p.owned > 0 {
		for k, o := range t.owners {
			if o.p == p {
				delete(t.owners, k)
			}
		}
	}
	r.log.Log(context.Background(), level, "zep: peer forgotten", "addr", p.addr)
	if r.cfg.OnPeer != nil {
		r.cfg.OnPeer(p.known(), true)
	}
}

// age forgets peers that were silent too long. It runs when datagrams arrive: nothing needs
// the table's places before.
func (r *Radio) age(now time.Time) {
	t := &r.table
	if now.Before(t.sweep) {
		return
	}
	t.sweep = now.Add(r.cfg.PeerAge / 16)
	for i := len(t.list) - 1; i >= 0; i-- {
		p := t.list[i]
		limit := r.cfg.PeerAge
		if p.sniffer {
			limit *= sniffersAge
		}
		if !p.fixed && now.Sub(p.heard) > limit {
			r.forget(p, slog.LevelInfo)
			r.hub.PeersAged++
		}
	}
}

// own notes that frames for k go to p.
func (r *Radio) own(now time.Time, k ownerKey, p *peer) {
	t := &r.table
	o, ok := t.owners[k]
	if ok && o.p == p && now.Sub(o.at) < time.Second {
		return // recent enough: spare the write
	}
	if ok {
		o.p.owned--
	} else if len(t.owners) >= maxOwners {
		// Give up the oldest of a few: approximate, and bounded work.
		var victim ownerKey
		var at time.Time
		n := 0
		for k, o := range t.owners {
			if n == 0 || o.at.Before(at) {
				victim, at = k, o.at
			}
			if n++; n == 16 {
				break
			}
		}
		t.owners[victim].p.owned--
		delete(t.owners, victim)
	}
	p.owned++
	t.owners[k] = owner{p, now}
}

func (r *Radio) setSniffer(p *peer, on bool) {
	if p.sniffer == on {
		return
	}
	p.sniffer = on
	if on {
		r.table.sniff++
	} else {
		r.table.sniff--
	}
}

// count notes why a frame or datagram ended here.
func (r *Radio) count(err error) {
	switch d := err.(type) {
	case Drop:
		r.drops[d]++
	case ieee802154.Drop:
		r.macDrops[d]++
	}
}

// input handles one datagram. It is called with r.mu held; acknowledgments of our own go to
// acks, everything else to fwd.
func (r *Radio) input(now time.Time, s *socket, from netip.AddrPort, b []byte, acks, fwd *outq) {
	r.stats.Received++
	h, body, err := Parse(b)
	if err != nil {
		r.count(err)
		return
	}
	if r.cfg.Mode == Client && r.refused.Swap(false) {
		r.log.Info("zep: the hub answers again", "addr", from)
	}
	if r.localIPs != nil && h.Device == r.device && from.Port() == s.local.Port() && r.localIPs[from.Addr()] {
		r.count(DropOwn)
		return
	}
	switch h.Type {
	case TypeHello:
		r.stats.Consumed++
		if r.cfg.Mode == Hub {
			r.age(now)
			p := r.learn(now, s, from)
			r.setSniffer(p, len(body) == 0)
			if len(body) == 8 {
				r.own(now, ownerKey{addr: ieee802154.Extended(binary.BigEndian.Uint64(body))}, p)
			}
			r.tell(p)
		}
		return
	case TypeAck:
		r.stats.Consumed++
		return
	}
	m := meta{channel: h.Channel, device: h.Device}
	var frame []byte
	if frame, m.rssi, m.lqi, err = h.Frame(body); err != nil {
		r.count(err)
		return
	}
	if m.channel == 0 { // lwIP: on whatever channel there is
		m.channel = r.cfg.Channel
	}
	if r.cfg.Tap != nil {
		r.cfg.Tap(false, frame, m.channel, m.rssi, m.lqi)
	}
	f := &r.f
	if err = f.Parse(frame); err != nil {
		r.count(err)
		return
	}
	if r.cfg.Mode != Hub {
		p := r.table.list[0]
		p.heard, p.channel = now, m.channel
		p.frames++
		if m.channel != r.cfg.Channel {
			r.count(DropChannel)
			return
		}
		r.toMember(now, p, &m, frame, acks)
		return
	}
	r.age(now)
	p := r.learn(now, s, from)
	r.setSniffer(p, false)
	p.channel = m.channel
	p.frames++
	if pan, ok := f.SourcePAN(); ok && pan != ieee802154.BroadcastPAN {
		p.pan, p.hasPAN = pan, true
	}
	if f.Src.Mode != ieee802154.AddrNone {
		r.own(now, ownerOf(f.Src, f), p)
	}
	r.tell(p)
	self := r.dispatch(now, p, f, &m, frame, fwd)
	switch {
	case self:
		r.toMember(now, p, &m, frame, acks)
	case m.forwarded:
		r.stats.Forwarded++
	default:
		r.count(DropNoReceiver)
	}
}

func ownerOf(a ieee802154.Addr, f *ieee802154.Frame) ownerKey {
	if a.Mode == ieee802154.AddrShort {
		pan, _ := f.SourcePAN()
		return ownerKey{a, pan}
	}
	return ownerKey{addr: a}
}

// dispatch gives a frame to every peer that is to hear it and reports whether this radio
// itself is. src nil is this radio. It is called with r.mu held.
func (r *Radio) dispatch(now time.Time, src *peer, f *ieee802154.Frame, m *meta, frame []byte, q *outq) (self bool) {
	enc := -1
	if r.cfg.Mode != Hub {
		r.toPeer(now, src, r.table.list[0], m, frame, q, &enc)
		return false
	}
	if r.table.sniff > 0 {
		r.toSniffers(now, src, m, frame, q, &enc)
	}
	own := src != nil && m.channel == r.cfg.Channel
	if f.Type == ieee802154.TypeAck && f.Dst.Mode == ieee802154.AddrNone {
		if to, me, ok := r.whoWants(now, src, f.Seq); ok {
			if me {
				return own
			}
			r.toPeer(now, src, to, m, frame, q, &enc)
			return false
		}
		r.toAll(now, src, f, m, frame, q, &enc)
		return own
	}
	want := ackWant{at: now, src: src, many: true, set: true}
	unicast := f.Dst.Mode != ieee802154.AddrNone && !f.Dst.IsBroadcast()
	switch {
	case !unicast || r.cfg.Flood:
		r.toAll(now, src, f, m, frame, q, &enc)
		self = own
	case own && r.mac.IsOwn(f.Dst) && (!f.HasDstPAN || f.DstPAN == r.cfg.PAN || f.DstPAN == ieee802154.BroadcastPAN):
		want.many = false
		self = true
	default:
		k := ownerKey{addr: f.Dst}
		if f.Dst.Mode == ieee802154.AddrShort {
			k.pan = f.DstPAN
		}
		if o, ok := r.table.owners[k]; ok {
			if o.p != src && r.hears(o.p, f, m) {
				want.dst, want.many = o.p, false
				r.toPeer(now, src, o.p, m, frame, q, &enc)
			}
		} else {
			r.toAll(now, src, f, m, frame, q, &enc)
			self = own
		}
	}
	if f.AckRequest && unicast {
		slot := &r.acks[f.Seq]
		i := 0
		if slot[0].set && (slot[0].src != src || slot[0].dst != want.dst) && (!slot[1].set || slot[1].at.Before(slot[0].at) || slot[1].src == src) {
			i = 1
		}
		slot[i] = want
	}
	return self
}

// whoWants finds out whose frame src acknowledges. me says it is this radio's.
func (r *Radio) whoWants(now time.Time, src *peer, seq uint8) (to *peer, me, ok bool) {
	slot := &r.acks[seq]
	best := -1
	for i := range slot {
		w := &slot[i]
		if !w.set || w.src == src || now.Sub(w.at) > ackWindow || w.src != nil && w.src.gone {
			continue
		}
		// This radio acknowledges only what was for it alone or for all.
		if !w.many && w.dst != src {
			continue
		}
		if best < 0 || slot[best].many && !w.many || slot[best].many == w.many && w.at.After(slot[best].at) {
			best = i
		}
	}
	if best < 0 {
		return nil, false, false
	}
	return slot[best].src, slot[best].src == nil, true
}

// hears reports whether p is on the channel and in the PAN of a frame.
func (r *Radio) hears(p *peer, f *ieee802154.Frame, m *meta) bool {
	if p.channel != 0 && p.channel != m.channel {
		return false
	}
	if f.Type == ieee802154.TypeBeacon { // a scan wants those of every PAN
		return true
	}
	pan, ok := f.DstPAN, f.HasDstPAN
	if !ok {
		pan, ok = f.SrcPAN, f.HasSrcPAN
	}
	return !ok || !p.hasPAN || pan == p.pan || pan == ieee802154.BroadcastPAN
}

func (r *Radio) toAll(now time.Time, src *peer, f *ieee802154.Frame, m *meta, frame []byte, q *outq, enc *int) {
	for _, p := range r.table.list {
		if p != src && !p.sniffer && r.hears(p, f, m) {
			r.toPeer(now, src, p, m, frame, q, enc)
		}
	}
}

func (r *Radio) toSniffers(now time.Time, src *peer, m *meta, frame []byte, q *outq, enc *int) {
	for _, p := range r.table.list {
		if p.sniffer && p != src {
			r.hub.SnifferCopies++
			r.put(now, p, m, frame, q, enc)
		}
	}
}

// toPeer gives a frame to one peer, through Impair if there is one.
func (r *Radio) toPeer(now time.Time, src, p *peer, m *meta, frame []byte, q *outq, enc *int) {
	m.forwarded = true
	n, wait := r.impair(src, p, frame)
	for range n {
		if wait > 0 {
			if !r.delay(now.Add(wait), src, p, *m, frame) {
				r.hub.Impaired++
			}
			continue
		}
		r.hub.Copies++
		r.put(now, p, m, frame, q, enc)
	}
}

// put appends the datagram for p to q. *enc is the buffer of the encoded frame, or -1. The
// buffer cannot be reused while this frame is handed out: only encode frees buffers.
func (r *Radio) put(now time.Time, p *peer, m *meta, frame []byte, q *outq, enc *int) {
	if *enc < 0 {
		r.seq++
		h := Header{Channel: m.channel, Device: m.device, LQI: 0xff, Time: NTPTime(now), Seq: r.seq}
		*enc = int(q.encode(&h, frame))
	}
	q.add(uint8(*enc), p.sock, p.addr)
}

// impair returns how many copies arrive, and when.
func (r *Radio) impair(src, dst *peer, frame []byte) (copies int, wait time.Duration) {
	if r.cfg.Impair == nil {
		return 1, 0
	}
	var from, to netip.AddrPort
	if src != nil {
		from = src.addr
	}
	if dst != nil {
		to = dst.addr
	}
	drop, wait, dup := r.cfg.Impair(from, to, frame)
	switch {
	case drop:
		r.hub.Impaired++
		return 0, 0
	case dup:
		return 2, wait
	}
	return 1, wait
}

// toMember gives a frame to this radio itself, through Impair if there is one.
func (r *Radio) toMember(now time.Time, src *peer, m *meta, frame []byte, acks *outq) {
	n, wait := r.impair(src, nil, frame)
	if n == 0 {
		r.finish(m, false, DropImpaired)
		return
	}
	r.stats.Received += uint64(n - 1)
	for range n {
		if wait > 0 {
			if !r.delay(now.Add(wait), src, nil, *m, frame) {
				r.hub.Impaired++
				r.finish(m, false, DropImpairQueue)
			}
			continue
		}
		r.member(now, src, m, frame, acks)
	}
}

// arrive ends a flight.
func (r *Radio) arrive(now time.Time, src, dst *peer, m *meta, frame []byte, q *outq) {
	if dst == nil {
		r.member(now, src, m, frame, q)
		if r.ringLen > 0 {
			driver.Notify(r.rxReady)
		}
		return
	}
	if !dst.gone {
		enc := -1
		r.hub.Copies++
		r.put(now, dst, m, frame, q, &enc)
	}
}

// finish counts what became of a frame that was received: exactly one of Delivered,
// Consumed, Forwarded and the drops.
func (r *Radio) finish(m *meta, delivered bool, err error) {
	switch {
	case delivered:
		r.stats.Delivered++
	case err == nil:
		r.stats.Consumed++
	case m.forwarded && err != ieee802154.DropDuplicate:
		r.stats.Forwarded++ // it was for others
	default:
		r.count(err)
	}
}

// member is this radio's place on the medium: MAC, acknowledgment, queue to Receive.
func (r *Radio) member(now time.Time, src *peer, m *meta, frame []byte, acks *outq) {
	isAck := ieee802154.FrameType(frame[0]&7) == ieee802154.TypeAck
	if r.ringLen == rxRing && !isAck {
		r.count(DropQueue) // before the MAC: no acknowledgment, the sender tries again
		return
	}
	ack, deliver, err := r.mac.Receive(now, frame)
	if ack != nil && !src.gone {
		am := meta{channel: m.channel, device: r.device}
		enc := -1
		if r.cfg.Tap != nil {
			r.cfg.Tap(true, ack, m.channel, ieee802154.RSSIUnknown, 0)
		}
		if r.table.sniff > 0 {
			r.toSniffers(now, nil, &am, ack, acks, &enc)
		}
		r.toPeer(now, nil, src, &am, ack, acks, &enc)
	}
	if isAck && err == nil {
		driver.Notify(r.txWake)
	}
	if deliver {
		s := &r.ring[(r.ringHead+r.ringLen)%rxRing]
		r.ringLen++
		s.n = uint8(copy(s.data[:], frame))
		s.rssi, s.lqi, s.channel = m.rssi, m.lqi, m.channel
	}
	r.finish(m, deliver, err)
}

package ieee802154

import "time"

// A peerKey names a device: an extended address alone, a short one within its PAN.
type peerKey struct {
	addr Addr
	pan  uint16
}

func keyOf(a Addr, f *Frame) peerKey {
	if a.Mode == AddrShort {
		pan, _ := f.SourcePAN()
		return peerKey{a, pan}
	}
	return peerKey{addr: a}
}

func keyTo(a Addr, f *Frame) peerKey {
	if a.Mode == AddrShort {
		return peerKey{a, f.DstPAN}
	}
	return peerKey{addr: a}
}

// dupWindow is how many frames of one source are remembered. Retransmissions follow their
// frame at once; the window only has to span what a medium reorders.
const dupWindow = 8

type seenFrame struct {
	at  time.Duration // since the epoch of the peer: its first frame
	fcs uint16
	seq uint8
	set bool
}

type macPeer struct {
	key   peerKey
	used  bool
	next  uint8 // index in seen
	heard time.Time
	epoch time.Time
	seen  [dupWindow]seenFrame

	failed    uint8 // frames in a row whose every attempt went unacknowledged
	everAcked bool
	neverAck  bool
	firstFail time.Time // when failed became 1
	probed    time.Time // last full trial
}

// duplicate reports whether the frame was seen within age, and remembers it.
func (p *macPeer) duplicate(now time.Time, seq uint8, fcs uint16, age time.Duration) bool {
	at := now.Sub(p.epoch)
	for i := range p.seen {
		s := &p.seen[i]
		if s.set && s.seq == seq && s.fcs == fcs && at-s.at <= age {
			return true
		}
	}
	p.seen[p.next%dupWindow] = seenFrame{at, fcs, seq, true}
	p.next++
	return false
}

func (p *macPeer) acked(now time.Time, m *MAC) {
	p.everAcked, p.failed = true, 0
	if p.neverAck {
		p.neverAck = false
		m.stats.Healed++
	}
	if now.After(p.heard) {
		p.heard = now
	}
}

// A peerTable holds a fixed number of peers in sets of peerWays; a full set gives up the
// peer that was silent longest. So its memory and the work of a look-up are bounded by
// construction.
type peerTable struct {
	sets [][peerWays]macPeer
}

const peerWays = 8

func (t *peerTable) init(n int) { t.sets = make([][peerWays]macPeer, (n+peerWays-1)/peerWays) }

func (t *peerTable) set(k peerKey) *[peerWays]macPeer {
	h := (k.addr.V ^ uint64(k.pan)<<32 ^ uint64(k.addr.Mode)<<56) * 0x9e3779b97f4a7c15
	return &t.sets[(h>>32)*uint64(len(t.sets))>>32]
}

func (t *peerTable) find(k peerKey) *macPeer {
	s := t.set(k)
	for i := range s {
		if s[i].used && s[i].key == k {
			return &s[i]
		}
	}
	return nil
}

// touch returns the peer, made if need be, and notes that it was heard.
func (t *peerTable) touch(k peerKey, now time.Time) *macPeer {
	s := t.set(k)
	old := &s[0]
	for i := range s {
		p := &s[i]
		if p.used && p.key == k {
			p.heard = now
			return p
		}
		if old.used && (!p.used || p.heard.Before(old.heard)) {
			old = p
		}
	}
	*old = macPeer{key: k, used: true, heard: now, epoch: now}
	return old
}

package nd

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"border-router/ipv6"
)

const (
	idgenRetries  = 3             // IDGEN_RETRIES, RFC 7217 section 7
	idgenDelay    = time.Second   // IDGEN_DELAY
	idgenAgain    = time.Minute   // after IDGEN_RETRIES
	maxDADDelay   = time.Second   // MAX_RTR_SOLICITATION_DELAY, RFC 4862 section 5.4.2
	loopRetry     = time.Minute   // how long after a loop was seen detection is tried again
	twoHours      = 2 * time.Hour // RFC 4862 section 5.5.3 e
	minNonceBytes = 6             // RFC 3971 section 5.3.2
	anycastDelay  = time.Second   // MAX_ANYCAST_DELAY_TIME, RFC 4861 section 10
	maxDelayed    = 16            // advertisements waiting for it
)

// A lanAddr is one of our addresses.
type lanAddr struct {
	addr      netip.Addr
	prefix    netip.Prefix
	state     AddressState
	told      LANAddress
	static    bool // by AddAddress
	offered   bool // in the prefix that we offer ourselves
	fixed     bool // not formed with a DAD counter
	counter   uint8
	preferred time.Time // zero: never ends
	valid     time.Time

	// duplicate address detection
	at     time.Time // next step; zero: none
	sent   int
	want   int
	looped bool
	nonces [1 + maxMulticastSolicit][6]byte // of the last probes
	probes int                              // in all
}

// sentNonce reports whether nonce was in one of the last probes for a: it is our own that
// comes back (RFC 7527 section 4.2).
func (a *lanAddr) sentNonce(nonce []byte) bool {
	for i := range a.nonces[:min(a.probes, len(a.nonces))] {
		if bytes.Equal(nonce, a.nonces[i][:]) {
			return true
		}
	}
	return false
}

func (a *lanAddr) usable() bool { return a.state == AddressPreferred || a.state == AddressDeprecated }

func (l *LAN) addr(a netip.Addr) *lanAddr {
	for i := range l.addrs {
		if l.addrs[i].addr == a {
			return &l.addrs[i]
		}
	}
	return nil
}

// stableIID returns the interface identifier of RFC 7217 section 5: the low-order 64 bits of
// F(Prefix, Net_Iface, Network_ID, DAD_Counter, secret_key), where F is HMAC-SHA-256. It
// passes over the identifiers that RFC 5453 reserves.
func (l *LAN) stableIID(p netip.Prefix, counter uint8) uint64 {
	if len(l.cfg.Secret) == 0 {
		return l.cfg.LinkAddr.IID()
	}
	for reserved := uint32(0); ; reserved++ {
		h := hmac.New(sha256.New, l.cfg.Secret)
		net := p.Masked().Addr().As16()
		h.Write(net[:8])
		ll := l.cfg.LinkAddr.Append(nil)
		h.Write(append([]byte{uint8(len(ll))}, ll...))
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(l.cfg.NetworkID))))
		h.Write([]byte(l.cfg.NetworkID))
		h.Write(binary.BigEndian.AppendUint32([]byte{counter}, reserved))
		id := binary.BigEndian.Uint64(h.Sum(nil)[24:])
		if !reservedIID(id) {
			return id
		}
	}
}

// reservedIID reports whether id is reserved (RFC 5453 section 3 and its registry): the
// subnet-router anycast address, those under the Ethernet block of IANA, and the reserved
// subnet anycast addresses of RFC 2526.
func reservedIID(id uint64) bool {
	return id == 0 || id>>24 == 0x02005efffe || id >= 0xfdff_ffff_ffff_ff80 && id <= 0xfdff_ffff_ffff_ffff
}

var linkLocalPrefix = netip.MustParsePrefix("fe80::/64")

// startAddrs begins with the link-local address, and checks those again that are here from
// before the link went down, also those that were duplicates there. It may be the first that
// we say on the link, at the same time as others: so it waits for a random time (RFC 4862
// section 5.4.2).
func (l *LAN) startAddrs(now time.Time) {
	if len(l.addrs) == 0 {
		a := lanAddr{prefix: linkLocalPrefix}
		if a.addr = l.cfg.LinkLocal; a.addr.IsValid() {
			a.fixed = true
		} else {
			a.addr = ipv6.WithIID(linkLocalPrefix, l.stableIID(linkLocalPrefix, 0))
		}
		l.linkLocal = a.addr
		l.addrs = append(l.addrs, a)
	}
	for i := range l.addrs {
		l.startDAD(now, &l.addrs[i], maxDADDelay)
	}
}

// startDAD has the uniqueness of a checked, after a random delay below d (RFC 4862 section
// 5.4.2).
func (l *LAN) startDAD(now time.Time, a *lanAddr, d time.Duration) {
	l.dirty = true
	a.sent, a.looped, a.want = 0, false, l.cfg.DADTransmits
	if a.want < 0 {
		l.finishDAD(now, a)
		return
	}
	a.state = AddressTentative
	a.at = now.Add(l.jitter(d))
}

// advanceAddrs does the steps of duplicate address detection that are due.
func (l *LAN) advanceAddrs(now time.Time) {
	for i := 0; l.up && i < len(l.addrs); i++ {
		a := &l.addrs[i]
		if a.at.IsZero() || a.at.After(now) {
			continue
		}
		l.dirty = true
		switch {
		case a.state == AddressDuplicate:
			l.regenerate(now, a)
		case a.looped && a.sent >= a.want:
			if a.want > l.cfg.DADTransmits {
				// Still looped back: nothing can be said (RFC 7527 section 4.1).
				l.warn(now, "own solicitations come back: the link is looped")
				a.looped, a.sent, a.want = false, 0, l.cfg.DADTransmits
				a.at = now.Add(loopRetry)
				continue
			}
			a.want, a.looped = a.sent+maxMulticastSolicit, false
			l.sendDAD(now, a)
		case a.sent < a.want:
			l.sendDAD(now, a)
		default:
			l.finishDAD(now, a)
		}
	}
}

func (l *LAN) sendDAD(now time.Time, a *lanAddr) {
	a.sent++
	a.looped = false
	nonce := newNonce()
	a.nonces[a.probes%len(a.nonces)] = nonce
	a.probes++
	a.at = now.Add(l.params.RetransTimer)
	l.sendCheck(now, a.addr, nonce, nil)
}

// sendCheck sends a solicitation for duplicate address detection with opts, and a nonce by
// which it is known again (RFC 7527 section 4.1).
func (l *LAN) sendCheck(now time.Time, target netip.Addr, nonce [6]byte, opts Options) {
	b, _ := NeighborSolicitation{Target: target, Options: opts}.AppendBinary(begin(l.buf[:0]))
	b = append(append(b, OptionNonce, 1), nonce[:]...)
	l.send(now, b, unspecified, SolicitedNode(target), ipv6.LinkAddr{})
}

// finishDAD makes a usable.
func (l *LAN) finishDAD(now time.Time, a *lanAddr) {
	l.dirty = true
	a.at = time.Time{}
	a.state = AddressPreferred
	if over(a.preferred, now) {
		a.state = AddressDeprecated
	}
	if !l.up {
		return
	}
	if a.addr == l.linkLocal {
		l.linkLocalReady(now)
	}
	// The routers of the link learn of it before the first answer comes back to it (RFC 9131
	// section 4).
	na := NeighborAdvertisement{Router: l.isRouter(), Target: a.addr}
	b, _ := na.AppendBinary(begin(l.buf[:0]))
	b = AppendLinkAddr(b, OptionTargetLinkAddr, l.cfg.LinkAddr)
	l.send(now, b, a.addr, allRouters, ipv6.LinkAddr{})
}

// linkLocalReady begins what needs a source address.
func (l *LAN) linkLocalReady(now time.Time) {
	l.startAdvertise(now)
	for i := range l.routers {
		l.watch(now, &l.routers[i])
	}
}

// duplicate takes the news that another node has a, which is tentative.
func (l *LAN) duplicate(now time.Time, a *lanAddr, ll ipv6.LinkAddr) {
	l.dirty = true
	l.stats.Conflicts++
	a.state, a.at = AddressDuplicate, time.Time{}
	l.ev.Conflict(now, a.addr, ll)
	switch {
	case a.fixed || a.static || len(l.cfg.Secret) == 0:
	case int(a.counter) < idgenRetries:
		a.at = now.Add(l.jitter(idgenDelay)) // RFC 7217 section 6
	default:
		// Given up, as an attacker wants it who says that every address is taken. A router has
		// nobody beside it who would start it again when he has gone.
		l.warn(now, "every address that was tried is taken", slog.Any("prefix", a.prefix), slog.Any("station", ll))
		a.at = now.Add(idgenAgain)
	}
}

// regenerate forms another address in place of a duplicate.
func (l *LAN) regenerate(now time.Time, a *lanAddr) {
	was := a.addr
	a.told.State = AddressRemoved // it has been told as a duplicate
	if a.counter++; a.counter > idgenRetries {
		a.counter = 0
	}
	a.addr = ipv6.WithIID(a.prefix, l.stableIID(a.prefix, a.counter))
	if was == l.linkLocal {
		l.linkLocal = a.addr
	}
	l.startDAD(now, a, 0)
}

// form makes an address in prefix p by autoconfiguration (RFC 4862 section 5.5.3).
func (l *LAN) form(now time.Time, p netip.Prefix, preferred, valid time.Time, offered bool, delay time.Duration) *lanAddr {
	if len(l.addrs) >= l.cfg.Limits.Addresses && !l.evictAddr(now) {
		l.stats.Dropped[DropTableFull]++
		return nil
	}
	id := l.stableIID(p, 0)
	a := lanAddr{prefix: p, preferred: preferred, valid: valid, offered: offered, addr: ipv6.WithIID(p, id)}
	if l.addr(a.addr) != nil {
		return nil
	}
	l.addrs = append(l.addrs, a)
	n := &l.addrs[len(l.addrs)-1]
	if l.up {
		l.startDAD(now, n, delay)
	}
	return n
}

// evictAddr removes an address that was formed from a prefix of which no router that answers
// speaks any more, and reports whether there was one.
func (l *LAN) evictAddr(now time.Time) bool {
	i := slices.IndexFunc(l.addrs, func(a lanAddr) bool {
		return !a.static && !a.offered && a.addr != l.linkLocal && !slices.ContainsFunc(l.prefixes, func(p lanPrefix) bool {
			return p.prefix == a.prefix && !l.gone(p.via)
		})
	})
	if i < 0 {
		return false
	}
	told := l.addrs[i].told
	l.addrs = slices.Delete(l.addrs, i, i+1)
	if told.State != AddressRemoved {
		told.State = AddressRemoved
		l.ev.AddressChanged(now, told)
	}
	return true
}

// AddAddress gives the link an address by configuration or from DHCPv6: p is the address
// with the length of its subnet. It is checked for duplicates first; a duplicate is told as
// such and nothing else is tried. The zero Time is a lifetime without end. AddAddress for an
// address that is here changes its lifetimes. [DropTableFull] comes back where there is no
// room.
func (l *LAN) AddAddress(now time.Time, p netip.Prefix, preferred, valid time.Time) error {
	l.now, l.dirty = now, true
	defer l.settle(now)
	if a := l.addr(p.Addr()); a != nil {
		a.static, a.preferred, a.valid = true, preferred, valid
		l.age(now, a)
		return nil
	}
	if !isUnicast(p.Addr()) || p.Addr().Is4In6() {
		return DropTarget
	}
	if len(l.addrs) >= l.cfg.Limits.Addresses {
		return DropTableFull
	}
	l.addrs = append(l.addrs, lanAddr{addr: p.Addr(), prefix: p.Masked(), static: true, preferred: preferred, valid: valid, state: AddressTentative})
	if l.up {
		l.startDAD(now, &l.addrs[len(l.addrs)-1], 0)
	}
	return nil
}

// RemoveAddress undoes AddAddress.
func (l *LAN) RemoveAddress(now time.Time, addr netip.Addr) {
	l.now = now
	if a := l.addr(addr.WithZone("")); a != nil && a.static {
		a.valid, l.dirty = now, true
		l.settle(now)
	}
}

// SetAnycast sets the anycast addresses that are ours, among them the subnet-router anycast
// address of a prefix on the link (RFC 4291 section 2.6.1). They are not checked for
// duplicates, and advertised without the O flag after a random delay (RFC 4861 section
// 7.2.7). At most 16.
func (l *LAN) SetAnycast(list []netip.Addr) { l.anycast = slices.Clone(list[:min(len(list), 16)]) }

// Addresses returns our addresses on the link, usable or not.
func (l *LAN) Addresses() []LANAddress {
	list := make([]LANAddress, 0, len(l.addrs))
	for i := range l.addrs {
		list = append(list, l.addrs[i].report())
	}
	return list
}

func (a *lanAddr) report() LANAddress {
	return LANAddress{Addr: a.addr, Prefix: a.prefix, State: a.state, Preferred: a.preferred, Valid: a.valid, Static: a.static}
}

// age moves a between preferred and deprecated.
func (l *LAN) age(now time.Time, a *lanAddr) {
	switch {
	case a.state == AddressPreferred && over(a.preferred, now):
		a.state, l.dirty = AddressDeprecated, true
	case a.state == AddressDeprecated && !over(a.preferred, now):
		a.state, l.dirty = AddressPreferred, true
	}
}

// tellAddrs tells what changed of our addresses, and lets go of those that are over.
func (l *LAN) tellAddrs(now time.Time) {
	for i := 0; i < len(l.addrs); i++ {
		a := &l.addrs[i]
		l.age(now, a)
		if over(a.valid, now) {
			told := a.told
			l.addrs = slices.Delete(l.addrs, i, i+1)
			i--
			if told.State != AddressRemoved {
				told.State = AddressRemoved
				l.ev.AddressChanged(now, told)
			}
			continue
		}
		if r := a.report(); r != a.told {
			if old := a.told; old.State != AddressRemoved && old.Addr != r.Addr {
				old.State = AddressRemoved
				l.ev.AddressChanged(now, old)
			}
			a.told = r
			l.ev.AddressChanged(now, r)
		}
	}
}

func (l *LAN) addrsDue() (t time.Time) {
	for i := range l.addrs {
		a := &l.addrs[i]
		if l.up {
			t = earlier(t, a.at)
		}
		t = earlier(t, a.valid)
		if a.state == AddressPreferred {
			t = earlier(t, a.preferred)
		}
	}
	return t
}

// isRouter reports whether we set the R flag.
func (l *LAN) isRouter() bool { return l.cfg.Advertise || l.cfg.RouterOnly }

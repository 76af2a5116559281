package nd

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"border-router/ipv6"
)

// What a solicitation or advertisement may put into the cache, and under which link-layer
// address.
func TestLANWhatIsLearnt(t *testing.T) {
	group := ipv6.EUI48([6]byte{0x33, 0x33, 0, 0, 0, 1})
	broadcast := ipv6.EUI48([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	for name, v := range map[string]struct {
		p    func(own ipv6.LinkAddr) ipv6.Packet
		err  error
		want ipv6.LinkAddr // of hostLL
	}{
		"NS for us":             {func(ipv6.LinkAddr) ipv6.Packet { return lanNS(hostLL, netip.Addr{}, lanLL, hostMAC, nil) }, nil, hostMAC},
		"NS for another":        {func(ipv6.LinkAddr) ipv6.Packet { return lanNS(hostLL, netip.Addr{}, otherLL, hostMAC, nil) }, DropNotOurs, ipv6.LinkAddr{}},
		"NS of a group":         {func(ipv6.LinkAddr) ipv6.Packet { return lanNS(hostLL, netip.Addr{}, lanLL, group, nil) }, DropSourceOption, ipv6.LinkAddr{}},
		"NS of everybody":       {func(ipv6.LinkAddr) ipv6.Packet { return lanNS(hostLL, netip.Addr{}, lanLL, broadcast, nil) }, DropSourceOption, ipv6.LinkAddr{}},
		"NS with our own":       {func(own ipv6.LinkAddr) ipv6.Packet { return lanNS(hostLL, netip.Addr{}, lanLL, own, nil) }, DropSourceOption, ipv6.LinkAddr{}},
		"NA, unsolicited":       {func(ipv6.LinkAddr) ipv6.Packet { return lanNA(hostLL, allRouters, hostLL, hostMAC, "") }, nil, hostMAC},
		"NA, S, nobody asked":   {func(ipv6.LinkAddr) ipv6.Packet { return lanNA(hostLL, lanLL, hostLL, hostMAC, "SO") }, nil, hostMAC},
		"NA without an address": {func(ipv6.LinkAddr) ipv6.Packet { return lanNA(hostLL, lanLL, hostLL, ipv6.LinkAddr{}, "SO") }, DropUnsolicited, ipv6.LinkAddr{}},
		"NA of a group":         {func(ipv6.LinkAddr) ipv6.Packet { return lanNA(hostLL, allNodes, hostLL, broadcast, "O") }, DropTarget, ipv6.LinkAddr{}},
		"NA with our own":       {func(own ipv6.LinkAddr) ipv6.Packet { return lanNA(hostLL, allNodes, hostLL, own, "O") }, DropTarget, ipv6.LinkAddr{}},
		"RS of a group":         {func(ipv6.LinkAddr) ipv6.Packet { return lanRS(hostLL, group) }, nil, ipv6.LinkAddr{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLANWorld(t)
			n := w.one(LANConfig{Advertise: true})
			n.sent = nil
			if err := w.inject(n, v.p(n.mac), hostMAC); err != v.err {
				t.Errorf("%v, want %v", err, v.err)
			}
			e := n.nd.cache.lookup(hostLL)
			if (e == nil) != v.want.IsZero() || e != nil && (e.ll != v.want || e.state != stateStale) {
				t.Errorf("%+v, want %v", e, v.want)
			}
			for _, f := range n.sent {
				if f.dst.IsGroup() || f.dst == n.mac {
					t.Errorf("answered to %v", f.dst)
				}
			}
		})
	}
}

// Beside the kernel its link-local address is ours, though nothing is known of its state.
func TestLANKernelAddressNotLearnt(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{RouterOnly: true, Advertise: true, LinkLocal: lanLL, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	n.nd.Start(w.now)
	w.inject(n, lanNA(lanLL, allNodes, lanLL, otherMAC, "O"), otherMAC)
	w.inject(n, lanRS(lanLL, otherMAC), otherMAC)
	if e := n.nd.cache.lookup(lanLL); e != nil {
		t.Errorf("%+v", e)
	}
}

// The source of a solicitation is that of the packet which prompts it, where that is ours
// (RFC 4861 section 7.2.2).
func TestLANSolicitationSource(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true})
	own := netip.MustParsePrefix("2001:db8:1::5/64")
	if err := n.nd.AddAddress(w.now, own, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	w.run(3 * second)
	for _, v := range []struct{ src, want netip.Addr }{
		{own.Addr(), own.Addr()},
		{addr("2001:db8:ffff::1"), lanLL}, // forwarded
	} {
		n.sent, w.queue = nil, nil
		dst := ipv6.WithIID(lanNet, uint64(0x40+v.src.As16()[15]+v.src.As16()[4]))
		p := ipv6.AppendUDP(nil, netip.AddrPortFrom(v.src, 1), netip.AddrPortFrom(dst, 2), 64, nil)
		if _, err := n.nd.Resolve(w.now, dst, p, 1); err != ipv6.ErrHeld {
			t.Fatal(err)
		}
		w.run(1500 * time.Millisecond)
		if ns := n.solicitations(); len(ns) != 2 || ns[0].p.Src() != v.want || ns[1].p.Src() != v.want {
			t.Errorf("for a packet of %v: %v", v.src, ns)
		}
		w.run(5 * second)
	}
}

// A search list is text in the end: what would be another name there is no name.
func TestDNSSLNames(t *testing.T) {
	option := func(wire ...byte) Option {
		d := append(make([]byte, 6), wire...)
		for (len(d)+2)%8 != 0 || len(d) < 14 {
			d = append(d, 0)
		}
		return Option{OptionDNSSL, d}
	}
	label := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	long := bytes.Repeat(label(strings.Repeat("a", 63)), 3)
	for name, v := range map[string]struct {
		wire []byte
		ok   bool
	}{
		"plain":           {append(label("lan"), 0), true},
		"dot in a label":  {append(label("a.b"), 0), false},
		"space":           {append(label("a b"), 0), false},
		"line feed":       {append(label("a\nnameserver"), 0), false},
		"NUL":             {append(label("a\x00b"), 0), false},
		"8 bits":          {append(label("\xff"), 0), false},
		"backslash":       {append(label(`a\`), 0), false},
		"255 octets":      {append(append(slices.Clone(long), label(strings.Repeat("b", 61))...), 0), true},
		"256 octets":      {append(append(slices.Clone(long), label(strings.Repeat("b", 62))...), 0), false},
		"compression":     {[]byte{0xc0, 0x0c}, false},
		"without the end": {label("abcdefg"), false},
	} {
		o := option(v.wire...)
		if name == "without the end" {
			o.Data = o.Data[:14]
		}
		_, names, ok := ParseDNSSL(o)
		if ok != v.ok {
			t.Errorf("%s: %q, %v", name, names, ok)
		}
		if !ok {
			continue
		}
		b, err := AppendDNSSL(nil, 1, names)
		if err != nil || !bytes.Contains(b, v.wire) {
			t.Errorf("%s: %x, %v", name, b, err)
		}
	}
}

// A solicitation of ours that comes back late, when the next has been sent, is still ours (RFC
// 7527 section 4.2), and so is one that comes when the address is in use. No other nonce is.
func TestLANLateLoop(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{Secret: secret, DADTransmits: 3})
	n.nd.Start(w.now)
	w.run(2500 * time.Millisecond)
	ns := n.solicitations()
	if len(ns) < 2 {
		t.Fatal(len(ns))
	}
	if err := w.inject(n, ns[0].p, otherMAC); err != DropSource {
		t.Error(err)
	}
	w.run(20 * second)
	own := n.nd.LinkLocal()
	if !own.IsValid() {
		t.Fatal("no address")
	}
	ns = n.solicitations()
	n.sent = nil
	if err := w.inject(n, ns[len(ns)-1].p, otherMAC); err != DropSource || len(n.sent) != 0 || len(n.conflict) != 0 {
		t.Error("defended against ourselves", err)
	}
	m := w.add(LANConfig{LinkLocal: addr("fe80::2")})
	m.nd.Start(w.now)
	if err := w.inject(m, lanNS(unspecified, netip.Addr{}, addr("fe80::2"), ipv6.LinkAddr{}, make([]byte, 6)), otherMAC); err != DropConflict {
		t.Error("a nonce of zeros is not ours:", err)
	}
}

// The first message on a link that has come up waits for a random time, so that nodes which
// were started by the same power do not collide (RFC 4862 section 5.4.2).
func TestLANFirstMessageDelayed(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{Secret: secret})
	var delays []time.Duration
	for range 20 {
		start := w.now
		n.nd.Start(start)
		w.run(3 * second)
		if !n.nd.LinkLocal().IsValid() {
			t.Fatal("no address")
		}
		delays = append(delays, n.solicitations()[0].at.Sub(start))
		n.nd.Down(w.now)
		n.sent = nil
		w.run(second)
	}
	slices.Sort(delays)
	if delays[0] > 300*time.Millisecond || delays[19] < 700*time.Millisecond || delays[19] >= second {
		t.Error(delays)
	}
}

// An address that was a duplicate before the cable was pulled may be none where it is plugged
// in again.
func TestLANDuplicateCheckedAgain(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{LinkLocal: lanLL})
	n.nd.Start(w.now)
	w.inject(n, lanNA(lanLL, allNodes, lanLL, otherMAC, "O"), otherMAC)
	w.run(hour)
	if n.nd.LinkLocal().IsValid() {
		t.Fatal("usable")
	}
	n.nd.Down(w.now)
	w.run(second)
	n.nd.Start(w.now)
	w.run(3 * second)
	if n.nd.LinkLocal() != lanLL {
		t.Error("not checked again")
	}
}

// Addresses that nobody can have on a link are refused, and zones are not part of them.
func TestLANAddressForms(t *testing.T) {
	w := newLANWorld(t)
	n := w.add(LANConfig{LinkLocal: addr("fe80::1%eth0"), Advertise: true, RDNSS: []netip.Addr{{}, addr("192.0.2.1"), addr("fe80::53%eth0")}})
	n.nd.Start(w.now)
	w.run(3 * second)
	if n.nd.LinkLocal() != lanLL {
		t.Error(n.nd.LinkLocal())
	}
	if err := w.inject(n, lanRA(lanLL, hostMAC, 1800), hostMAC); err != DropSource {
		t.Error("our own address is not known:", err)
	}
	for _, s := range []string{"::ffff:192.0.2.1/120", "ff02::1/64", "::/0", "::1/128", "192.0.2.1/24"} {
		if err := n.nd.AddAddress(w.now, netip.MustParsePrefix(s), time.Time{}, time.Time{}); err != DropTarget {
			t.Error(s, err)
		}
	}
	if err := n.nd.AddAddress(w.now, netip.Prefix{}, time.Time{}, time.Time{}); err != DropTarget {
		t.Error(err)
	}
	for _, a := range []netip.Addr{{}, addr("::ffff:192.0.2.1"), addr("192.0.2.1"), allNodes, hostLL} {
		if err := n.nd.ProxyAdd(w.now, a, true); err != DropTarget {
			t.Error(a, err)
		}
	}
	if err := n.nd.ProxyAdd(w.now, addr("2001:db8:1::9%eth0"), true); err != nil {
		t.Error(err)
	}
	n.nd.ProxyRemove(w.now, addr("2001:db8:1::9"))
	if len(n.nd.checks) != 0 {
		t.Error("a zone makes another address")
	}
	// None of these may panic.
	for _, a := range []netip.Addr{{}, addr("192.0.2.1"), addr("fe80::99%eth0")} {
		n.nd.Heard(w.now, a, ipv6.Meta{LinkSrc: hostMAC})
		n.nd.Confirm(w.now, a)
		n.nd.RemoveAddress(w.now, a)
		n.nd.ProxyRemove(w.now, a)
		n.nd.Resolve(w.now, a, lanPacket(hostLL), 1)
		n.nd.Redirect(w.now, lanPacket(hostLL), ipv6.Meta{LinkSrc: hostMAC}, a)
	}
	for _, e := range n.nd.Snapshot() {
		if e.Addr.Zone() != "" {
			t.Error(e.Addr)
		}
	}
	n.nd.SetDNS(w.now, []netip.Addr{{}, addr("fe80::53%eth0")}, nil)
	n.nd.SetNAT64(w.now, netip.MustParsePrefix("64:ff9b::/95"))
	w.run(10 * second)
	checkLAN(t, n.nd)
}

// A link that was away for a moment is no reason to offer a prefix beside that of a router
// which is still there.
func TestLANOfferWaitsAfterFlap(t *testing.T) {
	w := newLANWorld(t)
	n := w.one(LANConfig{Advertise: true, OfferPrefix: offerNet, Secret: secret})
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC})
	announce := func() {
		w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(lanNet, 9000, 9000)), hostMAC)
	}
	announce()
	w.run(30 * second)
	for range 5 {
		n.nd.Down(w.now)
		w.run(second)
		n.nd.Start(w.now)
		if n.nd.Offering() {
			t.Fatal("offered at once")
		}
		w.run(3 * second)
		announce()
		w.run(10 * second)
		if n.nd.Offering() {
			t.Fatal("offered beside a router that is there")
		}
	}
	if _, ok := n.onLink[offerNet]; ok {
		t.Error("on-link")
	}
	// Where the router is gone after it, ours comes.
	w.hook = nil
	n.nd.Down(w.now)
	w.run(second)
	n.nd.Start(w.now)
	w.run(10 * second)
	if !n.nd.Offering() {
		t.Error("not offered")
	}
}

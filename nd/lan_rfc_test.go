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
		n.sent = nil
		dst := ipv6.WithIID(lanNet, uint64(0x40+v.src.As16()[15]+v.src.As16()[4]))
		p := ipv6.AppendUDP(nil, netip.AddrPortFrom(v.src, 1), netip.AddrPortFrom(dst, 2), 64, nil)
		if _, err := n.nd.Resolve(w.now, dst, p, 1); err != ipv6.ErrHeld {
			t.Fatal(err)
		}
		w.run(1500 * time.Millisecond)
		if len(n.sent) != 2 || n.sent[0].p.Src() != v.want || n.sent[1].p.Src() != v.want {
			t.Errorf("for a packet of %v: %d solicitations, %v", v.src, len(n.sent), n.sent[0].p.Src())
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

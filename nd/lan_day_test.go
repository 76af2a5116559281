package nd

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"border-router/ipv6"
)

// A day of a router's life: an uplink router that renumbers, that goes and comes back, a
// mesh that changes its prefix, a neighbor router of our kind, and a host that must at each
// moment have a usable address and a route to the mesh.
func TestLANDay(t *testing.T) {
	w := newLANWorld(t)
	a := w.add(LANConfig{Advertise: true, AcceptRouter: true, OfferPrefix: offerNet, Secret: secret, Routes: []AdvertisedRoute{{Prefix: meshNet}}})
	mesh2 := netip.MustParsePrefix("fd00:bbbb:0:2::/64")
	b := w.add(LANConfig{Advertise: true, AcceptRouter: true, OfferPrefix: netip.MustParsePrefix("fd00:bbbb:0:1::/64"), Secret: []byte("b's secret key...."), Routes: []AdvertisedRoute{{Prefix: mesh2}}})
	h := w.add(LANConfig{AcceptRouter: true, Secret: []byte("the secret of a host")}) // a host
	for _, n := range w.nodes {
		n.nd.Start(w.now)
		w.run(500 * time.Millisecond)
	}
	up := w.add(LANConfig{Advertise: true, RouterLifetime: 1800 * second, MaxRAInterval: 600 * second, MinRAInterval: 200 * second}) // the uplink
	up.off = true
	isp1, isp2 := netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:2::/64")
	served := func(p netip.Prefix) []AdvertisedPrefix {
		return []AdvertisedPrefix{{Prefix: p, OnLink: true, Autonomous: true, Valid: 86400 * second, Preferred: 14400 * second}}
	}
	in := func(p netip.Prefix) bool {
		for _, x := range h.usable() {
			if p.Contains(x) {
				return true
			}
		}
		return false
	}
	hours := 0
	for at := w.now.Add(24 * hour); w.now.Before(at); {
		switch hours {
		case 2:
			up.off = false
			up.nd.SetPrefixes(w.now, served(isp1))
			up.nd.Start(w.now)
		case 6: // the provider renumbers
			up.nd.SetPrefixes(w.now, served(isp2))
		case 9: // the mesh renumbers
			a.nd.SetRoutes(w.now, []AdvertisedRoute{{Prefix: netip.MustParsePrefix("fd00:aaaa:0:3::/64")}})
		case 12: // the uplink breaks
			up.nd.Stop(w.now)
			up.off = true
		case 15: // the cable of a
			a.nd.Down(w.now)
			w.run(10 * second)
			a.nd.Start(w.now)
		case 18:
			up.off = false
			up.nd.Start(w.now)
		}
		for m := range 60 {
			w.run(minute)
			if len(h.usable()) == 0 {
				t.Fatalf("hour %d, minute %d: the host has no usable address: %v", hours, m, h.addrs)
			}
			route := meshNet
			if hours >= 9 {
				route = netip.MustParsePrefix("fd00:aaaa:0:3::/64")
			}
			if r, ok := h.routes[route]; !ok || r.NextHop != a.nd.LinkLocal() {
				t.Fatalf("hour %d, minute %d: no route to the mesh: %v", hours, m, h.routes)
			}
			if r := h.routes[mesh2]; r.NextHop != b.nd.LinkLocal() {
				t.Fatalf("hour %d, minute %d: no route to the other mesh", hours, m)
			}
		}
		wantUp := hours >= 2 && hours < 12 || hours >= 18
		if _, ok := h.routes[defaultPrefix]; ok != wantUp {
			t.Errorf("hour %d: default route %v", hours, ok)
		}
		if in(isp1) != (hours >= 2 && hours < 6) || in(isp2) != (hours >= 6 && wantUp || hours >= 12 && in(isp2)) {
			t.Errorf("hour %d: %v", hours, h.usable())
		}
		if offering := a.nd.Offering() != b.nd.Offering(); offering == wantUp || a.nd.Offering() && b.nd.Offering() {
			t.Errorf("hour %d: offering %v, %v", hours, a.nd.Offering(), b.nd.Offering())
		}
		if _, old := h.routes[meshNet]; old && hours >= 9 {
			t.Errorf("hour %d: the mesh's old prefix is still routed", hours)
		}
		hours++
	}
	if a.persist+b.persist > 30 {
		t.Errorf("written %d times in a day", a.persist+b.persist)
	}
	for _, n := range w.nodes {
		if s := n.nd.Stats(); s.Conflicts > 0 || len(n.conflict) > 0 {
			t.Errorf("%d conflicts", s.Conflicts)
		}
	}
}

// tshark finds nothing wrong with anything that is sent.
func TestLANTshark(t *testing.T) {
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark:", err)
	}
	w := newLANWorld(t)
	set := proxySet{ipv6.WithIID(lanNet, 5): true}
	n := w.one(LANConfig{
		Advertise: true, AcceptRouter: true, OfferPrefix: offerNet, Secret: secret, Proxy: set, AnnounceMTU: true, CurHopLimit: 64,
		Routes: []AdvertisedRoute{{Prefix: meshNet}, {Prefix: netip.MustParsePrefix("::/0"), Preference: PreferenceLow}, {Prefix: netip.MustParsePrefix("2001:db8:5::1/128")}},
		RDNSS:  []netip.Addr{addr("2001:db8::53")}, DNSSL: []string{"example.org"}, NAT64: netip.MustParsePrefix("64:ff9b::/96"),
	})
	w.run(20 * second)
	w.answer(map[netip.Addr]ipv6.LinkAddr{hostLL: hostMAC})
	w.inject(n, lanRA(hostLL, hostMAC, 1800, pio(lanNet, 9000, 9000)), hostMAC)
	w.inject(n, lanNS(hostLL, netip.Addr{}, lanLL, hostMAC, nil), hostMAC)
	w.inject(n, lanNS(hostLL, netip.Addr{}, ipv6.WithIID(lanNet, 5), hostMAC, nil), hostMAC)
	w.inject(n, lanRS(hostLL, hostMAC), hostMAC)
	n.nd.Resolve(w.now, otherLL, lanPacket(otherLL), 1)
	n.nd.ProxyAdd(w.now, ipv6.WithIID(lanNet, 5), true)
	far := ipv6.AppendUDP(nil, netip.AddrPortFrom(ipv6.WithIID(lanNet, 9), 1), netip.AddrPortFrom(addr("2001:db8:9::1"), 2), 64, make([]byte, 700))
	if err := n.nd.Redirect(w.now, far, ipv6.Meta{LinkSrc: otherMAC}, hostLL); err != nil {
		t.Fatal(err)
	}
	w.run(hour)
	n.nd.SetRoutes(w.now, nil)
	w.run(minute)
	n.nd.Stop(w.now)

	file := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0)
	types := map[byte]bool{}
	for _, f := range n.sent {
		types[icmp(f.p)[0]] = true
		dst := f.dst
		if dst.IsZero() {
			dst = ipv6.GroupEUI48(f.p.Dst())
		}
		frame := append(f.src.Append(dst.Append(nil)), 0x86, 0xdd)
		frame = append(frame, f.p...)
		file = binary.LittleEndian.AppendUint32(file, uint32(f.at.Unix()))
		file = binary.LittleEndian.AppendUint32(file, 0)
		file = binary.LittleEndian.AppendUint32(file, uint32(len(frame)))
		file = append(binary.LittleEndian.AppendUint32(file, uint32(len(frame))), frame...)
	}
	for typ := byte(typeRouterSolicitation); typ <= typeRedirect; typ++ {
		if !types[typ] {
			t.Errorf("nothing of type %d was sent", typ)
		}
	}
	name := filepath.Join(t.TempDir(), "lan.pcap")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "-n", "-r", name, "-T", "fields", "-e", "icmpv6.type", "-e", "icmpv6.checksum.status", "-e", "_ws.malformed", "-e", "_ws.expert.message").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(n.sent) {
		t.Fatalf("tshark reads %d of %d packets", len(lines), len(n.sent))
	}
	for i, l := range lines {
		f := strings.Split(l, "\t")
		if len(f) != 4 || !strings.HasPrefix(f[1], "1") || f[2] != "" || f[3] != "" {
			t.Errorf("packet %d: %q\n%x", i, l, []byte(n.sent[i].p))
		}
	}
}

package decode

import (
	"encoding/binary"
	"testing"

	"border-router/ipv6"
	"border-router/mld"
)

// TestCheckMLD: what RFC 9777 has a listener or router drop.
func TestCheckMLD(t *testing.T) {
	const report = "6000000000240001fe800000000000000000000000000002ff0200000000000000000000000000163a000502000001008f0071020000000103000000ff050000000000000000000000010003"
	for _, r := range []struct {
		name string
		edit func(p ipv6.Packet)
		want error
	}{
		{"as it is", func(ipv6.Packet) {}, nil},
		{"from the unspecified address", func(p ipv6.Packet) { clear(p[8:24]) }, nil},
		{"hop limit", func(p ipv6.Packet) { p[7] = 255 }, mld.DropHopLimit},
		{"source of a wider scope", func(p ipv6.Packet) { p[8], p[9] = 0xfd, 0 }, mld.DropSource},
		{"PadN for Router Alert", func(p ipv6.Packet) { p[42] = ipv6.OptPadN }, mld.DropRouterAlert},
		{"query from the unspecified address", func(p ipv6.Packet) { clear(p[8:24]); p[48] = ipv6.ICMPMLDQuery }, mld.DropSource},
		{"checksum", func(p ipv6.Packet) { p[50] ^= 1 }, ipv6.DropChecksum},
	} {
		p := ipv6.Packet(unhexT(t, report))
		r.edit(p)
		if r.want != ipv6.DropChecksum {
			p[50], p[51] = 0, 0
			binary.BigEndian.PutUint16(p[50:], ipv6.Checksum(p.Src16(), p.Dst16(), ipv6.ProtoICMPv6, p[48:]))
		}
		if err := check(p); err != r.want {
			t.Errorf("%s: %v, want %v", r.name, err, r.want)
		}
	}
}

// TestCheckSourceRoute: a packet on its way has the checksum of its last address, and one that
// has arrived that of its destination.
func TestCheckSourceRoute(t *testing.T) {
	const onItsWay = "60000000001a2b3e20010db800000000000000000000010020010db800000000000000000000000111010303ff5000000203040000000000f0b0f0b1000a59986869"
	for _, r := range []struct {
		name string
		edit func(p ipv6.Packet)
		want error
	}{
		{"three to go", func(ipv6.Packet) {}, nil},
		{"arrived", func(p ipv6.Packet) { p[39], p[43], p[50] = 4, 0, 1 }, nil},
		{"arrived elsewhere", func(p ipv6.Packet) { p[43] = 0 }, ipv6.DropChecksum},
		{"another last address", func(p ipv6.Packet) { p[50] = 5 }, ipv6.DropChecksum},
		{"more to go than addresses", func(p ipv6.Packet) { p[43] = 4 }, errRouting},
		{"twice the same", func(p ipv6.Packet) { p[50] = 2 }, errRouting},
		{"padding too long", func(p ipv6.Packet) { p[45] = 0xf0 }, errRouting},
	} {
		p := ipv6.Packet(unhexT(t, onItsWay))
		r.edit(p)
		if err := check(p); err != r.want {
			t.Errorf("%s: %v, want %v", r.name, err, r.want)
		}
	}
}

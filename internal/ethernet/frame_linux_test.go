package ethernet

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"border-router/ipv6"
)

// FuzzFrame gives any bytes to the receiving side. Property: no panic; what is delivered
// is a whole packet, no longer than what came in.
func FuzzFrame(f *testing.F) {
	mac := [6]byte{2, 0xbb, 0, 0, 0, 1}
	p := tcpPacket(3000, 0x18)
	head := func(flags, gso byte, size, start, field uint16) []byte {
		b := []byte{flags, gso, 0, 0}
		b = binary.NativeEndian.AppendUint16(b, size)
		b = binary.NativeEndian.AppendUint16(b, start)
		return binary.NativeEndian.AppendUint16(b, field)
	}
	f.Add(append(head(1, 4, 1220, 54, 16), frame(mac, p)...))
	f.Add(append(head(1, 0, 0, 54, 16), frame(mac, tcpPacket(10, 2))...))
	f.Add(append(head(1, 5, 100, 54, 6), frame(mac, tcpPacket(1000, 2))...))
	f.Add(append(head(0, 0, 0, 0, 0), frame(groupMAC("ff02::1"), tcpPacket(1, 2))...))
	f.Add(append(head(1, 4, 1220, 0, 16), frame(mac, p)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		port := &Port{mtu: 1500}
		port.mac.Store(&mac)
		b := &batch{p: port, scratch: make([]byte, maxFrame), vnet: true}
		merged := len(in) > 1 && in[1]&^vnetGSOECN != 0
		b.yield = func(q ipv6.Packet) {
			if r, err := ipv6.Parse(q); err != nil || len(r) != len(q) || len(q) > len(in) || !merged {
				t.Fatalf("segment of %d bytes: %v", len(q), err)
			}
		}
		port.deliver = func(_ time.Time, q ipv6.Packet, _ ipv6.Meta) {
			if r, err := ipv6.Parse(q); err != nil || len(r) != len(q) || len(q) > len(in) {
				t.Fatalf("packet of %d bytes: %v", len(q), err)
			}
		}
		b.frame(bytes.Clone(in))
	})
}

// TestFrameDrops has each reason for which a received frame is discarded.
func TestFrameDrops(t *testing.T) {
	mac := [6]byte{2, 0xbb, 0, 0, 0, 1}
	none := make([]byte, vnetHeaderLen)
	with := func(f []byte) []byte { return append(bytes.Clone(none), f...) }
	v4 := frame(mac, tcpPacket(1, 2))
	v4[12], v4[13] = 8, 0
	ours := frame(mac, tcpPacket(1, 2))
	copy(ours[6:], mac[:])
	wrongCsum := with(frame(mac, tcpPacket(1, 2)))
	wrongCsum[0] = vnetNeedsCsum
	wrongMerge := with(frame(mac, tcpPacket(3000, 2)))
	wrongMerge[1] = vnetGSOTCPv6
	for _, c := range []struct {
		name string
		f    []byte
		want Drop
	}{
		{"right", with(frame(mac, tcpPacket(1, 2))), 0},
		{"to a group", with(frame(groupMAC("ff02::1"), tcpPacket(1, 2))), 0},
		{"IPv4", with(v4), DropNotIPv6},
		{"to another", with(frame([6]byte{2, 0xbb, 0, 0, 0, 2}, tcpPacket(1, 2))), DropAddress},
		{"from ourselves", with(ours), DropOwnAddress},
		{"no header before it", none[:9], DropTruncated},
		{"short", with(frame(mac, make([]byte, 39))), DropTruncated},
		{"longer than the MTU, for the router to answer", with(frame(mac, tcpPacket(8900, 2))), 0},
		{"cut off", with(frame(mac, tcpPacket(100, 2)))[:120], DropTruncated},
		{"checksum nowhere", wrongCsum, DropTruncated},
		{"merged of nothing", wrongMerge, DropTruncated},
	} {
		port := &Port{mtu: 1500, cfg: Config{Logger: slog.New(slog.DiscardHandler)}}
		port.mac.Store(&mac)
		b := &batch{p: port, scratch: make([]byte, maxFrame), vnet: true}
		b.yield = b.give
		n := 0
		port.deliver = func(time.Time, ipv6.Packet, ipv6.Meta) { n++ }
		if got := b.frame(c.f); got != c.want || n == 1 != (c.want == 0) {
			t.Errorf("%s: %v, %d delivered, want %v", c.name, got, n, c.want)
		}
	}
}

func TestReceiveAllocs(t *testing.T) {
	mac := [6]byte{2, 0xbb, 0, 0, 0, 1}
	port := &Port{mtu: 1500, deliver: func(time.Time, ipv6.Packet, ipv6.Meta) {}}
	port.mac.Store(&mac)
	b := &batch{p: port, scratch: make([]byte, maxFrame), vnet: true}
	b.yield = b.give
	merged := append([]byte{1, vnetGSOTCPv6, 0, 0}, make([]byte, 6)...)
	binary.NativeEndian.PutUint16(merged[4:], 1220)
	binary.NativeEndian.PutUint16(merged[6:], 54)
	binary.NativeEndian.PutUint16(merged[8:], 16)
	merged = append(merged, frame(mac, tcpPacket(5000, 0x10))...)
	plain := append(make([]byte, vnetHeaderLen), frame(mac, tcpPacket(100, 0x10))...)
	if n := testing.AllocsPerRun(1000, func() {
		if b.frame(merged) != 0 || b.frame(plain) != 0 {
			t.Fatal("not delivered")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

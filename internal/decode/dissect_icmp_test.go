package decode

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"

	"border-router/ipv6"
)

// TestDuplicateAddress: the suffix of the code says how long the ROVR is (RFC 8505 section
// 4.2), and so where the registered address begins.
func TestDuplicateAddress(t *testing.T) {
	registered := netip.MustParseAddr("2001:db8::5")
	for code, size := range map[byte]int{0: 8, 1: 8, 2: 16, 3: 24, 4: 32, 5: 0} {
		m := []byte{157, code, 0, 0, 0, 0x11, 2, 0x58}
		for i := range max(size, 8) {
			m = append(m, byte(i))
		}
		m = append(m, registered.AsSlice()...)
		src, dst := netip.MustParseAddr("2001:db8::100"), netip.MustParseAddr("2001:db8::1")
		binary.BigEndian.PutUint16(m[2:], ipv6.Checksum(src.As16(), dst.As16(), ipv6.ProtoICMPv6, m))
		p := append(ipv6.AppendHeader(nil, 0, 0, len(m), ipv6.ProtoICMPv6, 255, src, dst), m...)
		got := decodeLines(t, Options{}, []string{`{"ipv6_hex":"` + hex.EncodeToString(p) + `"}`})[0]["fields"].(map[string]any)
		addr, rovr := any(registered.String()), any(nil)
		if size == 0 {
			addr = nil
		} else if size > 8 {
			var f fields
			f.bytes("rovr", m[8:8+size])
			rovr = string(f.text(0))
		}
		if got["icmpv6.6lowpannd.da.reg_addr"] != addr || got["icmpv6.6lowpannd.da.rovr"] != rovr {
			t.Errorf("code %d: address %v, ROVR %v; want %v, %v", code, got["icmpv6.6lowpannd.da.reg_addr"], got["icmpv6.6lowpannd.da.rovr"], addr, rovr)
		}
	}
}

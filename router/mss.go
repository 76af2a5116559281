package router

import (
	"encoding/binary"

	"border-router/ipv6"
)

const (
	tcpHeaderLen = 20
	tcpSYN       = 0x02
	tcpOptEnd    = 0
	tcpOptNop    = 1
	tcpOptMSS    = 2
)

// clampMSS lowers the maximum segment size option of a TCP SYN in p to what a packet of
// mtu bytes carries, and reports whether it changed p. A SYN without the option is left
// alone: it means 1220 bytes (RFC 9293 section 3.7.1), which every link carries.
func clampMSS(p ipv6.Packet, mtu int) bool {
	h := p[ipv6.HeaderLen:]
	if len(h) < tcpHeaderLen || h[13]&tcpSYN == 0 {
		return false
	}
	end := int(h[12]>>4) * 4
	if end < tcpHeaderLen || end > len(h) {
		return false
	}
	limit := uint16(mtu - ipv6.HeaderLen - tcpHeaderLen)
	for i := tcpHeaderLen; i < end; {
		switch h[i] {
		case tcpOptEnd:
			return false
		case tcpOptNop:
			i++
			continue
		}
		if i+1 >= end || h[i+1] < 2 || i+int(h[i+1]) > end {
			return false
		}
		if h[i] == tcpOptMSS && h[i+1] == 4 {
			old := binary.BigEndian.Uint16(h[i+2:])
			if old <= limit {
				return false
			}
			binary.BigEndian.PutUint16(h[i+2:], limit)
			updateChecksum(h[16:18], i+2, old, limit)
			return true
		}
		i += int(h[i+1])
	}
	return false
}

// updateChecksum adjusts an Internet checksum for 16 bits that changed at offset off of
// what it covers (RFC 1624 equation 3). At an odd offset the bytes count the other way
// round.
func updateChecksum(sum []byte, off int, old, value uint16) {
	if off&1 != 0 {
		old, value = old<<8|old>>8, value<<8|value>>8
	}
	c := uint32(^binary.BigEndian.Uint16(sum)) + uint32(^old) + uint32(value)
	c = c>>16 + c&0xffff
	c += c >> 16
	binary.BigEndian.PutUint16(sum, ^uint16(c))
}

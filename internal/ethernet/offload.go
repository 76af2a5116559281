package ethernet

import (
	"encoding/binary"

	"border-router/ipv6"
)

// A packet socket shows packets as the kernel holds them: a checksum may be missing that
// an interface would have filled in, and TCP segments may have been merged on receiving.
// Both is told by a header before each frame, struct virtio_net_hdr of linux/virtio_net.h,
// in host byte order.
const (
	vnetHeaderLen  = 10
	vnetNeedsCsum  = 1 // flags: the checksum is that of the pseudo-header only
	vnetGSONone    = 0 // gso_type
	vnetGSOTCPv6   = 4
	vnetGSOUDPL4   = 5
	vnetGSOECN     = 0x80
	tcpHeaderLen   = 20
	tcpFIN, tcpPSH = 0x01, 0x08
	tcpCWR         = 0x80
)

type vnetHeader struct {
	flags, gso           uint8
	gsoSize              int // bytes of payload in each segment
	csumStart, csumField int // offset in the frame of what is summed, and of the sum in it
}

func parseVnetHeader(b []byte) vnetHeader {
	return vnetHeader{
		flags:     b[0],
		gso:       b[1] &^ vnetGSOECN,
		gsoSize:   int(binary.NativeEndian.Uint16(b[4:])),
		csumStart: int(binary.NativeEndian.Uint16(b[6:])),
		csumField: int(binary.NativeEndian.Uint16(b[8:])),
	}
}

// fillChecksum completes the checksum of a whole, unmerged packet, whose transport header
// begins at off. It reports false where the header does not lie in p.
func fillChecksum(p ipv6.Packet, off, field int) bool {
	if off < ipv6.HeaderLen || field < 0 || off+field+2 > len(p) {
		return false
	}
	proto := uint8(ipv6.ProtoTCP)
	switch field {
	case 6:
		proto = ipv6.ProtoUDP
	case 16:
	default:
		return false
	}
	t := p[off:]
	t[field], t[field+1] = 0, 0
	storeChecksum(p, t, proto, field)
	return true
}

func storeChecksum(p ipv6.Packet, t []byte, proto uint8, field int) {
	c := ipv6.Checksum(p.Src16(), p.Dst16(), proto, t)
	if c == 0 && proto == ipv6.ProtoUDP {
		c = 0xffff // 0 means none (RFC 768)
	}
	binary.BigEndian.PutUint16(t[field:], c)
}

// segment takes a packet apart in which the kernel has merged several, and calls yield for
// each; what yield gets is valid during the call and lies in scratch. It reports false,
// having called nothing, where p is not what the header says.
func segment(p ipv6.Packet, h vnetHeader, off int, scratch []byte, yield func(ipv6.Packet)) bool {
	var hdr int // length of the transport header
	if off < ipv6.HeaderLen {
		return false
	}
	switch {
	case h.gso == vnetGSOTCPv6 && len(p) >= off+tcpHeaderLen:
		hdr = int(p[off+12]>>4) * 4
		if hdr < tcpHeaderLen {
			return false
		}
	case h.gso == vnetGSOUDPL4:
		hdr = ipv6.UDPHeaderLen
	default:
		return false
	}
	if h.gsoSize <= 0 || off+hdr >= len(p) || off+hdr+h.gsoSize > len(scratch) {
		return false
	}
	head, data := p[:off+hdr], p[off+hdr:]
	seq := binary.BigEndian.Uint32(p[off+4:]) // of TCP
	for first := true; len(data) > 0; first = false {
		n := min(len(data), h.gsoSize)
		q := append(append(scratch[:0], head...), data[:n]...)
		data = data[n:]
		binary.BigEndian.PutUint16(q[4:], uint16(len(q)-ipv6.HeaderLen))
		t := q[off:]
		field, proto := 6, uint8(ipv6.ProtoUDP)
		if h.gso == vnetGSOTCPv6 {
			field, proto = 16, ipv6.ProtoTCP
			binary.BigEndian.PutUint32(t[4:], seq)
			seq += uint32(n)
			if len(data) > 0 {
				t[13] &^= tcpFIN | tcpPSH
			}
			if !first {
				t[13] &^= tcpCWR
			}
		} else {
			binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
		}
		t[field], t[field+1] = 0, 0
		storeChecksum(ipv6.Packet(q), t, proto, field)
		yield(ipv6.Packet(q))
	}
	return true
}

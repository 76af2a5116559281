package ipv6

import (
	"encoding/binary"
	"net/netip"
)

// Types of ICMPv6 message (IANA "ICMPv6 Parameters"). Those below 128 are errors.
const (
	ICMPUnreachable           = 1
	ICMPPacketTooBig          = 2
	ICMPTimeExceeded          = 3
	ICMPParamProblem          = 4
	ICMPEchoRequest           = 128
	ICMPEchoReply             = 129
	ICMPMLDQuery              = 130 // RFC 2710, RFC 9777
	ICMPMLDReport             = 131
	ICMPMLDDone               = 132
	ICMPRouterSolicitation    = 133 // RFC 4861
	ICMPRouterAdvertisement   = 134
	ICMPNeighborSolicitation  = 135
	ICMPNeighborAdvertisement = 136
	ICMPRedirect              = 137
	ICMPMLDv2Report           = 143 // RFC 9777
	ICMPRPL                   = 155 // RFC 6550
	ICMPDAR                   = 157 // RFC 6775
	ICMPDAC                   = 158
)

// Codes of Destination Unreachable (RFC 4443 section 3.1).
const (
	UnreachableNoRoute = 0
	UnreachableAdmin   = 1 // administratively prohibited
	UnreachableScope   = 2 // beyond scope of source address
	UnreachableAddress = 3
	UnreachablePort    = 4
	UnreachablePolicy  = 5 // source address failed ingress/egress policy
	UnreachableReject  = 6 // reject route to destination
)

// Codes of Time Exceeded (RFC 4443 section 3.3).
const (
	TimeExceededHopLimit   = 0
	TimeExceededReassembly = 1
)

// ICMPHeaderLen is the length in bytes of what every ICMPv6 message built here starts
// with: type, code, checksum and one field of 32 bits.
const ICMPHeaderLen = 8

// DefaultHopLimit is the hop limit of packets the router itself originates (IANA "IP
// Time To Live Parameter"; RFC 1700), neighbor discovery apart.
const DefaultHopLimit = 64

// AppendICMP appends an IPv6 packet with one ICMPv6 message to b. param is the 32-bit
// field behind the checksum (MTU, pointer, identifier and sequence number, flags: zero
// where the message has none) and body what follows it. body may not alias the spare
// capacity of b.
func AppendICMP(b []byte, typ, code uint8, param uint32, body []byte, src, dst netip.Addr, hopLimit uint8) []byte {
	start := len(b)
	b = AppendHeader(b, 0, 0, ICMPHeaderLen+len(body), ProtoICMPv6, hopLimit, src, dst)
	b = append(b, typ, code, 0, 0)
	b = binary.BigEndian.AppendUint32(b, param)
	b = append(b, body...)
	Packet(b[start:]).SetICMPChecksum(HeaderLen)
	return b
}

// SetICMPChecksum stores the checksum of the ICMPv6 message that begins at off in p and
// goes to its end (RFC 4443 section 2.3). A message of less than 4 bytes is left alone.
func (p Packet) SetICMPChecksum(off int) {
	m := p[off:]
	if len(m) < 4 {
		return
	}
	m[2], m[3] = 0, 0
	binary.BigEndian.PutUint16(m[2:], Checksum(p.Src16(), p.Dst16(), ProtoICMPv6, m))
}

// AppendICMPError appends an ICMPv6 error about cause, from src to the source of cause,
// to b: as much of cause as fits into 1280 bytes (RFC 4443 section 2.4 c). param is the
// MTU of Packet Too Big or the pointer of Parameter Problem, else zero. Whether an error
// may be sent at all is for [ErrorAllowed] to say.
func AppendICMPError(b []byte, typ, code uint8, param uint32, cause Packet, src netip.Addr) []byte {
	body := cause[:min(len(cause), MinMTU-HeaderLen-ICMPHeaderLen)]
	return AppendICMP(b, typ, code, param, body, src, cause.Src(), DefaultHopLimit)
}

// ErrorAllowed reports whether RFC 4443 section 2.4 (e) lets us answer cause, which came
// as m says, with an ICMPv6 error of the given type and code. It does not where cause
// was itself an error or a redirect; where it went to an IPv6 or link-layer group, unless
// the answer is a Packet Too Big or a Parameter Problem about an option that asks for it;
// or where its source does not stand for one node.
func ErrorAllowed(cause Packet, m Meta, typ, code uint8) bool {
	if IsMartianSource(cause.Src()) || cause.Src().IsUnspecified() {
		return false
	}
	if cause.IsMulticast() || m.LinkDst.IsGroup() {
		switch {
		case typ == ICMPPacketTooBig:
		case typ == ICMPParamProblem && code == ProblemOption:
		default:
			return false
		}
	}
	c := cause.walk(walkUnchecked)
	if c.err == 0 && c.proto == ProtoICMPv6 {
		// A message cut off before its type might have been an error.
		return c.off < len(cause) && cause[c.off] >= 128 && cause[c.off] != ICMPRedirect
	}
	return true
}

// AppendEchoReply appends the Echo Reply (RFC 4443 section 4.2) from src to the sender of
// req, an Echo Request, to b. It takes identifier, sequence number and data of req, and
// none of its extension headers.
func AppendEchoReply(b []byte, req Packet, src netip.Addr) []byte {
	var param uint32
	var data []byte
	if proto, off, err := UpperLayer(req); err == nil && proto == ProtoICMPv6 && len(req)-off >= ICMPHeaderLen {
		param = binary.BigEndian.Uint32(req[off+4:])
		data = req[off+ICMPHeaderLen:]
	}
	return AppendICMP(b, ICMPEchoReply, 0, param, data, src, req.Src(), DefaultHopLimit)
}

// PacketTooBig reads a Packet Too Big message (RFC 4443 section 3.2) whose checksum has
// been checked: the destination of the packet in error, and the path MTU towards it in
// bytes. ok is false where p is none, or where the MTU is below 1280, which RFC 8201
// section 4 has us ignore. The packet in error is only as good as the one who sent it:
// the caller checks that it was ours.
func PacketTooBig(p Packet) (dst netip.Addr, mtu int, ok bool) {
	proto, off, err := UpperLayer(p)
	if err != nil || proto != ProtoICMPv6 || len(p)-off < ICMPHeaderLen+HeaderLen || p[off] != ICMPPacketTooBig {
		return netip.Addr{}, 0, false
	}
	in := p[off+ICMPHeaderLen:]
	v := binary.BigEndian.Uint32(p[off+4:])
	if v < MinMTU || in[0]>>4 != 6 {
		return netip.Addr{}, 0, false
	}
	return netip.AddrFrom16([16]byte(in[24:40])), int(min(v, 65535)), true
}

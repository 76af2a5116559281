package capture

import (
	"encoding/binary"
	"math"
	"time"

	"border-router/ieee802154"
)

// Link types (https://www.tcpdump.org/linktypes.html).
const (
	LinkTypeIPv6 = 229 // LINKTYPE_IPV6
	LinkTypeTAP  = 283 // LINKTYPE_IEEE802_15_4_TAP
)

// RSSIUnknown stands for a signal strength that the radio does not tell.
const RSSIUnknown int8 = 127

// Block types and options of pcapng, all written little-endian.
const (
	blockInterface  = 1
	blockStatistics = 5
	blockPacket     = 6
	blockSection    = 0x0a0d0d0a

	optEnd           = 0
	optUserAppl      = 4 // shb_userappl
	optIfName        = 2
	optIfDescription = 3
	optIfTSResol     = 9
	optPacketFlags   = 2 // epb_flags
	optPacketDropped = 4 // epb_dropcount
	optIfDrop        = 5 // isb_ifdrop
)

// maxData is the most that one packet takes in the file, in bytes: the TAP header and a
// frame, or an IPv6 packet. Longer ones are cut, as a snapshot length does.
const maxData = 2048 + 64

func appendBlock(b []byte, typ uint32, body func([]byte) []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, typ)
	b = append(b, 0, 0, 0, 0)
	b = body(b)
	return endBlock(b, start)
}

// endBlock stores the length of the block that begins at start at both its ends.
func endBlock(b []byte, start int) []byte {
	n := uint32(len(b) - start + 4)
	binary.LittleEndian.PutUint32(b[start+4:], n)
	return binary.LittleEndian.AppendUint32(b, n)
}

func appendOption(b []byte, code uint16, v string) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(v)))
	b = append(b, v...)
	return pad(b, len(v))
}

func pad(b []byte, n int) []byte { return append(b, "\x00\x00\x00"[:-n&3]...) }

func appendEnd(b []byte) []byte { return append(b, optEnd, 0, 0, 0) }

// AppendSection appends the block that a file begins with to b. application says what has
// written it.
func AppendSection(b []byte, application string) []byte {
	return appendBlock(b, blockSection, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, 0x1a2b3c4d)
		b = binary.LittleEndian.AppendUint16(b, 1) // version 1.0
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = binary.LittleEndian.AppendUint64(b, math.MaxUint64) // section length: not told
		return appendEnd(appendOption(b, optUserAppl, application))
	})
}

// AppendInterface appends the description of an interface to b. The first in a section
// has number 0, the next 1 and so on. Its time stamps are in nanoseconds.
func AppendInterface(b []byte, linkType uint16, name, description string) []byte {
	return appendBlock(b, blockInterface, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint16(b, linkType)
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = binary.LittleEndian.AppendUint32(b, 0) // no snapshot length
		b = appendOption(b, optIfName, name)
		b = appendOption(b, optIfDescription, description)
		b = appendOption(b, optIfTSResol, "\x09")
		return appendEnd(b)
	})
}

// A Packet is what surrounds the bytes of a packet in the file.
type Packet struct {
	Interface int // number of its description in the section
	Time      time.Time
	Sent      bool   // by us; else received
	Lost      uint64 // packets between this one and the one before it that the file has not
}

// AppendFrame appends a packet block with one IEEE 802.15.4 frame to b, for an interface
// of [LinkTypeTAP]. frame is without FCS. rssi is in dBm; it and the link quality are left
// out for a frame that we sent, and rssi for [RSSIUnknown].
func AppendFrame(b []byte, p Packet, frame []byte, channel uint8, rssi int8, lqi uint8) []byte {
	start := len(b)
	b = beginPacket(b, p)
	data := len(b)
	b = appendTAP(b, p.Sent, channel, rssi, lqi)
	frame = frame[:min(len(frame), maxData-64)]
	b = append(b, frame...)
	b = binary.LittleEndian.AppendUint16(b, ieee802154.FCS(frame))
	return endPacket(b, start, data, len(b)-data, p)
}

// AppendIPv6 appends a packet block with one IPv6 packet to b, for an interface of
// [LinkTypeIPv6].
func AppendIPv6(b []byte, p Packet, packet []byte) []byte {
	start := len(b)
	b = beginPacket(b, p)
	data := len(b)
	b = append(b, packet[:min(len(packet), maxData)]...)
	return endPacket(b, start, data, len(packet), p)
}

// AppendStatistics appends the number of packets of an interface that the file has not.
func AppendStatistics(b []byte, iface int, now time.Time, lost uint64) []byte {
	return appendBlock(b, blockStatistics, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, uint32(iface))
		b = appendTime(b, now)
		b = append(b, optIfDrop, 0, 8, 0)
		b = binary.LittleEndian.AppendUint64(b, lost)
		return appendEnd(b)
	})
}

func appendTime(b []byte, t time.Time) []byte {
	ns := uint64(t.UnixNano())
	b = binary.LittleEndian.AppendUint32(b, uint32(ns>>32))
	return binary.LittleEndian.AppendUint32(b, uint32(ns))
}

func beginPacket(b []byte, p Packet) []byte {
	b = binary.LittleEndian.AppendUint32(b, blockPacket)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(p.Interface))
	b = appendTime(b, p.Time)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // captured and original length, see endPacket
}

func endPacket(b []byte, start, data, original int, p Packet) []byte {
	n := len(b) - data
	binary.LittleEndian.PutUint32(b[data-8:], uint32(n))
	binary.LittleEndian.PutUint32(b[data-4:], uint32(original))
	b = pad(b, n)
	direction := byte(1) // inbound
	if p.Sent {
		direction = 2
	}
	b = append(b, optPacketFlags, 0, 4, 0, direction, 0, 0, 0)
	if p.Lost != 0 {
		b = append(b, optPacketDropped, 0, 8, 0)
		b = binary.LittleEndian.AppendUint64(b, p.Lost)
	}
	return endBlock(appendEnd(b), start)
}

// Types of the TLVs of LINKTYPE_IEEE802_15_4_TAP.
const (
	tapFCSType = 0
	tapRSS     = 1
	tapChannel = 3
	tapLQI     = 10
)

// appendTAP appends the header of LINKTYPE_IEEE802_15_4_TAP: version, reserved, length of
// it all, and TLVs padded to 4 bytes.
func appendTAP(b []byte, sent bool, channel uint8, rssi int8, lqi uint8) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = append(b, tapFCSType, 0, 1, 0, 1, 0, 0, 0) // 16-bit CRC
	b = append(b, tapChannel, 0, 3, 0, channel, 0, 0, 0)
	if !sent {
		if rssi != RSSIUnknown {
			b = append(b, tapRSS, 0, 4, 0)
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(rssi)))
		}
		b = append(b, tapLQI, 0, 1, 0, lqi, 0, 0, 0)
	}
	binary.LittleEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

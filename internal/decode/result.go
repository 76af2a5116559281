package decode

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"border-router/ieee802154"
	"border-router/zep"
)

// Reasons of this package why nothing was delivered, beside those of the layers.
const (
	dropIncomplete = "incomplete"        // fragments of the line do not make up a datagram
	dropCut        = "capture_truncated" // the capture has not all of the packet
	dropLinkType   = "link_type"         // link type that is not decoded
	dropOther      = "not_802154"        // packet without ZEP
	dropPHY        = "phy_header"        // header before the MAC frame malformed
	dropZEPAck     = "zep_ack"           // ZEP without a frame
	dropZEPHello   = "zep_hello"
	dropFCS        = "fcs"
	dropHeader     = "header_only" // the line has nothing but a header
	dropInput      = "input"       // the line cannot be read; "error" says more
)

// A result is what became of one line or packet.
type result struct {
	id      []byte // JSON
	err     string // the input cannot be read: not JSON, not hexadecimal
	drop    string // why nothing was delivered
	held    bool   // a fragment that waits for others
	time    time.Time
	packets [][]byte // delivered
	arena   []byte   // their bytes

	mac     bool
	fcs     bool // the frame had an FCS
	fcsOK   bool
	opened  bool   // the frame was deciphered, or its MIC was right
	sum     []byte // FCS, if fcs, most significant byte first
	frame   ieee802154.Frame
	payload []byte // MAC payload, in clear where it could be

	nonceSrc uint64 // EUI-64 with which it was opened

	zep     bool
	zepHead zep.Header
	mpdu    []byte // frame in the ZEP datagram with its last two bytes

	ghc  []byte // what RFC 7400 code gave
	side []byte // a packet that is not delivered, for its fields
	bare []byte // a datagram or fragment without MAC header

	fields fields
}

func (r *result) reset() {
	r.id = r.id[:0]
	r.err, r.drop, r.held = "", "", false
	r.time = time.Time{}
	r.packets, r.arena = r.packets[:0], r.arena[:0]
	r.mac, r.fcs, r.fcsOK, r.opened = false, false, false, false
	r.payload, r.mpdu, r.ghc, r.side = nil, nil, nil, nil
	r.bare, r.zep = nil, false
	r.fields.reset()
}

// deliver adds a packet.
func (r *result) deliver(p []byte) {
	at := len(r.arena)
	r.arena = append(r.arena, p...)
	r.packets = append(r.packets, r.arena[at:len(r.arena):len(r.arena)])
}

// refuse notes why something was not delivered: the first reason stays.
func (r *result) refuse(why string) {
	if r.drop == "" {
		r.drop = why
	}
}

// unreadable notes that the input says nothing.
func (r *result) unreadable(err error) {
	r.err = err.Error()
	r.refuse(dropInput)
}

func (r *result) refuseErr(err error) {
	if err != nil {
		r.refuse(err.Error())
	}
}

// packet returns the packet whose fields are shown, or nil.
func (r *result) packet() []byte {
	if len(r.packets) > 0 {
		return r.packets[0]
	}
	return r.side
}

// appendJSON appends the line of r without its end.
func (r *result) appendJSON(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = append(b, r.id...)
	b = append(b, `,"ipv6_hex":`...)
	if len(r.packets) == 1 {
		b = appendHex(b, r.packets[0])
	} else {
		b = append(b, "null"...)
	}
	if len(r.packets) > 1 {
		b = append(b, `,"ipv6_list":[`...)
		for i, p := range r.packets {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendHex(b, p)
		}
		b = append(b, ']')
	}
	b = append(b, `,"drop":`...)
	if len(r.packets) > 0 || r.drop == "" {
		b = append(b, "null"...)
	} else {
		b = appendString(b, r.drop)
	}
	if r.held {
		b = append(b, `,"held":true`...)
	}
	if r.err != "" {
		b = append(b, `,"error":`...)
		b = appendString(b, r.err)
	}
	if r.mac {
		b = append(b, `,"mac":`...)
		b = r.appendMAC(b)
	}
	if r.zep {
		b = append(b, `,"zep":`...)
		b = r.appendZEP(b)
	}
	if r.ghc != nil {
		b = append(b, `,"payload_hex":`...)
		b = appendHex(b, r.ghc)
	}
	b = append(b, `,"fields":`...)
	b = r.fields.appendJSON(b)
	return append(b, '}')
}

var macType = [4]string{"beacon", "data", "ack", "cmd"}

func macMode(m ieee802154.AddrMode) string {
	switch m {
	case ieee802154.AddrShort:
		return `"short"`
	case ieee802154.AddrExtended:
		return `"ext"`
	}
	return `"none"`
}

func appendDigits(b []byte, v uint64, digits int) []byte {
	b = append(b, '"')
	for s := 4 * (digits - 1); s >= 0; s -= 4 {
		b = append(b, hexDigit[v>>s&15])
	}
	return append(b, '"')
}

func appendAddr(b []byte, a ieee802154.Addr) []byte {
	switch a.Mode {
	case ieee802154.AddrShort:
		return appendDigits(b, a.V, 4)
	case ieee802154.AddrExtended:
		return appendDigits(b, a.V, 16)
	}
	return append(b, "null"...)
}

func appendPAN(b []byte, has bool, v uint16) []byte {
	if !has {
		return append(b, "null"...)
	}
	return appendDigits(b, uint64(v), 4)
}

// openPayload returns how many bytes of the payload are none of the private payload, which
// a security level with encryption enciphers: before 2015 the command identifier, and what
// stands before the payload of a beacon (2006 table 75, 2015 table 9-1).
func (r *result) openPayload() int {
	if r.frame.Version >= ieee802154.Version2015 {
		return 0
	}
	switch r.frame.Type {
	case ieee802154.TypeCommand:
		return min(1, len(r.payload))
	case ieee802154.TypeBeacon:
		var bc ieee802154.Beacon
		if bc.Parse(r.payload) == nil {
			return len(r.payload) - len(bc.Payload)
		}
	}
	return 0
}

// appendMAC appends the MAC header: addresses and PAN identifiers as printed.
func (r *result) appendMAC(b []byte) []byte {
	f := &r.frame
	b = append(b, `{"type":"`...)
	b = append(b, macType[f.Type&3]...)
	b = append(b, `","version":`...)
	b = strconv.AppendUint(b, uint64(f.Version), 10)
	b = append(b, `,"seq":`...)
	if f.SeqSuppressed {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendUint(b, uint64(f.Seq), 10)
	}
	b = append(b, `,"dst_mode":`...)
	b = append(b, macMode(f.Dst.Mode)...)
	b = append(b, `,"src_mode":`...)
	b = append(b, macMode(f.Src.Mode)...)
	b = append(b, `,"security":`...)
	b = appendBool(b, f.Security)
	b = append(b, `,"pending":`...)
	b = appendBool(b, f.Pending)
	b = append(b, `,"ack_request":`...)
	b = appendBool(b, f.AckRequest)
	b = append(b, `,"ie_present":`...)
	b = appendBool(b, f.IEPresent)
	b = append(b, `,"pan_id_compression":`...)
	b = appendBool(b, f.PANIDCompression)
	b = append(b, `,"dst_pan":`...)
	b = appendPAN(b, f.HasDstPAN, f.DstPAN)
	b = append(b, `,"src_pan":`...)
	b = appendPAN(b, f.HasSrcPAN, f.SrcPAN)
	b = append(b, `,"dst":`...)
	b = appendAddr(b, f.Dst)
	b = append(b, `,"src":`...)
	b = appendAddr(b, f.Src)
	if f.Security {
		b = append(b, `,"sec_level":`...)
		b = strconv.AppendUint(b, uint64(f.Sec.Level), 10)
		b = append(b, `,"key_id_mode":`...)
		b = strconv.AppendUint(b, uint64(f.Sec.KeyIDMode), 10)
		b = append(b, `,"frame_counter":`...)
		if f.Sec.CounterSuppressed {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendUint(b, uint64(f.Sec.FrameCounter), 10)
		}
		b = append(b, `,"key_source":`...)
		switch f.Sec.KeyIDMode {
		case 2:
			b = appendDigits(b, f.Sec.KeySource, 8)
		case 3:
			b = appendDigits(b, f.Sec.KeySource, 16)
		default:
			b = append(b, "null"...)
		}
		b = append(b, `,"key_index":`...)
		if f.Sec.KeyIDMode == 0 {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendUint(b, uint64(f.Sec.KeyIndex), 10)
		}
		b = append(b, `,"mic":`...)
		b = appendHex(b, f.MIC)
		b = append(b, `,"opened":`...)
		b = appendBool(b, r.opened)
		if r.opened {
			open := r.openPayload()
			b = append(b, `,"private_plain":"`...)
			b = hex.AppendEncode(b, f.PayloadIEs)
			b = hex.AppendEncode(b, r.payload[open:])
			b = append(b, `","nonce":`...)
			nonce := binary.BigEndian.AppendUint64(nil, r.nonceSrc)
			nonce = append(binary.BigEndian.AppendUint32(nonce, f.Sec.FrameCounter), f.Sec.Level)
			b = appendHex(b, nonce)
			authenticated := f.HeaderLen + open
			if !f.Encrypted() {
				authenticated = f.HeaderLen + len(f.PayloadIEs) + len(r.payload)
			}
			b = append(b, `,"a_len":`...)
			b = strconv.AppendInt(b, int64(authenticated), 10)
		}
	}
	if f.IEPresent {
		b = append(b, `,"header_ies":[`...)
		for i, rest := 0, f.HeaderIEs; len(rest) > 0; i++ {
			e, more, err := ieee802154.NextHeaderIE(rest)
			if err != nil {
				break
			}
			if rest = more; i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(e.ID), 10)
		}
		b = append(b, `],"payload_ies":[`...)
		for i, rest := 0, f.PayloadIEs; len(rest) > 0; i++ {
			e, more, err := ieee802154.NextPayloadIE(rest)
			if err != nil {
				break
			}
			if rest = more; i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(e.ID), 10)
		}
		b = append(b, ']')
	}
	switch f.Type {
	case ieee802154.TypeCommand:
		if len(r.payload) > 0 {
			b = append(b, `,"cmd_id":`...)
			b = strconv.AppendUint(b, uint64(r.payload[0]), 10)
		}
	case ieee802154.TypeBeacon:
		var bc ieee802154.Beacon
		if f.Version < ieee802154.Version2015 && bc.Parse(r.payload) == nil {
			b = append(b, `,"superframe":`...)
			b = strconv.AppendUint(b, uint64(bc.Superframe), 10)
			for _, mode := range []ieee802154.AddrMode{ieee802154.AddrShort, ieee802154.AddrExtended} {
				if mode == ieee802154.AddrShort {
					b = append(b, `,"pending_short":[`...)
				} else {
					b = append(b, `,"pending_ext":[`...)
				}
				n := 0
				for i := 0; ; i++ {
					a, ok := bc.PendingAddr(i)
					if !ok {
						break
					}
					if a.Mode == mode {
						if n++; n > 1 {
							b = append(b, ',')
						}
						b = appendAddr(b, a)
					}
				}
				b = append(b, ']')
			}
		}
	}
	if r.fcs {
		b = append(b, `,"fcs_ok":`...)
		b = appendBool(b, r.fcsOK)
		b = append(b, `,"fcs":`...)
		b = appendHex(b, r.sum)
	}
	b = append(b, `,"mhr_len":`...)
	b = strconv.AppendUint(b, uint64(f.HeaderLen), 10)
	b = append(b, `,"footer_len":`...)
	b = strconv.AppendUint(b, uint64(len(f.MIC)+ieee802154.FCSLen), 10)
	b = append(b, `,"payload_len":`...)
	b = strconv.AppendUint(b, uint64(len(r.payload)), 10)
	b = append(b, `,"payload_hex":`...)
	b = appendHex(b, r.payload)
	return append(b, '}')
}

// appendZEP appends the ZEP header.
func (r *result) appendZEP(b []byte) []byte {
	h := &r.zepHead
	num := func(name string, v uint64) {
		b = append(b, ',', '"')
		b = append(b, name...)
		b = append(b, '"', ':')
		b = strconv.AppendUint(b, v, 10)
	}
	b = append(b, `{"version":`...)
	b = strconv.AppendUint(b, uint64(h.Version), 10)
	if h.Version == 2 {
		num("type", uint64(h.Type))
	}
	if h.Type != zep.TypeAck {
		num("channel_id", uint64(h.Channel))
		num("device_id", uint64(h.Device))
		num("lqi_mode", uint64(h.Mode))
		if h.Mode == zep.ModeLQI || h.Version == 1 {
			num("lqi", uint64(h.LQI))
		}
		if h.Version == 2 {
			b = append(b, `,"time":`...)
			b = appendString(b, zepTime(h.Time))
		}
	}
	if h.Version == 2 {
		num("seqno", uint64(h.Seq))
	}
	if h.Type != zep.TypeAck {
		num("length", uint64(h.Length))
		b = append(b, `,"mpdu_hex":"`...)
		b = hex.AppendEncode(b, r.mpdu)
		b = append(b, '"')
	}
	return append(b, '}')
}

// zepTime is the NTP time stamp v as Wireshark prints it; 0 is no time. Where the highest bit
// is 0 the seconds are counted from 2036 (RFC 4330 section 3).
func zepTime(v uint64) string {
	var t time.Time
	if v == 0 {
		t = time.Unix(0, 0)
	} else {
		const unixToNTP = 2208988800
		s := int64(v >> 32)
		if v>>63 == 0 {
			s += 1 << 32
		}
		t = time.Unix(s-unixToNTP, int64((v&0xffffffff)*1e9>>32))
	}
	return t.UTC().Format(wiresharkTime)
}

// wiresharkTime is how Wireshark prints a moment in UTC.
const wiresharkTime = "Jan _2, 2006 15:04:05.000000000 UTC"

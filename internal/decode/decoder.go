package decode

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"border-router/ieee802154"
	"border-router/ipv6"
	"border-router/lowpan"
	"border-router/zep"
)

// A Summary counts what a [Decoder] or [Encoder] has read.
type Summary struct {
	Inputs     uint64 // lines and packets
	Delivered  uint64 // IPv6 packets
	Dropped    uint64 // lines and packets that gave none
	Held       uint64 // fragments that were held; those of completed datagrams among them
	Errors     uint64 // lines that cannot be read
	Incomplete uint64 // datagrams of which fragments are missing
}

// maxPANs is how many PANs of one stream have fragments apart from each other, linePANs for
// how many the memory is kept from line to line.
const (
	maxPANs  = 64
	linePANs = 8
)

// A Decoder decodes one input after the other. It is for one goroutine.
type Decoder struct {
	opt Options
	sum Summary
	out *output

	in     line
	own    lowpan.Contexts  // those of the line in hand
	ctx    *lowpan.Contexts // those in force
	alone  reassemblers     // of the line in hand
	clock  time.Time        // of alone
	stream reassemblers

	key    [16]byte // of cipher
	cipher *ieee802154.Cipher

	res   result
	pkt   []byte // decompressed
	hex   []byte // of the line
	clear []byte // deciphered
	srcX  uint64 // src_ext
	hasX  bool
}

// streamLimits are those of a sniffer: it hears what many receivers share out.
var streamLimits = lowpan.Limits{Reassemblies: 1024, ReassembliesPerSource: 16}

// NewDecoder returns a Decoder that writes to w what opt says.
func NewDecoder(w io.Writer, opt Options) *Decoder {
	if opt.ZEPPort == 0 {
		opt.ZEPPort = DefaultZEPPort
	}
	opt.Contexts.AcceptGHC, opt.Contexts.SourceRoutes = opt.GHC, true
	d := &Decoder{opt: opt, pkt: make([]byte, 0, ipv6.MaxPacket), clock: time.Unix(0, 0)}
	d.out = newOutput(w, opt.Format)
	d.ctx = &d.opt.Contexts
	// The contexts of the line in hand are put into d.own.
	d.alone = reassemblers{limits: lowpan.Limits{Reassemblies: 64, ReassembliesPerSource: 64}, contexts: &d.own}
	d.stream = reassemblers{limits: streamLimits, contexts: &d.opt.Contexts}
	return d
}

// Summary returns what has been read so far.
func (d *Decoder) Summary() Summary { return d.sum }

// Flush writes what is buffered.
func (d *Decoder) Flush() error { return d.out.flush() }

// begin starts a new result; id is its number.
func (d *Decoder) begin(id uint64) *result {
	r := &d.res
	r.reset()
	r.id = strconv.AppendUint(r.id, id, 10)
	d.ctx, d.hasX = &d.opt.Contexts, false
	return r
}

// end counts and writes the result in hand.
func (d *Decoder) end() error {
	r := &d.res
	d.sum.Inputs++
	d.sum.Delivered += uint64(len(r.packets))
	switch {
	case r.err != "":
		d.sum.Errors++
	case r.held:
		d.sum.Held++
	case len(r.packets) == 0:
		d.sum.Dropped++
	}
	if d.opt.Format == FormatJSON {
		if p := r.packet(); p != nil {
			r.fields.packet(p, 0, 0)
		}
	}
	return d.out.write(r)
}

// line decodes a line of JSON, which stands for itself.
func (d *Decoder) line(n uint64, b []byte) {
	r := d.begin(n)
	l := &d.in
	err := l.parse(b)
	if len(l.ID) > 0 {
		r.id = append(r.id[:0], l.ID...)
	}
	if err == nil {
		err = d.lineInput(l)
	}
	if err != nil {
		r.unreadable(err)
		d.endLine() // what came before the error is no part of the next line
	}
}

func (d *Decoder) lineInput(l *line) error {
	r := &d.res
	d.own = d.opt.Contexts
	if len(l.Contexts) > 0 {
		d.own = lowpan.Contexts{}
		if err := l.contexts(&d.own); err != nil {
			return err
		}
	}
	d.own.AcceptGHC, d.own.SourceRoutes = d.opt.GHC || l.GHC, true
	if err := l.rpl(&d.own, &d.opt.Contexts); err != nil {
		return err
	}
	d.ctx = &d.own
	key := d.opt.Key
	if l.Key.given() {
		k, err := ParseKey(string(l.Key.s))
		if err != nil {
			return errors.New("key: " + err.Error())
		}
		key = k
	}
	d.useKey(key)
	if l.SrcExt.given() {
		a, err := linkAddr("src_ext", l.SrcExt.s)
		if err != nil {
			return err
		}
		if d.hasX = a.Len() == 8; !d.hasX {
			return errors.New("src_ext: want 8 bytes in hexadecimal")
		}
		d.srcX = a.Uint64()
	}
	link, err := l.link(d.opt.PAN)
	if err != nil {
		return err
	}
	get := func(what string, s *text) ([]byte, error) {
		if !s.ok {
			return nil, errors.New(what + ": null")
		}
		d.hex, err = unhex(d.hex[:0], s.s)
		if err != nil {
			return nil, errors.New(what + ": " + err.Error())
		}
		return d.hex, nil
	}

	switch {
	case l.Frame.ok:
		b, err := get("frame_hex", &l.Frame)
		if err != nil {
			return err
		}
		switch {
		case l.DLT.ok && (!l.HasFCS.ok || uint16(l.DLT.v) != linkFCS && uint16(l.DLT.v) != linkNoFCS):
			d.packet(linkOf(uint32(l.DLT.v)), b, len(b), nil)
		case l.HasFCS.v:
			d.frame(b, fcs16, nil)
		default:
			d.frame(b, fcsNone, nil)
		}
		d.endLine()
	case len(l.Frames) > 0:
		for i := range l.Frames {
			b, err := get("frames", &l.Frames[i])
			if err != nil {
				return err
			}
			kind := fcsNone
			if l.HasFCS.v {
				kind = fcs16
			}
			d.frame(b, kind, nil)
		}
		d.endLine()
	case len(l.Payloads) > 0:
		for i := range l.Payloads {
			b, err := get("payloads", &l.Payloads[i])
			if err != nil {
				return err
			}
			r.bare = b
			d.datagram(b, link, nil)
		}
		d.endLine()
	case l.UDP.ok:
		b, err := get("udp_payload_hex", &l.UDP)
		if err != nil {
			return err
		}
		d.zep(b, nil)
		d.endLine()
	case l.Datagram.ok && !l.L2Src.given() && !l.L2Dst.given() && l.Src.v.given() && l.Dst.v.given():
		b, err := get("compressed_hex", &l.Datagram)
		if err != nil {
			return err
		}
		src, err := netip.ParseAddr(string(l.Src.v.s))
		if err != nil {
			return errors.New("src: no IPv6 address")
		}
		dst, err := netip.ParseAddr(string(l.Dst.v.s))
		if err != nil {
			return errors.New("dst: no IPv6 address")
		}
		n, err := lowpan.DecodeGHC(d.pkt[:cap(d.pkt)], b, src.As16(), dst.As16())
		if err != nil {
			r.refuseErr(err)
			return nil
		}
		r.ghc = d.pkt[:n]
		r.refuse(dropHeader)
	case l.Datagram.ok || l.Payload.ok:
		what, s := "compressed_hex", &l.Datagram
		if !s.ok {
			what, s = "payload_hex", &l.Payload
		}
		b, err := get(what, s)
		if err != nil {
			return err
		}
		r.bare = b
		d.datagram(b, link, nil)
		d.endLine()
	case l.IPv6.ok:
		b, err := get("ipv6_hex", &l.IPv6)
		if err != nil {
			return err
		}
		if err := check(b); err != nil {
			r.refuseErr(err)
			r.side = b
			return nil
		}
		p, _ := ipv6.Parse(b)
		r.deliver(p)
	case l.Header.ok:
		b, err := get("header_hex", &l.Header)
		if err != nil {
			return err
		}
		r.refuseErr(r.fields.lowpanHeader(b))
		r.refuse(dropHeader)
	case l.FCF.ok:
		b, err := get("fcf_hex", &l.FCF)
		if err != nil {
			return err
		}
		if err := r.fields.headerLen(b); err != nil {
			r.refuseErr(err)
		}
		r.refuse(dropHeader)
	case l.L2Addr.ok:
		a, err := linkAddr("l2_addr", l.L2Addr.s)
		if err != nil {
			return err
		}
		r.fields.hexText("iid", a.IID(), 16)
		r.refuse(dropHeader)
	case l.RSSI.v.ok:
		r.fields.signed("dbm", l.RSSI.v.v-rssiOffset)
		r.refuse(dropHeader)
	default:
		return errors.New("nothing to decode: want frame_hex, frames, payload_hex, compressed_hex, payloads or udp_payload_hex")
	}
	return nil
}

// endLine gives up what the line in hand has left unfinished.
func (d *Decoder) endLine() {
	r := &d.res
	r.held = false
	later := d.clock.Add(time.Hour)
	for _, a := range d.alone.byPAN {
		if a.Deadline().IsZero() {
			continue
		}
		if n := a.Stats().Pending; n > 0 {
			d.sum.Incomplete += n
			r.refuse(dropIncomplete)
		}
		d.clock = later
		a.Advance(later)
	}
	if len(d.alone.byPAN) > linePANs {
		clear(d.alone.byPAN)
	}
}

func (d *Decoder) useKey(k *[16]byte) {
	switch {
	case k == nil:
		d.cipher = nil
	case d.cipher == nil || d.key != *k:
		d.key = *k
		d.cipher = ieee802154.NewCipher(*k)
	}
}

// rssiOffset is what RIOT adds to dBm.
const rssiOffset = 174

// A moment is the place of a frame in a stream; nil for a frame that stands for itself.
type moment struct{ time time.Time }

type fcsKind uint8

const (
	fcsNone fcsKind = iota
	fcs16
	fcs32
)

// frame decodes the MAC frame b.
func (d *Decoder) frame(b []byte, kind fcsKind, at *moment) {
	r := &d.res
	ok := true
	var sum []byte
	switch kind {
	case fcs16:
		if len(b) < ieee802154.FCSLen {
			r.refuseErr(ieee802154.DropTruncated)
			return
		}
		ok = ieee802154.CheckFCS(b)
		sum, b = b[len(b)-ieee802154.FCSLen:], b[:len(b)-ieee802154.FCSLen]
	case fcs32:
		if len(b) < 4 {
			r.refuseErr(ieee802154.DropTruncated)
			return
		}
		ok = checkFCS32(b)
		sum, b = b[len(b)-4:], b[:len(b)-4]
	}
	f := &r.frame
	first := !r.mac
	var keep ieee802154.Frame
	if !first {
		keep = r.frame // the first frame of a line is the one that is shown
	}
	err := f.Parse(b)
	if err != nil {
		r.refuseErr(err)
		if !first {
			*f = keep
		}
		return
	}
	var opened bool
	var nonceSrc uint64
	payload := f.Payload
	if f.Security && ok && d.cipher != nil {
		src, known := f.Src.V, f.Src.Mode == ieee802154.AddrExtended
		if d.hasX {
			src, known = d.srcX, true
		}
		if !known {
			r.refuse(lowpan.DropSecurity.Error())
		} else if p, err := d.cipher.Open(d.clear[:0], b, f, src); err != nil {
			r.refuseErr(err)
		} else {
			payload, opened, nonceSrc = p, true, src
		}
	}
	link := lowpan.Link{Src: macAddr(f.Src), Dst: macAddr(f.Dst)}
	typ, secured := f.Type, f.Security
	link.PAN, _ = f.SourcePAN()
	if f.HasDstPAN {
		link.PAN = f.DstPAN
	}
	if first {
		r.mac, r.fcs, r.fcsOK, r.opened, r.payload = true, kind != fcsNone, ok, opened, payload
		r.nonceSrc = nonceSrc
		r.sum = append(r.sum[:0], sum...)
		slices.Reverse(r.sum)
	} else {
		*f = keep
	}
	switch {
	case !ok && !d.opt.AnyFCS:
		r.refuse(dropFCS)
	case secured && !opened:
		r.refuse(lowpan.DropSecurity.Error())
	case typ != ieee802154.TypeData:
		r.refuse(lowpan.DropFrameType.Error())
	case d.opt.OnlyPAN && link.PAN != d.opt.PAN && link.PAN != ieee802154.BroadcastPAN:
		r.refuse(lowpan.DropPAN.Error())
	default:
		d.datagram(payload, link, at)
	}
}

// macAddr converts an address; none becomes the zero LinkAddr.
func macAddr(a ieee802154.Addr) ipv6.LinkAddr {
	switch a.Mode {
	case ieee802154.AddrExtended:
		return ipv6.EUI64(a.V)
	case ieee802154.AddrShort:
		return ipv6.Short(uint16(a.V))
	}
	return ipv6.LinkAddr{}
}

// datagram decodes the MAC payload b, which keeps to no one but the line or stream.
func (d *Decoder) datagram(b []byte, l lowpan.Link, at *moment) {
	r := &d.res
	b, l, err := unmesh(b, l)
	if err != nil {
		r.refuseErr(err)
		return
	}
	switch lowpan.Classify(b) {
	case lowpan.DispatchFRAG1, lowpan.DispatchFRAGN, lowpan.DispatchRFRAG:
		d.fragment(b, l, at)
		return
	}
	var n int
	if lowpan.Classify(b) == lowpan.DispatchPaging {
		n, err = d.ctx.DecompressRouted(d.pkt, b, l)
	} else {
		n, err = d.ctx.Decompress(d.pkt, b, l, 0)
	}
	if err != nil {
		r.refuseErr(err)
		return
	}
	p, err := ipv6.Parse(d.pkt[:n])
	if err != nil {
		r.refuseErr(err)
		return
	}
	r.deliver(p)
}

// unmesh takes the mesh addressing and broadcast headers off b, and their addresses into l.
func unmesh(b []byte, l lowpan.Link) ([]byte, lowpan.Link, error) {
	b = lowpan.SkipPage0(b)
	if lowpan.Classify(b) == lowpan.DispatchMesh {
		m, n, err := lowpan.ParseMeshHeader(b)
		if err != nil {
			return b, l, err
		}
		l.Src, l.Dst = m.Originator, m.Final
		b = lowpan.SkipPage0(b[n:])
	}
	if lowpan.Classify(b) == lowpan.DispatchBC0 {
		_, n, err := lowpan.ParseBC0Header(b)
		if err != nil {
			return b, l, err
		}
		b = lowpan.SkipPage0(b[n:])
	}
	return b, l, nil
}

func (d *Decoder) fragment(b []byte, l lowpan.Link, at *moment) {
	r := &d.res
	var reasm *lowpan.Reassembler
	now := d.clock
	if at == nil {
		reasm = d.alone.of(l.PAN)
	} else {
		reasm, now = d.stream.of(l.PAN), at.time
	}
	overlaps := reasm.Stats().Drops[lowpan.DropFragmentOverlap]
	var p ipv6.Packet
	var err error
	if lowpan.Classify(b) == lowpan.DispatchRFRAG {
		p, _, _, err = reasm.InputRecoverable(now, b, l)
	} else {
		p, err = reasm.Input(now, b, l)
	}
	switch {
	case err == lowpan.DropFragmentDuplicate && at == nil:
		// It takes nothing away from what the line delivers.
	case err != nil:
		r.refuseErr(err)
	case p != nil:
		if _, err := ipv6.Parse(p); err != nil {
			r.refuseErr(err)
			return
		}
		r.deliver(p)
	case at == nil && reasm.Stats().Drops[lowpan.DropFragmentOverlap] != overlaps:
		r.refuseErr(lowpan.DropFragmentOverlap)
	case at != nil:
		r.held = true
	}
}

// reassemblers put fragments together, those of each PAN apart: short addresses are of a PAN.
type reassemblers struct {
	limits   lowpan.Limits
	contexts *lowpan.Contexts
	byPAN    map[uint16]*lowpan.Reassembler
}

// of returns that of a PAN.
func (s *reassemblers) of(pan uint16) *lowpan.Reassembler {
	if r := s.byPAN[pan]; r != nil {
		return r
	}
	if len(s.byPAN) >= maxPANs {
		pan = ieee802154.BroadcastPAN // those that are left share one
		if r := s.byPAN[pan]; r != nil {
			return r
		}
	}
	if s.byPAN == nil {
		s.byPAN = make(map[uint16]*lowpan.Reassembler)
	}
	r := lowpan.NewReassembler(s.limits, s.contexts)
	s.byPAN[pan] = r
	return r
}

// endStream forgets the unfinished datagrams of a stream and counts them.
func (d *Decoder) endStream() {
	for _, r := range d.stream.byPAN {
		d.sum.Incomplete += r.Stats().Pending
	}
	clear(d.stream.byPAN)
}

// zep decodes the payload of a UDP datagram to or from the port of ZEP.
func (d *Decoder) zep(b []byte, at *moment) {
	r := &d.res
	h, body, err := zep.Parse(b)
	if err != nil {
		r.refuseErr(err)
		if at == nil && d.opt.Format == FormatJSON {
			r.fields.refusedZEP(b)
		}
		return
	}
	r.zep, r.zepHead, r.mpdu = true, h, body
	if at == nil && d.opt.Format == FormatJSON {
		r.fields.zepHeader(&h) // of a line that has nothing below it
	}
	switch h.Type {
	case zep.TypeAck:
		r.refuse(dropZEPAck)
	case zep.TypeHello:
		r.refuse(dropZEPHello)
	default:
		frame, _, _, err := h.Frame(body)
		switch {
		case err == nil:
			d.frame(frame, fcsNone, at)
		case err == zep.DropFCS && len(body) > ieee802154.FCSLen:
			d.frame(body, fcs16, at)
		default:
			r.refuseErr(err)
		}
	}
}
